//! Random histories of a repository, with honest operators and what attackers and accidents make of what they
//! publish: cases in the form of `scripts/`, whose verdicts are this implementation's. Another implementation runs
//! them too (`cargo xtask differential`).

mod mutations;

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::rc::Rc;

use serde_json::{Value, json};
use tuf_core::{Envelope, Limits};

use super::story::{Reader, Story};
use crate::support::{Files, Pair, ROLES, delegation, expiry, file, sha256};

const TARGETS: [&str; 5] = ["a.txt", "d/x.txt", "d/y.txt", "e/z.txt", "nowhere"];
/// Roles that are delegated from time to time.
const SPARE: [&str; 3] = ["late", "deep", "wide"];

/// Splitmix: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(count).unwrap()).unwrap()
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn days(&mut self, from: i64, to: i64) -> i64 {
        from + i64::try_from(self.below(usize::try_from(to - from).unwrap())).unwrap()
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// A history while it is made.
struct History {
    random: Random,
    story: Story,
    /// Everything that was ever served, for replays.
    past: Vec<Files>,
    next_seed: u32,
    says: Vec<&'static str>,
}

/// The case of a seed.
fn history(seed: u64) -> Value {
    let mut history = History {
        random: Random(seed),
        story: Story::new(),
        past: Vec::new(),
        next_seed: 1_000,
        says: Vec::new(),
    };
    history.story.content("d/y.txt", "y");
    history.story.content("e/z.txt", "z");
    for _ in 0..2 + history.random.below(5) {
        history.refresh();
    }
    let mut case = history.story.finish("a random history", "5");
    case["name"] = format!("history-{seed}").into();
    let mut reader = Reader::new(&case);
    let Value::Array(mut steps) = case["steps"].take() else { panic!("no steps") };
    for step in &mut steps {
        step["expected"] = reader.step(step);
        step["canonical"] = canonical_forms(&step["files"]);
    }
    case["steps"] = steps.into();
    case
}

/// The hash of our canonical form of `signed`, for each new file that is a signed file.
fn canonical_forms(files: &Value) -> Value {
    let files = files.as_object().unwrap().iter();
    let forms: BTreeMap<&String, String> = files
        .filter_map(|(name, content)| {
            let envelope = Envelope::parse(content.as_str()?.as_bytes(), &Limits::default()).ok()?;
            Some((name, sha256(envelope.signed().as_bytes())))
        })
        .collect();
    json!(forms)
}

impl History {
    /// Something honest, something bad, and a client.
    fn refresh(&mut self) {
        self.says.clear();
        self.story.days += if self.random.one_in(3) { self.random.days(1, 30) } else { 0 };
        for _ in 0..self.random.below(4) {
            self.honest();
        }
        if self.random.one_in(2) {
            self.mutate();
        }
        let target = *self.random.pick(&TARGETS);
        let says = if self.says.is_empty() { "nothing new".to_owned() } else { self.says.join(", ") };
        let served = self.story.served.as_ref().unwrap_or(&self.story.repo.files).clone();
        let target = Some(target).filter(|_| !self.random.one_in(4));
        self.story.refresh(&says, target, Value::Null);
        self.past.push(served);
    }

    fn pair(&mut self) -> Rc<Pair> {
        self.next_seed += 1;
        // Few distinct keys, so that some come back.
        Pair::ed(1_000 + self.next_seed % 40)
    }

    fn seeds(&mut self) -> Vec<u32> {
        let first = 1_000 + u32::try_from(self.random.below(40)).unwrap();
        (0..1 + u32::try_from(self.random.below(3)).unwrap()).map(|number| first + number).collect()
    }

    fn any_role(&mut self) -> String {
        let names: Vec<&String> = self.story.repo.signed.keys().collect();
        (*self.random.pick(&names)).clone()
    }

    fn renew(&mut self, name: &str) {
        let range = if name == "root" { (100, 400) } else { (5, 60) };
        let days = self.story.days + self.random.days(range.0, range.1);
        self.story.expires(name, days);
    }

    fn honest(&mut self) {
        match self.random.below(9) {
            0 | 1 => {
                self.says.push("publish");
                let name = self.any_role();
                if name == "root" {
                    self.renew("root");
                    self.story.new_root();
                    self.story.repo.publish();
                    return;
                }
                // Only what gets a new version may change.
                let chain = ["timestamp", "snapshot", "targets", name.as_str()];
                let end = chain.iter().position(|pointing| *pointing == name).unwrap();
                chain[..=end].iter().for_each(|name| self.renew(name));
                self.story.repo.release(&name);
            }
            2 => {
                self.says.push("renew the timestamp");
                self.renew("timestamp");
                self.story.repo.release("timestamp");
            }
            3 => {
                self.says.push("root keys");
                let (seeds, count) = (self.seeds(), 1 + u32::try_from(self.random.below(3)).unwrap());
                let threshold = count.min(u32::try_from(seeds.len()).unwrap());
                self.story.rotate("root", &seeds, threshold);
            }
            4 => {
                self.says.push("keys");
                let name = *self.random.pick(&ROLES[1..]);
                let seeds = self.seeds();
                let threshold = 1 + u32::try_from(self.random.below(seeds.len())).unwrap();
                self.renew(name);
                self.story.rotate(name, &seeds, threshold);
            }
            5 => self.delegate(),
            6 => {
                self.says.push("undelegate");
                let roles = self.story.repo.delegations()["roles"].as_array_mut().unwrap();
                // `dele` stays; a role that goes stays in the snapshot.
                if let Some(at) = roles.iter().rposition(|role| role["name"] != "dele") {
                    roles.remove(at);
                    self.story.repo.release("targets");
                }
            }
            7 => {
                self.says.push("terminating, order");
                let roles = self.story.repo.delegations()["roles"].as_array_mut().unwrap();
                let at = self.random.below(roles.len());
                roles[at]["terminating"] = json!(roles[at]["terminating"] != true);
                roles.rotate_left(at);
                self.story.repo.release("targets");
            }
            _ => {
                self.says.push("lengths and hashes, layout");
                if self.random.one_in(2) {
                    self.story.repo.hashes ^= true;
                    self.story.repo.release("dele");
                } else {
                    let root = self.story.repo.get("root");
                    root["consistent_snapshot"] = json!(root["consistent_snapshot"] != true);
                    self.story.new_root();
                    self.story.repo.release("dele");
                }
            }
        }
    }

    fn delegate(&mut self) {
        self.says.push("delegate");
        let name = *self.random.pick(&SPARE);
        let pair = self.pair();
        let paths = *self.random.pick(&["d/*", "*/*", "e/?.txt", "*"]);
        let by = *self.random.pick(&["targets", "targets", "dele"]);
        let version =
            self.story.repo.signed.get(name).map_or(0, |signed| signed["version"].as_u64().unwrap());
        let target = *self.random.pick(&["d/x.txt", "d/y.txt", "e/z.txt"]);
        let content = &target[2..3];
        self.story.repo.signed.insert(
            name.to_owned(),
            json!({"_type": "targets", "spec_version": "1.0.34", "version": version,
                "expires": expiry(self.story.days + 200), "targets": {target: file(content)}}),
        );
        self.story.repo.signers.insert(name.to_owned(), vec![(pair.id(), pair.clone())]);
        let mut entry = delegation(name, std::slice::from_ref(&pair), 1, &[paths]);
        entry["terminating"] = json!(self.random.one_in(4));
        let holder = self.story.repo.get(by);
        if holder.get("delegations").is_none() {
            holder["delegations"] = json!({"keys": {}, "roles": []});
        }
        holder["delegations"]["keys"][pair.id()] = pair.json();
        let roles = holder["delegations"]["roles"].as_array_mut().unwrap();
        roles.retain(|role| role["name"] != name);
        roles.push(entry);
        self.story.repo.bump(name);
        self.story.repo.release("dele");
    }
}

/// A parameter from the environment.
#[expect(clippy::disallowed_methods, reason = "a parameter of a generator, not the program")]
fn parameter(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// By itself it only makes a few; `cargo xtask differential` asks for a file of many.
#[test]
fn write_the_histories() {
    let number = |name: &str, default: u64| parameter(name).map_or(default, |text| text.parse().unwrap());
    let (count, seed) = (number("HISTORIES", 60), number("HISTORIES_SEED", 1));
    let mut out: Box<dyn Write> = match parameter("WRITE_HISTORIES") {
        Some(path) => Box::new(BufWriter::new(std::fs::File::create(path).unwrap())),
        None => Box::new(std::io::sink()),
    };
    let mut verdicts: BTreeMap<String, u32> = BTreeMap::new();
    for number in 0..count {
        let case = history(seed.wrapping_mul(1_000_003).wrapping_add(number));
        for step in case["steps"].as_array().unwrap() {
            let kind = step["expected"]["refused"]["kind"].as_str().unwrap_or("ok");
            *verdicts.entry(kind.to_owned()).or_default() += 1;
        }
        serde_json::to_writer(&mut out, &case).unwrap();
        out.write_all(b"\n").unwrap();
    }
    out.flush().unwrap();
    println!("{verdicts:?}");
    // A generator that only makes one kind of history tests nothing.
    assert!(count < 50 || (verdicts["ok"] > 0 && verdicts.len() >= 8), "{verdicts:?}");
    assert_eq!(history(seed), history(seed), "the same seed, another history");
}
