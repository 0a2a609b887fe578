//! `test-vectors/` through python-tuf.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::python::python;

/// The runner fails if python-tuf differs where `python-tuf.json` does not say so, or does not differ where it does.
#[test]
fn python_tuf_differs_only_where_it_is_listed() {
    let runner = Path::new(env!("CARGO_MANIFEST_DIR")).join("../test-vectors/run_python_tuf.py");
    let output = Command::new(python().interpreter()).arg(runner).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains(" equal to securesystemslib's, 0 not"), "{said}");
}
