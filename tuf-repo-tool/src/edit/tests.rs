//! Edits on the files of delegators, and the refusals of those that cannot be.

use chrono::DateTime;
use tuf_core::{Delegated, Key, PublicKey, RoleName, Scope, Targets};

use super::*;

fn name(name: &str) -> RoleName {
    RoleName::new(name).unwrap()
}

/// A key that nobody has.
fn key(number: u8) -> Key {
    Key::from_public(&PublicKey::Ed25519([number; 32]))
}

fn adding(role: &str) -> AddDelegation {
    AddDelegation::new(name("targets"), name(role), vec![key(1)], EditScope::Paths(vec!["x/*".to_owned()]))
}

fn targets() -> Targets {
    Targets::new(DateTime::UNIX_EPOCH)
}

fn order(value: &Targets) -> Vec<String> {
    let delegations = value.delegations.as_ref();
    delegations.map(|d| d.role_names().iter().map(ToString::to_string).collect()).unwrap_or_default()
}

fn with(roles: &[&str]) -> Targets {
    let mut value = targets();
    for role in roles {
        apply(&Edit::AddDelegation(adding(role)), &mut value).unwrap();
    }
    value
}

#[test]
fn an_edit_is_the_same_after_it_was_stored() {
    let mut add = adding("x");
    add.bins = Some(AddBins::new(4, vec![key(2), key(3)]));
    add.place = Place::Before(name("y"));
    let mut change = EditDelegation::new(name("targets"), name("x"));
    change.keys = Some(vec![key(4)]);
    change.place = Some(Place::At(2));
    let remove = Edit::RemoveDelegation { delegator: name("targets"), role: name("x") };
    for edit in [Edit::AddDelegation(add), Edit::EditDelegation(change), remove] {
        let text = serde_json::to_string(&edit).unwrap();
        assert_eq!(serde_json::from_str::<Edit>(&text).unwrap(), edit, "{text}");
        let hostile = text.replacen('{', r#"{"unknown":1,"#, 1);
        assert!(serde_json::from_str::<Edit>(&hostile).is_err(), "{hostile}");
    }
}

#[test]
fn roles_take_their_place_and_keys_go_with_the_last_role_that_has_them() {
    let mut value = with(&["a", "b"]);
    let mut first = adding("c");
    first.place = Place::At(1);
    first.keys = vec![key(1), key(2)];
    apply(&Edit::AddDelegation(first), &mut value).unwrap();
    let mut before = adding("d");
    before.place = Place::Before(name("b"));
    apply(&Edit::AddDelegation(before), &mut value).unwrap();
    assert_eq!(order(&value), ["c", "a", "d", "b"]);
    assert_eq!(value.delegations.as_ref().unwrap().keys.len(), 2);

    let mut last = EditDelegation::new(name("targets"), name("c"));
    last.place = Some(Place::At(4));
    last.terminating = Some(true);
    apply(&Edit::EditDelegation(last), &mut value).unwrap();
    assert_eq!(order(&value), ["a", "d", "b", "c"]);
    apply(&Edit::RemoveDelegation { delegator: name("targets"), role: name("c") }, &mut value).unwrap();
    assert_eq!(value.delegations.as_ref().unwrap().keys.len(), 1);
    for role in ["a", "b", "d"] {
        apply(&Edit::RemoveDelegation { delegator: name("targets"), role: name(role) }, &mut value).unwrap();
    }
    assert_eq!(value, targets());
}

#[test]
fn a_new_role_stands_before_one_that_may_sign_for_all_paths() {
    let mut all = adding("all");
    all.scope = EditScope::PathHashPrefixes("0123456789abcdef".chars().map(String::from).collect());
    let mut value = targets();
    apply(&Edit::AddDelegation(all), &mut value).unwrap();
    apply(&Edit::AddDelegation(adding("x")), &mut value).unwrap();
    assert_eq!(order(&value), ["x", "all"]);
}

#[test]
fn a_key_that_is_listed_keeps_its_id() {
    let mut value = with(&["a"]);
    let delegations = value.delegations.as_mut().unwrap();
    let Delegated::Roles(roles) = &mut delegations.roles else { panic!() };
    let id = tuf_core::KeyId::new("opaque");
    let listed = delegations.keys.pop_first().unwrap().1;
    delegations.keys.insert(id.clone(), listed);
    let mut listed: Vec<_> = roles.iter().collect();
    listed[0].keys = tuf_core::RoleKeys::new(vec![id.clone()], 1);
    *roles = listed.into();
    apply(&Edit::AddDelegation(adding("b")), &mut value).unwrap();
    let delegations = value.delegations.unwrap();
    assert_eq!(delegations.keys.keys().collect::<Vec<_>>(), [&id]);
    assert_eq!(&*delegations.role_keys(&name("b")).unwrap().keyids, std::slice::from_ref(&id));
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let add = |change: &dyn Fn(&mut AddDelegation)| {
        let mut edit = adding("new");
        change(&mut edit);
        Edit::AddDelegation(edit)
    };
    let named = |role: &'static str| add(&move |edit| edit.role = name(role));
    let paths =
        |pattern: &'static str| add(&move |edit| edit.scope = EditScope::Paths(vec![pattern.to_owned()]));
    let prefix = |prefix: &'static str| {
        add(&move |edit| edit.scope = EditScope::PathHashPrefixes(vec![prefix.to_owned()]))
    };
    let change = |change: &dyn Fn(&mut EditDelegation)| {
        let mut edit = EditDelegation::new(name("targets"), name("old"));
        change(&mut edit);
        Edit::EditDelegation(edit)
    };
    let damaged = serde_json::json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": "00"}});
    let damaged = Key::from_json(&damaged).unwrap();
    for (edit, expected) in [
        (named("root"), "top-level role"),
        (named("targets"), "top-level role"),
        (named("snapshot"), "top-level role"),
        (named("timestamp"), "top-level role"),
        (named("bins"), "above the repository's hash bins"),
        (named("bin-n"), "hash bins have such names"),
        (named("bin-16-0"), "hash bins have such names"),
        (named("x-bin-16-0"), "hash bins have such names"),
        (named("x-bin-n"), "hash bins have such names"),
        (named("old"), "is delegated already, by targets"),
        (paths("/x"), "begins with a slash"),
        (paths("x/**"), "matches one segment only"),
        (paths("x/[a"), "never closed"),
        (prefix("AB"), "lower-case hex"),
        (prefix(""), "1 to 64"),
        (add(&|edit| edit.scope = EditScope::Paths(Vec::new())), "at least one"),
        (add(&|edit| edit.threshold = 0), "threshold of 0"),
        (add(&|edit| edit.threshold = 2), "a threshold of 2 cannot be met by 1 distinct keys"),
        (add(&|edit| (edit.threshold, edit.keys) = (2, vec![key(1), key(1)])), "by 1 distinct keys"),
        (add(&|edit| edit.keys = vec![damaged.clone()]), "damaged or of an unknown kind"),
        (add(&|edit| edit.bins = Some(AddBins::new(3, vec![key(1)]))), "power of two"),
        (add(&|edit| edit.place = Place::At(0)), "position from 1 to 2, found 0"),
        (add(&|edit| edit.place = Place::At(9)), "found 9"),
        (add(&|edit| edit.place = Place::Before(name("none"))), "does not delegate to none"),
        (change(&|edit| edit.role = name("none")), "does not delegate to none"),
        (change(&|edit| edit.threshold = Some(2)), "cannot be met"),
        (change(&|edit| edit.threshold = Some(0)), "threshold of 0"),
        (change(&|edit| edit.scope = Some(EditScope::Paths(vec!["../x".to_owned()]))), ".."),
        (Edit::RemoveDelegation { delegator: name("targets"), role: name("none") }, "does not delegate"),
    ] {
        let mut value = with(&["old"]);
        let error = apply(&edit, &mut value).unwrap_err();
        assert!(error.to_string().contains(expected), "{expected}: {error}");
        assert!(error.hint().is_some(), "{error}");
    }
    // A threshold may rise with the keys that it needs.
    let mut value = with(&["old"]);
    let both = change(&|edit| (edit.threshold, edit.keys) = (Some(2), Some(vec![key(1), key(2)])));
    apply(&both, &mut value).unwrap();
}

