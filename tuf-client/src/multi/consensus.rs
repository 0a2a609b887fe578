//! Who agrees with whom, and the target that came of it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tuf_core::{Checker, Hashes, TargetFile, TargetPath};

use super::error::{NotEnoughAgree, RepositoryFault};
use super::map::{Mapping, RepositoryName};
use crate::client::blocking;
use crate::download::Wanted;
use crate::durable::{Placed, checked_join};
use crate::error::{Error, ErrorKind};
use crate::view::{Target, View};

/// A repository that signs for what was agreed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Vote {
    /// Which.
    pub repository: RepositoryName,
    /// What it signs: the role and its `custom` are this repository's own, and nobody else vouches for them.
    pub target: Target,
    view: View,
}

impl Vote {
    /// The pinned view of the repository.
    #[must_use]
    pub const fn view(&self) -> &View {
        &self.view
    }
}

impl fmt::Display for Vote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} signs for {}", self.repository, Bytewise(&self.target.file))
    }
}

/// A repository that signs for something else, or for no such target.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Dissent {
    /// Which.
    pub repository: RepositoryName,
    /// What it signs; `None` if it has no such target.
    pub target: Option<Target>,
}

impl fmt::Display for Dissent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Some(target) => write!(f, "{} signs for {}", self.repository, Bytewise(&target.file)),
            None => write!(f, "{} has no such target", self.repository),
        }
    }
}

/// Length and hashes, for a person to compare.
struct Bytewise<'a>(&'a TargetFile);

impl fmt::Display for Bytewise<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.length)?;
        self.0.hashes.iter().try_for_each(|(algorithm, sum)| {
            write!(f, ", {} {}", algorithm.escape_debug(), sum.escape_debug())
        })
    }
}

/// A target on which enough repositories agree.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Consensus {
    /// The path.
    pub path: TargetPath,
    /// The mapping that was satisfied, counted from 0.
    pub mapping: usize,
    /// The length, and the hashes that any of the agreeing repositories signed, all of which the bytes must match.
    /// Without `custom`, which is not agreed upon.
    pub file: TargetFile,
    /// The first repositories of the mapping to agree: exactly as many as its threshold.
    pub agreeing: Vec<Vote>,
    /// Those heard on the way that do not agree.
    pub disagreeing: Vec<Dissent>,
    /// Those that failed on the way.
    pub failed: Vec<RepositoryFault>,
    /// Earlier mappings that cover the path, are not terminating, and were passed over for lack of agreement.
    pub passed_over: Vec<NotEnoughAgree>,
}

/// Downloads are asked of the agreeing repositories in turn, of each from its mirrors.
impl Consensus {
    /// Downloads the target below `directory`, as its path says. It appears under its name only after length and all
    /// agreed hashes matched.
    ///
    /// # Errors
    /// As [`View::download`]; [`ErrorKind::Repositories`] if no agreeing repository could serve.
    pub async fn download(&self, directory: &Path) -> Result<PathBuf, Error> {
        let destination = checked_join(directory, self.path.as_str())?;
        if let Some(file) = self.stage(&destination, |_| ()).await? {
            blocking(move || file.finish()).await?;
        }
        Ok(destination)
    }

    /// As [`View::stage`]: downloads and verifies into a temporary file, for whoever wants many to appear together.
    ///
    /// # Errors
    /// As [`Consensus::download`].
    pub async fn stage(
        &self,
        destination: &Path,
        progress: impl Fn(u64) + Sync,
    ) -> Result<Option<Placed>, Error> {
        let (told, mut faults) = (AtomicU64::new(0), Vec::new());
        for vote in &self.agreeing {
            let received = AtomicU64::new(0);
            // Every byte is told once, also if another repository has to start anew.
            let tell = |bytes: u64| {
                let now = received.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
                let before = told.fetch_max(now, Ordering::Relaxed);
                if now > before {
                    progress(now - before);
                }
            };
            let wanted = self.wanted(vote);
            let staged = vote.view.stage_wanted(wanted, self.file.clone(), destination, tell).await;
            if let Some(placed) = settle(&mut faults, vote, staged)? {
                return Ok(placed);
            }
        }
        Err(ErrorKind::Repositories(faults).into())
    }

