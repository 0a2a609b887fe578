//! Ways around the proxy: another index named on the command line, in a file or in the environment. None of them
//! is ever asked, whatever the installer does then.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;

use crate::support::demo::{Demo, Installed, Installer};
use crate::support::hostile::Server;
use crate::support::{Dist, wheel, write};

/// An index with a newer `small` that nobody signed, and a client that could fall for it.
struct Lure {
    demo: Demo,
    other: Server,
}

impl Lure {
    fn new() -> Self {
        Self::on(Ipv4Addr::new(127, 0, 0, 2))
    }

    fn on(address: Ipv4Addr) -> Self {
        let demo = Demo::new();
        let files = demo.sandbox.path("other");
        Self { other: Server::on(address, &index(&files)), demo }
    }

    fn simple(&self) -> String {
        format!("{}/simple/", self.other.url())
    }

    fn run(&self) -> Command {
        let mut command = self.demo.client();
        command.arg("run");
        command
    }

    fn install(&self, command: &mut Command, installer: Installer, arguments: &[&str]) -> Installed {
        let installed = self.demo.install(command, installer, arguments);
        assert_eq!(self.other.asked(), [""; 0], "{installer:?} {arguments:?}: {installed:#?}");
        installed
    }
}

fn index(files: &std::path::Path) -> PathBuf {
    let Dist { filename, bytes, .. } = wheel("small", "9.9");
    let link = |up: &str| format!("<!DOCTYPE html>\n<a href=\"{up}packages/{filename}\">{filename}</a>\n");
    for (path, bytes) in [
        (format!("packages/{filename}"), bytes),
        ("simple/small/index.html".to_owned(), link("../../").into_bytes()),
        ("links/index.html".to_owned(), link("../").into_bytes()),
    ] {
        let path = files.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        write(&path, bytes);
    }
    files.to_owned()
}

#[test]
fn another_index_on_the_command_line_is_refused() {
    for address in [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::LOCALHOST] {
        let lure = Lure::on(address);
        let (url, simple) = (lure.other.url(), lure.simple());
        let named = lure.other.address().to_string();
        let refused = [named.as_str(), "--allow-direct"];
        let wheel = format!("{url}/packages/small-9.9-py3-none-any.whl");
        let direct = format!("small @ {wheel}");
        let (links, git) = (format!("{url}/links/"), format!("git+{url}/small.git"));
        for installer in [Installer::Pip, Installer::OldPip] {
            for arguments in [
                &["--extra-index-url", &simple, "small"][..],
                &["--index-url", &simple, "small"],
                &["--find-links", &links, "small"],
                &[&wheel],
                &[&direct],
                &[&git],
            ] {
                let run = lure.install(&mut lure.run(), installer, arguments).run.code(4);
                let told = run.stderr.lines().any(|line| refused.iter().all(|word| line.contains(word)));
                assert!(told, "{installer:?} {arguments:?}: {run:#?}");
            }
        }
        for installer in [Installer::Uv, Installer::OldUv] {
            for arguments in [
                &["--extra-index-url", &simple, "small"][..],
                &["--index", &simple, "small"],
                &["--default-index", &simple, "small"],
                &["--find-links", &links, "small"],
                &[&direct],
                &[&git],
            ] {
                lure.install(&mut lure.run(), installer, arguments).refused(4, &refused);
            }
        }
    }
}

#[test]
fn another_index_in_a_requirements_file_is_refused() {
    let lure = Lure::new();
    let requirements = lure.demo.sandbox.path("requirements.txt");
    let file = requirements.display().to_string();
    for option in ["--index-url", "--extra-index-url"] {
        write(&requirements, format!("{option} {}\nsmall==9.9\n", lure.simple()));
        for installer in [Installer::Pip, Installer::OldPip, Installer::Uv, Installer::OldUv] {
            let installed = lure.install(&mut lure.run(), installer, &["-r", &file]);
            assert_ne!(installed.run.code, Some(0), "{installed:#?}");
            assert!(installed.files.is_empty(), "{installed:#?}");
        }
    }
}

