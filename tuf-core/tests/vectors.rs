//! The cases in `test-vectors/`, which other implementations can run too: this one runs them all, and what
//! this repository generates is what is there.
//!
//! After a change of the generator:
//! `WRITE_TEST_VECTORS=1 cargo test -p tuf-core --test integration write_the_vectors`

mod generate;
mod histories;
mod scripts;
mod signatures;
mod story;
mod workflow;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use serde_json::Value;
use tuf_core::bins::{HashBins, SuccinctBins};
use tuf_core::canonical::{JsonProblem, canonicalize};
use tuf_core::{Envelope, Key, Limits, RoleKeys, TargetPath, pattern};

use crate::support::{Client, sha256};
use story::Reader;

pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../test-vectors")
}

pub(crate) fn read(name: &str) -> Value {
    let path = directory().join(name);
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The cases of a file with a table.
fn cases(name: &str) -> Vec<Value> {
    let Value::Array(cases) = read(name)["cases"].take() else { panic!("{name} has no cases") };
    assert!(!cases.is_empty(), "{name} is empty");
    cases
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}"))
}

pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(text(value).as_bytes()).unwrap()
}

/// The file names in `workflow/` or `scripts/`.
fn names(of: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory().join(of))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn canonical_json() {
    for case in cases("canonical-json.json") {
        let input = case.get("input").map_or_else(|| bytes(&case["input_hex"]), |text_| text(text_).into());
        let found = match canonicalize(&input, 64) {
            Ok(canonical) => HEXLOWER.encode(canonical.as_bytes()),
            Err(error) => problem(error.problem()).to_owned(),
        };
        let expected = case.get("canonical_hex").unwrap_or_else(|| &case["refused"]);
        assert_eq!(found, text(expected), "{case}");
    }
}

fn problem(problem: &JsonProblem) -> &'static str {
    match problem {
        JsonProblem::Depth(_) => "depth",
        JsonProblem::DuplicateKey(_) => "duplicate-key",
        JsonProblem::Float => "float",
        JsonProblem::Surrogate => "surrogate",
        JsonProblem::Utf8 => "utf8",
        _ => "syntax",
    }
}

#[test]
fn keys() {
    for case in cases("keys.json") {
        let key = Key::from_json(&case["key"]).unwrap();
        assert_eq!(key.public().is_some(), case["usable"] == true, "{case}");
        assert_eq!(key.id().as_str(), text(&case["keyid"]), "{case}");
        let valid = key.verify(text(&case["message"]).as_bytes(), &bytes(&case["signature"]));
        assert_eq!(valid, case["valid"] == true, "{case}");
    }
}

#[test]
fn patterns() {
    for case in cases("patterns.json") {
        let found = pattern::matches(text(&case["pattern"]), text(&case["path"]));
        assert_eq!(found, case["matches"] == true, "{case}");
    }
}

#[test]
fn hash_bins() {
    for case in cases("hash-bins.json") {
        let path = TargetPath::new(text(&case["path"])).unwrap();
        assert_eq!(HEXLOWER.encode(&path.digest()), text(&case["sha256"]), "{case}");
        let number = |name: &str| u32::try_from(case[name].as_u64().unwrap()).unwrap();
        let role = if case.get("count").is_some() {
            let bins = HashBins::new(number("count")).unwrap();
            let role = bins.role_of(&path);
            let prefixes = bins.roles().find(|(name, _)| *name == role).unwrap().1;
            let expected: Vec<&str> = case["prefixes"].as_array().unwrap().iter().map(text).collect();
            assert_eq!(prefixes, expected, "{case}");
            role
        } else {
            let keys = RoleKeys::new(Vec::new(), 1);
            let bins = SuccinctBins::new(keys, number("bit_length"), text(&case["name_prefix"])).unwrap();
            bins.role_of(&path).unwrap()
        };
        assert_eq!(role.as_str(), text(&case["role"]), "{case}");
    }
}

#[test]
fn workflow() {
    for name in names("workflow") {
        let case = read(&format!("workflow/{name}"));
        let (found, expected) = (verdict(&case), &case["expected"]);
        assert_eq!(&found, expected, "{name}: {}", text(&case["says"]));
    }
}

