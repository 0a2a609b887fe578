//! Several copies of one repository: whom to ask first, whom to blame, and when to ask the next.
//!
//! Mirrors are not trusted, so which one answers is a matter of availability alone. A file that is known by version or
//! hash is asked of one mirror after the other, the one that served well last before the others, until one
//! answer verifies. What no metadata names, the timestamp and the next root, is asked of all at once: the
//! highest valid timestamp wins, so that an old copy is noticed as long as one mirror is up to date, and
//! a root is absent only if no mirror has a valid one and at least one says that there is none. A mirror whose answer
//! is refused counts as one that did not answer: it could stop every refresh otherwise.
//!
//! The machine in tuf-core knows nothing of this: a refused answer leaves it as it was, and of several answers
//! each is tried on a clone.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, timeout_at};
use tuf_core::TopLevel;
use tuf_core::refresh::Refresh;

use crate::client::{Asked, Client};
use crate::error::{Error, ErrorKind, MirrorFault};
use crate::transport::{TransportError, TransportErrorKind, Waiting, redact};
use crate::url::Url;

type Answer = Result<Option<Vec<u8>>, Error>;

/// How long the other mirrors may still answer once there is one good answer.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// One copy.
pub(crate) struct Mirror {
    index: usize,
    pub(crate) metadata: Url,
    pub(crate) targets: Url,
    fault: Mutex<Option<String>>,
}

impl Mirror {
    fn url(&self) -> String {
        redact(&self.metadata)
    }

    /// Of one of its metadata files, without credentials.
    pub(crate) fn url_of(&self, name: &str) -> String {
        redact(&self.metadata.join(name).unwrap_or_else(|_| self.metadata.clone()))
    }

    fn set_fault(&self, fault: Option<String>) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }
}

impl fmt::Debug for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Mirror").field(&self.url()).field(&redact(&self.targets)).finish()
    }
}

/// What a client knows of one mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MirrorStatus {
    /// Where its metadata is, without credentials.
    pub url: String,
    /// What went wrong when it was asked last; `None` if nothing did, or it was not asked.
    pub fault: Option<String>,
}

/// All copies.
#[derive(Debug)]
pub(crate) struct Mirrors {
    first: Arc<Mirror>,
    /// All of them, the first one given first.
    all: Vec<Arc<Mirror>>,
    /// Indices into `all`, the one to ask first in front.
    order: Mutex<Vec<usize>>,
    grace: Duration,
}

impl Mirrors {
    /// From the directories of metadata and targets of each.
    pub(crate) fn new(first: (Url, Url), others: Vec<(Url, Url)>, grace: Duration) -> Self {
        let mirror = |index, (metadata, targets)| {
            Arc::new(Mirror { index, metadata, targets, fault: Mutex::default() })
        };
        let first = mirror(0, first);
        let others = others.into_iter().zip(1..).map(|(urls, index)| mirror(index, urls));
        let all: Vec<_> = std::iter::once(Arc::clone(&first)).chain(others).collect();
        let order = Mutex::new((0..all.len()).collect());
        Self { first, all, order, grace }
    }

    /// The one given first.
    pub(crate) fn first(&self) -> &Mirror {
        &self.first
    }

    /// The mirrors in the order in which to ask.
    pub(crate) fn in_order(&self) -> Vec<Arc<Mirror>> {
        let order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        order.iter().filter_map(|index| self.all.get(*index)).map(Arc::clone).collect()
    }

    pub(crate) fn is_one(&self) -> bool {
        self.all.len() == 1
    }

    /// What is known of each, the first one given first.
    pub(crate) fn status(&self) -> Vec<MirrorStatus> {
        let status = |mirror: &Arc<Mirror>| MirrorStatus {
            url: mirror.url(),
            fault: mirror.fault.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        self.all.iter().map(status).collect()
    }

    /// This one served well: it is asked first from now on.
    pub(crate) fn served(&self, mirror: &Mirror) {
        mirror.set_fault(None);
        self.reorder(mirror, true);
    }

    /// This one did not: it is asked last from now on.
    pub(crate) fn blame(&self, mirror: &Mirror, fault: &Error) {
        let text = crate::error::chain(fault);
        if !self.is_one() {
            tracing::warn!(mirror = %mirror.url(), fault = %text, refused = fault.is_refusal(), "a mirror failed");
        }
        mirror.set_fault(Some(text));
        self.reorder(mirror, false);
    }

    fn reorder(&self, mirror: &Mirror, first: bool) {
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        order.retain(|index| *index != mirror.index);
        let at = if first { 0 } else { order.len() };
        order.insert(at, mirror.index);
    }
}

/// One file asked of one mirror after the other.
#[derive(Debug)]
pub(crate) struct Asking {
    client: Client,
    left: VecDeque<Arc<Mirror>>,
    /// By the mirror's index.
    faults: Vec<(usize, MirrorFault)>,
}

impl Asking {
    /// Whom to ask next.
    pub(crate) fn next(&mut self) -> Option<Arc<Mirror>> {
        self.left.pop_front()
    }

