//! Running other programs, and having them.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Failed;

/// Says something to the person watching.
#[expect(clippy::print_stderr, reason = "the one place")]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

/// Prints a result.
#[expect(clippy::print_stdout, reason = "the one place")]
pub(crate) fn print(text: &str) {
    println!("{text}");
}

/// Where `xtask` keeps the tools it had to install.
fn tools() -> PathBuf {
    Path::new("target").join("tools")
}

/// Runs a program to its end.
pub(crate) fn run(command: &mut Command) -> Result<(), Failed> {
    let shown = shown(command);
    say(&format!("\n$ {shown}"));
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failed(format!("failed ({status}): {shown}"))),
        Err(error) => Err(Failed(format!("cannot start: {shown}: {error}"))),
    }
}

/// What a program prints.
pub(crate) fn output(command: &mut Command) -> Result<String, Failed> {
    let shown = shown(command);
    match command.output() {
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(output) => Err(Failed(format!("failed: {shown}\n{}", String::from_utf8_lossy(&output.stderr)))),
        Err(error) => Err(Failed(format!("cannot start: {shown}: {error}"))),
    }
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// `cargo` with these arguments.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments);
    command
}

/// One integration test.
pub(crate) fn integration_test(package: &str, name: &str) -> Command {
    cargo(&["test", "--package", package, "--test", "integration", "--locked", "--quiet", name])
}

/// A Python with the version of python-tuf that `test-vectors/python-tuf.json` is about. The tests of tuf-repo-tool
/// make it.
pub(crate) fn python_with_tuf() -> Result<&'static str, Failed> {
    const PYTHON: &str = "target/test-env/current/bin/python";
    if output(Command::new(PYTHON).args(["-c", "import tuf.ngclient"])).is_err() {
        run(&mut integration_test("tuf-repo-tool", "python_tuf_differs_only_where_it_is_listed"))?;
    }
    Ok(PYTHON)
}

/// A cargo subcommand, installed below `target/` if it is not there.
pub(crate) fn cargo_tool(name: &str, version: &str, arguments: &[&str]) -> Result<Command, Failed> {
    let program = format!("cargo-{name}");
    let runs = |program: &Path| {
        Command::new(program).args([name, "--version"]).output().is_ok_and(|o| o.status.success())
    };
    let installed = tools().join("bin").join(&program);
    let path = if runs(Path::new(&program)) {
        PathBuf::from(&program)
    } else {
        if !runs(&installed) {
            say(&format!("{program} is not here: installing it into {}", tools().display()));
            let root = tools().display().to_string();
            run(&mut cargo(&[
                "install",
                "--quiet",
                "--locked",
                "--root",
                &root,
                "--version",
                version,
                &program,
            ]))?;
        }
        installed
    };
    let mut command = Command::new(path);
    command.arg(name).args(arguments);
    Ok(command)
}
