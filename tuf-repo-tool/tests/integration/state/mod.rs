//! The state database: the promises of `state::suite`, and what each engine does on its bad days.

mod postgres;
mod sqlite;

use tuf_repo_tool::publish::Changes;
use tuf_repo_tool::state::State;

use tuf_core::{Hashes, TargetFile, TargetPath};

/// Runs a test that waits.
fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

fn path(text: &str) -> TargetPath {
    TargetPath::new(text).unwrap()
}

fn file(text: &str) -> TargetFile {
    TargetFile::new(1, Hashes::of(text.as_bytes()))
}

/// Targets to set.
fn changes(paths: &[&str]) -> Changes {
    let mut changes = Changes::default();
    for text in paths {
        changes.set(path(text), file(text));
    }
    changes
}

/// What is staged, by path.
async fn staged(state: &State) -> Vec<String> {
    state.staged().await.unwrap().iter().map(|(path, _)| path.as_str().to_owned()).collect()
}
