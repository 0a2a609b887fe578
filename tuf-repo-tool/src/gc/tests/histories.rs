//! Random histories, judged by an oracle that reads the published files as plain JSON.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use tuf_core::{Hashes, TargetPath};

use super::aged::World;
use super::options;
use crate::gc::{Options, Report};
use crate::publish::Changes;
use crate::publish::tests::sweep::set;

const HISTORIES: u64 = 8;
const STEPS: usize = 24;

type Files = BTreeMap<String, (Vec<u8>, DateTime<Utc>)>;

/// Numbers that are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        for shift in [13, -7, 17] {
            self.0 ^= if shift > 0 { self.0 << shift } else { self.0 >> -shift };
        }
        self.0 % end
    }

    fn size(&mut self, end: u64) -> usize {
        usize::try_from(self.below(end)).unwrap()
    }
}

struct History {
    world: World,
    /// When each snapshot was published, by version.
    published: BTreeMap<u64, DateTime<Utc>>,
    /// Where the file is of each target that is staged; of one that goes, nowhere.
    staged: BTreeMap<TargetPath, Option<String>>,
}

impl History {
    fn now(&self) -> DateTime<Utc> {
        *self.world.now.lock().unwrap()
    }

    async fn publish(&mut self) {
        self.world.publish_staged(&self.world.repository).await.unwrap();
        self.staged.clear();
        let now = self.now();
        for version in self.world.paths().iter().filter_map(|path| version(path, "snapshot.json")) {
            self.published.entry(version).or_insert(now);
        }
    }

    async fn stage(&mut self, dice: &mut Dice) {
        let before = self.world.paths();
        for _ in 0..=dice.below(3) {
            let mut changes = Changes::default();
            let path = format!("{}/t{}", dice.below(2), dice.below(5));
            match dice.below(4) {
                0 => changes.remove(TargetPath::new(path).unwrap()),
                // Few contents: what was given up is often taken up again.
                _ => set(&mut changes, &*self.world.storage, &path, format!("{}", dice.below(4)).as_bytes()),
            }
            for (path, file) in changes.iter() {
                let stored = file.map(|file| format!("targets/{}", path.remote(Some(&file.hashes))));
                self.staged.insert(path.clone(), stored);
            }
            self.world.state.stage(&changes).await.unwrap();
        }
        assert!(self.world.paths().is_superset(&before));
    }

    /// A sweep, and what the oracle says of it.
    async fn sweep(&self, options: &Options) -> u64 {
        let before = self.world.snapshot();
        let report = self.world.gc(options).await.unwrap();
        let after = self.world.paths();
        self.judge_snapshots(&before, &report, options);
        let needed: BTreeSet<String> =
            report.snapshots.iter().flat_map(|version| needed(&before, *version)).collect();
        let newest = signed(&before, &format!("{}.snapshot.json", report.snapshots.last().unwrap()));
        for (path, (_, written)) in &before {
            let is_young = self.now() - *written <= options.grace;
            let is_ours = is_collectable(path, &newest);
            let stays = needed.contains(path)
                || self.staged.values().flatten().any(|stored| stored == path)
                || is_young
                || !is_ours;
            assert_eq!(after.contains(path), stays, "{path}: {report:?}");
        }
        self.world.check().await;
        report.garbage.total().files
    }

    fn judge_snapshots(&self, before: &Files, report: &Report, options: &Options) {
        let there: Vec<u64> = self
            .published
            .keys()
            .copied()
            .filter(|version| before.contains_key(&snapshot(*version)))
            .collect();
        let kept: BTreeSet<u64> = report.snapshots.iter().copied().collect();
        let last: BTreeSet<u64> = there.iter().rev().take(options.keep_last).copied().collect();
        let lately: BTreeSet<u64> = there
            .windows(2)
            .filter(|pair| self.now() - self.published[&pair[1]] <= options.keep)
            .map(|pair| pair[0])
            .collect();
        assert!(kept.is_superset(&last) && kept.is_superset(&lately), "{kept:?} {last:?} {lately:?}");
        // Those that may have been replaced later than it seems, had there been publishers that died.
        assert!(kept.len() <= last.union(&lately).count() + 2, "{kept:?} {last:?} {lately:?}");
    }
}

