//! The data sets: repositories of the shape of PEP 458 (targets, `bins`, hash bins), the same in every run.
//!
//! All use of tuf-core's editor is here. Of the targets only those that are downloaded exist as files.

use std::fs::{self, File};
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::thread;

use chrono::{DateTime, Utc};
use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use ring::signature::{Ed25519KeyPair, KeyPair};
use tuf_core::{
    Delegated, Delegation, Delegations, Draft, Hashes, Key, KeyId, Keys, MetaFile, Metadata, PublicKey,
    RoleKeys, RoleName, Root, Scope, Snapshot, TargetFile, TargetPath, Targets, Timestamp, TopLevel,
};

/// Grows when a set changes, so that older ones are made anew.
const GENERATION: u32 = 1;
const MIB: u64 = 1 << 20;

pub(crate) struct Set {
    pub(crate) name: &'static str,
    pub(crate) says: &'static str,
    bins: u64,
    targets: u64,
    /// The first targets are files: so many, of so many bytes (and one more in each than in the one before).
    pub(crate) files: &'static [(u64, u64)],
}

/// Those of baseline measurements, and one for downloads.
pub(crate) const SETS: [Set; 5] = [
    Set { name: "a", says: "16 bins, 1,000 targets", bins: 16, targets: 1_000, files: &[(101, 1_000_000)] },
    Set {
        name: "b",
        says: "1,024 bins, 200,000 targets",
        bins: 1_024,
        targets: 200_000,
        files: &[(101, 1_000_000)],
    },
    Set {
        name: "c",
        says: "16,384 bins, 1,000,000 targets",
        bins: 16_384,
        targets: 1_000_000,
        files: &[(101, 1_000_000)],
    },
    Set {
        name: "d",
        says: "16,384 bins, 5,000,000 targets",
        bins: 16_384,
        targets: 5_000_000,
        files: &[(101, 1_000_000)],
    },
    Set {
        name: "files",
        says: "16 bins, 1,001 targets: one of 1 GiB, the others of 10 kB",
        bins: 16,
        targets: 1_001,
        files: &[(1, 1024 * MIB), (1_000, 10_000)],
    },
];

/// A file of metadata, what it is called in a client's store, and the public keys in hex that signed it.
pub(crate) struct Piece {
    pub(crate) remote: String,
    pub(crate) keys: Vec<String>,
}

/// A target that is a file.
pub(crate) struct Wanted {
    pub(crate) path: String,
    pub(crate) remote: String,
    pub(crate) sha256: String,
    pub(crate) length: u64,
}

impl Set {
    pub(crate) fn stamp(&self) -> String {
        format!("complete-{GENERATION}")
    }

    /// The target with this number, which must be a file.
    pub(crate) fn wanted(&self, number: u64) -> Wanted {
        let (path, file) = (self.path(number), self.target(number));
        Wanted {
            remote: path.remote(Some(&file.hashes)),
            sha256: HEXLOWER.encode(file.hashes.sha256().unwrap()),
            length: file.length,
            path: path.as_str().to_owned(),
        }
    }

    /// All metadata that a client needs for these targets, below `metadata/`, in the order of trust; not the root.
    pub(crate) fn pieces(&self, numbers: Range<u64>) -> Vec<Piece> {
        let piece = |remote: String, signer: &str| Piece { remote, keys: vec![key(signer)] };
        let mut pieces = vec![
            piece("timestamp.json".to_owned(), "timestamp"),
            piece("1.snapshot.json".to_owned(), "snapshot"),
            piece("1.targets.json".to_owned(), "targets"),
            piece("1.bins.json".to_owned(), "bins"),
        ];
        let mut bins: Vec<u64> = numbers.map(|number| self.bin_of(&self.path(number))).collect();
        bins.sort_unstable();
        bins.dedup();
        pieces.extend(bins.into_iter().map(|bin| piece(format!("1.{}.json", self.bin(bin).0), "bin")));
        pieces
    }

    pub(crate) fn root_keys() -> Vec<String> {
        (0..2).map(|number| key(&format!("root-{number}"))).collect()
    }

    /// The bin whose file is nearest to this size.
    pub(crate) fn bin_of_size(&self, directory: &Path, size: u64) -> String {
        let remotes = (0..self.bins).map(|bin| format!("1.{}.json", self.bin(bin).0));
        let distance = |remote: &String| {
            directory.join("metadata").join(remote).metadata().unwrap().len().abs_diff(size)
        };
        remotes.min_by_key(distance).unwrap()
    }

