//! `cargo xtask requirements`: every line of `specs/requirements.toml` names code that is there and a test that
//! is there, or says why it has none.

use std::collections::BTreeSet;
use std::path::Path;

use toml::{Table, Value};

use super::Failed;
use super::tools::{cargo_tool, output, print};

const FILE: &str = "specs/requirements.toml";

pub(crate) fn run() -> Result<(), Failed> {
    let text = std::fs::read_to_string(FILE).map_err(|error| Failed(format!("{FILE}: {error}")))?;
    let table: Table = text.parse().map_err(|error| Failed(format!("{FILE}: {error}")))?;
    let list = table.get("requirement").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let listing = output(&mut cargo_tool(
        "nextest",
        "0.9.143",
        &["list", "--workspace", "--locked", "--message-format", "oneline"],
    )?)?;
    let tests: BTreeSet<&str> = listing.lines().map(str::trim).collect();

    let mut problems = Vec::new();
    let mut ids = BTreeSet::new();
    let mut without = 0_usize;
    for requirement in list.iter().filter_map(Value::as_table) {
        let id = text_of(requirement, "id");
        let mut problem = |what: String| problems.push(format!("{id}: {what}"));
        if id.is_empty() || !ids.insert(id) {
            problem("an id that is empty or stands twice".to_owned());
        }
        for field in ["section", "says"].iter().filter(|field| text_of(requirement, field).is_empty()) {
            problem(format!("no `{field}`"));
        }
        let [code, named] = ["code", "tests"].map(|field| list_of(requirement, field));
        if !text_of(requirement, "not_applicable").is_empty() {
            without += 1;
        } else if code.is_empty() || named.is_empty() {
            problem("needs `code` and `tests`, or `not_applicable`".to_owned());
        }
        for test in named.iter().filter(|test| !tests.contains(*test)) {
            problem(format!("there is no test {test:?}"));
        }
        code.iter().filter_map(|place| missing(place)).for_each(problem);
    }
    print(&format!(
        "{} requirements: {} with code and tests, {without} that do not apply or are not met, with the reason",
        list.len(),
        list.len() - without
    ));
    if list.is_empty() || !problems.is_empty() {
        return Err(Failed(format!("{FILE}:\n  {}", problems.join("\n  "))));
    }
    Ok(())
}

/// What is wrong with `path: Type::name`: the file must be there, and every part of the name in it.
fn missing(place: &str) -> Option<String> {
    let Some((path, symbol)) = place.split_once(": ") else {
        return Some(format!("{place:?} is not `file: symbol`"));
    };
    let Ok(source) = std::fs::read_to_string(Path::new(path)) else {
        return Some(format!("there is no file {path:?}"));
    };
    let words: BTreeSet<&str> = source.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let part = symbol.split("::").find(|part| !words.contains(part))?;
    Some(format!("{path} has no {part:?}"))
}

fn text_of<'a>(table: &'a Table, field: &str) -> &'a str {
    table.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn list_of<'a>(table: &'a Table, field: &str) -> Vec<&'a str> {
    let list = table.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).collect()
}
