//! The floor: what a client must do at least, with bare primitives and nothing checked that is not arithmetic.
//!
//! It is told which files to fetch and by which keys they are signed, so it searches nothing, knows no versions, no expiry and
//! no roles. It asks for the same files over one connection, reads each as UTF-8 and once as JSON, verifies the
//! signatures, hashes the targets and writes what a client keeps.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::thread;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use ring::digest::{Context, SHA256};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::data::{Piece, Wanted};

const CHUNK: usize = 256 * 1024;

/// What the floor is told, one line each: words apart by spaces.
pub(crate) fn plan(root_keys: &[String], pieces: &[Piece], targets: &[Wanted]) -> String {
    let mut lines = vec![format!("root {}", root_keys.join(" "))];
    lines.extend(pieces.iter().map(|piece| format!("metadata {} {}", piece.remote, piece.keys.join(" "))));
    lines.extend(targets.iter().map(|wanted| {
        format!("target {} {} {} {}", wanted.remote, wanted.sha256, wanted.length, wanted.path)
    }));
    lines.join("\n")
}

/// `ADDRESS ROOT STORE OUTPUT cold|warm|cold-sync|warm-sync PLAN`.
pub(crate) fn run(arguments: &[String]) {
    let [address, root, store, output, mode, plan] = arguments else { panic!("not for calling by hand") };
    let (cold, sync) = (mode.starts_with("cold"), mode.ends_with("sync"));
    let (store, output) = (Path::new(store), Path::new(output));
    fs::create_dir_all(store).unwrap();
    let mut connection = Connection::new(address);
    let mut batch = Batch { sync, files: Vec::new() };
    for line in fs::read_to_string(plan).unwrap().lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match *words {
            ["root", ref keys @ ..] => {
                let bytes = fs::read(root).unwrap();
                verify(&bytes, keys);
                if cold {
                    batch.write(&store.join("root.json"), &bytes);
                }
                assert!(connection.get("metadata/2.root.json").is_none());
            }
            ["metadata", remote, ref keys @ ..] => {
                let path = store.join(remote);
                // The one file that is asked for every time.
                let fetched = cold || remote == "timestamp.json";
                let bytes = if fetched {
                    connection.get(&format!("metadata/{remote}")).unwrap()
                } else {
                    fs::read(&path).unwrap()
                };
                verify(&bytes, keys);
                if cold {
                    batch.write(&path, &bytes);
                    // Of these two a client keeps a second copy, which no damage to the first can lower.
                    if remote.starts_with("timestamp") || remote.ends_with("snapshot.json") {
                        batch.write(&store.join(format!("floor-{remote}")), &bytes);
                    }
                }
            }
            ["target", remote, sha256, length, path] => {
                batch.finish();
                let path = output.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                connection.target(remote, sha256, length.parse().unwrap(), batch.create(&path));
            }
            _ => panic!("{line}"),
        }
    }
    batch.finish();
}

#[derive(Deserialize)]
struct Signed<'a> {
    #[serde(borrow)]
    signed: &'a RawValue,
    signatures: Vec<Signature<'a>>,
}

#[derive(Deserialize)]
struct Signature<'a> {
    sig: &'a str,
}

/// Signatures in the order of the keys.
pub(crate) fn verify(bytes: &[u8], keys: &[&str]) {
    let file: Signed<'_> = serde_json::from_str(std::str::from_utf8(bytes).unwrap()).unwrap();
    for (key, signature) in keys.iter().zip(&file.signatures) {
        bare(key, file.signed.get().as_bytes(), signature.sig);
    }
}

fn bare(key: &str, message: &[u8], signature: &str) {
    let key = HEXLOWER.decode(key.as_bytes()).unwrap();
    let signature = HEXLOWER_PERMISSIVE.decode(signature.as_bytes()).unwrap();
    UnparsedPublicKey::new(&ED25519, key).verify(message, &signature).unwrap();
}

