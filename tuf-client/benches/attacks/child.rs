//! One run of the built program, and what it cost.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Far beyond every bound of the program.
const GIVE_UP: Duration = Duration::from_secs(400);
/// Between two looks at the peak of its memory, which the last of them may miss by as much.
const LOOK: Duration = Duration::from_micros(500);

pub(crate) struct Cost {
    pub(crate) wall: Duration,
    /// Of the processor, in the kernel's ticks of 10 ms.
    pub(crate) cpu: Duration,
    /// The most that was resident at once, in KiB (`VmHWM`).
    pub(crate) peak: u64,
    pub(crate) code: Option<i32>,
    /// The last line it wrote to stderr.
    pub(crate) said: String,
}

/// Runs the program in a fresh directory that has nothing but the root.
pub(crate) fn run(root: &[u8], arguments: &[String]) -> Cost {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    tuf_client::durable::write_atomic(&at("root.json"), root).unwrap();
    let stderr = at("stderr");
    let start = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_tuf-client"))
        .args(["--root", "root.json", "--store", "store"])
        .args(arguments)
        .env_clear()
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&stderr).unwrap())
        .spawn()
        .unwrap();
    let process = Path::new("/proc").join(child.id().to_string());
    let mut peak = 0;
    // What is dead and not waited for has still a processor time, but no memory.
    loop {
        let status = std::fs::read_to_string(process.join("status")).unwrap_or_default();
        if let Some(found) = status.lines().find_map(|line| line.strip_prefix("VmHWM:")) {
            peak = found.trim().trim_end_matches(" kB").parse().unwrap_or(peak);
        }
        if status.contains("State:\tZ") {
            break;
        }
        if start.elapsed() > GIVE_UP {
            child.kill().unwrap();
        }
        sleep(LOOK);
    }
    let wall = start.elapsed();
    let stat = std::fs::read_to_string(process.join("stat")).unwrap_or_default();
    // After the name in parentheses: state is field 3, utime and stime are fields 14 and 15 (proc_pid_stat(5)).
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
    let ticks: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
    let code = child.wait().unwrap().code();
    let said = std::fs::read_to_string(&stderr).unwrap_or_default();
    let said = said.lines().find(|line| line.contains("error")).or_else(|| said.lines().last());
    let said = said.unwrap_or_default().to_owned();
    Cost { wall, cpu: Duration::from_millis(ticks * 10), peak, code, said }
}