#[test]
fn hash_bins_stand_alone() {
    let mut value = targets();
    let bins = NamedBins::new(&name("bins"), tuf_core::bins::HashBins::new(2).unwrap());
    let roles = bins.delegations(&tuf_core::RoleKeys::new(Vec::new(), 1));
    value.delegations =
        Some(tuf_core::Delegations::new(tuf_core::Keys::new(), Delegated::Roles(roles.into())));
    let mut edit = adding("x");
    edit.delegator = name("bins");
    let refused = apply(&Edit::AddDelegation(edit), &mut value).unwrap_err();
    assert_eq!(refused, EditError::HashBins { delegator: name("bins") });
}

#[test]
fn patterns_that_are_seldom_meant_are_warned_of() {
    let warned = |patterns: &[&str], above: Option<&[&str]>| {
        let mut edit = adding("x");
        edit.scope = EditScope::Paths(patterns.iter().map(ToString::to_string).collect());
        let above =
            above.map(|above| Scope::Paths(above.iter().map(ToString::to_string).collect::<Vec<_>>().into()));
        warnings(&Edit::AddDelegation(edit), above.as_ref()).len()
    };
    assert_eq!(warned(&["x/*"], None), 1);
    assert_eq!(warned(&["*"], None), 1);
    assert_eq!(warned(&["x/*", "x/*/*"], None), 0);
    assert_eq!(warned(&["x/*.whl"], None), 0);
    assert_eq!(warned(&["x/y/a"], Some(&["x/*/*"])), 0);
    assert_eq!(warned(&["y/a"], Some(&["x/*"])), 1);
}

