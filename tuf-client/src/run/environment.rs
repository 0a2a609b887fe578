//! The environment of the child of `run`: one index, no way around it.
//!
//! pip and uv read dozens of variables, and a new release may add one more that names an index. So of their
//! variables only those known to be harmless are kept ([`PIP_KEPT`], [`UV_KEPT`]); the others are removed and reported.
//!
//! **Caches.** An installer's cache is kept. pip caches no plain-HTTP index, and its cache of built wheels goes by
//! URL, which here carries the file's sha256. uv's goes by index URL, which here is `http://127.0.0.1:PORT/simple/`:
//! what it took from another index is never used, and what it took from this one was verified then. (A free port is
//! a new URL each time: for a warm uv cache give `--listen` a fixed port, and one port to one repository.)
//!
//! **Credentials.** What this client itself was given for the repository (`TUF_*`, `NETRC`) stays with it: the child only talks
//! to the proxy, and a build script has no business with a password. (A `.netrc` in the home directory stays where it is.)
//!
//! **What this cannot close.** It is a fence for honest installers that are fed hostile data, not a sandbox for
//! hostile programs: a program may ignore the proxy variables (Subversion does), `http.<url>.proxy` in
//! a git configuration outranks ours, and local files and directories named on the command line are taken as they are.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// What of pip's settings is kept: the name after `PIP_`, in lower case with underscores.
const PIP_KEPT: &[&str] = &[
    "abi",
    "break_system_packages",
    "build_constraint",
    "cache_dir",
    "check_build_dependencies",
    "compile",
    "config_settings",
    "constraint",
    "debug",
    "default_timeout",
    "dest",
    "disable_pip_version_check",
    "dry_run",
    "exists_action",
    "force_reinstall",
    "ignore_installed",
    "ignore_requires_python",
    "implementation",
    "log",
    "no_binary",
    "no_build_isolation",
    "no_cache_dir",
    "no_clean",
    "no_color",
    "no_compile",
    "no_deps",
    "no_input",
    "no_python_version_warning",
    "no_warn_conflicts",
    "no_warn_script_location",
    "only_binary",
    "platform",
    "pre",
    "prefer_binary",
    "prefix",
    "progress_bar",
    "python",
    "python_version",
    "quiet",
    "report",
    "require_hashes",
    "require_virtualenv",
    "requirement",
    "resume_retries",
    "retries",
    "root",
    "root_user_action",
    "src",
    "target",
    "timeout",
    "upgrade",
    "upgrade_strategy",
    "uploaded_prior_to",
    "use_pep517",
    "user",
    "verbose",
    "wheel_dir",
];

/// What of uv's settings is kept: the name after `UV_`, in lower case.
const UV_KEPT: &[&str] = &[
    "break_system_packages",
    "build_constraint",
    "cache_dir",
    "compile_bytecode",
    "compile_bytecode_timeout",
    "concurrent_builds",
    "concurrent_downloads",
    "concurrent_installs",
    "constraint",
    "custom_compile_command",
    "exclude",
    "exclude_newer",
    "fork_strategy",
    "frozen",
    "http_connect_timeout",
    "http_retries",
    "http_timeout",
    "isolated",
    "link_mode",
    "lock_timeout",
    "locked",
    "log_context",
    "managed_python",
    "no_binary",
    "no_binary_package",
    "no_build",
    "no_build_isolation",
    "no_build_package",
    "no_cache",
    "no_color",
    "no_default_groups",
    "no_dev",
    "no_editable",
    "no_env_file",
    "no_group",
    "no_installer_metadata",
    "no_managed_python",
    "no_modify_path",
    "no_progress",
    "no_python_downloads",
    "no_sources",
    "no_sync",
    "no_wrap",
    "offline",
    "override",
    "prerelease",
    "preview",
    "preview_features",
    "project",
    "project_environment",
    "python",
    "python_bin_dir",
    "python_cache_dir",
    "python_downloads",
    "python_install_bin",
    "python_install_dir",
    "python_preference",
    "request_timeout",
    "require_hashes",
    "resolution",
    "show_resolution",
    "stack_size",
    "system_python",
    "tool_bin_dir",
    "tool_dir",
    "unmanaged_install",
    "venv_clear",
    "venv_relocatable",
    "venv_seed",
    "verify_hashes",
    "working_dir",
    "working_directory",
];

/// The other names of `UV_HTTP_TIMEOUT`.
const UV_TIMEOUTS: [&str; 2] = ["UV_REQUEST_TIMEOUT", "HTTP_TIMEOUT"];

