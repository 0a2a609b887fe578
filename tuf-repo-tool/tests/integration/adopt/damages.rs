//! What does not verify is not taken over, and leaves nothing behind.

use std::path::{Path, PathBuf};

use crate::support::{Sandbox, write};

/// A repository with hash bins and two targets, published twice.
fn published(sandbox: &Sandbox) -> PathBuf {
    sandbox.init(&["--bins", "2"]).ok();
    for name in ["one.txt", "two.txt"] {
        let file = sandbox.path(name);
        write(&file, name.repeat(100));
        sandbox.tuf_repo(&["add", &file.display().to_string()]).ok();
        sandbox.tuf_repo(&["publish"]).ok();
    }
    sandbox.public("")
}

fn copy(sandbox: &Sandbox, from: &Path, to: &Path) {
    for name in sandbox.tree(from) {
        write(&to.join(&name), std::fs::read(from.join(&name)).unwrap());
    }
}

/// The one file whose name begins or ends so.
fn find(sandbox: &Sandbox, directory: &Path, part: &str) -> PathBuf {
    let matches = |name: &String| name.starts_with(part) || name.ends_with(part);
    let found: Vec<_> = sandbox.tree(directory).into_iter().filter(matches).collect();
    assert_eq!(found.len(), 1, "{part}: {found:?}");
    directory.join(&found[0])
}

type Damage = fn(&mut Vec<u8>);

const FLIP: Damage = |bytes| {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
};
const SHORTEN: Damage = |bytes| bytes.truncate(bytes.len() - 1);
const LENGTHEN: Damage = |bytes| bytes.push(b' ');
/// Another signature, in hex as before.
const FORGE: Damage = |bytes| {
    let text = String::from_utf8(bytes.clone()).unwrap();
    let at = text.find("\"sig\":\"").unwrap() + 7;
    bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
};

#[test]
fn an_import_that_does_not_verify_leaves_nothing_behind() {
    let sandbox = Sandbox::new();
    let public = published(&sandbox);
    let (source, new) = (sandbox.path("source"), sandbox.path("new"));
    let import = |more: &[&str]| {
        let (source, new) = (source.display().to_string(), new.display().to_string());
        sandbox.tuf_repo(&[&["import", &source, &new], more].concat())
    };
    let fresh = || {
        if source.exists() {
            std::fs::remove_dir_all(&source).unwrap();
        }
        copy(&sandbox, &public, &source);
    };
    let cases: [(&str, Damage, &str); 11] = [
        ("metadata/1.root.json", FORGE, "1.root.json does not verify"),
        ("metadata/timestamp.json", FORGE, "timestamp.json does not verify"),
        ("metadata/2.snapshot.json", FLIP, "2.snapshot.json does not verify"),
        ("metadata/2.snapshot.json", SHORTEN, "2.snapshot.json does not verify"),
        ("metadata/1.targets.json", LENGTHEN, "1.targets.json does not verify"),
        ("metadata/1.bins.json", FLIP, "1.bins.json does not verify"),
        ("metadata/1.bin-2-0.json", FORGE, "1.bin-2-0.json does not verify"),
        (".one.txt", FLIP, "target one.txt is not what role"),
        (".one.txt", SHORTEN, "target one.txt is not what role"),
        (".two.txt", LENGTHEN, "target two.txt is not what role"),
        ("metadata/timestamp.json", |bytes| bytes.resize(20_000_000, b' '), "timestamp.json does not verify"),
    ];
    for (part, damage, says) in cases {
        for with_keys in [false, true] {
            fresh();
            let file = find_or_latest(&sandbox, &source, part);
            let mut bytes = std::fs::read(&file).unwrap();
            damage(&mut bytes);
            write(&file, bytes);
            if with_keys {
                copy(&sandbox, &sandbox.repo().join("keys"), &new.join("keys"));
            }
            import(&[]).code(4).says(says);
            match with_keys {
                false => assert!(!new.exists(), "{part}"),
                true => {
                    let left: Vec<_> =
                        std::fs::read_dir(&new).unwrap().map(|entry| entry.unwrap().file_name()).collect();
                    assert_eq!(left, ["keys"], "{part}");
                    std::fs::remove_dir_all(&new).unwrap();
                }
            }
        }
    }
    for (part, code, says) in [
        ("metadata/1.root.json", 1, "has no 1.root.json"),
        ("metadata/timestamp.json", 1, "has no timestamp.json"),
        ("metadata/1.bins.json", 1, "has no 1.bins.json"),
        (".two.txt", 1, "has no file of target two.txt"),
    ] {
        fresh();
        for name in sandbox.tree(&source).iter().filter(|name| *name == part || name.ends_with(part)) {
            std::fs::remove_file(source.join(name)).unwrap();
        }
        import(&[]).code(code).says(says);
        assert!(!new.exists(), "{part}");
    }

    // The root of another repository, and keys of another.
    fresh();
    let other = Sandbox::new();
    other.init(&["--preset", "plain"]).ok();
    let root = other.anchor().display().to_string();
    import(&["--root", &root]).code(4).says("another root 1");
    assert!(!new.exists());
    let key = format!("file:{}", other.repo().join("keys/root.pem").display());
    import(&["--key", &key]).code(1).says("listed by no role");
    assert!(!new.exists());
    // And then it is taken over; a directory that has something else, or a repository, is not touched.
    import(&[]).ok().says("0 of 1 keys are here");
    import(&[]).code(1).says("already is a repository");
    let full = sandbox.path("full");
    write(&full.join("thesis.txt"), "years of work");
    let (place, full) = (source.display().to_string(), full.display().to_string());
    sandbox.tuf_repo(&["import", &place, &full]).code(1).says("thesis.txt");
    assert_eq!(sandbox.tree(&sandbox.path("full")), ["thesis.txt"]);
}

