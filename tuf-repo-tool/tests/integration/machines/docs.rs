//! What `docs/machines.md` says to type works.

use std::path::Path;

use super::Machine;
use crate::support::postgres::Postgres;
use crate::support::s3::S3;
use crate::support::{Run, TUF_REPO, write};

#[test]
fn the_commands_of_the_page_on_machines_work() {
    let (server, postgres) = (S3::moto(), Postgres::start());
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("docs").join("machines.md");
    let page = std::fs::read_to_string(page).unwrap();
    let blocks: Vec<&str> =
        page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), 4);
    let mut text = blocks.concat();
    for (written, here) in [
        ("s3://packages/pypi", "s3://bucket1/pypi".to_owned()),
        ("https://packages.example/pypi/", server.public("pypi/")),
        ("postgres://tuf@db.example/tuf?", postgres.url_without_password("?")),
        ("https://s3.example", server.endpoint.clone()),
        ("tuf-repo init first", "tuf-repo init first --no-passphrase".to_owned()),
    ] {
        assert!(text.contains(written), "{written}: {text}");
        text = text.replace(written, &here);
    }
    let machine = Machine::new(server.variables());
    let script = machine.sandbox.path("page.sh");
    write(&script, text);
    let programs = Path::new(TUF_REPO).parent().unwrap().display().to_string();
    let path = format!("{programs}:{}", tuf_client::env::var("PATH").unwrap());
    let mut shell = machine.sandbox.command("sh");
    shell.envs(machine.variables.iter().map(|(name, value)| (name, value)));
    shell.arg("-eux").arg(&script).env("PATH", path).current_dir(machine.sandbox.path(""));
    Run::of(&mut shell).ok().says("timestamp 1").says("timestamp 2").says("hello.txt");
    // The second machine has no key that it need not have.
    assert!(!machine.sandbox.path("second/keys/root.pem").exists());
    assert!(machine.sandbox.path("second/keys/root.pub.json").exists());
}
