//! What `docs/machines.md` says to type works.

use super::Machine;
use crate::support::Run;
use crate::support::page::Page;
use crate::support::postgres::Postgres;
use crate::support::s3::S3;

#[test]
fn the_commands_of_the_page_on_machines_work() {
    let (server, postgres) = (S3::moto(), Postgres::start());
    let page = Page::read("machines.md", 4)
        .typing("s3://packages/pypi", "s3://bucket1/pypi")
        .typing("https://packages.example/pypi/", &server.public("pypi/"))
        .typing("postgres://tuf@db.example/tuf?", &postgres.url_without_password("?"))
        .typing("https://s3.example", &server.endpoint)
        .typing("tuf-repo init first", "tuf-repo init first --no-passphrase");
    let machine = Machine::new(server.variables());
    let mut shell = page.shell(&machine.sandbox);
    shell.envs(machine.variables.iter().map(|(name, value)| (name, value)));
    Run::of(&mut shell).ok().says("timestamp 1").says("timestamp 2").says("hello.txt");
    // The second machine has no key that it need not have.
    assert!(!machine.sandbox.path("second/keys/root.pem").exists());
    assert!(machine.sandbox.path("second/keys/root.pub.json").exists());
}
