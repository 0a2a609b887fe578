//! What is left on this machine, and what it has left.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Read};
use std::path::Path;

use super::Check;
use crate::error::Error;
use crate::event::{EventStatus, status};
use crate::publish::unfinished;
use crate::repository::{Published, Repository};

/// What is read of a lock file.
const HOLDER: u64 = 200;
/// With less free space a publish may fail half-way: a snapshot of 16,384 bins, some bins, the journal of both.
const LITTLE: u64 = 256 << 20;
/// With less, nothing much works.
const NOTHING: u64 = 16 << 20;

/// Who has the repository. The lock is tried, not taken: taking it would hide that its last holder died.
pub(super) fn lock(repository: &Repository, checks: &mut Vec<Check>) {
    let path = repository.state().join("lock");
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return checks.push(Check::ok("lock", "nobody works on the repository"));
        }
        Err(error) => return checks.push(Check::failed("lock", &Error::io("read", &path, error))),
    };
    let tried = file.try_lock();
    let mut text = Vec::new();
    let _ = (&mut file).take(HOLDER).read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text);
    let holder: String =
        text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).collect();
    checks.push(match tried {
        Err(TryLockError::WouldBlock) => Check::ok("lock", format!("in use by {holder}, which is alive")),
        Err(TryLockError::Error(error)) => Check::failed("lock", &Error::io("lock", &path, error)),
        Ok(()) if holder.is_empty() => Check::ok("lock", "nobody works on the repository"),
        Ok(()) => Check::warning("lock", format!("{holder} had the repository and was killed"))
            .hint("nothing to do: the next command clears away what it left half-written"),
    });
}

/// What a publisher of this machine began.
pub(super) fn journal(repository: &Repository, published: Option<&Published>, checks: &mut Vec<Check>) {
    if !repository.state().join("journal/publish").exists() {
        return checks.push(Check::ok("journal", "no publish was left half-way"));
    }
    checks.push(match unfinished(repository, published) {
        Ok(files) if files.is_empty() => {
            Check::warning("journal", "a publish was left half-way, and others have published since")
                .hint("nothing to do: the next `tuf-repo publish` or `renew` begins anew")
        }
        Ok(files) => {
            Check::warning("journal", format!("a publish of {} files was left half-way", files.len()))
                .hint("`tuf-repo publish` or `renew`, whichever it was, ends it")
        }
        Err(error) => Check::failed("journal", &error),
    });
}

/// Events that wait for signatures.
pub(super) fn events(repository: &Repository, checks: &mut Vec<Check>) {
    let events = match status(repository, None) {
        Ok(events) => events,
        Err(error) => return checks.push(Check::failed("event", &error)),
    };
    if events.is_empty() {
        return checks.push(Check::ok("event", "no event is pending"));
    }
    checks.extend(events.into_iter().map(|EventStatus { review, outdated, next }| {
        match (outdated, review.complete) {
            (Some(reason), _) => Check::warning("event", reason).hint(next),
            (None, true) => Check::warning("event", format!("{} has all signatures", review.id)).hint(next),
            (None, false) => Check::ok("event", format!("{} waits for signatures: {next}", review.id)),
        }
    }));
}

/// Free space where this machine writes.
pub(super) fn disk(repository: &Repository, checks: &mut Vec<Check>) {
    let mut places = vec![repository.directory()];
    places.extend(repository.storage().local());
    let mut seen = Vec::new();
    for place in places {
        match free(place) {
            Ok(Some((device, free))) if !seen.contains(&device) => {
                seen.push(device);
                checks.push(judge(place, free));
            }
            Ok(_) => {}
            Err(error) => checks.push(Check::failed("disk", &Error::io("look at", place, error))),
        }
    }
}

fn judge(place: &Path, free: u64) -> Check {
    let message = format!("{} MiB are free at {}", free >> 20, place.display());
    let hint = "make room; `tuf-repo gc` tells what published files nothing needs any more";
    match free {
        0..NOTHING => Check::error("disk", message).hint(hint),
        NOTHING..LITTLE => Check::warning("disk", message).hint(hint),
        _ => Check::ok("disk", message),
    }
}

/// The file system, and its free bytes for whoever is no administrator; nothing of a directory that is not there.
#[cfg(unix)]
fn free(place: &Path) -> std::io::Result<Option<(u64, u64)>> {
    use std::os::unix::fs::MetadataExt;
    let Ok(found) = std::fs::metadata(place) else { return Ok(None) };
    let system = rustix::fs::statvfs(place)?;
    Ok(Some((found.dev(), system.f_bavail.saturating_mul(system.f_frsize))))
}

/// The standard library cannot tell.
#[cfg(not(unix))]
fn free(_: &Path) -> std::io::Result<Option<(u64, u64)>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;

    #[test]
    fn little_space_is_a_warning_and_none_an_error() {
        for (mib, outcome) in [
            (0, Outcome::Error),
            (15, Outcome::Error),
            (16, Outcome::Warning),
            (255, Outcome::Warning),
            (256, Outcome::Ok),
        ] {
            let check = judge(Path::new("here"), mib << 20);
            assert_eq!((check.outcome, check.hint.is_some()), (outcome, outcome != Outcome::Ok), "{mib}");
        }
    }
}
