//! The command that `run` runs: its exit code, and the signals it gets.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::Run;
use crate::support::demo::Demo;
use crate::support::hostile::Tamper;
use crate::support::python::python;

fn shell(demo: &Demo, script: &str) -> Command {
    let mut command = demo.client();
    command.args(["run", "--", "sh", "-c", script]);
    command
}

#[test]
fn its_exit_code_is_the_childs() {
    let demo = Demo::new();
    for code in [0, 1, 2, 7, 255] {
        Run::of(&mut shell(&demo, &format!("exit {code}"))).code(code);
    }
    Run::of(&mut shell(&demo, "kill -KILL $$")).code(137);
    Run::of(&mut shell(&demo, "kill -TERM $$")).code(143);
    let mut command = demo.client();
    drop(Run::of(command.args(["run", "--", "no-such-program"])).code(1).says("no-such-program"));
    // What was refused counts more than the child's success.
    demo.mirror.tamper(".index.json", Tamper::Flip(500));
    let script = "\"$0\" -c 'import os, urllib.request as r; r.urlopen(os.environ[\"PIP_INDEX_URL\"] + \"small/\")'; exit 0";
    drop(Run::of(shell(&demo, script).arg(python().interpreter())).code(4).says("wrong-software"));
}

#[test]
fn nothing_runs_before_the_repository_is_verified() {
    let demo = Demo::new();
    demo.mirror.tamper("/timestamp.json", Tamper::Flip(500));
    let run = Run::of(&mut shell(&demo, "echo ran")).code(4);
    assert_eq!(run.stdout, "");
}

/// Starts the script and waits for its first line.
fn started(demo: &Demo, script: &str) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = shell(demo, script).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    (child, lines)
}

#[test]
fn signals_reach_the_child_and_decide_the_exit_code() {
    let demo = Demo::new();
    for (signal, code) in [(Signal::HUP, 129), (Signal::INT, 130), (Signal::QUIT, 131), (Signal::TERM, 143)] {
        let (mut child, _lines) = started(&demo, "ulimit -c 0; echo ready; exec sleep 60");
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{signal:?}");
    }
    // A child that handles it ends as it likes.
    let (mut child, mut lines) =
        started(&demo, "trap 'echo caught; exit 9' TERM; echo ready; while :; do sleep 0.05; done");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert_eq!((line.as_str(), child.wait().unwrap().code()), ("caught\n", Some(9)));
}

/// In a terminal of its own, types Ctrl-C after `ready`, and tells how the command ended.
const TERMINAL: &str = "
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
said = b''
def read():
    global said
    try:
        chunk = os.read(terminal, 4096)
    except OSError:
        chunk = b''
    said += chunk
    return chunk
while b'ready' not in said and read():
    pass
os.write(terminal, b'\\x03')
while read():
    pass
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print(code, said.count(b'interrupted'))
sys.stderr.buffer.write(said)
";

#[test]
fn ctrl_c_on_a_terminal_reaches_the_child_once() {
    let demo = Demo::new();
    let script = "
import os, signal, sys, time
signal.signal(signal.SIGINT, lambda *_: os.write(1, b'interrupted\\n'))
os.write(1, b'ready\\n')
end = time.monotonic() + 2
while time.monotonic() < end:
    time.sleep(0.1)
sys.exit(5)
";
    let client = demo.client();
    let mut command = demo.sandbox.command(python().interpreter());
    command.args(["-c", TERMINAL]).arg(client.get_program()).args(client.get_args());
    command.args(["run", "--"]).arg(python().interpreter()).args(["-c", script]);
    let run = Run::of(&mut command).code(0);
    assert_eq!(run.stdout, "5 1\n", "{run:#?}");
}