    fn path(&self, number: u64) -> TargetPath {
        let digits = HEXLOWER.encode(digest(&SHA256, format!("path {number}").as_bytes()).as_ref());
        let (first, rest) = digits.split_at(2);
        let (second, rest) = rest.split_at(2);
        let (project, release) = (number / 12, number % 12);
        let (major, minor) = (number % 7, number % 5);
        // As long as paths on PyPI are.
        let file = format!("project_{project}-{release}.{major}.{minor}-py3-none-any.whl");
        TargetPath::new(format!("packages/{first}/{second}/{rest}/{file}")).unwrap()
    }

    /// The size of a target that is a file.
    fn size(&self, number: u64) -> Option<u64> {
        let mut first = 0;
        for (count, size) in self.files {
            if number < first + count {
                return Some(size + number - first);
            }
            first += count;
        }
        None
    }

    fn target(&self, number: u64) -> TargetFile {
        let (length, digest) = match self.size(number) {
            Some(size) if size >= 1024 * MIB => (size, zeros(size)),
            Some(size) => (size, digest(&SHA256, &content(number, size))),
            None => (2_000 + number * 7_919 % 3_000_000, digest(&SHA256, &number.to_be_bytes())),
        };
        TargetFile::new(length, Hashes::sha256_only(digest.as_ref().try_into().unwrap()))
    }

    /// The hex digits of a prefix, and how many prefixes each bin has.
    fn prefixes(&self) -> (usize, u64) {
        let digits = usize::try_from((self.bins - 1).ilog2() / 4 + 1).unwrap();
        (digits, (1 << (4 * digits)) / self.bins)
    }

    fn bin_of(&self, path: &TargetPath) -> u64 {
        let (digits, each) = self.prefixes();
        let [first, second, ..] = path.digest();
        u64::from(u16::from_be_bytes([first, second]) >> (16 - 4 * digits)) / each
    }

    /// Its name, as python-tuf's example of hash bins has it, and its prefixes.
    fn bin(&self, number: u64) -> (String, Vec<String>) {
        let (digits, each) = self.prefixes();
        let prefixes: Vec<String> =
            (number * each..(number + 1) * each).map(|prefix| format!("{prefix:0digits$x}")).collect();
        let (first, last) = (&prefixes[0], &prefixes[prefixes.len() - 1]);
        (if first == last { first.clone() } else { format!("{first}-{last}") }, prefixes)
    }

    /// Writes the set below an empty directory.
    pub(crate) fn generate(&self, directory: &Path) {
        let metadata = directory.join("metadata");
        fs::create_dir_all(&metadata).unwrap();
        for number in 0..self.files.iter().map(|(count, _)| count).sum() {
            self.write_target(directory, number);
        }
        let mut members = vec![Vec::new(); usize::try_from(self.bins).unwrap()];
        for number in 0..self.targets {
            members[usize::try_from(self.bin_of(&self.path(number))).unwrap()].push(number);
        }
        let half = members.len().div_ceil(2);
        thread::scope(|scope| {
            for (part, members) in members.chunks(half).enumerate() {
                let metadata = &metadata;
                scope.spawn(move || {
                    let signer = Signer::new("bin");
                    for (index, numbers) in members.iter().enumerate() {
                        let mut bin = Targets::new(expires());
                        bin.targets =
                            numbers.iter().map(|&number| (self.path(number), self.target(number))).collect();
                        let (name, _) = self.bin(u64::try_from(part * half + index).unwrap());
                        write(metadata, &format!("1.{name}.json"), bin, &[&signer]);
                    }
                });
            }
        });
        self.write_top(directory, &metadata);
        File::create(directory.join(self.stamp())).unwrap();
    }

    fn write_target(&self, directory: &Path, number: u64) {
        let wanted = self.wanted(number);
        let path = directory.join("targets").join(&wanted.remote);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = File::create(&path).unwrap();
        if wanted.length >= 1024 * MIB {
            file.set_len(wanted.length).unwrap();
        } else {
            file.write_all(&content(number, wanted.length)).unwrap();
        }
        // Where tough asks for it: `HASH.directory/name`, not `directory/HASH.name`.
        let other = directory.join("targets").join(format!("{}.{}", wanted.sha256, wanted.path));
        fs::create_dir_all(other.parent().unwrap()).unwrap();
        fs::hard_link(&path, &other).unwrap();
    }