#[test]
fn rows_are_read_and_bad_ones_named_by_their_line() {
    let sum = "ab".repeat(32);
    let read = |text: &str, format| rows(text.as_bytes(), format).collect::<Result<Vec<_>, _>>();
    let csv = format!("path,length,sha256\na/b,1,{sum}\n\n\"c,\"\"d\",2,{sum},\"{{\"\"k\"\":1}}\"\r\n");
    let json = format!(
        "{{\"path\":\"a/b\",\"length\":1,\"sha256\":\"{sum}\"}}\n\n{{\"path\":\"c,\\\"d\",\"length\":2,\"sha256\":\"{sum}\",\"custom\":{{\"k\":1}}}}"
    );
    let (one, other) = (read(&csv, Format::Csv).unwrap(), read(&json, Format::Ndjson).unwrap());
    assert_eq!(one.iter().map(|row| row.line).collect::<Vec<_>>(), [2, 4]);
    let of = |rows: &[Row]| rows.iter().map(|row| (row.path.clone(), row.file.clone())).collect::<Vec<_>>();
    assert_eq!(of(&one), of(&other));
    assert_eq!(one[1].file.custom.as_ref().unwrap().as_canonical(), r#"{"k":1}"#);

    for (line, expected) in [
        ("x".to_owned(), "found 1 fields"),
        (format!("../x,1,{sum}"), "segment . or .."),
        (format!("/x,1,{sum}"), "empty segment"),
        (format!("{sum}.x,1,{sum}"), "64 hex digits and a dot"),
        (format!("x,-1,{sum}"), "expected a length"),
        (format!("x,9223372036854775808,{sum}"), "cannot be"),
        ("x,1,abc".to_owned(), "64 hex digits"),
        (format!("\"x,1,{sum}"), "never closed"),
        (format!("x\"y,1,{sum}"), "quotation mark inside"),
        (format!("\"x\"y,1,{sum}"), "after a closing"),
        (format!("x,1,{sum},nonsense"), "no JSON"),
        (format!("x,1,{sum},1,2"), "found 5 fields"),
        (format!("x,1,{sum},1.5"), "custom"),
        (format!("good,1,{sum}"), "second time"),
    ] {
        let error = read(&format!("good,1,{sum}\n{line}\n"), Format::Csv).unwrap_err();
        assert_eq!(error.line(), 2, "{line}");
        assert!(error.to_string().contains(expected), "{line}: {error}");
    }
    for (line, expected) in [
        ("{}", "missing field"),
        ("[]", "no row"),
        (r#"{"path":"a","path":"b","length":1,"sha256":""}"#, "duplicate field"),
        (r#"{"path":"a","length":1.5,"sha256":""}"#, "no row"),
        (r#"{"path":"a","length":1,"sha256":"","x":1}"#, "unknown field"),
    ] {
        let error = read(line, Format::Ndjson).unwrap_err();
        assert!(error.to_string().contains(expected), "{line}: {error}");
    }
    let long = format!("{}\n", "x".repeat(2 << 20));
    assert!(read(&long, Format::Ndjson).unwrap_err().to_string().contains("longer than"));
    assert!(rows(&b"\xff\xfe\n"[..], Format::Csv).next().unwrap().unwrap_err().to_string().contains("UTF-8"));
}