    /// Reads the whole target, of at most `max` bytes, into memory.
    ///
    /// # Errors
    /// As [`Consensus::download`], or if it is longer.
    pub async fn read(&self, max: u64) -> Result<Bytes, Error> {
        let mut faults = Vec::new();
        for vote in &self.agreeing {
            let read = vote.view.read(&self.wanted(vote), max).await;
            if let Some(bytes) = settle(&mut faults, vote, read)? {
                return Ok(bytes);
            }
        }
        Err(ErrorKind::Repositories(faults).into())
    }

    /// What to ask a repository for: its own hash names the file there, and the bytes must match what the others
    /// signed, too.
    fn wanted(&self, vote: &Vote) -> Wanted {
        let mut wanted = vote.view.wanted(&vote.target);
        wanted.hashes = self.file.hashes.clone();
        wanted
    }
}

/// Takes what came of asking one repository. `None` if the next one is to be asked.
fn settle<T>(
    faults: &mut Vec<RepositoryFault>,
    vote: &Vote,
    result: Result<T, Error>,
) -> Result<Option<T>, Error> {
    match result {
        Err(error) if another_may_do_better(&error) => {
            tracing::warn!(repository = %vote.repository, fault = %error, "a repository failed");
            faults.push(RepositoryFault::new(&vote.repository, Arc::new(error)));
            Ok(None)
        }
        result => result.map(Some),
    }
}

/// Trouble of this machine is the same with every repository.
fn another_may_do_better(error: &Error) -> bool {
    error.is_of_mirror() || matches!(error.kind(), ErrorKind::Mirrors(_) | ErrorKind::ViewExpired(_))
}

/// What a repository says of a target, if it can be heard.
pub(super) type Said = Result<(View, Option<Target>), Arc<Error>>;

/// Hears the repositories of one mapping in its order, until enough of them agree.
#[derive(Debug)]
pub(super) struct Count<'a> {
    path: &'a TargetPath,
    index: usize,
    mapping: &'a Mapping,
    votes: Vec<Vote>,
    lacking: Vec<Dissent>,
    failed: Vec<RepositoryFault>,
}