    fn write_top(&self, directory: &Path, metadata: &Path) {
        let delegations = |signer: &Signer, roles: Vec<Delegation>| {
            Delegations::new(
                Keys::from([(signer.key.id(), signer.key.clone())]),
                Delegated::Roles(roles.into()),
            )
        };
        let delegation = |signer: &Signer, name: &str, prefixes| {
            let keys = RoleKeys::new(vec![signer.key.id()], 1);
            Delegation::new(RoleName::new(name).unwrap(), keys, Scope::PathHashPrefixes(prefixes))
        };
        let names = ["bin", "bins", "targets", "snapshot", "timestamp", "root-0", "root-1", "root-2"];
        let [bin, bins, targets, snapshot, timestamp, roots @ ..] = &names.map(Signer::new);

        let all: Vec<_> = (0..self.bins).map(|number| self.bin(number)).collect();
        let mut value = Snapshot::new(expires());
        let listed = all.iter().map(|(name, _)| name.as_str());
        for name in listed.chain(["bins", "targets"]) {
            value.set_role(&RoleName::new(name).unwrap(), MetaFile::version(1));
        }
        let bytes = write(metadata, "1.snapshot.json", value, &[snapshot]);
        let value = Timestamp::new(expires(), MetaFile::of(1, &bytes));
        write(metadata, "timestamp.json", value, &[timestamp]);

        let mut value = Targets::new(expires());
        let roles = all.into_iter().map(|(name, prefixes)| delegation(bin, &name, prefixes.into())).collect();
        value.delegations = Some(delegations(bin, roles));
        write(metadata, "1.bins.json", value, &[bins]);
        let mut value = Targets::new(expires());
        let prefixes = (0..16).map(|digit| format!("{digit:x}")).collect();
        value.delegations = Some(delegations(bins, vec![delegation(bins, "bins", prefixes)]));
        write(metadata, "1.targets.json", value, &[targets]);

        let mut root = Root::new(expires());
        root.set_role(TopLevel::Root, roots.iter().map(|signer| &signer.key), 2);
        for (role, signer) in
            [(TopLevel::Timestamp, timestamp), (TopLevel::Snapshot, snapshot), (TopLevel::Targets, targets)]
        {
            root.set_role(role, [&signer.key], 1);
        }
        let bytes = write(metadata, "1.root.json", root, &[&roots[0], &roots[1]]);
        File::create(directory.join("root.json")).unwrap().write_all(&bytes).unwrap();
    }
}

/// A key, the same for the same name.
struct Signer {
    pair: Ed25519KeyPair,
    key: Key,
    id: KeyId,
}

impl Signer {
    fn new(name: &str) -> Self {
        let seed = digest(&SHA256, format!("bench {name}").as_bytes());
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_ref()).unwrap();
        let key = Key::from_public(&PublicKey::Ed25519(pair.public_key().as_ref().try_into().unwrap()));
        let id = key.id();
        Self { pair, key, id }
    }

    fn hex(&self) -> String {
        HEXLOWER.encode(self.pair.public_key().as_ref())
    }
}

/// Who may sign for what is measured in this process: the keys, and the role of one of them.
pub(crate) fn authority(signer: &str) -> (Keys, RoleKeys) {
    let Signer { key, id, .. } = Signer::new(signer);
    (Keys::from([(id.clone(), key)]), RoleKeys::new(vec![id], 1))
}

/// Its public key in hex.
pub(crate) fn key(signer: &str) -> String {
    Signer::new(signer).hex()
}

fn write<T: Metadata>(directory: &Path, name: &str, value: T, signers: &[&Signer]) -> Vec<u8> {
    let mut draft = Draft::new(value);
    for signer in signers {
        let signature = signer.pair.sign(draft.payload().as_bytes());
        draft.attach(&signer.id, &signer.key, signature.as_ref()).unwrap();
    }
    let bytes = draft.finish().into_bytes();
    File::create(directory.join(name)).unwrap().write_all(&bytes).unwrap();
    bytes
}

fn expires() -> DateTime<Utc> {
    "2049-01-01T00:00:00Z".parse().unwrap()
}

/// Bytes that nothing compresses: a linear congruential generator (Knuth's constants), its upper half.
fn content(number: u64, size: u64) -> Vec<u8> {
    let mut state = number;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let [upper @ .., _, _, _, _] = state.to_be_bytes();
        upper
    });
    words.flatten().take(usize::try_from(size).unwrap()).collect()
}

/// Of a file without any block on the disk.
fn zeros(size: u64) -> ring::digest::Digest {
    let mut context = ring::digest::Context::new(&SHA256);
    for _ in 0..size / MIB {
        context.update(&[0; 1 << 20]);
    }
    context.finish()
}
