//! What is read is written, and reads the same again.

use std::borrow::Cow;

use chrono::SubsecRound;
use serde_json::Value;
use tuf_core::canonical::{JsonProblem, canonicalize, to_wire};
use tuf_core::{
    Delegated, Draft, Envelope, Json, Key, Limits, Metadata, Root, Snapshot, TargetPath, Targets, Timestamp,
    read_unverified,
};

const DEPTH: u32 = 64;

/// Canonical JSON: stable, the same as a naive writer's, and refused only for what it cannot hold.
pub fn json(data: &[u8]) {
    let oracle = serde_json::from_slice::<Value>(data);
    match canonicalize(data, DEPTH) {
        Ok(canonical) => {
            if let Cow::Borrowed(text) = canonical {
                assert_eq!(text.as_bytes(), data.trim_ascii());
            }
            let wire = to_wire(&canonical);
            assert_eq!(canonicalize(wire.as_bytes(), DEPTH).unwrap(), canonical);
            assert_eq!(Json::parse(data).unwrap().as_canonical(), canonical);
            let value = oracle.unwrap();
            if !holds_float(&value) {
                assert_eq!(naive(&value), canonical);
            }
        }
        Err(error) => {
            assert!(error.offset() <= data.len());
            let cannot_hold = matches!(
                error.problem(),
                JsonProblem::Depth(_) | JsonProblem::DuplicateKey(_) | JsonProblem::Float
            );
            assert!(cannot_hold || oracle.is_err(), "{error}");
        }
    }
}

/// Integers beyond 64 bits, and -0, are floats to `serde_json`.
fn holds_float(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(values) => values.iter().any(holds_float),
        Value::Object(members) => members.values().any(holds_float),
        _ => false,
    }
}

fn naive(value: &Value) -> String {
    let quote = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    match value {
        Value::String(text) => quote(text),
        Value::Array(values) => format!("[{}]", values.iter().map(naive).collect::<Vec<_>>().join(",")),
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(key, _)| key.chars().collect::<Vec<_>>());
            let members = members.iter().map(|(key, value)| format!("{}:{}", quote(key), naive(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        plain => plain.to_string(),
    }
}

/// The signed file: opened, and written again with its signatures.
pub fn envelope(data: &[u8]) {
    let limits = Limits::default();
    let envelope = match Envelope::parse(data, &limits) {
        Ok(envelope) => envelope,
        Err(error) => return assert!(error.to_string().len() < 2_000),
    };
    assert_eq!(&**envelope.bytes(), data);
    let _ = (envelope.claims(), format!("{envelope:?}"));
    assert_eq!(canonicalize(to_wire(envelope.signed()).as_bytes(), DEPTH).unwrap(), envelope.signed());
    reopened::<Root>(&envelope);
    reopened::<Timestamp>(&envelope);
    reopened::<Snapshot>(&envelope);
    reopened::<Targets>(&envelope);
}

fn reopened<T: Metadata>(envelope: &Envelope) {
    let limits = Limits::default();
    let Ok(draft) = Draft::<T>::reopen(envelope, &limits) else { return };
    let file = draft.finish();
    let again = Envelope::parse(file.as_bytes(), &limits).unwrap();
    assert_eq!(again.signed(), envelope.signed());
    assert_eq!(again.signatures(), envelope.signatures());
    assert_eq!(Draft::<T>::reopen(&again, &limits).unwrap().finish(), file);
}

/// `signed` of a root.
pub fn root(data: &[u8]) {
    if let Some(root) = round_trip::<Root>(data) {
        for name in root.role_names() {
            let _ = name.top_level().map(|role| root.role(role).threshold());
        }
    }
}

/// `signed` of a timestamp.
pub fn timestamp(data: &[u8]) {
    if let Some(timestamp) = round_trip::<Timestamp>(data) {
        let _ = timestamp.snapshot.check(data);
    }
}

/// `signed` of a snapshot.
pub fn snapshot(data: &[u8]) {
    if let Some(snapshot) = round_trip::<Snapshot>(data) {
        for (name, meta) in snapshot.meta.iter() {
            assert_eq!(snapshot.meta.get(&name), Some(meta));
        }
    }
}

/// `signed` of a targets role, its delegations asked as well.
pub fn targets(data: &[u8]) {
    let Some(targets) = round_trip::<Targets>(data) else { return };
    for (path, file) in targets.targets.iter() {
        if let Ok(path) = TargetPath::new(path) {
            assert_eq!(targets.targets.get(&path).as_ref(), Some(&file));
            let _ = path.remote(Some(&file.hashes));
        }
    }
    let Some(delegations) = &targets.delegations else { return };
    for path in ["a", "d/x.txt"] {
        for (role, _) in delegations.covering(&TargetPath::new(path).unwrap()) {
            assert!(delegations.role_keys(&role).is_some(), "{role}");
        }
    }
    if let Delegated::Roles(roles) = &delegations.roles {
        assert_eq!(delegations.role_names().len(), roles.len());
    }
}

fn enclosed(signed: &[u8]) -> Vec<u8> {
    [br#"{"signatures":[],"signed":"#, signed, b"}"].concat()
}

fn read<T: Metadata>(file: Vec<u8>) -> Option<T> {
    let limits = Limits::default();
    let refused = match Envelope::parse(file, &limits) {
        Ok(envelope) => match read_unverified(&envelope, &limits) {
            Ok(value) => return Some(value),
            Err(error) => error,
        },
        Err(error) => error,
    };
    // A hostile file must not fill the log, nor write to the terminal.
    let text = refused.to_string();
    assert!(text.len() < 10_000 && !text.contains(char::is_control), "{text:?}");
    None
}

fn round_trip<T: Metadata>(signed: &[u8]) -> Option<T> {
    let mut value: T = read(enclosed(signed))?;
    // Times are written in whole seconds.
    value.header_mut().expires = value.header().expires.trunc_subsecs(0);
    let file = Draft::new(value.clone()).finish();
    let again: T = read(file.clone().into_bytes()).unwrap();
    assert!(again == value, "{file}");
    assert_eq!(Draft::new(again).finish(), file);
    Some(value)
}

/// A key object: carried to the last field, and if it is usable, usable in the builders' form too.
pub fn key(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
    let Ok(key) = Key::from_json(&value) else { return };
    let json = key.to_json().unwrap();
    let again = Key::from_json(&json).unwrap();
    assert_eq!(again, key);
    assert_eq!((again.id(), again.canonical()), (key.id(), key.canonical()));
    assert!(!key.verify(data, data));
    if let Some(public) = key.public() {
        let built = Key::from_public(public);
        let read = Key::from_json(&built.to_json().unwrap()).unwrap();
        assert_eq!((read.public(), read.id()), (Some(public), built.id()));
    }
}