fn map(value: &Value) -> BTreeMap<String, Arc<[u8]>> {
    let entries = value.as_object().unwrap().iter();
    entries.map(|(name, content)| (name.clone(), text(content).as_bytes().into())).collect()
}

/// What this implementation makes of a case: in the form of `expected`.
fn verdict(case: &Value) -> Value {
    let mut client = Client::new(text(&case["pinned_root"]).as_bytes().into());
    client.now = text(&case["time"]).parse().unwrap();
    client.store = map(&case["stored"])
        .into_iter()
        .map(|(name, bytes)| {
            (if name.ends_with(".root.json") { format!("root_history/{name}") } else { name }, bytes)
        })
        .collect();
    let targets = story::strings(&case["targets"]);
    story::verdict(&mut client, &map(&case["files"]), &targets, case.get("target").map(text))
}

/// Several refreshes of one client.
#[test]
fn scripts() {
    for name in names("scripts") {
        let case = read(&format!("scripts/{name}"));
        let mut reader = Reader::new(&case);
        for (number, step) in (1..).zip(case["steps"].as_array().unwrap()) {
            assert_eq!(
                reader.step(step),
                step["expected"],
                "{name}, refresh {number}: {}",
                text(&step["says"])
            );
        }
    }
}

/// The canonical form of every metadata file in the cases, once by the naive writer of the tests and once by the
/// library; `run_python_tuf.py` adds a third.
#[test]
fn canonical_metadata() {
    let expected = read("canonical-metadata.json");
    let expected = expected["signed"].as_object().unwrap();
    let files = ["workflow", "scripts"]
        .into_iter()
        .flat_map(|directory| names(directory).into_iter().map(move |name| format!("{directory}/{name}")));
    let files = files.map(|name| (name.clone(), read(&name))).collect();
    let mut seen = 0;
    for file in generate::metadata_of(&files) {
        let Some(expected) = expected.get(&sha256(&file)) else { continue };
        let envelope = Envelope::parse(file, &Limits::default()).unwrap();
        assert_eq!(&sha256(envelope.signed().as_bytes()), text(expected));
        seen += 1;
    }
    assert_eq!(seen, expected.len(), "files that no case has");
}

/// What `test-vectors/README.md` and the documents promise.
#[test]
fn there_are_at_least_300_cases() {
    let tables = ["canonical-json.json", "hash-bins.json", "keys.json", "patterns.json"];
    let mut counts: Vec<(&str, usize)> = tables.map(|name| (name, cases(name).len())).into();
    counts.extend(["workflow", "scripts"].map(|directory| (directory, names(directory).len())));
    let total: usize = counts.iter().map(|(_, count)| count).sum();
    println!("{total} cases: {counts:?}");
    assert!(total >= 300, "{total} cases: {counts:?}");
    let readme = std::fs::read_to_string(directory().join("README.md")).unwrap();
    assert!(readme.contains(&format!("{total} cases")), "README.md does not say {total} cases");
}

#[test]
fn the_vectors_are_what_the_generator_writes() {
    let generated = generate::all();
    for (name, value) in &generated {
        assert_eq!(&read(name), value, "{name}: run the generator (see the head of this file)");
    }
    for directory in ["workflow", "scripts"] {
        for name in names(directory) {
            assert!(
                generated.contains_key(&format!("{directory}/{name}")),
                "nothing generates {directory}/{name}"
            );
        }
    }
}

/// By itself it does nothing; it is asked for at the head of this file.
#[test]
#[expect(clippy::disallowed_methods, reason = "a generator, not the program")]
fn write_the_vectors() {
    if std::env::var_os("WRITE_TEST_VECTORS").is_none() {
        return;
    }
    for name in ["workflow", "scripts"] {
        std::fs::create_dir_all(directory().join(name)).unwrap();
    }
    for (name, value) in generate::all() {
        let text = serde_json::to_string_pretty(&value).unwrap() + "\n";
        std::fs::write(directory().join(name), text).unwrap();
    }
}
