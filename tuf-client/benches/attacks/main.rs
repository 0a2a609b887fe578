//! What attacks cost the built program: time, processor time, and memory at its peak. Prints, asserts nothing.
//!
//! `cargo bench -p tuf-client --bench attacks [-- memory | work | slow | mirrors]`; without a word all of them, which
//! takes two minutes. `TUF_BENCH_TARGET_MIB` is the size of the streamed target (default 512). Unix only.

#![expect(clippy::print_stdout, reason = "its purpose")]

mod child;
#[path = "../../tests/suite/common.rs"]
#[expect(dead_code, reason = "shared with the tests")]
mod common;
#[path = "../shared/measured.rs"]
mod measured;
mod site;
#[path = "../../tests/suite/web.rs"]
#[expect(dead_code, reason = "shared with the tests")]
mod web;

use std::sync::Arc;
use std::time::Duration;

use child::Cost;
use common::{Files, Repo};
use futures_util::future::join_all;
use site::{Trick, serve, slow_tls};
use tuf_client::env;
use tuf_core::{Hashes, Scope, TargetFile, TargetPath};

/// The limit of targets metadata, less what the rest of the file takes.
const FULL: usize = 4_990_000;

fn main() {
    if measured::was_asked() {
        return;
    }
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| word == name);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        println!("{:44} {:>8} {:>8} {:>9}  code", "", "wall s", "cpu s", "peak MiB");
        if wanted("memory") {
            memory().await;
        }
        if wanted("work") {
            work().await;
        }
        if wanted("slow") {
            slow().await;
        }
        if wanted("mirrors") {
            mirrors().await;
        }
    });
}

async fn run(root: &[u8], arguments: &[&str]) -> Cost {
    let (root, arguments) =
        (root.to_vec(), arguments.iter().map(|&word| word.to_owned()).collect::<Vec<_>>());
    tokio::task::spawn_blocking(move || child::run(&root, &arguments)).await.unwrap()
}

fn print(name: &str, cost: &Cost) {
    let Cost { wall, cpu, peak, code, said } = cost;
    let said: String = said.chars().take(150).collect();
    let code = code.map_or_else(|| "killed".to_owned(), |code| code.to_string());
    println!(
        "{name:44} {:8.2} {:8.2} {:5}.{}  {code}  {said}",
        wall.as_secs_f32(),
        cpu.as_secs_f32(),
        peak / 1024,
        peak % 1024 * 10 / 1024,
    );
}

fn root_of(files: &Files) -> Vec<u8> {
    files["metadata/1.root.json"].clone()
}

fn small() -> Arc<Files> {
    Arc::new(Repo::new().build())
}

