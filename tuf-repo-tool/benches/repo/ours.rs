//! What is measured, in processes of their own: the first publish of a set, and publishes of one change. Keys are
//! files without a passphrase.

use std::fmt::Write;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use tuf_client::store::MemoryStore;
use tuf_client::{Client, Url};
use tuf_repo_tool::keys::Passphrases;
use tuf_repo_tool::publish::{Changes, Options, Outcome, Renewal, publish};
use tuf_repo_tool::{InitOptions, Repository, init};

use crate::data::{Set, change, path as path_of};
use crate::phases::{self, Start, Time};
use crate::storage::Watched;

/// One line for each phase of each run: its name, wall and processor time in nanoseconds.
#[derive(Default)]
pub(crate) struct Report(String);

impl Report {
    pub(crate) fn add(&mut self, name: &str, time: Time) {
        writeln!(self.0, "{name} {} {}", time.wall.as_nanos(), time.cpu.as_nanos()).unwrap();
    }

    fn count(&mut self, name: &str, count: usize) {
        writeln!(self.0, "{name} {count} {count}").unwrap();
    }

    pub(crate) fn write(&self, path: &str) {
        File::create(path).unwrap().write_all(self.0.as_bytes()).unwrap();
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn open(directory: &Path) -> (Repository, Arc<Watched>) {
    let storage = Arc::new(Watched::new(directory));
    (Repository::open(directory).unwrap().with_storage(Arc::<Watched>::clone(&storage)), storage)
}

async fn publish_once(
    repository: &Repository,
    passphrases: &mut Passphrases,
    changes: &Changes,
    report: &mut Report,
) {
    let start = Start::now();
    let lock = repository.lock().unwrap();
    let options = Options::default();
    let outcome = publish(repository, &lock, passphrases, changes, Renewal::Online, &options).await.unwrap();
    assert!(matches!(outcome, Outcome::Published(_)));
    report.add("publish", start.passed());
    for (name, time) in phases::take() {
        report.add(name, time);
    }
}

/// `sign SET DIRECTORY REPORT`: publishes a set for the first time, in a new repository.
pub(crate) fn sign(words: &[String]) {
    let [set, directory, path] = words else { panic!("sign SET DIRECTORY REPORT") };
    let (set, directory) = (Set::named(set), Path::new(directory));
    phases::watch();
    let mut report = Report::default();
    runtime().block_on(async {
        let mut options = InitOptions::default();
        options.bins = Some(set.bins);
        options.encrypted = false;
        let mut passphrases = Passphrases::from_environment();
        init(directory, &options, &mut passphrases).await.unwrap();
        let changes = set.changes();
        let (repository, _) = open(directory);
        phases::take();
        publish_once(&repository, &mut passphrases, &changes, &mut report).await;
    });
    report.write(path);
}

/// `change DIRECTORY FIRST RUNS REPORT`: publishes a change of one target so many times.
pub(crate) fn change_one(words: &[String]) {
    let [directory, first, runs, path] = words else { panic!("change DIRECTORY FIRST RUNS REPORT") };
    let (first, runs): (u64, u64) = (first.parse().unwrap(), runs.parse().unwrap());
    phases::watch();
    let mut report = Report::default();
    runtime().block_on(async {
        let mut passphrases = Passphrases::from_environment();
        let (repository, storage) = open(Path::new(directory));
        for generation in first..first + runs {
            publish_once(&repository, &mut passphrases, &change(generation), &mut report).await;
            report.count("bins-read", storage.bins_read());
        }
    });
    report.write(path);
}

/// `refresh DIRECTORY RUNS REPORT`: a client that begins with nothing refreshes and finds one target.
pub(crate) fn refresh(words: &[String]) {
    let [directory, runs, path] = words else { panic!("refresh DIRECTORY RUNS REPORT") };
    let mut report = Report::default();
    runtime().block_on(async {
        let public = Path::new(directory).join("public");
        let base = Url::from_directory_path(&public).unwrap();
        let root: Arc<[u8]> = std::fs::read(public.join("metadata/1.root.json")).unwrap().into();
        for _ in 0..runs.parse().unwrap() {
            let start = Start::now();
            let client = Client::builder(Arc::clone(&root), base.clone()).store(MemoryStore::new());
            let view = client.build().unwrap().refresh().await.unwrap();
            view.require(&path_of(0)).await.unwrap();
            report.add("refresh", start.passed());
        }
    });
    report.write(path);
}