#[test]
fn the_environment_and_configuration_files_lead_nowhere_else() {
    let lure = Lure::new();
    let (simple, links) = (lure.simple(), format!("{}/links/", lure.other.url()));
    let home = |path: &str| {
        let path = lure.demo.sandbox.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    };
    write(&home(".config/pip/pip.conf"), format!("[global]\nindex-url = {simple}\nfind-links = {links}\n"));
    write(&home(".pip/pip.conf"), format!("[install]\nextra-index-url = {simple}\n"));
    for path in [".config/uv/uv.toml", "uv.toml"] {
        write(&home(path), format!("index-url = \"{simple}\"\nfind-links = [\"{links}\"]\n"));
    }
    let project = "[project]\nname = \"x\"\nversion = \"1\"\n[[tool.uv.index]]\nurl =";
    write(&home("pyproject.toml"), format!("{project} \"{simple}\"\ndefault = true\n"));
    for installer in [Installer::Pip, Installer::OldPip, Installer::Uv, Installer::OldUv] {
        let mut command = lure.run();
        for name in
            ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX", "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL"]
        {
            command.env(name, &simple);
        }
        command.env("PIP_FIND_LINKS", &links).env("UV_FIND_LINKS", &links).env("UV_INDEX_URL", &simple);
        command.env("PIP_CONFIG_FILE", home(".config/pip/pip.conf")).env("UV_CONFIG_FILE", home("uv.toml"));
        command.env("PIP_NO_INDEX", "1").env("UV_NO_INDEX", "1").env("pip_index-url", &simple);
        lure.install(&mut command, installer, &["small"]).release("small-1.0");
    }
}

#[test]
fn uv_sync_takes_no_other_index_from_the_project() {
    let lure = Lure::new();
    let project = lure.demo.sandbox.path("project");
    std::fs::create_dir_all(&project).unwrap();
    let head =
        "[project]\nname = \"x\"\nversion = \"1\"\nrequires-python = \">=3.9\"\ndependencies = [\"small\"]\n";
    let index = format!("[[tool.uv.index]]\nname = \"other\"\nurl = \"{}\"\n", lure.simple());
    let rows = [
        ("extra", index.clone()),
        ("default", format!("{index}default = true\n")),
        ("pinned", format!("{index}explicit = true\n[tool.uv.sources]\nsmall = {{ index = \"other\" }}\n")),
    ];
    for (name, settings) in rows {
        let directory = project.join(name);
        std::fs::create_dir_all(&directory).unwrap();
        write(&directory.join("pyproject.toml"), format!("{head}{settings}"));
        let python = crate::support::python::python();
        let mut command = lure.run();
        command.current_dir(&directory).arg("--").arg(python.uv()).args(["sync", "--no-cache", "--python"]);
        let run = crate::support::Run::of(command.arg(python.interpreter()));
        assert_eq!(lure.other.asked(), [""; 0], "{name}: {run:#?}");
        assert!(run.code == Some(4) || run.stderr.contains("small==1.0"), "{name}: {run:#?}");
    }
}

#[test]
fn proxy_variables_of_the_parent_open_nothing() {
    let lure = Lure::new();
    let simple = lure.simple();
    for installer in [Installer::Pip, Installer::OldPip, Installer::Uv, Installer::OldUv] {
        let mut command = lure.run();
        for name in ["NO_PROXY", "no_proxy"] {
            command.env(name, "127.0.0.2,*");
        }
        for name in ["REQUEST_METHOD", "PIP_TRUSTED_HOST", "UV_INSECURE_HOST"] {
            command.env(name, "127.0.0.2");
        }
        let run = lure.install(&mut command, installer, &["--extra-index-url", &simple, "small"]).run.code(4);
        drop(run.says("--allow-direct"));
    }
}

#[test]
fn allow_direct_opens_exactly_one_host() {
    let lure = Lure::new();
    let (simple, address) = (lure.simple(), lure.other.address());
    let port = address.port();
    let allow = |host: &str| {
        let mut command = lure.demo.client();
        command.args(["run", "--allow-direct", host]);
        command
    };
    for host in ["127.0.0.3".to_owned(), format!("127.0.0.2:{}", port ^ 1)] {
        let arguments = ["--extra-index-url", &simple, "small"];
        lure.install(&mut allow(&host), Installer::Uv, &arguments).refused(4, &[&address.to_string()]);
    }
    for (host, installer) in [
        ("127.0.0.2".to_owned(), Installer::Pip),
        (format!("127.0.0.2:{port}"), Installer::OldPip),
        ("127.0.0.2".to_owned(), Installer::Uv),
        (format!("127.0.0.2:{port}"), Installer::OldUv),
    ] {
        // uv puts the environment's index before `--index-url`.
        let uv = matches!(installer, Installer::Uv | Installer::OldUv);
        let arguments = [if uv { "--default-index" } else { "--index-url" }, &simple, "small"];
        lure.demo.install(&mut allow(&host), installer, &arguments).release("small-9.9");
        assert!(!lure.other.asked().is_empty());
    }
}