/// Endless and nested data, many delegations, large files.
async fn memory() {
    let files = small();
    let root = root_of(&files);
    let url = serve(Arc::clone(&files), "", Trick::None).await;
    print("idle: version only", &run(&root, &["--version"]).await);
    print("an honest refresh", &run(&root, &["--url", &url, "refresh"]).await);
    for part in ["2.root", "timestamp", "snapshot", "1.targets"] {
        for trick in [Trick::Endless, Trick::Bomb] {
            let url = serve(Arc::clone(&files), part, trick).await;
            print(&format!("{trick:?} at {part}"), &run(&root, &["--url", &url, "refresh"]).await);
        }
    }

    let nested = b"{\"signed\":".iter().copied().chain(std::iter::repeat_n(b'[', FULL)).collect();
    let wide = {
        let piece = format!("{}{},", "[".repeat(50), "]".repeat(50));
        format!("{{\"signed\":[{}0],\"signatures\":[]}}", piece.repeat(FULL / piece.len())).into_bytes()
    };
    let signatures =
        format!("{{\"signed\":{{}},\"signatures\":[{}{{}}]}}", "{},".repeat(FULL / 3)).into_bytes();
    let keys = {
        let keys: String = (0..FULL / 12).map(|number| format!("\"{number:x}\":{{}},")).collect();
        let keys = &keys[..keys.len() - 1];
        format!("{{\"signatures\":[],\"signed\":{{\"delegations\":{{\"keys\":{{{keys}}},\"roles\":[]}}}}}}")
            .into_bytes()
    };
    let rows: [(&str, Vec<u8>); 4] = [
        ("5 MB of [", nested),
        ("5 MB of arrays 50 deep", wide),
        ("1.6 M signatures", signatures),
        ("0.4 M keys", keys),
    ];
    for (name, bytes) in rows {
        // With the length and hash that the snapshot gives, so that it is parsed at all.
        let files = replaced_targets(&bytes);
        let url = serve(Arc::new(files), "", Trick::None).await;
        print(name, &run(&root, &["--url", &url, "refresh"]).await);
    }

    let mut repo = Repo::new();
    for number in 0..2000 {
        repo.delegate(&format!("role-{number}"), Scope::Paths(vec!["*"].into()), false);
    }
    let files = Arc::new(repo.build());
    let url = serve(Arc::clone(&files), "", Trick::None).await;
    let cost = run(&root_of(&files), &["--url", &url, "info", "absent.txt"]).await;
    print("2,000 delegations, target absent", &cost);

    let mebibytes: u64 = env::var("TUF_BENCH_TARGET_MIB").map_or(512, |text| text.parse().unwrap());
    let length = mebibytes << 20;
    let mut repo = Repo::new();
    let zeros = zeros(length);
    repo.targets.targets.insert(&TargetPath::new("large.bin").unwrap(), TargetFile::new(length, zeros));
    let files = Arc::new(repo.build());
    let url = serve(Arc::clone(&files), "large.bin", Trick::Zeros(length)).await;
    let cost = run(&root_of(&files), &["--url", &url, "download", "large.bin"]).await;
    print(&format!("a target of {mebibytes} MiB"), &cost);
}

fn zeros(length: u64) -> Hashes {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    for _ in 0..length >> 20 {
        context.update(&[0; 1 << 20]);
    }
    Hashes::sha256_only(context.finish().as_ref().try_into().unwrap())
}

/// A repository whose snapshot names these bytes as its targets metadata: someone has the snapshot's key.
fn replaced_targets(bytes: &[u8]) -> Files {
    use tuf_core::{MetaFile, Snapshot, Timestamp, TopLevel};
    let mut files = Repo::new().build();
    let mut snapshot = Snapshot::new(common::far());
    snapshot.header.version = 1;
    snapshot.set_role(&TopLevel::Targets.role(), MetaFile::of(1, bytes));
    let snapshot = common::sign(&snapshot, &[4]);
    let mut timestamp = Timestamp::new(common::far(), MetaFile::of(1, &snapshot));
    timestamp.header.version = 1;
    files.insert("metadata/1.snapshot.json".to_owned(), snapshot);
    files.insert("metadata/timestamp.json".to_owned(), common::sign(&timestamp, &[3]));
    files.insert("metadata/1.targets.json".to_owned(), bytes.to_vec());
    files
}

/// Targets metadata of the largest size, signed, made to be as much work as possible.
async fn work() {
    let long = vec!["a".repeat(255); 16].join("/");
    let path = &long[..4095];
    let stars = format!("*{}b", "a".repeat(126));
    let class = |members: usize| format!("*[{}]", "b".repeat(members));
    let not_class = |members: usize| format!("*[!{}]c", "b".repeat(members));
    let rows = [
        ("globs: *aaa…b", vec![stars.clone(); FULL / (stars.len() + 3)]),
        ("globs: *[bbb…]", vec![class(1000); FULL / 1007]),
        ("globs: *[!bbb…]c", vec![not_class(1000); FULL / 1008]),
        ("globs: *[!b]c", vec![not_class(1); FULL / 9]),
    ];
    for (name, patterns) in rows {
        let mut repo = Repo::new();
        // Not more of them than one delegation may have.
        for (number, patterns) in patterns.chunks(60_000).enumerate() {
            repo.delegate(&format!("globs-{number}"), Scope::Paths(patterns.iter().collect()), false);
        }
        let files = Arc::new(repo.build());
        let size = files["metadata/1.targets.json"].len() / 1000;
        let url = serve(Arc::clone(&files), "", Trick::None).await;
        let root = root_of(&files);
        print(&format!("{name} ({size} kB), refresh"), &run(&root, &["--url", &url, "refresh"]).await);
        for path in ["a".repeat(255), path.to_owned()] {
            let cost = run(&root, &["--url", &url, "info", &path]).await;
            print(&format!("{name}, a path of {} bytes", path.len()), &cost);
        }
    }

    let mut repo = Repo::new();
    for number in 0..FULL / 140 {
        repo.add(&format!("{number}"), b"x");
    }
    let files = Arc::new(repo.build());
    let size = files["metadata/1.targets.json"].len() / 1000;
    let url = serve(Arc::clone(&files), "", Trick::None).await;
    let cost = run(&root_of(&files), &["--url", &url, "info", "absent.txt"]).await;
    print(&format!("{} targets ({size} kB)", FULL / 140), &cost);

    let mut repo = Repo::new();
    let seeds: Vec<u8> = (100..200).collect();
    let keys: Vec<_> = seeds.iter().map(|seed| common::signer(*seed).key).collect();
    repo.root.set_role(tuf_core::TopLevel::Root, &keys, 100);
    repo.root_seeds = seeds;
    let files = Arc::new(repo.build());
    let url = serve(Arc::clone(&files), "", Trick::None).await;
    print("a root by 100 of 100 keys", &run(&root_of(&files), &["--url", &url, "refresh"]).await);
}

