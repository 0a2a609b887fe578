//! What a proposal changes, in lines for people. Everything that differs is in one of them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use tuf_client::inspect::fingerprint;
use tuf_core::{Json, Key};

/// Header fields, which a review shows by themselves.
const HEADER: [&str; 2] = ["version", "expires"];

/// How much of a list or a value is shown before the rest is only counted.
const SHOWN: usize = 12;
const SHOWN_BYTES: usize = 200;

/// Names of keys by ID, as whoever opened the event gave them.
pub(super) type Names = BTreeMap<String, String>;

/// The differences between two canonical `signed` of one role.
pub(super) fn lines(old: &str, new: &str, names: &Names) -> Vec<String> {
    let [old, new] = [old, new].map(|text| {
        Json::parse(tuf_core::canonical::to_wire(text).as_bytes()).map_or(Value::Null, |json| json.to_value())
    });
    let mut diff = Diff { names, lines: Vec::new() };
    diff.listing(&old, &new, "roles");
    match (old.get("delegations"), new.get("delegations")) {
        (None, None) => {}
        (old, new) => {
            let (old, new) = (old.unwrap_or(&Value::Null), new.unwrap_or(&Value::Null));
            diff.listing(old, new, "roles");
            diff.fields("delegations", old, new, &["keys", "roles"]);
        }
    }
    diff.targets(old.get("targets"), new.get("targets"));
    let known = ["keys", "roles", "delegations", "targets"];
    diff.fields("", &old, &new, &[&known[..], &HEADER[..]].concat());
    diff.lines
}

struct Diff<'a> {
    names: &'a Names,
    lines: Vec<String>,
}

impl Diff<'_> {
    /// Keys and the roles that name them: of a root, or of delegations.
    fn listing(&mut self, old: &Value, new: &Value, field: &str) {
        let (old_roles, new_roles) = (roles(old.get(field)), roles(new.get(field)));
        let mut groups: Vec<(Vec<String>, Vec<String>)> = Vec::new();
        let before: Vec<&String> = old_roles.iter().map(|(name, _)| name).collect();
        let after: Vec<&String> = new_roles.iter().map(|(name, _)| name).collect();
        let find = |roles: &[(String, Value)]| -> BTreeMap<String, Value> { roles.iter().cloned().collect() };
        let (old_by_name, new_by_name) = (find(&old_roles), find(&new_roles));
        let gone = before.iter().filter(|name| !new_by_name.contains_key(**name));
        for name in after.iter().chain(gone) {
            let (was, is) = (old_by_name.get(*name), new_by_name.get(*name));
            let changes = self.role(was, is, old.get("keys"), new.get("keys"));
            match groups.last_mut() {
                Some((names, same)) if *same == changes => names.push((*name).clone()),
                _ => groups.push((vec![(*name).clone()], changes)),
            }
        }
        for (names, changes) in groups {
            let shown =
                |name: Option<&String>| name.map(|name| name.escape_debug().to_string()).unwrap_or_default();
            let called = match names.len() {
                1 => shown(names.first()),
                count => format!("{} … {} ({count} roles)", shown(names.first()), shown(names.last())),
            };
            self.lines.extend(changes.into_iter().map(|change| format!("{called}: {change}")));
        }
        let kept = |names: &[&String], other: &BTreeMap<String, Value>| -> Vec<String> {
            names.iter().filter(|name| other.contains_key(**name)).map(|name| (*name).clone()).collect()
        };
        let is_new = |name: &&String| !old_by_name.contains_key(*name);
        // A new role is asked last, unless this says otherwise.
        let between = after.iter().skip_while(|name| !is_new(name)).any(|name| !is_new(name));
        if (between && !before.is_empty()) || kept(&before, &new_by_name) != kept(&after, &old_by_name) {
            let order: Vec<String> =
                after.iter().take(SHOWN).map(|name| name.escape_debug().to_string()).collect();
            self.lines.push(format!("the order of priority is now {}", order.join(", ")));
        }
        self.keys(old, new, &old_roles, &new_roles);
    }

    /// A key that changed under its ID, or that no role names.
    fn keys(
        &mut self,
        old: &Value,
        new: &Value,
        old_roles: &[(String, Value)],
        new_roles: &[(String, Value)],
    ) {
        let empty = Map::new();
        let [was, is] =
            [old, new].map(|value| value.get("keys").and_then(Value::as_object).unwrap_or(&empty));
        let used: BTreeSet<String> =
            old_roles.iter().chain(new_roles).flat_map(|(_, role)| strings(role.get("keyids"))).collect();
        for (id, key) in is {
            match was.get(id) {
                Some(before) if before != key => self.lines.push(format!(
                    "key ID {}: what it stands for changes, from {} to {}",
                    id.escape_debug(),
                    self.key(id, old.get("keys")),
                    self.key(id, new.get("keys"))
                )),
                None if !used.contains(id) => {
                    self.lines
                        .push(format!("+ {} is listed, and no role names it", self.key(id, new.get("keys"))));
                }
                _ => {}
            }
        }
        for id in was.keys().filter(|id| !is.contains_key(*id) && !used.contains(*id)) {
            self.lines
                .push(format!("- {} is no longer listed; no role named it", self.key(id, old.get("keys"))));
        }
    }

    fn role(
        &self,
        was: Option<&Value>,
        is: Option<&Value>,
        old_keys: Option<&Value>,
        new_keys: Option<&Value>,
    ) -> Vec<String> {
        let mut lines = Vec::new();
        match (was, is) {
            (None, Some(_)) => lines.push("+ new role".to_owned()),
            (Some(_), None) => return vec!["- the role is removed".to_owned()],
            _ => {}
        }
        let of = |value: Option<&Value>, field: &str| strings(value.and_then(|value| value.get(field)));
        let (before, after) = (of(was, "keyids"), of(is, "keyids"));
        lines.extend(after.difference(&before).map(|id| format!("+ {}", self.key(id, new_keys))));
        lines.extend(before.difference(&after).map(|id| format!("- {}", self.key(id, old_keys))));
        let threshold = |value: Option<&Value>| {
            let role = value?;
            Some(format!("{} of {}", role.get("threshold")?, strings(role.get("keyids")).len()))
        };
        if let (Some(before), Some(after)) = (threshold(was), threshold(is))
            && before != after
        {
            lines.push(format!("threshold {before} → {after}"));
        }
        if let (None, Some(new)) = (was, threshold(is)) {
            lines.push(format!("threshold {new}"));
        }
        for field in ["paths", "path_hash_prefixes"] {
            let (before, after) = (of(was, field), of(is, field));
            lines.extend(listed(&format!("+ {field}"), after.difference(&before)));
            lines.extend(listed(&format!("- {field}"), before.difference(&after)));
            let in_order = |value: Option<&Value>| value.and_then(|value| value.get(field)).cloned();
            if before == after && in_order(was) != in_order(is) {
                lines.push(format!("{field}: in another order"));
            }
        }
        let mut rest = Diff { names: self.names, lines: Vec::new() };
        let known = ["keyids", "threshold", "name", "paths", "path_hash_prefixes"];
        rest.fields("", was.unwrap_or(&Value::Null), is.unwrap_or(&Value::Null), &known);
        lines.extend(rest.lines);
        lines
    }

    /// Name, short ID, scheme and fingerprint of a key.
    fn key(&self, id: &str, keys: Option<&Value>) -> String {
        let key = keys.and_then(|keys| Key::from_json(keys.get(id)?).ok());
        describe(id, key.as_ref(), self.names)
    }

    fn targets(&mut self, old: Option<&Value>, new: Option<&Value>) {
        let empty = Map::new();
        let [old, new] = [old, new].map(|value| value.and_then(Value::as_object).unwrap_or(&empty));
        let added = new.keys().filter(|path| !old.contains_key(*path)).count();
        let removed = old.keys().filter(|path| !new.contains_key(*path)).count();
        let changed =
            new.iter().filter(|(path, file)| old.get(*path).is_some_and(|old| old != *file)).count();
        if added + removed + changed > 0 {
            let count = new.len();
            self.lines.push(format!(
                "targets: {added} added, {removed} removed, {changed} changed, {count} in all"
            ));
        }
    }

    /// Every other field that differs, as it stands.
    fn fields(&mut self, within: &str, old: &Value, new: &Value, known: &[&str]) {
        let empty = Map::new();
        let [old, new] = [old, new].map(|value| value.as_object().unwrap_or(&empty));
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names.into_iter().filter(|name| !known.contains(&name.as_str())) {
            let (before, after) = (old.get(name), new.get(name));
            if before != after {
                let within = if within.is_empty() { String::new() } else { format!("{within}.") };
                let name = name.escape_debug();
                self.lines.push(format!("{within}{name}: {} → {}", shown(before), shown(after)));
            }
        }
    }
}