impl<'a> Count<'a> {
    pub(super) const fn new(path: &'a TargetPath, (index, mapping): (usize, &'a Mapping)) -> Self {
        Self { path, index, mapping, votes: Vec::new(), lacking: Vec::new(), failed: Vec::new() }
    }

    /// Takes what the next repository says. The target, once enough of them agree.
    pub(super) fn hear(&mut self, repository: &RepositoryName, said: Said) -> Option<Consensus> {
        let fault = |error| RepositoryFault::new(repository, error);
        match said {
            Err(error) => self.failed.push(fault(error)),
            Ok((_, None)) => {
                self.lacking.push(Dissent { repository: repository.clone(), target: None });
            }
            Ok((view, Some(target))) => match Checker::new(&target.file.hashes, None) {
                // Nothing that it says could be checked, nor agree with another.
                Err(error) => {
                    self.failed.push(fault(Arc::new(error.in_role(&target.role).into())));
                }
                Ok(_) => {
                    self.votes.push(Vote { repository: repository.clone(), target, view });
                    let agreeing = self.agreeing(self.mapping.threshold)?;
                    return Some(self.consensus(&agreeing));
                }
            },
        }
        None
    }

    /// The first so many votes, in the mapping's order, of which each agrees with each.
    fn agreeing(&self, size: usize) -> Option<Vec<usize>> {
        let votes: Vec<usize> = (0..self.votes.len()).collect();
        let file = |index: usize| self.votes.get(index).map(|vote| &vote.target.file);
        first_clique(&votes, size, &|one, two| file(one).zip(file(two)).is_some_and(|(a, b)| agree(a, b)))
    }

    /// Divides the votes into those at these places, and the others.
    fn divide(&mut self, places: &[usize]) -> (Vec<Vote>, Vec<Dissent>) {
        let (mut agreeing, mut others) = (Vec::new(), Vec::new());
        for (place, vote) in std::mem::take(&mut self.votes).into_iter().enumerate() {
            if places.contains(&place) {
                agreeing.push(vote);
            } else {
                others.push(Dissent { repository: vote.repository, target: Some(vote.target) });
            }
        }
        others.append(&mut self.lacking);
        let order = |name: &RepositoryName| self.mapping.repositories.iter().position(|other| other == name);
        others.sort_by_key(|dissent| order(&dissent.repository));
        (agreeing, others)
    }

    fn consensus(&mut self, places: &[usize]) -> Consensus {
        let (agreeing, disagreeing) = self.divide(places);
        let length = agreeing.first().map_or(0, |vote| vote.target.file.length);
        let hashes = agreeing.iter().fold(Hashes::default(), |all, vote| all.and(&vote.target.file.hashes));
        Consensus {
            path: self.path.clone(),
            mapping: self.index,
            file: TargetFile::new(length, hashes),
            agreeing,
            disagreeing,
            failed: std::mem::take(&mut self.failed),
            passed_over: Vec::new(),
        }
    }

    /// All were heard, and not enough agree.
    pub(super) fn not_enough(mut self) -> NotEnoughAgree {
        let largest = (1..self.mapping.threshold).rev().find_map(|size| self.agreeing(size));
        let (agreeing, disagreeing) = self.divide(&largest.unwrap_or_default());
        NotEnoughAgree {
            path: self.path.clone(),
            mapping: self.index,
            needed: self.mapping.threshold,
            agreeing,
            disagreeing,
            failed: self.failed,
        }
    }
}

/// The same length, a strong hash in common, and no hash that differs. `custom` is exempt (TAP 4, Searching, step 2).
fn agree(one: &TargetFile, two: &TargetFile) -> bool {
    one.length == two.length && one.hashes.agree(&two.hashes)
}

/// The first `size` of the candidates, in their order, of which each agrees with each. Agreement need not be transitive:
/// one that signs sha256 and sha512 agrees with one of sha256 and with one of sha512, which have nothing in common.
/// At most 2^16 steps, because a mapping names at most 16.
fn first_clique(
    candidates: &[usize],
    size: usize,
    agree: &impl Fn(usize, usize) -> bool,
) -> Option<Vec<usize>> {
    if size == 0 {
        return Some(Vec::new());
    }
    let mut rest = candidates;
    while let Some((first, others)) = rest.split_first() {
        if rest.len() < size {
            return None;
        }
        let friends: Vec<usize> = others.iter().copied().filter(|other| agree(*first, *other)).collect();
        if let Some(mut found) = first_clique(&friends, size - 1, agree) {
            found.insert(0, *first);
            return Some(found);
        }
        rest = others;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_in_order_of_which_each_agrees_with_each() {
        // 0 agrees with 1 and 1 with 2, but 0 does not with 2; 3, 4 and 5 agree with each other.
        let pairs = [(0, 1), (1, 2), (3, 4), (3, 5), (4, 5)];
        let agree = |a: usize, b: usize| pairs.contains(&(a.min(b), a.max(b)));
        let all: Vec<usize> = (0..6).collect();
        let find = |size| first_clique(&all, size, &agree);
        assert_eq!(find(0), Some(vec![]));
        assert_eq!(find(1), Some(vec![0]));
        assert_eq!(find(2), Some(vec![0, 1]));
        assert_eq!(find(3), Some(vec![3, 4, 5]));
        assert_eq!(find(4), None);
    }
}