/// All at once, since they only wait.
async fn slow() {
    let files = small();
    let root = root_of(&files);
    let tricks = [Trick::Stall, Trick::DripBody, Trick::DripHead, Trick::Interim, Trick::Redirects];
    let mut rows = vec![("slow TLS".to_owned(), slow_tls().await, "refresh")];
    for trick in tricks {
        let url = serve(Arc::clone(&files), "timestamp", trick).await;
        rows.push((format!("{trick:?} at timestamp"), url, "refresh"));
        let url = serve(Arc::clone(&files), "a.txt", trick).await;
        rows.push((format!("{trick:?} at a target"), url, "download"));
    }
    let costs = join_all(rows.iter().map(|(_, url, command)| {
        let mut arguments = vec!["--url", url, command];
        arguments.extend((*command == "download").then_some("a.txt"));
        let root = root.clone();
        async move { run(&root, &arguments).await }
    }));
    for ((name, ..), cost) in rows.iter().zip(costs.await) {
        print(name, &cost);
    }
}

/// One of three mirrors is bad, in metadata or in targets, and is asked first, second or last.
async fn mirrors() {
    let mut repo = Repo::new();
    let old = Arc::new(repo.build());
    repo.version = 2;
    repo.add("a.txt", b"alpha, newer");
    let mut new = repo.build();
    new.extend(
        old.iter().filter(|(name, _)| name.contains("/1.")).map(|(name, file)| (name.clone(), file.clone())),
    );
    let (new, root) = (Arc::new(new), root_of(&old));
    let tricks = [
        ("none", Trick::None),
        ("garbage", Trick::Garbage),
        ("bit flip", Trick::BitFlip),
        ("404 for all", Trick::Missing),
        ("endless", Trick::Endless),
        ("stale", Trick::None),
        ("stall", Trick::Stall),
    ];
    let mut good = Duration::ZERO;
    for (name, trick) in tricks {
        for part in ["metadata/", "targets/"] {
            for position in 0..3 {
                let mut arguments = Vec::new();
                for number in 0..3 {
                    let (files, trick) = match (number == position, name) {
                        (true, "stale") => (&old, Trick::None),
                        (true, _) => (&new, trick),
                        (false, _) => (&new, Trick::None),
                    };
                    arguments.extend(["--url".to_owned(), serve(Arc::clone(files), part, trick).await]);
                }
                arguments.extend(["download", "a.txt"].map(str::to_owned));
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                let cost = run(&root, &arguments).await;
                if good.is_zero() {
                    good = cost.wall;
                }
                let times = cost.wall.as_secs_f32() / good.as_secs_f32();
                print(&format!("{name} at {part} of mirror {}: x {times:.1}", position + 1), &cost);
                if name == "none" {
                    break;
                }
            }
            if matches!(name, "none" | "stale") {
                break;
            }
        }
    }
}
