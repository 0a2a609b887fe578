//! Machines that publish to one bucket, each with a log of its own.

use std::path::PathBuf;

use super::{Machine, OFFLINE};
use crate::support::s3::S3;
use crate::support::{Run, write};

fn file(machine: &Machine) -> PathBuf {
    machine.sandbox.repo().join("log.ndjson")
}

fn verify(machine: &Machine, others: &[&Machine]) -> Run {
    let others: Vec<String> = others.iter().map(|other| file(other).display().to_string()).collect();
    let arguments: Vec<&str> =
        ["log", "verify"].into_iter().chain(others.iter().map(String::as_str)).collect();
    machine.run(&arguments)
}

fn publish(machine: &Machine, name: &str) {
    machine.add(name).ok();
    machine.run(&["publish", "-m", name]).ok();
}

#[test]
fn the_logs_of_two_machines_tell_one_history_together() {
    let server = S3::moto();
    let first = Machine::new(server.variables());
    first.init("log", &["--preset", "plain"]).ok();
    let second = first.join(server.variables(), &OFFLINE[..1]);
    std::fs::remove_file(file(&second)).unwrap();
    publish(&first, "a");
    publish(&second, "b");
    publish(&second, "c");
    publish(&first, "d");
    publish(&second, "e");

    verify(&first, &[&second]).ok().says("intact; published is timestamp 5");
    verify(&second, &[&first]).ok().says("intact");
    // Each alone says what it does not know.
    verify(&first, &[])
        .ok()
        .says("note: ")
        .says("timestamps 2 to 3 are in no log")
        .says("another machine has published since");
    verify(&second, &[]).ok().says("timestamps 4 to 4 are in no log");

    // A line that is gone from one of them is a gap of both.
    let whole = std::fs::read_to_string(file(&second)).unwrap();
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    write(&file(&second), lines[..2].concat());
    verify(&first, &[&second]).code(4).says("cut off: ").says("no log has what is published");
    verify(&first, &[]).ok();
    write(&file(&second), lines[1..].concat());
    verify(&first, &[&second]).code(4).says("removed: ").says("gap: ");
    write(&file(&second), whole);

    // A machine that was made of a copy with the log: they have the beginning in common, and then each its own.
    let third = second.join(server.variables(), &OFFLINE[..1]);
    publish(&third, "f");
    publish(&second, "g");
    verify(&first, &[&second, &third]).ok().says("intact; published is timestamp 7");
    verify(&first, &[&second]).code(4).says("gap: ").says("timestamps 6 to 6");
}
