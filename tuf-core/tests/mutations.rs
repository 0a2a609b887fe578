//! Every file of a repository cut off after every byte, and with every bit flipped: refused, or what is believed of it
//! is unchanged.

use std::sync::Arc;
use std::thread;

use serde_json::Value;
use tuf_core::Limits;
use tuf_core::refresh::{Refresh, Step};
use tuf_core::trust::TrustedSet;

use crate::support::{Files, Pair, ROLES, Repo, now, role};

/// Where a file is given to: the refresh that waits for it, or the set that loads it.
enum Gate {
    Refresh(Box<Refresh>),
    Delegated(TrustedSet),
}

impl Gate {
    fn accepts(&self, bytes: Vec<u8>) -> bool {
        match self {
            Self::Refresh(refresh) => refresh.as_ref().clone().give(Some(bytes)).is_ok(),
            Self::Delegated(set) => set.delegated(set.targets(), &role("dele"), &bytes.into()).is_ok(),
        }
    }
}

/// The refresh as it stands before each file of the repository, and the set for the delegated one.
fn gates(pinned: &Arc<[u8]>, files: &Files) -> Vec<(Vec<u8>, Gate)> {
    let mut refresh = Refresh::new(pinned, now(), Arc::new(Limits::default())).unwrap();
    let mut gates = Vec::new();
    loop {
        match refresh.step() {
            Step::Fetch { name, .. } => {
                let bytes = files.get(&name).map(|bytes| bytes.to_vec());
                if let Some(bytes) = &bytes {
                    gates.push((bytes.clone(), Gate::Refresh(Box::new(refresh.clone()))));
                }
                refresh.give(bytes).unwrap();
            }
            Step::Load { .. } => refresh.give(None).unwrap(),
            _ => break,
        }
    }
    let set = refresh.finish().0.unwrap();
    gates.push((files["1.dele.json"].to_vec(), Gate::Delegated(set)));
    assert_eq!(gates.len(), ROLES.len());
    gates
}

fn signed(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice::<Value>(bytes).ok().map(|mut file| file["signed"].take())
}

/// How many of the variants were accepted, all with the content of before.
fn accepted(gate: &Gate, original: &[u8], variants: impl Iterator<Item = Vec<u8>>) -> usize {
    let honest = signed(original);
    let accepted = variants.filter(|bytes| gate.accepts(bytes.clone()));
    accepted.inspect(|bytes| assert_eq!(signed(bytes), honest, "{}", String::from_utf8_lossy(bytes))).count()
}

#[test]
fn no_cut_and_no_flipped_bit_changes_what_is_believed() {
    let (mut cuts, mut flips, mut harmless) = (0, 0, 0);
    // With hashes, and where everything rests on the signatures.
    for hashes in [true, false] {
        let mut repo = Repo::new();
        for (seed, name) in (10..).step_by(10).zip(ROLES) {
            repo.set_keys(name, &[Pair::ed(seed)], 1);
        }
        repo.hashes = hashes;
        repo.publish();
        let pinned = Arc::clone(&repo.files["1.root.json"]);
        repo.bump("root");
        repo.publish();
        for (original, gate) in gates(&pinned, &repo.files) {
            assert!(gate.accepts(original.clone()));
            let cut = accepted(&gate, &original, (0..original.len()).map(|end| original[..end].to_vec()));
            assert_eq!(cut, 0, "a part of a file is none");
            cuts += original.len();
            let bits = original.len() * 8;
            let flipped = |range: std::ops::Range<usize>| {
                let variants = range.map(|bit| {
                    let mut bytes = original.clone();
                    bytes[bit / 8] ^= 1 << (bit % 8);
                    bytes
                });
                accepted(&gate, &original, variants)
            };
            harmless += thread::scope(|scope| {
                let half = scope.spawn(|| flipped(0..bits / 2));
                flipped(bits / 2..bits) + half.join().unwrap()
            });
            flips += bits;
        }
    }
    println!("{cuts} cuts, {flips} flipped bits, {harmless} of them harmless");
    assert!(cuts > 5_000 && flips > 40_000, "{cuts} cuts, {flips} flips");
    // The letters of hex may be of either case.
    assert!(harmless > 0 && harmless < flips / 50, "{harmless}");
}
