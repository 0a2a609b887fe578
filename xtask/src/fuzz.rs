//! `cargo xtask fuzz`: the targets of `fuzz/` under libFuzzer, on stable Rust and without cargo-fuzz.
//!
//! Where that cannot be built, the same functions run over their seeds and mutations of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Failed;
use super::tools::{self, cargo, output, print, say};

const MANIFEST: &str = "fuzz/Cargo.toml";
/// Builds, corpora that grew, and inputs that crashed; `fuzz/corpus` is only read.
const WORK: &str = "target/fuzz";

/// What cargo-fuzz passes, without the sanitizer, which stable does not have.
const INSTRUMENTED: [&str; 7] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg=fuzzing",
    "-Ccodegen-units=1",
];

/// `--seconds N`, then the targets; all without any.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failed> {
    let (seconds, wanted) = match arguments {
        [flag, seconds, targets @ ..] if flag == "--seconds" => (seconds.parse::<u32>(), targets),
        targets => (Ok(10), targets),
    };
    let Ok(seconds @ 1..) = seconds else { return Err(Failed("--seconds takes a number from 1".to_owned())) };
    let all = targets()?;
    if let Some(unknown) = wanted.iter().find(|target| !all.contains(target)) {
        return Err(Failed(format!("no fuzz target {unknown:?}; there are: {}", all.join(", "))));
    }
    let wanted = if wanted.is_empty() { &all } else { wanted };
    let host = match probe() {
        Ok(host) => host,
        Err(why) => {
            say(&format!("no fuzzing here: {why}. Running the seeds and mutations of them instead."));
            return seeds();
        }
    };
    let mut build = cargo(&["build", "--release", "--locked", "--features", "libfuzzer"]);
    // With a target named, build scripts are not instrumented.
    build.args(["--manifest-path", MANIFEST, "--target-dir", WORK, "--target", &host]);
    for target in wanted {
        build.args(["--bin", target]);
    }
    tools::run(build.env("RUSTFLAGS", INSTRUMENTED.join(" ")))?;
    let binaries = Path::new(WORK).join(host).join("release");
    let failed: Vec<String> = wanted
        .iter()
        .filter_map(|target| fuzz(&binaries, target, seconds).err())
        .map(|Failed(why)| why)
        .collect();
    if failed.is_empty() { Ok(()) } else { Err(Failed(failed.join("\n"))) }
}

/// What CI runs: every target over its seeds and ten thousand mutations of them, nothing instrumented.
pub(crate) fn seeds() -> Result<(), Failed> {
    tools::run(&mut cargo(&["test", "--locked", "--manifest-path", MANIFEST, "--target-dir", WORK]))
}

fn targets() -> Result<Vec<String>, Failed> {
    let entries =
        fs::read_dir("fuzz/fuzz_targets").map_err(|error| Failed(format!("fuzz/fuzz_targets: {error}")))?;
    let mut targets: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.path().file_stem()?.to_str().map(str::to_owned)).collect();
    targets.sort();
    Ok(targets)
}

/// The host, if `rustc` takes the flags there and a C++ compiler, which libFuzzer needs, is installed.
fn probe() -> Result<String, String> {
    let version = output(Command::new("rustc").arg("-vV")).map_err(|Failed(why)| why)?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
    if !host.contains("linux") {
        return Err(format!("the recipe is for Linux, and this is {host}"));
    }
    let mut compiler = Command::new("c++");
    compiler.arg("--version");
    output(&mut compiler)
        .map_err(|_| "libFuzzer needs a C++ compiler, and `c++ --version` fails".to_owned())?;
    fs::create_dir_all(WORK).map_err(|error| format!("{WORK}: {error}"))?;
    let mut rustc = Command::new("rustc");
    rustc.args(["-", "--crate-name=probe", "--crate-type=lib", "--emit=obj", "-o"]);
    rustc.arg(Path::new(WORK).join("probe.o")).args(INSTRUMENTED).stdin(Stdio::null());
    output(&mut rustc).map_err(|Failed(why)| format!("this rustc does not take the flags: {why}"))?;
    Ok(host.to_owned())
}

fn fuzz(binaries: &Path, target: &str, seconds: u32) -> Result<(), Failed> {
    let directory = |name: &str| -> Result<PathBuf, Failed> {
        let path = Path::new(WORK).join(name).join(target);
        fs::create_dir_all(&path).map_err(|error| Failed(format!("{}: {error}", path.display())))?;
        Ok(path)
    };
    let (grown, crashes) = (directory("corpus")?, directory("crashes")?);
    let mut command = Command::new(binaries.join(target));
    // 10 s for 4 kB is a hang.
    command.args(["-timeout=10", "-rss_limit_mb=512", "-max_len=4096", "-print_final_stats=1"]);
    command.arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-artifact_prefix={}/", crashes.display()));
    command.arg(&grown).arg(Path::new("fuzz/corpus").join(target));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let result = command.output().map_err(|error| Failed(format!("cannot start {target}: {error}")))?;
    let log = String::from_utf8_lossy(&result.stderr);
    if !result.status.success() {
        let kept = log.lines().find_map(|line| line.split_once("Test unit written to "));
        let kept = kept.map_or("none kept", |(_, path)| path);
        say(&log);
        return Err(Failed(format!("{target} failed ({}); input: {kept}", result.status)));
    }
    let executions = log.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    let word = |name: &str| {
        let done = log.lines().rfind(|line| line.contains("DONE")).unwrap_or_default();
        done.split_whitespace().skip_while(|word| *word != name).nth(1).unwrap_or("?").to_owned()
    };
    print(&format!(
        "{target:16} {:>10} executions, {:>5} edges, {:>6} features",
        executions.map_or("?", str::trim),
        word("cov:"),
        word("ft:")
    ));
    Ok(())
}
