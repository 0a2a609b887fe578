//! A client refreshes from a repository that does what the bytes say.

use std::collections::BTreeMap;
use std::sync::Arc;

use tuf_core::refresh::{Refresh, Step};
use tuf_core::trust::{Authentic, Search, SearchStep, TrustedSet};
use tuf_core::{Batch, Change, Error, Limits, Root, StoredFile, TargetPath, TopLevel};

use crate::input::Input;
use crate::repo::{Files, Repo, now};

const ACTS: usize = 24;
const REFRESHES: usize = 4;

/// Every act is a byte and its parameters. Accepted versions never fall as long as the keys of timestamp
/// and snapshot stay and nobody damages the store; a refresh that succeeded succeeds again.
pub fn refresh_script(data: &[u8]) {
    let mut input = Input(data);
    let mut repo = Repo::new();
    let mut client = Client::new(Arc::clone(&repo.files["1.root.json"]));
    let mut past = vec![repo.files.clone()];
    let mut refreshes = 0;
    for _ in 0..ACTS {
        let act = input.byte();
        let mut served = None;
        match act % 11 {
            0 => repo.release(input.below(5)),
            1 => {
                let role = input.below(5);
                // Low ones, and the last ones there are.
                let version = u64::from(input.byte());
                repo.versions[role] = if version < 0xf0 { version } else { u64::MAX - (0xff - version) };
                repo.release(1);
            }
            2 => {
                let splice = (input.below(5), input.position(), input.below(64), input.below(32));
                let (role, at, removed, inserted) = splice;
                repo.splices[role] = Some((at, removed, input.take(inserted).to_vec()));
                repo.publish();
            }
            3 => {
                let bytes = change(&mut input, &repo.files);
                repo.files.extend(bytes);
            }
            4 => {
                if let Some(name) = pick(&mut input, &repo.files) {
                    repo.files.remove(&name);
                }
            }
            5 => {
                // Not root's: its new keys would need the old ones' signature.
                let role = 1 + input.below(4);
                repo.seeds[role] = 16 + input.byte() % 16;
                repo.release(if role == 4 { 3 } else { 0 });
            }
            6 => {
                let bytes = change(&mut input, &client.store);
                client.store.extend(bytes);
                client.damaged();
            }
            7 => {
                if let Some(name) = pick(&mut input, &client.store) {
                    client.store.remove(&name);
                    client.damaged();
                }
            }
            8 => {
                repo.hashes = !repo.hashes;
                repo.release(2);
            }
            9 => {
                let mut old = past[input.below(past.len())].clone();
                let root = |(name, _): &(&String, _)| name.ends_with("root.json");
                old.extend(repo.files.iter().filter(root).map(|(n, b)| (n.clone(), Arc::clone(b))));
                served = Some(old);
            }
            _ => {
                repo.splices = [const { None }; 5];
                repo.publish();
            }
        }
        past.push(repo.files.clone());
        if (act >= 0x80 || input.is_over()) && refreshes < REFRESHES {
            refreshes += 1;
            client.refresh(served.as_ref().unwrap_or(&repo.files), input.is_over());
        }
        if input.is_over() {
            return;
        }
    }
}

fn pick(input: &mut Input<'_>, files: &Files) -> Option<String> {
    (!files.is_empty()).then(|| input.below(files.len())).and_then(|at| files.keys().nth(at).cloned())
}

/// One file, with some of its bytes replaced by others.
fn change(input: &mut Input<'_>, files: &Files) -> Option<(String, Arc<[u8]>)> {
    let name = pick(input, files)?;
    let bytes = files.get(&name)?;
    let start = input.position() % (bytes.len() + 1);
    let end = (start + input.position()).min(bytes.len());
    let length = input.below(64);
    Some((name, [&bytes[..start], input.take(length), &bytes[end..]].concat().into()))
}

struct Client {
    pinned: Arc<[u8]>,
    store: Files,
    seen: Option<Seen>,
}

struct Seen {
    root: Authentic<Root>,
    timestamp: u64,
    snapshot: u64,
    roles: BTreeMap<String, u64>,
}

impl Client {
    fn new(pinned: Arc<[u8]>) -> Self {
        Self { pinned, store: Files::new(), seen: None }
    }

    fn damaged(&mut self) {
        self.seen = None;
    }