/// How many seconds an installer waits for the proxy, which itself waits 30 s for the mirror, twice after a change of it.
const PATIENCE: &str = "75";

/// What `run` does to its own environment before it becomes the child's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChildEnvironment {
    /// Variables to set, over whatever they were.
    pub set: BTreeMap<String, String>,
    /// Variables to remove, sorted. Those that are set anew are not listed here.
    pub removed: Vec<String>,
}

/// Decides over the child's environment from the parent's variables and the address the proxy listens on.
///
/// Names are compared the way the installers read them: pip takes `PIP_` and any spelling after it.
#[must_use]
pub fn child_environment(parent: &[(String, String)], proxy: SocketAddr) -> ChildEnvironment {
    let set = settings(parent, proxy);
    let mut removed: Vec<String> = parent
        .iter()
        .map(|(name, _)| name)
        .filter(|name| is_removed(name) && !set.contains_key(*name))
        .cloned()
        .collect();
    removed.sort();
    ChildEnvironment { set, removed }
}

fn is_removed(name: &str) -> bool {
    let plain = name.to_ascii_lowercase().replace('-', "_");
    match plain.split_once('_') {
        Some(("pip", option)) => !PIP_KEPT.contains(&option),
        Some(("uv", option)) => !UV_KEPT.contains(&option),
        // Ours, which may be credentials for the repository.
        Some(("tuf", _)) => true,
        // Every proxy variable there is; ours are set anew. With REQUEST_METHOD some clients ignore HTTP_PROXY.
        _ => matches!(
            plain.as_str(),
            "http_proxy"
                | "https_proxy"
                | "all_proxy"
                | "ftp_proxy"
                | "no_proxy"
                | "netrc"
                | "request_method"
                | "git_proxy_command"
                | "git_ssh_command"
        ),
    }
}

fn settings(parent: &[(String, String)], proxy: SocketAddr) -> BTreeMap<String, String> {
    let base = format!("http://{}", reachable(proxy));
    let index = format!("{base}/simple/");
    let mut set: BTreeMap<String, String> = BTreeMap::new();
    let mut put = |name: &str, value: &str| drop(set.insert(name.to_owned(), value.to_owned()));
    // The null device here means: no configuration file at all, neither global nor user's.
    put("PIP_CONFIG_FILE", if cfg!(windows) { "nul" } else { "/dev/null" });
    put("PIP_INDEX_URL", &index);
    put("UV_DEFAULT_INDEX", &index);
    put("UV_NO_CONFIG", "1");
    // Their defaults are 15 and 30 s: they would give up, and try again, before the proxy can say what is wrong.
    for (name, others) in [("PIP_DEFAULT_TIMEOUT", &["PIP_TIMEOUT"][..]), ("UV_HTTP_TIMEOUT", &UV_TIMEOUTS)] {
        let given = |wanted: &str| parent.iter().any(|(name, _)| name == wanted);
        if !given(name) && !others.iter().any(|other| given(other)) {
            put(name, PATIENCE);
        }
    }
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        put(name, &base);
        put(&name.to_ascii_lowercase(), &base);
    }
    // No exception, not even for this machine: another index on another of its ports would be a way around. The proxy
    // knows its own address in absolute form.
    put("NO_PROXY", "");
    put("no_proxy", "");
    // git reads the proxy variables only for http, and only when its configuration names no proxy.
    put("GIT_ALLOW_PROTOCOL", "file:http:https");
    let count = parent
        .iter()
        .find(|(name, _)| name == "GIT_CONFIG_COUNT")
        .and_then(|(_, count)| count.parse::<u32>().ok())
        .unwrap_or(0);
    put(&format!("GIT_CONFIG_KEY_{count}"), "http.proxy");
    put(&format!("GIT_CONFIG_VALUE_{count}"), &base);
    put("GIT_CONFIG_COUNT", &count.saturating_add(1).to_string());
    set
}

