//! What one run of a program costs, by the kernel's own account of it (wait4(2)).
//!
//! A program starts with the peak of memory of the process that starts it. So a bench runs itself once more, and that
//! small process starts the program, waits for it and prints what it cost.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use wait4::Wait4;

const WORD: &str = "--measure";
/// Then it is killed.
const GIVE_UP: Duration = Duration::from_secs(400);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    /// Of the processors, user and system.
    pub(crate) cpu: Duration,
    /// The most that was resident at once, in KiB.
    pub(crate) peak: u64,
    /// None if it was killed.
    pub(crate) code: Option<i32>,
}

/// A command that runs `program` and measures it; arguments, environment, directory and stderr are passed on. `prefix` is
/// a program that sets the priority, with its arguments: of the process that measures too, or it would hear of the end late.
pub(crate) fn measuring(prefix: &[String], program: impl AsRef<Path>) -> Command {
    let myself = std::env::current_exe().unwrap();
    let mut command = match prefix {
        [] => Command::new(myself),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(myself);
            command
        }
    };
    command.arg(WORD).arg(program.as_ref());
    command
}

/// Runs what [`measuring`] made.
pub(crate) fn cost(command: &mut Command) -> Cost {
    let output = command.stdin(Stdio::null()).stdout(Stdio::piped()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let numbers: Vec<i64> = text.split_whitespace().map(|word| word.parse().unwrap()).collect();
    let [wall, cpu, peak, code] = *numbers else { panic!("cannot start {command:?}") };
    let nanos = |number: i64| Duration::from_nanos(number.try_into().unwrap());
    Cost {
        wall: nanos(wall),
        cpu: nanos(cpu),
        peak: peak.try_into().unwrap(),
        code: i32::try_from(code).ok().filter(|code| *code >= 0),
    }
}

/// To be called first by every bench: whether this process is the one that measures, and is done.
#[expect(clippy::print_stdout, reason = "for the process that asked")]
pub(crate) fn was_asked() -> bool {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_none_or(|first| first != WORD) {
        return false;
    }
    let mut command = Command::new(arguments.next().unwrap());
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    let start = Instant::now();
    let mut child = command.spawn().unwrap();
    let process = Pid::from_child(&child);
    // This process ends with the program, and the thread with it.
    thread::spawn(move || {
        sleep(GIVE_UP);
        kill_process(process, Signal::KILL)
    });
    let end = child.wait4().unwrap();
    let wall = start.elapsed();
    let cpu = end.rusage.utime + end.rusage.stime;
    let code = end.status.code().unwrap_or(-1);
    println!("{} {} {} {code}", wall.as_nanos(), cpu.as_nanos(), end.rusage.maxrss / 1024);
    true
}