    /// Whether somebody is left to ask.
    pub(crate) fn has_next(&self) -> bool {
        !self.left.is_empty()
    }

    /// This one is asked once more, after all others.
    pub(crate) fn again(&mut self, mirror: &Arc<Mirror>) {
        self.left.push_back(Arc::clone(mirror));
    }

    /// Takes what came of it. `None` if the next one is to be asked.
    ///
    /// # Errors
    /// What is no mirror's fault.
    pub(crate) fn settle<T>(
        &mut self,
        mirror: &Mirror,
        result: Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        match result {
            Ok(done) => {
                self.client.copies().served(mirror);
                Ok(Some(done))
            }
            Err(error) if error.is_of_mirror() => {
                self.blame(mirror, error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn blame(&mut self, mirror: &Mirror, error: Error) {
        self.client.copies().blame(mirror, &error);
        // Of one that was asked again, the last word counts.
        self.faults.retain(|(index, _)| *index != mirror.index);
        self.faults.push((mirror.index, MirrorFault { url: mirror.url(), error }));
    }

    /// Why nobody could serve: the only fault itself, or the list.
    pub(crate) fn failed(&mut self) -> Error {
        let faults = std::mem::take(&mut self.faults);
        let mut faults: Vec<_> = faults.into_iter().map(|(_, fault)| fault).collect();
        match faults.len() {
            1 => faults.remove(0).error,
            _ => ErrorKind::Mirrors(faults).into(),
        }
    }
}

impl Client {
    /// What is known of each mirror, the first one given first.
    #[must_use]
    pub fn mirrors(&self) -> Vec<MirrorStatus> {
        self.copies().status()
    }

    pub(crate) fn asking(&self) -> Asking {
        Asking { client: self.clone(), left: self.copies().in_order().into(), faults: Vec::new() }
    }

    /// A metadata file from the first mirror whose answer `take` accepts.
    pub(crate) async fn metadata<T>(
        &self,
        asked: Asked<'_>,
        mut take: impl FnMut(Option<Vec<u8>>) -> Result<T, tuf_core::Error>,
    ) -> Result<T, Error> {
        let mut asking = self.asking();
        while let Some(mirror) = asking.next() {
            let answer = self.fetch_from(&mirror, asked).await;
            let taken = answer
                .and_then(|bytes| take(bytes).map_err(|source| self.refused_from(&mirror, asked.1, source)));
            if let Some(taken) = asking.settle(&mirror, taken)? {
                return Ok(taken);
            }
        }
        Err(asking.failed())
    }

    async fn answer(&self, mirror: Arc<Mirror>, asked: Asked<'_>) -> (Arc<Mirror>, Answer) {
        let answer = self.fetch_from(&mirror, asked).await;
        (mirror, answer)
    }

    /// Asks all mirrors at once for a file that no metadata names, and gives the machine the best answer.
    ///
    /// Once there is one, the others have a short grace, unless all that are left were `late` in this refresh already.
    pub(crate) async fn ask_all(
        &self,
        refresh: &mut Refresh,
        (role, name, max): Asked<'_>,
        late: &mut Vec<usize>,
    ) -> Result<(), Error> {
        let is_root = role.top_level() == Some(TopLevel::Root);
        let copies = self.copies();
        let mut asking = self.asking();
        let mut waiting = copies.in_order();
        let mut answers = FuturesUnordered::new();
        for mirror in &waiting {
            answers.push(self.answer(Arc::clone(mirror), (role, name, max)));
        }

        let mut valid: Vec<(Arc<Mirror>, Refresh)> = Vec::new();
        let mut absent: Vec<Arc<Mirror>> = Vec::new();
        let mut older: Vec<(Arc<Mirror>, u64)> = Vec::new();
        let mut end = None;
        while !waiting.is_empty() {
            let next = match end {
                None => answers.next().await,
                Some(_) if waiting.iter().all(|mirror| late.contains(&mirror.index)) => None,
                Some(end) => timeout_at(end, answers.next()).await.unwrap_or(None),
            };
            let Some((mirror, answer)) = next else { break };
            waiting.retain(|other| other.index != mirror.index);
            match answer {
                Ok(None) if is_root => absent.push(mirror),
                Ok(bytes) => {
                    let mut trial = refresh.clone();
                    match trial.give(bytes) {
                        Ok(()) => valid.push((mirror, trial)),
                        Err(source) => {
                            let rollback = match source.kind() {
                                tuf_core::ErrorKind::Rollback { found, .. } => Some(*found),
                                _ => None,
                            };
                            asking.blame(&mirror, self.refused_from(&mirror, name, source));
                            older.extend(rollback.map(|found| (mirror, found)));
                        }
                    }
                }
                Err(error) => asking.blame(&mirror, error),
            }
            // There is only one root of each version.
            if is_root && !valid.is_empty() {
                break;
            }
            if end.is_none() && !(valid.is_empty() && absent.is_empty()) {
                end = Instant::now().checked_add(copies.grace);
            }
        }
        drop(answers);
        if !is_root || valid.is_empty() {
            for mirror in waiting {
                late.push(mirror.index);
                let limit = copies.grace;
                let kind = TransportErrorKind::Timeout { waiting: Waiting::Others, limit };
                asking.blame(&mirror, TransportError::new(&mirror.metadata, kind).into());
            }
        }

        if let Some(best) = self.best_of(valid, older, name) {
            *refresh = best;
            return Ok(());
        }
        if absent.is_empty() {
            return Err(asking.failed());
        }
        refresh.give(None).map_err(|source| {
            for mirror in &absent {
                asking.blame(mirror, self.refused_from(mirror, name, source.clone()));
            }
            asking.failed()
        })
    }

    /// The answer with the highest version, the first of them to come. Whoever gave a lower one, valid or `older` than
    /// what was trusted before, is stale: as long as one mirror has the newest, nobody is rolled back.
    fn best_of(
        &self,
        valid: Vec<(Arc<Mirror>, Refresh)>,
        older: Vec<(Arc<Mirror>, u64)>,
        name: &str,
    ) -> Option<Refresh> {
        let newest =
            valid.iter().filter_map(|(_, trial)| trial.timestamp_version()).max().unwrap_or_default();
        let stale = |mirror: &Mirror, found| {
            let kind = ErrorKind::Stale { url: mirror.url_of(name), found, newest };
            self.copies().blame(mirror, &kind.into());
        };
        let mut best = None;
        for (mirror, trial) in valid {
            let found = trial.timestamp_version().unwrap_or_default();
            if found < newest {
                stale(&mirror, found);
            } else if best.is_none() {
                self.copies().served(&mirror);
                best = Some(trial);
            }
        }
        if best.is_some() {
            for (mirror, found) in older {
                stale(&mirror, found);
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirrors() -> Mirrors {
        let urls = |n: u8| {
            let url = |kind| Url::parse(&format!("https://u:secret@m{n}.example/{kind}/")).unwrap();
            (url("metadata"), url("targets"))
        };
        Mirrors::new(urls(0), vec![urls(1), urls(2)], GRACE)
    }

    fn order(mirrors: &Mirrors) -> Vec<usize> {
        mirrors.in_order().iter().map(|mirror| mirror.index).collect()
    }

    #[test]
    fn who_served_last_is_asked_first_and_who_failed_last() {
        let mirrors = mirrors();
        assert_eq!(order(&mirrors), [0, 1, 2]);
        mirrors.served(&mirrors.all[2]);
        assert_eq!(order(&mirrors), [2, 0, 1]);
        let error = TransportError::new(&mirrors.all[2].targets, TransportErrorKind::Status(500));
        mirrors.blame(&mirrors.all[2], &error.into());
        assert_eq!(order(&mirrors), [0, 1, 2]);
        assert!(mirrors.status()[2].fault.as_ref().unwrap().contains("500"));
        mirrors.served(&mirrors.all[2]);
        assert_eq!(mirrors.status()[2].fault, None);
    }

    #[test]
    fn passwords_are_not_shown() {
        let mirrors = mirrors();
        let shown = format!("{mirrors:?} {:?}", mirrors.status());
        assert!(shown.contains("m1.example") && !shown.contains("secret"), "{shown}");
    }
}