fn find_or_latest(sandbox: &Sandbox, directory: &Path, part: &str) -> PathBuf {
    match directory.join(part) {
        // Which of the bins was signed again depends on the names of the targets.
        file if file.exists() => file,
        _ => find(sandbox, directory, &part.replace("metadata/1.bin", "metadata/2.bin")),
    }
}

#[test]
fn what_has_expired_or_lies_in_its_place_already_is_taken_over() {
    let sandbox = Sandbox::new();
    sandbox.init(&["--preset", "plain"]).ok();
    sandbox.set_periods(&["timestamp"], "2s", "1s");
    let file = sandbox.path("one.txt");
    write(&file, "one");
    sandbox.tuf_repo(&["add", &file.display().to_string()]).ok();
    sandbox.tuf_repo(&["publish"]).ok();
    crate::support::wait_until("the timestamp has expired", || {
        sandbox.tuf_client(&["--url", &sandbox.url(), "refresh"]).code == Some(4)
    });
    // In place: as after the loss of everything but what is published and the keys.
    let new = sandbox.path("new");
    copy(&sandbox, &sandbox.public(""), &new.join("public"));
    let (place, directory) = (new.join("public").display().to_string(), new.display().to_string());
    let keys: Vec<String> = ["root", "targets", "snapshot", "timestamp"]
        .iter()
        .flat_map(|name| {
            let uri = format!("file:{}", sandbox.repo().join(format!("keys/{name}.pem")).display());
            ["--key".to_owned(), uri]
        })
        .collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let before = sandbox.tree(&new.join("public"));
    let arguments = [&["import", "--metadata-only", &place, &directory], &*keys].concat();
    sandbox.tuf_repo(&arguments).ok().says("timestamp EXPIRED").says("0 files fetched");
    assert_eq!(sandbox.tree(&new.join("public")), before);
    let renew = ["--repo", &directory, "renew"];
    crate::support::Run::of(sandbox.command(crate::support::TUF_REPO).args(renew)).ok().says("timestamp 2");
    let url = format!("file://{}/", new.join("public").display());
    sandbox.tuf_client(&["audit", "--fail-on", "error", "--files", &url]).ok();

    // Without the files it would be no repository.
    let bare = sandbox.path("bare");
    let directory = bare.display().to_string();
    let refused = sandbox.tuf_repo(&["import", "--metadata-only", &place, &directory]);
    refused.code(1).says("no file of target one.txt");
    assert!(!bare.exists());
}
