//! The driver of a client whose store is a map, and what the tables assert about refusals.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tuf_core::refresh::{Refresh, Step};
use tuf_core::trust::{Found, Search, SearchStep, TrustedSet};
use tuf_core::{Batch, Change, Error, ErrorKind, Limits, StoredFile};

use super::{Files, now, path};

/// Everything that lives on between two runs of a client.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) pinned: Arc<[u8]>,
    /// By the names of [`StoredFile::file_name`].
    pub(crate) store: BTreeMap<String, Arc<[u8]>>,
    pub(crate) now: DateTime<Utc>,
    pub(crate) limits: Limits,
}

/// What one refresh came to.
pub(crate) struct Outcome {
    pub(crate) result: Result<TrustedSet, Error>,
    pub(crate) batch: Batch,
    /// Names asked of the repository, in their order.
    pub(crate) fetched: Vec<String>,
}

impl Client {
    pub(crate) fn new(pinned: Arc<[u8]>) -> Self {
        Self { pinned, store: BTreeMap::new(), now: now(), limits: Limits::default() }
    }

    /// One refresh; its batch is in the store afterwards, as after a real one.
    pub(crate) fn refresh(&mut self, files: &Files) -> Outcome {
        let mut fetched = Vec::new();
        let mut refresh = match Refresh::new(&self.pinned, self.now, Arc::new(self.limits.clone())) {
            Ok(refresh) => refresh,
            Err(error) => return Outcome { result: Err(error), batch: Batch::default(), fetched },
        };
        let refused = self.drive(&mut refresh, files, &mut fetched).err();
        let (set, batch) = refresh.finish();
        for change in batch.changes() {
            match change {
                Change::Write(file, bytes) => drop(self.store.insert(file.file_name(), Arc::clone(bytes))),
                Change::Remove(file) => drop(self.store.remove(&file.file_name())),
                other => panic!("a change that the tests do not know: {other:?}"),
            }
        }
        let result = match (set, refused) {
            (Some(set), None) => Ok(set),
            (None, Some(error)) => Err(error),
            (set, error) => panic!("a set with an error, or neither: {set:?} {error:?}"),
        };
        Outcome { result, batch, fetched }
    }

    pub(crate) fn drive(
        &self,
        refresh: &mut Refresh,
        files: &Files,
        fetched: &mut Vec<String>,
    ) -> Result<(), Error> {
        // Far more than any honest chain takes: a machine that does not end fails here.
        for _ in 0..2_000 {
            match refresh.step() {
                Step::Load { file, .. } => {
                    refresh.give(self.store.get(&file.file_name()).map(|bytes| bytes.to_vec()))?;
                }
                Step::Fetch { name, .. } => {
                    let bytes = files.get(&name).map(|bytes| bytes.to_vec());
                    fetched.push(name);
                    refresh.give(bytes)?;
                }
                _ => return Ok(()),
            }
        }
        panic!("the refresh does not end: {:?}", refresh.step());
    }

    /// A successful refresh.
    pub(crate) fn trusts(&mut self, files: &Files) -> TrustedSet {
        self.refresh(files).result.unwrap_or_else(|error| panic!("{error}"))
    }

    /// A refresh, then a search.
    pub(crate) fn get(&mut self, files: &Files, target: &str) -> (Result<Option<Found>, Error>, Batch) {
        let outcome = self.refresh(files);
        (outcome.result.and_then(|set| find(set, files, target, &mut Vec::new())), outcome.batch)
    }

    /// The files of the last complete view.
    pub(crate) fn view(&self) -> [Option<Arc<[u8]>>; 3] {
        ["timestamp.json", "snapshot.json", "targets.json"].map(|name| self.store.get(name).cloned())
    }
}

/// What a complete refresh stores if all is new.
pub(crate) const COMPLETE: &[&str] =
    &["+floor/timestamp.json", "+floor/snapshot.json", "+timestamp.json", "+snapshot.json", "+targets.json"];

/// A client that has seen the whole repository.
pub(crate) fn warm(repo: &super::Repo) -> Client {
    let mut client = repo.client();
    assert!(client.get(&repo.files, "d/x.txt").0.unwrap().is_some());
    client
}

/// Searches for a target; `visited` is told the roles that were asked.
pub(crate) fn find(
    set: TrustedSet,
    files: &Files,
    target: &str,
    visited: &mut Vec<String>,
) -> Result<Option<Found>, Error> {
    find_stored(&mut BTreeMap::new(), set, files, target, visited)
}

/// The same, with the delegated roles of a store: what is there and still holds is not fetched.
pub(crate) fn find_stored(
    store: &mut BTreeMap<String, Arc<[u8]>>,
    set: TrustedSet,
    files: &Files,
    target: &str,
    visited: &mut Vec<String>,
) -> Result<Option<Found>, Error> {
    let mut search = Search::new(set.clone(), path(target));
    loop {
        let (role, version) = match search.step() {
            SearchStep::Role { role, .. } => (role.clone(), set.meta(role)?.version),
            SearchStep::Done(found) => return Ok(found.cloned()),
            other => panic!("a step that the tests do not know: {other:?}"),
        };
        visited.push(role.as_str().to_owned());
        let stored = StoredFile::Delegated(role.clone()).file_name();
        match store.get(&stored).map(|bytes| search.give(bytes)) {
            Some(Ok(_)) => continue,
            // The role was taken: the search is over its limit for ever.
            Some(Err(error)) if matches!(error.kind(), ErrorKind::Limit { .. }) => return Err(error),
            _ => {}
        }
        let name = role.file_name(set.root().consistent_snapshot.then_some(version));
        let missing = || Error::from(ErrorKind::Missing(name.clone())).in_role(&role);
        let bytes = files.get(&name).cloned().ok_or_else(missing)?;
        search.give(&bytes)?;
        store.insert(stored, bytes);
    }
}

/// What a refusal must say: kind, role, class of attack.
#[derive(Clone, Copy)]
pub(crate) struct Want<'a>(pub(crate) &'static str, pub(crate) &'a str, pub(crate) Option<&'static str>);

/// The name of the variant.
pub(crate) fn kind_name(kind: &ErrorKind) -> String {
    format!("{kind:?}").chars().take_while(char::is_ascii_alphanumeric).collect()
}

pub(crate) fn assert_refused(error: &Error, want: Want<'_>, case: &str) {
    let Want(kind, role, attack) = want;
    assert_eq!(kind_name(error.kind()), kind, "{case}: {error}");
    assert_eq!(error.role().map(ToString::to_string).as_deref(), Some(role), "{case}: {error}");
    assert_eq!(error.attack().map(tuf_core::Attack::name), attack, "{case}: {error}");
    let text = error.to_string();
    assert!(text.len() < 500 && !text.contains(char::is_control), "{case}: {text:?}");
    assert!(!error.hint().is_empty(), "{case}");
}

/// The changes of a batch: `+file`, `-file`.
pub(crate) fn change_names(batch: &Batch) -> Vec<String> {
    let name = |change: &Change| match change {
        Change::Write(file, _) => format!("+{}", StoredFile::file_name(file)),
        Change::Remove(file) => format!("-{}", file.file_name()),
        other => panic!("a change that the tests do not know: {other:?}"),
    };
    batch.changes().iter().map(name).collect()
}
