//! What attackers and accidents make of an honest repository.

use serde_json::{Value, json};

use super::History;
use crate::support::{Pair, ROLES, Repo, expiry};

const ODD: [(&str, &str); 12] = [
    ("x-unknown", r#"{"a":[1,null,"\u0001"]}"#),
    ("expires", r#""2031-01-01T00:00:00.5Z""#),
    ("expires", r#""2031-01-01T00:00:00+00:00""#),
    ("expires", r#""never""#),
    ("spec_version", r#""2.0.0""#),
    ("spec_version", r#""1.9""#),
    ("spec_version", r#"1"#),
    ("_type", r#""mirrors""#),
    ("version", "-1"),
    ("version", r#""1""#),
    ("meta", "null"),
    ("targets", "[]"),
];

impl History {
    /// What is served is not what is published.
    pub(super) fn mutate(&mut self) {
        if self.random.one_in(2) {
            self.mutate_files();
        } else {
            self.mutate_repository();
        }
    }

    /// Someone between the repository and the client, without keys.
    fn mutate_files(&mut self) {
        let mut files = self.story.repo.files.clone();
        let names: Vec<String> = files.keys().cloned().collect();
        // The newest are the ones that are asked for.
        let role = *self.random.pick(&ROLES);
        let name = match self.random.one_in(4) {
            true => self.random.pick(&names).clone(),
            false => self.story.repo.file_name(role),
        };
        let text = String::from_utf8_lossy(&files[&name]).into_owned();
        let mut put = |text: String| drop(files.insert(name.clone(), text.into_bytes().into()));
        match self.random.below(9) {
            0 if !self.past.is_empty() => {
                self.says.push("everything replayed");
                files = self.random.pick(&self.past).clone();
            }
            1 if !self.past.is_empty() => {
                self.says.push("a file replayed");
                if let Some(old) = self.random.pick(&self.past).get(&name) {
                    files.insert(name, old.clone());
                }
            }
            2 => {
                self.says.push("a file missing");
                files.remove(&name);
            }
            3 => {
                self.says.push("a file in another's place");
                let other = files[self.random.pick(&names)].clone();
                files.insert(name, other);
            }
            4 => {
                self.says.push("a file cut short");
                let end = self.random.below(text.len());
                put(text[..end].to_owned());
            }
            5 => {
                self.says.push("a character changed");
                let mut bytes = text.into_bytes();
                let at = self.random.below(bytes.len());
                bytes[at] = *self.random.pick(b"0a\"}{,:x 9");
                put(String::from_utf8_lossy(&bytes).into_owned());
            }
            6 => {
                self.says.push("other white space");
                put(text.replace("\":", "\" :\n"));
            }
            7 => {
                self.says.push("white space after the end");
                put(text + " \n");
            }
            _ => {
                self.says.push("signatures exchanged");
                if let Ok(mut value) = serde_json::from_str::<Value>(&text) {
                    let donor = &files[self.random.pick(&names)];
                    if let Ok(donor) = serde_json::from_slice::<Value>(donor) {
                        value["signatures"] = donor["signatures"].clone();
                        files.insert(name, value.to_string().into_bytes().into());
                    }
                }
            }
        }
        self.story.served = Some(files);
    }

    /// Someone with some of the keys, or a faulty tool.
    fn mutate_repository(&mut self) {
        let mut repo = self.story.repo.clone();
        let role = *self.random.pick(&ROLES);
        let release = |repo: &mut Repo| repo.release(role);
        let signers = repo.signers.get_mut(role).unwrap();
        let holder = if matches!(role, "snapshot" | "timestamp") { "timestamp" } else { "snapshot" };
        let entry = if holder == "timestamp" {
            "snapshot.json".to_owned()
        } else {
            format!("{}.json", if role == "root" { "targets" } else { role })
        };
        match self.random.below(12) {
            0 => {
                self.says.push("a signature missing");
                signers.pop();
                release(&mut repo);
            }
            1 => {
                self.says.push("a signature twice");
                signers.extend(signers.first().cloned());
                release(&mut repo);
            }
            2 => {
                self.says.push("a signature by a stranger");
                let (id, _) = signers.remove(0);
                signers.push((id, Pair::ed(99)));
                release(&mut repo);
            }
            3 => {
                self.says.push("a stranger's signature beside the others");
                signers.push((Pair::ed(99).id(), Pair::ed(99)));
                release(&mut repo);
            }
            4 => {
                self.says.push("another version");
                let version = *self.random.pick(&[0_u64, 1, 2, 3, 1 << 62]);
                repo.patch(role, move |signed| signed["version"] = json!(version));
                repo.hashes = self.random.one_in(2);
                release(&mut repo);
            }
            5 => {
                self.says.push("another hash");
                repo.patch(holder, move |signed| {
                    if let Some(Value::Object(entry)) = signed["meta"].get_mut(&entry) {
                        entry.insert("hashes".into(), json!({"sha256": "00".repeat(32)}));
                    }
                });
                repo.release("dele");
            }
            6 => {
                self.says.push("another length");
                let length = *self.random.pick(&[1_u64, 100, 100_000]);
                repo.patch(holder, move |signed| {
                    if let Some(Value::Object(entry)) = signed["meta"].get_mut(&entry) {
                        entry.insert("length".into(), json!(length));
                    }
                });
                repo.release("dele");
            }
            7 => {
                self.says.push("a role that the snapshot does not list");
                repo.patch("snapshot", move |signed| {
                    drop(signed["meta"].as_object_mut().unwrap().remove(&entry))
                });
                repo.release("dele");
            }
            8 => {
                self.says.push("fast-forward");
                for name in ["timestamp", "snapshot", role] {
                    repo.get(name)["version"] = json!(1_u64 << 40);
                }
                repo.publish();
            }
            9 => {
                self.says.push("expired");
                repo.get(role)["expires"] = expiry(self.story.days - i64::from(self.random.one_in(2)));
                release(&mut repo);
            }
            10 => {
                self.says.push("an odd field");
                let (field, value) = *self.random.pick(&ODD);
                let value: Value = serde_json::from_str(value).unwrap();
                repo.patch(role, move |signed| signed[field] = value.clone());
                release(&mut repo);
            }
            _ => {
                self.says.push("one key under two IDs");
                let pair = Pair::ed(98);
                let alias = "a".repeat(64);
                let (keys, entry) = repo.authority(role);
                keys[pair.id()] = pair.json();
                keys[&alias] = pair.json();
                entry["keyids"] = json!([pair.id(), alias]);
                entry["threshold"] = json!(2);
                let before = repo.signers[role].clone();
                let mut both = vec![(pair.id(), pair.clone()), (alias, pair)];
                if role == "root" {
                    both.extend(before);
                } else {
                    repo.signers.insert("root".into(), self.story.root_signers().to_vec());
                    repo.new_authority(role);
                }
                repo.signers.insert(role.into(), both);
                release(&mut repo);
            }
        }
        self.story.served = Some(repo.files);
    }
}
