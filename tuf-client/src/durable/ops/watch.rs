//! Watches the operations below one directory, and lets one of them fail.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::Op;

/// An [`Op`] that was done, by paths relative to the watched directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    Create(String),
    MakeDir(String),
    Remove(String),
    Rename(String, String),
    SyncDir(String),
    SyncFile(String),
    #[cfg(target_os = "linux")]
    SyncFileSystem(String),
    Truncate(String),
    Write(String, Vec<u8>),
}

struct Watched {
    root: PathBuf,
    done: Vec<Done>,
    /// How many operations go well before this happens to all that follow.
    fail: Option<(usize, io::ErrorKind)>,
    failed: bool,
}

static WATCHED: Mutex<Vec<Watched>> = Mutex::new(Vec::new());

fn watched() -> MutexGuard<'static, Vec<Watched>> {
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Watches until dropped.
pub(crate) struct Watch(PathBuf);

impl Watch {
    pub(crate) fn new(root: &Path) -> Self {
        watched().push(Watched { root: root.to_owned(), done: Vec::new(), fail: None, failed: false });
        Self(root.to_owned())
    }

    /// After `count` more operations, all fail in this way: a disk that is full stays full.
    pub(crate) fn failing(root: &Path, count: usize, kind: io::ErrorKind) -> Self {
        let fail = Some((count, kind));
        watched().push(Watched { root: root.to_owned(), done: Vec::new(), fail, failed: false });
        Self(root.to_owned())
    }

    /// What was done so far.
    pub(crate) fn done(&self) -> Vec<Done> {
        find(&mut watched(), &self.0).map(|watched| watched.done.clone()).unwrap_or_default()
    }

    /// Whether something was made to fail.
    pub(crate) fn failed(&self) -> bool {
        find(&mut watched(), &self.0).is_some_and(|watched| watched.failed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        watched().retain(|watched| watched.root != self.0);
    }
}

fn find<'a>(watched: &'a mut [Watched], path: &Path) -> Option<&'a mut Watched> {
    watched.iter_mut().find(|watched| path.starts_with(&watched.root))
}

fn path_of<'a>(op: Op<'a>) -> &'a Path {
    match op {
        Op::Create(path)
        | Op::MakeDir(path)
        | Op::Remove(path)
        | Op::Rename(_, path)
        | Op::SyncDir(path)
        | Op::SyncFile(path)
        | Op::Truncate(path)
        | Op::Write(path, _) => path,
        #[cfg(target_os = "linux")]
        Op::SyncFileSystem(path) => path,
    }
}

pub(super) fn before(op: Op<'_>) -> io::Result<()> {
    let mut all = watched();
    let Some(watched) = find(&mut all, path_of(op)) else { return Ok(()) };
    match &mut watched.fail {
        Some((0, kind)) => {
            watched.failed = true;
            Err((*kind).into())
        }
        Some((left, _)) => {
            *left -= 1;
            Ok(())
        }
        None => Ok(()),
    }
}

pub(super) fn after(op: Op<'_>) {
    let mut all = watched();
    let Some(watched) = find(&mut all, path_of(op)) else { return };
    let name = |path: &Path| path.strip_prefix(&watched.root).unwrap().to_str().unwrap().to_owned();
    let done = match op {
        Op::Create(path) => Done::Create(name(path)),
        Op::MakeDir(path) => Done::MakeDir(name(path)),
        Op::Remove(path) => Done::Remove(name(path)),
        Op::Rename(from, to) => Done::Rename(name(from), name(to)),
        Op::SyncDir(path) => Done::SyncDir(name(path)),
        Op::SyncFile(path) => Done::SyncFile(name(path)),
        #[cfg(target_os = "linux")]
        Op::SyncFileSystem(path) => Done::SyncFileSystem(name(path)),
        Op::Truncate(path) => Done::Truncate(name(path)),
        Op::Write(path, bytes) => Done::Write(name(path), bytes.to_vec()),
    };
    watched.done.push(done);
}