/// Name, short ID, scheme and fingerprint of a key.
pub(super) fn describe(id: &str, key: Option<&Key>, names: &Names) -> String {
    let name = names.get(id).map_or("key", String::as_str);
    let short: String = id.chars().take(8).collect();
    let scheme = key.map_or_else(|| "unknown".to_owned(), |key| key.scheme().escape_debug().to_string());
    let print = key.and_then(|key| fingerprint(key.public()?)).unwrap_or_else(|| "unusable".to_owned());
    format!("{name} ({}, {scheme}, SHA256:{print})", short.escape_debug())
}

/// Roles by name in their order: the object of a root, the array of delegations, or succinct hash bins.
fn roles(value: Option<&Value>) -> Vec<(String, Value)> {
    match value {
        Some(Value::Object(roles)) => roles.iter().map(|(name, role)| (name.clone(), role.clone())).collect(),
        Some(Value::Array(roles)) => {
            let named = |role: &Value| Some((role.get("name")?.as_str()?.to_owned(), role.clone()));
            roles.iter().filter_map(named).collect()
        }
        _ => Vec::new(),
    }
}

fn strings(value: Option<&Value>) -> BTreeSet<String> {
    let list = value.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|value| value.as_str().map(str::to_owned)).collect()
}

fn listed<'s>(what: &str, values: impl Iterator<Item = &'s String>) -> Option<String> {
    let values: Vec<String> = values.map(|value| value.escape_debug().to_string()).collect();
    let more = values.len().saturating_sub(SHOWN);
    let shown = values.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!values.is_empty()).then(|| format!("{what}: {shown}{rest}"))
}

fn shown(value: Option<&Value>) -> String {
    let text = value.map_or_else(|| "absent".to_owned(), Value::to_string);
    let short: String = text.chars().take(SHOWN_BYTES).collect();
    let rest = if short.len() < text.len() { "…" } else { "" };
    format!("{}{rest}", short.replace(char::is_control, "?"))
}