/// An address a client on this machine can connect to, also when the proxy listens on all of them.
fn reachable(proxy: SocketAddr) -> SocketAddr {
    if proxy.ip().is_unspecified() {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), proxy.port())
    } else {
        proxy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(names: &[&str]) -> ChildEnvironment {
        let parent: Vec<_> = names.iter().map(|name| ((*name).to_owned(), "x".to_owned())).collect();
        child_environment(&parent, "127.0.0.1:4711".parse().unwrap())
    }

    #[test]
    fn whatever_names_an_index_links_a_proxy_or_a_weakening_is_removed() {
        let rows = [
            "PIP_EXTRA_INDEX_URL",
            "PIP_FIND_LINKS",
            "PIP_NO_INDEX",
            "PIP_PROXY",
            "PIP_TRUSTED_HOST",
            "PIP_CERT",
            "PIP_CLIENT_CERT",
            "PIP_KEYRING_PROVIDER",
            "PIP_find-links",
            "PIP_Extra_Index_Url",
            "PIP_EDITABLE",
            "PIP_NEW_OPTION_OF_NEXT_YEAR",
            "UV_INDEX",
            "UV_INDEX_URL",
            "UV_EXTRA_INDEX_URL",
            "UV_FIND_LINKS",
            "UV_INDEX_STRATEGY",
            "UV_INDEX_PRIVATE_USERNAME",
            "UV_INDEX_PRIVATE_PASSWORD",
            "UV_INSECURE_HOST",
            "UV_NO_INDEX",
            "UV_CONFIG_FILE",
            "UV_KEYRING_PROVIDER",
            "UV_ENV_FILE",
            "UV_NO_VERIFY_HASHES",
            "UV_PYTHON_INSTALL_MIRROR",
            "UV_PUBLISH_URL",
            "UV_TORCH_BACKEND",
            "ftp_proxy",
            "FTP_PROXY",
            "REQUEST_METHOD",
            "GIT_SSH_COMMAND",
            "GIT_PROXY_COMMAND",
            "TUF_AUTHORIZATION",
            "TUF_URL",
            "NETRC",
        ];
        for name in rows {
            assert_eq!(environment(&[name]).removed, [name], "{name}");
        }
    }

    #[test]
    fn harmless_settings_and_foreign_variables_stay() {
        let rows = [
            "PATH",
            "HOME",
            "PIPX_HOME",
            "UVICORN_PORT",
            "PIP",
            "UV",
            "PIP_NO_CACHE_DIR",
            "PIP_CACHE_DIR",
            "PIP_DEFAULT_TIMEOUT",
            "PIP_DISABLE_PIP_VERSION_CHECK",
            "PIP_CONSTRAINT",
            "PIP_REQUIREMENT",
            "PIP_REQUIRE_HASHES",
            "UV_CACHE_DIR",
            "UV_LINK_MODE",
            "UV_PYTHON",
            "UV_FROZEN",
            "UV_OFFLINE",
            "UV_HTTP_TIMEOUT",
            "UV_PROJECT_ENVIRONMENT",
            "SSL_CERT_FILE",
            "REQUESTS_CA_BUNDLE",
            "GIT_AUTHOR_NAME",
        ];
        for name in rows {
            assert!(environment(&[name]).removed.is_empty(), "{name}");
        }
    }

    #[test]
    fn the_index_and_every_way_out_lead_to_the_proxy() {
        let environment = environment(&["HTTPS_PROXY", "no_proxy", "PIP_INDEX_URL", "UV_DEFAULT_INDEX"]);
        assert!(environment.removed.is_empty(), "they are set anew: {:?}", environment.removed);
        let base = "http://127.0.0.1:4711";
        let rows = [
            ("PIP_INDEX_URL", "http://127.0.0.1:4711/simple/"),
            ("UV_DEFAULT_INDEX", "http://127.0.0.1:4711/simple/"),
            ("UV_NO_CONFIG", "1"),
            ("PIP_DEFAULT_TIMEOUT", "75"),
            ("UV_HTTP_TIMEOUT", "75"),
            ("HTTP_PROXY", base),
            ("http_proxy", base),
            ("HTTPS_PROXY", base),
            ("https_proxy", base),
            ("ALL_PROXY", base),
            ("all_proxy", base),
            ("NO_PROXY", ""),
            ("no_proxy", ""),
            ("GIT_ALLOW_PROTOCOL", "file:http:https"),
            ("GIT_CONFIG_COUNT", "1"),
            ("GIT_CONFIG_KEY_0", "http.proxy"),
            ("GIT_CONFIG_VALUE_0", base),
        ];
        for (name, value) in rows {
            assert_eq!(environment.set.get(name).map(String::as_str), Some(value), "{name}");
        }
        assert_eq!(environment.set.len(), rows.len() + 1, "and PIP_CONFIG_FILE");
    }

    #[test]
    fn git_settings_of_the_parent_are_added_to() {
        let parent = [("GIT_CONFIG_COUNT".to_owned(), "2".to_owned())];
        let set = child_environment(&parent, "0.0.0.0:80".parse().unwrap()).set;
        assert_eq!(set["GIT_CONFIG_COUNT"], "3");
        assert_eq!(set["GIT_CONFIG_VALUE_2"], "http://127.0.0.1:80");
    }
}