    /// Signatures take the time, so only the last refresh is made twice.
    fn refresh(&mut self, files: &Files, last: bool) {
        let Ok(set) = self.run(files) else { return };
        let seen = Seen::of(&set);
        if let Some(before) = &self.seen {
            seen.assert_not_below(before);
        }
        if last {
            let again = Seen::of(&self.run(files).expect("what was accepted is accepted again"));
            again.assert_not_below(&seen);
            seen.assert_not_below(&again);
            search(&set, files, "d/x.txt");
        }
        self.seen = Some(seen);
    }

    fn run(&mut self, files: &Files) -> Result<TrustedSet, Error> {
        let mut refresh = Refresh::new(&self.pinned, now(), Arc::new(Limits::default()))?;
        let driven = self.drive(&mut refresh, files);
        let (set, batch) = refresh.finish();
        self.keep(&batch, set.is_some());
        driven?;
        Ok(set.expect("no error, so a set"))
    }

    fn drive(&self, refresh: &mut Refresh, files: &Files) -> Result<(), Error> {
        for _ in 0..1_000 {
            let bytes = match refresh.step() {
                Step::Load { file, .. } => self.store.get(&file.file_name()),
                Step::Fetch { name, .. } => files.get(&name),
                _ => return Ok(()),
            };
            refresh.give(bytes.map(|bytes| bytes.to_vec()))?;
        }
        panic!("the refresh does not end: {:?}", refresh.step());
    }

    fn keep(&mut self, batch: &Batch, complete: bool) {
        for change in batch.changes() {
            match change {
                Change::Write(file, bytes) => {
                    let view =
                        matches!(file, StoredFile::Timestamp | StoredFile::Snapshot | StoredFile::Targets);
                    assert!(complete || !view, "an incomplete view is never stored: {file:?}");
                    self.store.insert(file.file_name(), Arc::clone(bytes));
                }
                Change::Remove(file) => drop(self.store.remove(&file.file_name())),
                other => panic!("a change that is not known here: {other:?}"),
            }
        }
    }
}

impl Seen {
    fn of(set: &TrustedSet) -> Self {
        let roles = set.snapshot().meta.iter().map(|(name, meta)| (name.into_owned(), meta.version));
        Self {
            root: (**set.root()).clone(),
            timestamp: set.timestamp().header.version,
            snapshot: set.snapshot().header.version,
            roles: roles.collect(),
        }
    }

    fn assert_not_below(&self, before: &Self) {
        assert!(self.root.header.version >= before.root.header.version);
        let same_keys = |role: TopLevel| {
            let of = |root: &Root| {
                let role = root.role(role);
                let keys = role.keyids.iter().map(|id| root.keys.get(id).cloned());
                (role.threshold(), role.keyids.clone(), keys.collect::<Vec<_>>())
            };
            of(&self.root) == of(&before.root)
        };
        // New keys lift the floor (spec 5.3.11).
        if same_keys(TopLevel::Timestamp) {
            assert!(self.timestamp >= before.timestamp, "{} < {}", self.timestamp, before.timestamp);
            if same_keys(TopLevel::Snapshot) {
                assert!(self.snapshot >= before.snapshot, "{} < {}", self.snapshot, before.snapshot);
            }
        }
        if same_keys(TopLevel::Snapshot) {
            for (name, version) in &before.roles {
                assert!(
                    self.roles.get(name) >= Some(version),
                    "{name}: {:?} < {version}",
                    self.roles.get(name)
                );
            }
        }
    }
}

fn search(set: &TrustedSet, files: &Files, path: &str) {
    let mut search = Search::new(set.clone(), TargetPath::new(path).unwrap());
    while let SearchStep::Role { role, .. } = search.step() {
        let Ok(meta) = set.meta(role) else { return };
        let name = role.file_name(set.root().consistent_snapshot.then_some(meta.version));
        let Some(bytes) = files.get(&name) else { return };
        if search.give(bytes).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scripts that never get a refresh through would find nothing.
    #[test]
    fn an_honest_repository_is_accepted() {
        let mut repo = Repo::new();
        let mut client = Client::new(Arc::clone(&repo.files["1.root.json"]));
        for role in [4, 3, 2, 1, 0] {
            client.refresh(&repo.files, true);
            let seen = client.seen.as_ref().expect("accepted");
            assert_eq!((seen.root.header.version, seen.timestamp), (repo.versions[0], repo.versions[1]));
            repo.release(role);
        }
        repo.seeds[1] = 17;
        repo.versions[1] = 1;
        repo.release(0);
        client.refresh(&repo.files, true);
        assert_eq!(client.seen.map(|seen| seen.timestamp), Some(1), "new keys lift the floor");
    }
}