/// The one signature of a file, checked over text that was found before.
pub(crate) struct Bare<'a> {
    key: &'a str,
    message: &'a [u8],
    signature: &'a str,
}

impl<'a> Bare<'a> {
    pub(crate) fn new(bytes: &'a [u8], key: &'a str) -> Self {
        let file: Signed<'a> = serde_json::from_slice(bytes).unwrap();
        Self { key, message: file.signed.get().as_bytes(), signature: file.signatures[0].sig }
    }

    pub(crate) fn verify(&self) {
        bare(self.key, self.message, self.signature);
    }
}

/// Files that are written, or written beside their place, synced together and put there.
struct Batch {
    sync: bool,
    files: Vec<(PathBuf, PathBuf)>,
}

impl Batch {
    fn write(&mut self, path: &Path, bytes: &[u8]) {
        self.create(path).write_all(bytes).unwrap();
    }

    fn create(&mut self, path: &Path) -> File {
        if !self.sync {
            return File::create(path).unwrap();
        }
        let temporary = path.with_extension("new");
        self.files.push((temporary.clone(), path.to_owned()));
        File::create(temporary).unwrap()
    }

    /// The disk is waited for by eight threads at a time.
    fn finish(&mut self) {
        for files in self.files.chunks(8) {
            thread::scope(|scope| {
                for (temporary, _) in files {
                    scope.spawn(move || File::open(temporary).unwrap().sync_all().unwrap());
                }
            });
        }
        let mut directories = Vec::new();
        for (temporary, path) in self.files.drain(..) {
            #[expect(clippy::disallowed_methods, reason = "the floor of what tuf_client::durable does")]
            fs::rename(temporary, &path).unwrap();
            directories.push(path.parent().unwrap().to_owned());
        }
        directories.dedup();
        for directory in directories {
            File::open(directory).unwrap().sync_all().unwrap();
        }
    }
}

/// HTTP/1.1 as far as this needs it.
struct Connection {
    host: String,
    stream: BufReader<TcpStream>,
}

impl Connection {
    fn new(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { host: address.to_owned(), stream: BufReader::with_capacity(CHUNK, stream) }
    }

    /// Asks for a file: whether it is there, and the length of the body, which comes next.
    fn ask(&mut self, remote: &str) -> (bool, u64) {
        let head = format!("GET /{remote} HTTP/1.1\r\nHost: {}\r\n\r\n", self.host);
        self.stream.get_mut().write_all(head.as_bytes()).unwrap();
        let (mut found, mut length, mut line) = (false, 0, String::new());
        loop {
            line.clear();
            self.stream.read_line(&mut line).unwrap();
            match line.trim_end().split_once(' ') {
                None => return (found, length),
                Some(("HTTP/1.1", status)) => found = status.starts_with("200"),
                Some((name, value)) if name.eq_ignore_ascii_case("content-length:") => {
                    length = value.parse().unwrap();
                }
                Some(_) => {}
            }
        }
    }

    fn get(&mut self, remote: &str) -> Option<Vec<u8>> {
        let (found, length) = self.ask(remote);
        let mut body = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut body).unwrap();
        found.then_some(body)
    }

    fn target(&mut self, remote: &str, sha256: &str, expected: u64, mut file: File) {
        let (found, mut left) = self.ask(&format!("targets/{remote}"));
        assert!(found && left == expected, "{remote}");
        let mut hash = Context::new(&SHA256);
        while left > 0 {
            let chunk = self.stream.fill_buf().unwrap();
            let chunk = &chunk[..chunk.len().min(usize::try_from(left).unwrap())];
            assert!(!chunk.is_empty(), "{remote} breaks off");
            hash.update(chunk);
            file.write_all(chunk).unwrap();
            let length = chunk.len();
            self.stream.consume(length);
            left -= u64::try_from(length).unwrap();
        }
        assert_eq!(HEXLOWER.encode(hash.finish().as_ref()), sha256, "{remote}");
    }
}
