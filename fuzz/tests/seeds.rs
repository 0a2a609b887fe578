//! Every target over its seeds and ten thousand mutations of them, always the same ones. No toolchain has
//! to support fuzzing for this.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

use tuf_fuzz::{TARGETS, Target};

const MUTATIONS: usize = 10_000;
const MAX_LENGTH: usize = 4_096;

/// Pieces of the formats, which random bytes seldom hit.
const TOKENS: &[&[u8]] = &[
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"null",
    b"true",
    b"-0",
    b"1e5",
    b"18446744073709551616",
    b"\\u0000",
    b"\\ud83d\\ude00",
    b"\\udc00",
    b"\"_type\":\"targets\"",
    b"\"version\":0",
    b"\"expires\":\"2031-01-01T00:00:00.5Z\"",
    b"\"threshold\":0",
    b"\"path_hash_prefixes\":[\"\"]",
    b"\"paths\":[\"*\"]",
    b"\"x\":{}",
    b"*",
    b"?",
    b"[!",
    b"a-z]",
    b"/",
    b"../",
    b"%2F",
    b"\n",
    b"\0",
    b"\xc3\xa9",
    b"\xf0\x9f\x98\x80",
    b"con.",
    b"04",
];

/// Xorshift: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(count.max(1)).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[3]
    }

    /// A range of at most `most` within `length`.
    fn range(&mut self, length: usize, most: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        start..(start + self.below(most + 1)).min(length)
    }
}

fn mutate(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        match random.below(7) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            2 if at < bytes.len() => bytes[at] = random.byte(),
            3 => {
                let range = random.range(bytes.len(), 16);
                bytes.drain(range);
            }
            4 => {
                let range = random.range(bytes.len(), 64);
                let copy = bytes[range].to_vec();
                bytes.splice(at..at, copy);
            }
            5 => {
                let other = &seeds[random.below(seeds.len())];
                let piece = other[random.range(other.len(), 256)].to_vec();
                let replaced = at..(at + random.below(piece.len() + 1)).min(bytes.len());
                bytes.splice(replaced, piece);
            }
            _ => {
                let token = TOKENS[random.below(TOKENS.len())];
                bytes.splice(at..at, token.iter().copied());
            }
        }
    }
    bytes.truncate(MAX_LENGTH);
    bytes
}

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut paths: Vec<_> = directory.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no seeds in {}", directory.display());
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Says which input it was: the panic alone does not.
fn run(target: Target, name: &str, input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(input))) {
        let path = std::env::temp_dir().join(format!("tuf-fuzz-{name}"));
        std::fs::write(&path, input).unwrap();
        eprintln!("{name} failed on {}, kept as {}", input.escape_ascii(), path.display());
        resume_unwind(panic);
    }
}

fn seeds_and_mutations(name: &str) {
    let (_, target) = TARGETS.into_iter().find(|(known, _)| *known == name).unwrap();
    let seeds = seeds(name);
    for seed in &seeds {
        run(target, name, seed);
    }
    run(target, name, b"");
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..MUTATIONS {
        run(target, name, &mutate(&mut random, &seeds));
    }
}

macro_rules! tests {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            seeds_and_mutations(stringify!($name));
        })*

        #[test]
        fn every_target_has_a_test_and_a_binary() {
            let tests = [$(stringify!($name)),*];
            for (name, _) in TARGETS {
                assert!(tests.contains(&name), "{name}");
                assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fuzz_targets/{name}.rs")).exists());
            }
            assert_eq!(tests.len(), TARGETS.len());
        }
    };
}

tests! { envelope json key pattern refresh_script root search_script snapshot target_path targets timestamp }
