//! The data sets: repositories of the shape of PEP 458, whose targets are the same in every run. No target is a file.

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use tuf_core::bins::HashBins;
use tuf_core::{Hashes, TargetFile, TargetPath};
use tuf_repo_tool::publish::Changes;

pub(crate) struct Set {
    pub(crate) name: &'static str,
    pub(crate) says: &'static str,
    pub(crate) bins: u32,
    targets: u64,
    /// Whether all its targets are published, or those alone that are in the bin of the first one.
    pub(crate) whole: bool,
}

pub(crate) const SETS: [Set; 3] = [
    Set { name: "b", says: "1,024 bins, 200,000 targets", bins: 1_024, targets: 200_000, whole: true },
    Set { name: "c", says: "16,384 bins, 1,000,000 targets", bins: 16_384, targets: 1_000_000, whole: true },
    Set {
        name: "e",
        says: "16,384 bins, 20,000,000 targets, of which only those in the changed bin are there",
        bins: 16_384,
        targets: 20_000_000,
        whole: false,
    },
];

impl Set {
    pub(crate) fn named(name: &str) -> &'static Self {
        SETS.iter().find(|set| set.name == name).unwrap_or_else(|| panic!("no data set {name}"))
    }

    /// Everything that is published first.
    pub(crate) fn changes(&self) -> Changes {
        let bins = HashBins::new(self.bins).unwrap();
        let wanted = bins.role_of(&path(0));
        let mut changes = Changes::default();
        for number in 0..self.targets {
            let path = path(number);
            if self.whole || bins.role_of(&path) == wanted {
                changes.set(path, file(number, 0));
            }
        }
        changes
    }
}

/// The first target, as its upload number `generation` makes it.
pub(crate) fn change(generation: u64) -> Changes {
    let mut changes = Changes::default();
    changes.set(path(0), file(0, generation));
    changes
}

pub(crate) fn path(number: u64) -> TargetPath {
    let digits = HEXLOWER.encode(digest(&SHA256, format!("path {number}").as_bytes()).as_ref());
    let (first, rest) = digits.split_at(2);
    let (second, rest) = rest.split_at(2);
    // As long as paths on PyPI are; the number is in its name.
    let name = format!("project_{number}-{}.{}-py3-none-any.whl", number % 7, number % 5);
    TargetPath::new(format!("packages/{first}/{second}/{rest}/{name}")).unwrap()
}

fn file(number: u64, generation: u64) -> TargetFile {
    let content = [number.to_be_bytes(), generation.to_be_bytes()].concat();
    let sum = digest(&SHA256, &content);
    TargetFile::new(length(number), Hashes::sha256_only(sum.as_ref().try_into().unwrap()))
}

const fn length(number: u64) -> u64 {
    2_000 + number * 7_919 % 3_000_000
}

/// How long the file of a target would be, by its path in the storage.
pub(crate) fn length_of(path: &str) -> Option<u64> {
    let (_, rest) = path.rsplit_once("project_")?;
    rest.split_once('-')?.0.parse().ok().map(length)
}
