//! A SoftHSM with tokens of its own, for one test.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Sandbox, write};

/// Where Debian has the module; the same place on every architecture.
pub(crate) const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// Every token's PIN.
pub(crate) const PIN: &str = "4711";

/// Tokens in the directory of a sandbox.
#[derive(Debug)]
pub(crate) struct SoftHsm {
    settings: PathBuf,
}

impl SoftHsm {
    /// With tokens of these labels.
    pub(crate) fn new(sandbox: &Sandbox, labels: &[&str]) -> Self {
        assert!(Path::new(MODULE).exists(), "{MODULE} is missing: install the package softhsm2");
        let tokens = sandbox.path("tokens");
        std::fs::create_dir(&tokens).unwrap();
        let hsm = Self { settings: sandbox.path("softhsm2.conf") };
        write(
            &hsm.settings,
            format!(
                "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
                tokens.display()
            ),
        );
        for label in labels {
            let fixed = ["--init-token", "--free", "--so-pin", "5678", "--pin", PIN, "--label", label];
            let run = hsm.command(Command::new("softhsm2-util")).args(fixed).output();
            let run = run.expect("softhsm2-util is missing: install the package softhsm2");
            assert!(run.status.success(), "{run:?}");
        }
        hsm
    }

    /// The command, with these tokens and their PIN.
    pub(crate) fn command(&self, mut command: Command) -> Command {
        command.env("SOFTHSM2_CONF", &self.settings);
        command
    }

    /// The URI of a key on a token.
    pub(crate) fn uri(token: &str, object: &str) -> String {
        format!("pkcs11:token={token};object={object}?module-path={MODULE}")
    }
}
