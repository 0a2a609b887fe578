//! `cargo xtask requirements`: every line of `specs/requirements.toml` and `specs/pep458.toml` names code that is there and a
//! test that is there, or says why it has none; and the pages beside them are those tables, to be read.

use std::collections::BTreeSet;
use std::path::Path;

use toml::{Table, Value};

use super::Failed;
use super::tools::{cargo_tool, output, print};

/// A table of what somebody else asks of us.
struct Register {
    file: &'static str,
    page: &'static str,
    head: &'static str,
}

const REGISTERS: [Register; 2] = [
    Register {
        file: "specs/requirements.toml",
        page: "specs/requirements.md",
        head: "# Requirements\n\nEvery MUST, MUST NOT, SHALL and REQUIRED of the TUF specification 1.0.34 that concerns what is \
               built, in our words: where the code is, and which tests fail without it. Where there is none, or where we do \
               otherwise, the reason. PEP 458 has [a page of its own](pep458.md).\n\nGenerated from \
               [requirements.toml](requirements.toml) by `cargo xtask requirements`; change that file.\n",
    },
    Register {
        file: "specs/pep458.toml",
        page: "specs/pep458.md",
        head: "# PEP 458\n\nWhat PEP 458 asks of an index and its operators, line by line and in our words: how strongly, what \
               becomes of it here, and which tests fail without it. *Operator* is what people must do, with the command that helps \
               them.\n\nGenerated from [pep458.toml](pep458.toml) by `cargo xtask requirements`; change that file.\n",
    },
];

/// What is done with the pages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    /// They are written.
    Write,
    /// They have to be what would be written.
    Check,
}

pub(crate) fn run(page: Page) -> Result<(), Failed> {
    let listing = output(&mut cargo_tool(
        "nextest",
        "0.9.143",
        &["list", "--workspace", "--locked", "--message-format", "oneline"],
    )?)?;
    let tests: BTreeSet<&str> = listing.lines().map(str::trim).collect();
    REGISTERS.iter().try_for_each(|register| register.run(page, &tests))
}

impl Register {
    fn run(&self, page: Page, tests: &BTreeSet<&str>) -> Result<(), Failed> {
        let file = self.file;
        let text = std::fs::read_to_string(file).map_err(|error| Failed(format!("{file}: {error}")))?;
        let table: Table = text.parse().map_err(|error| Failed(format!("{file}: {error}")))?;
        let list = table.get("requirement").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let (mut problems, mut ids) = (Vec::new(), BTreeSet::new());
        let (mut without, mut clauses) = (0_usize, 0);
        for requirement in list.iter().filter_map(Value::as_table) {
            let id = text_of(requirement, "id");
            let mut problem = |what: String| problems.push(format!("{id}: {what}"));
            if id.is_empty() || !ids.insert(id) {
                problem("an id that is empty or stands twice".to_owned());
            }
            for field in ["section", "says"].iter().filter(|field| text_of(requirement, field).is_empty()) {
                problem(format!("no `{field}`"));
            }
            clauses += requirement.get("clauses").and_then(Value::as_integer).unwrap_or_default();
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
        let with = list.len() - without;
        print(&format!(
            "{file}: {with} requirements with code and tests, {without} that do not apply or are not met, with the reason"
        ));
        let wanted = table.get("clauses_in_specification").and_then(Value::as_integer).unwrap_or_default();
        if clauses != wanted {
            problems.push(format!("`clauses` come to {clauses}, and the specification has {wanted}"));
        }
        if list.is_empty() || !problems.is_empty() {
            return Err(Failed(format!("{file}:\n  {}", problems.join("\n  "))));
        }
        let text = self.head.to_owned() + &render(list);
        match page {
            Page::Write => write(self.page, &text),
            Page::Check if std::fs::read_to_string(self.page).is_ok_and(|found| found == text) => Ok(()),
            Page::Check => {
                Err(Failed(format!("{} is not what {file} says: type `cargo xtask requirements`", self.page)))
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a generated page: half of it is written again")]
fn write(page: &str, text: &str) -> Result<(), Failed> {
    std::fs::write(page, text).map_err(|error| Failed(format!("{page}: {error}")))
}

/// A table for each section, in the order of the file.
fn render(list: &[Value]) -> String {
    let mut out = String::new();
    let mut last = "";
    for requirement in list.iter().filter_map(Value::as_table) {
        let section = text_of(requirement, "section");
        if section != last {
            out += &format!("\n## {section}\n\n| Requirement | Code | Tests |\n|---|---|---|\n");
            last = section;
        }
        let code: Vec<String> = list_of(requirement, "code")
            .iter()
            .filter_map(|place| place.split_once(": "))
            .map(|(path, symbol)| format!("[`{symbol}`](../{path})"))
            .collect();
        let tests: Vec<String> =
            list_of(requirement, "tests").iter().map(|test| format!("`{test}`")).collect();
        let word = text_of(requirement, "word");
        let mut says = if word.is_empty() { String::new() } else { format!("**{word}** ") };
        says += text_of(requirement, "says");
        let reason = text_of(requirement, "not_applicable");
        if !reason.is_empty() {
            says += &format!(" *{reason}*");
        }
        let cells = [says, code.join("<br>"), tests.join("<br>")].map(|cell| cell.replace('|', "\\|"));
        out += &format!("| {} |\n", cells.join(" | "));
    }
    out
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