fn snapshot(version: u64) -> String {
    format!("metadata/{version}.snapshot.json")
}

fn version(path: &str, role: &str) -> Option<u64> {
    path.strip_prefix("metadata/")?.strip_suffix(role)?.strip_suffix('.')?.parse().ok()
}

fn signed(files: &Files, name: &str) -> Value {
    let file: Value = serde_json::from_slice(&files[&format!("metadata/{name}")].0).unwrap();
    file["signed"].clone()
}

/// Every file that a client with this snapshot may ask for.
fn needed(files: &Files, version: u64) -> BTreeSet<String> {
    let meta = signed(files, &format!("{version}.snapshot.json"))["meta"].clone();
    let mut needed = BTreeSet::from([snapshot(version)]);
    let file = |role: &str| {
        let version = meta[&format!("{role}.json")]["version"].as_u64().unwrap();
        format!("{version}.{role}.json")
    };
    for role in meta.as_object().unwrap().keys() {
        needed.insert(format!("metadata/{}", file(role.strip_suffix(".json").unwrap())));
    }
    let mut pending = vec!["targets".to_owned()];
    while let Some(role) = pending.pop() {
        let role = signed(files, &file(&role));
        for (path, target) in role["targets"].as_object().unwrap() {
            let (directory, name) = path.rsplit_once('/').unwrap();
            needed.insert(format!(
                "targets/{directory}/{}.{name}",
                target["hashes"]["sha256"].as_str().unwrap()
            ));
        }
        for below in role["delegations"]["roles"].as_array().into_iter().flatten() {
            pending.push(below["name"].as_str().unwrap().to_owned());
        }
    }
    needed
}

/// Whether a file is one that goes if nothing needs it.
fn is_collectable(path: &str, newest: &Value) -> bool {
    if let Some(name) = path.strip_prefix("metadata/") {
        let (version, role) = name.split_once('.').unwrap();
        let published = match role {
            "root.json" | "json" => return false,
            "snapshot.json" => newest["version"].as_u64(),
            role => newest["meta"][role]["version"].as_u64(),
        };
        return published.is_some_and(|published| version.parse::<u64>().unwrap() <= published);
    }
    path.rsplit('/').next().unwrap().split_once('.').is_some_and(|(hash, _)| hash.len() == 64)
}

#[tokio::test(flavor = "multi_thread")]
async fn after_any_history_what_kept_snapshots_need_is_there_and_nothing_else() {
    let (mut swept, mut sweeps) = (0, 0);
    for seed in 1..=HISTORIES {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let world = World::new().await;
        let mut history = History { world, published: BTreeMap::new(), staged: BTreeMap::new() };
        history.stage(&mut dice).await;
        history.publish().await;
        for _ in 0..STEPS {
            match dice.below(10) {
                0..=2 => history.stage(&mut dice).await,
                3..=5 => {
                    history.stage(&mut dice).await;
                    history.publish().await;
                }
                6 => {
                    let content = format!("{}", dice.below(1000));
                    let hash = Hashes::of(content.as_bytes()).preferred().unwrap();
                    history.world.put(&format!("targets/x/{hash}.orphan"), content.as_bytes());
                    history.world.put(&format!("targets/x/{content}"), b"unknown");
                }
                7 => history.world.pass(TimeDelta::minutes(i64::try_from(dice.below(6000)).unwrap())),
                _ => {
                    let options = options(1 + dice.size(3), 1 + i64::try_from(dice.below(80)).unwrap());
                    swept += history.sweep(&options).await;
                    sweeps += 1;
                }
            }
        }
        history.world.pass(TimeDelta::days(5));
        history.publish().await;
        swept += history.sweep(&options(1, 1)).await;
        sweeps += 1;
    }
    println!("{sweeps} sweeps over {HISTORIES} histories removed {swept} files");
    assert!(swept > HISTORIES * 5, "{swept}");
}
