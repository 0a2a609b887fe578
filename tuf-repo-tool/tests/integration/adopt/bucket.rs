//! A bucket taken over, rebuilt from and restored to.

use crate::support::s3::S3;
use crate::support::{Run, Sandbox, TUF_REPO, write};

#[test]
fn a_bucket_is_imported_into_rebuilt_from_and_never_set_back() {
    let (server, sandbox) = (S3::moto(), Sandbox::new());
    let run = |repository: &str, arguments: &[&str]| {
        let mut command = sandbox.command(TUF_REPO);
        command.envs(server.variables()).arg("--repo").arg(sandbox.path(repository));
        Run::of(command.args(arguments))
    };
    let text = |name: &str| sandbox.path(name).display().to_string();
    sandbox.init(&["--bins", "2"]).ok();
    let stage = |repository: &str, name: &str| {
        write(&sandbox.path(name), name);
        run(repository, &["add", &text(name)]).ok();
        run(repository, &["publish"]).ok();
    };
    stage("mirror", "one.txt");
    let keys: Vec<String> = ["root", "targets", "bins", "bin-n", "snapshot", "timestamp"]
        .iter()
        .flat_map(|name| ["--key".to_owned(), format!("file:{}", text(&format!("mirror/keys/{name}.pem")))])
        .collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let (source, storage) = (text("mirror/public"), "s3://bucket1/moved");

    // An import that fails half-way leaves nothing in the bucket.
    let target = sandbox.tree(&sandbox.public("targets")).remove(0);
    let bytes = std::fs::read(sandbox.public("targets").join(&target)).unwrap();
    write(&sandbox.public("targets").join(&target), "other");
    let import = || {
        let arguments = ["import", &source, &text("moved"), "--storage", storage];
        run("mirror", &[&arguments, &*keys].concat())
    };
    import().code(4);
    assert!(server.storage("moved").list("").unwrap().is_empty());
    write(&sandbox.public("targets").join(&target), bytes);
    import().ok();
    let listed = |directory: &str| server.storage("moved").list(directory).unwrap().len();
    assert_eq!(listed("metadata"), sandbox.tree(&sandbox.public("metadata")).len());
    run("mirror", &["import", &source, &text("again"), "--storage", storage, "--metadata-only"]).ok();
    stage("moved", "two.txt");
    // By now another state than the source's is there.
    let refused = ["import", &source, &text("third"), "--storage", storage, "--metadata-only"];
    run("mirror", &refused).code(4).says("timestamp 2 where 1 was expected");

    let archive = text("moved.tar");
    run("moved", &["backup", &archive, "--targets"]).ok().says("private keys in it: none");
    stage("moved", "three.txt");
    let before = server.storage("moved").read("metadata/timestamp.json", 1 << 20).unwrap();
    run("mirror", &["restore", &archive, &text("restored")]).ok().says("s3://bucket1/moved, which is");
    assert_eq!(server.storage("moved").read("metadata/timestamp.json", 1 << 20).unwrap(), before);
    run("rebuilt", &[&["rebuild", "--storage", storage], &*keys].concat()).ok().says("timestamp 3");
    stage("rebuilt", "four.txt");
    // An empty bucket gets all of it, targets included.
    let other = "s3://bucket1/other";
    run("mirror", &["restore", &archive, &text("other"), "--storage", other])
        .ok()
        .says("files of targets: 2");
    sandbox.tuf_client(&["audit", "--fail-on", "error", "--files", &server.public("other/")]).ok();
    sandbox.tuf_client(&["audit", "--fail-on", "error", "--files", &server.public("moved/")]).ok();
}
