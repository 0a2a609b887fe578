//! The programs from Debian that tests run against: what is missing is installed, in one call.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Failed;
use super::tools::{output, run, say};

/// A program, by the place below a directory of programs, and the package that has it.
const NEEDED: [(&str, &str); 9] = [
    ("strace", "strace"),
    ("softhsm2-util", "softhsm2"),
    ("pkcs11-tool", "opensc"),
    ("ssh-agent", "openssh-client"),
    ("initdb", "postgresql"),
    ("ceph-mon", "ceph-mon"),
    ("ceph-osd", "ceph-osd"),
    ("ceph-mgr", "ceph-mgr"),
    ("radosgw", "radosgw"),
];

/// Debian keeps the programs of the server here, by version.
const POSTGRESQL: &str = "/usr/lib/postgresql";

/// Installs what is missing of [`NEEDED`].
pub(crate) fn install() -> Result<(), Failed> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    say(&format!("the tests need packages that are not here: {list}"));
    let by_hand =
        |why: &str| Failed(format!("{why}; the tests need: apt-get install --no-install-recommends {list}"));
    if output(Command::new("id").arg("-u"))?.trim() != "0" {
        return Err(by_hand("only root can install packages"));
    }
    run(Command::new("apt-get").args(["--quiet", "update"])).map_err(|Failed(why)| by_hand(&why))?;
    let quiet = Quiet::begin()?;
    let mut apt = Command::new("apt-get");
    apt.args(["--quiet", "--yes", "--no-install-recommends", "install"]).args(&missing);
    let installed = run(apt.env("DEBIAN_FRONTEND", "noninteractive"));
    drop(quiet);
    installed.map_err(|Failed(why)| by_hand(&why))?;
    match self::missing() {
        still if still.is_empty() => Ok(()),
        still => Err(Failed(format!("installed, but their programs are not there: {}", still.join(" ")))),
    }
}

/// The packages whose program is not there.
#[expect(
    clippy::disallowed_methods,
    reason = "programs are looked for, not started: some daemons have no harmless option"
)]
fn missing() -> Vec<&'static str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    if let Ok(versions) = fs::read_dir(POSTGRESQL) {
        directories.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    let is_here = |program: &str| directories.iter().any(|directory| directory.join(program).is_file());
    NEEDED.iter().filter(|(program, _)| !is_here(program)).map(|(_, package)| *package).collect()
}

/// While it lives, packages that are installed start no service, and PostgreSQL makes no cluster that would start with the
/// machine: the tests start their own servers. Files that are there already are the operator's, and stay.
struct Quiet(Vec<&'static Path>);

/// Each with its content and whether it is a program.
const QUIET: [(&str, &str, bool); 2] = [
    ("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", true),
    ("/etc/postgresql-common/createcluster.d/tests.conf", "create_main_cluster = false\n", false),
];

impl Quiet {
    fn begin() -> Result<Self, Failed> {
        let mut quiet = Self(Vec::new());
        for (path, text, program) in QUIET {
            let path = Path::new(path);
            if !path.exists() {
                quiet.0.push(path);
                place(path, text, program)
                    .map_err(|error| Failed(format!("cannot write {}: {error}", path.display())))?;
            }
        }
        Ok(quiet)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "gone when the packages are installed; nothing reads it after a power cut"
)]
fn place(path: &Path, text: &str, program: bool) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(if program { 0o755 } else { 0o644 }))
}

impl Drop for Quiet {
    fn drop(&mut self) {
        for path in &self.0 {
            if let Err(error) = fs::remove_file(path) {
                say(&format!(
                    "cannot remove {}: {error}; while it is there, no package starts its service",
                    path.display()
                ));
            }
        }
    }
}
