//! Every kind of key against the real thing: SoftHSM, an ssh-agent, programs, OpenSSL; and what goes wrong with them.

mod agent;
mod detached;
mod docs;
mod kinds;
mod programs;
mod token;

use std::os::unix::fs::PermissionsExt;

use crate::support::{Sandbox, write};

/// A program of the test.
fn script(sandbox: &Sandbox, name: &str, text: &str) -> String {
    let path = sandbox.path(name);
    write(&path, text);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

/// A signing program in sh: OpenSSL does the work. It prints base64.
fn openssl_signer(sandbox: &Sandbox) -> String {
    let key = sandbox.path("exec-key.pem").display().to_string();
    crate::support::python::succeeds(sandbox.command("openssl").args([
        "genpkey",
        "-algorithm",
        "EC",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-out",
        &key,
    ]));
    script(
        sandbox,
        "sign.sh",
        &format!(
            "#!/bin/sh\ncase $1 in\n\
             public) openssl pkey -in {key} -pubout ;;\n\
             sign) openssl dgst -sha256 -sign {key} | openssl base64 ;;\n\
             *) exit 2 ;;\nesac\n"
        ),
    )
}
