//! The cases in `test-vectors/`, which other implementations can run too: this one runs them all, and what
//! this repository generates is what is there.
//!
//! After a change of the generator:
//! `WRITE_TEST_VECTORS=1 cargo test -p tuf-core --test integration write_the_vectors`

mod generate;
mod workflow;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use serde_json::Value;
use tuf_core::bins::{HashBins, SuccinctBins};
use tuf_core::canonical::{JsonProblem, canonicalize};
use tuf_core::{Checker, Error, Key, RoleKeys, TargetPath, pattern};

use crate::support::{Client, Files, find, kind_name};

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

/// The file names in `workflow/`.
fn workflow_names() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory().join("workflow"))
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
    let names = workflow_names();
    assert!(names.len() >= 25, "only {} cases", names.len());
    for name in names {
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
    let files = map(&case["files"]);
    run(&mut client, &files, case).unwrap_or_else(|error| {
        let role = error.role().map(ToString::to_string);
        let attack = error.attack().map(tuf_core::Attack::name);
        serde_json::json!({"refused": {"role": role, "kind": kind_name(error.kind()), "attack": attack}})
    })
}

fn run(client: &mut Client, files: &Files, case: &Value) -> Result<Value, Error> {
    let set = client.refresh(files).result?;
    let versions = serde_json::json!({
        "root": set.root().header.version,
        "timestamp": set.timestamp().header.version,
        "snapshot": set.snapshot().header.version,
        "targets": set.targets().header.version,
    });
    let mut ok = serde_json::json!({ "versions": versions });
    if let Some(wanted) = case.get("target").map(text) {
        let consistent = set.root().consistent_snapshot;
        let found = find(set, files, wanted, &mut Vec::new())?;
        ok["target"] = found.as_ref().map(|found| found.role.to_string()).into();
        if let Some(found) = found {
            let path = TargetPath::new(wanted).unwrap();
            let remote = path.remote(consistent.then_some(&found.file.hashes));
            let content = case["targets"].get(&remote).map(text).unwrap_or_else(|| panic!("no {remote}"));
            Checker::check(&found.file.hashes, Some(found.file.length), content.as_bytes())?;
        }
    }
    Ok(serde_json::json!({ "ok": ok }))
}

#[test]
fn the_vectors_are_what_the_generator_writes() {
    let generated = generate::all();
    for (name, value) in &generated {
        assert_eq!(&read(name), value, "{name}: run the generator (see the head of this file)");
    }
    let names: Vec<String> = workflow_names().iter().map(|name| format!("workflow/{name}")).collect();
    assert!(names.iter().all(|name| generated.contains_key(name)), "a file that nothing generates");
}

/// By itself it does nothing; it is asked for at the head of this file.
#[test]
#[expect(clippy::disallowed_methods, reason = "a generator, not the program")]
fn write_the_vectors() {
    if std::env::var_os("WRITE_TEST_VECTORS").is_none() {
        return;
    }
    std::fs::create_dir_all(directory().join("workflow")).unwrap();
    for (name, value) in generate::all() {
        let text = serde_json::to_string_pretty(&value).unwrap() + "\n";
        std::fs::write(directory().join(name), text).unwrap();
    }
}
