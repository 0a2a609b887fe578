//! The report for a terminal.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::report::{Finding, Report, RoleReport, Severity};
use crate::text::{span, table, utc};

/// Siblings in the tree, and findings of one kind, beyond which only a number is shown; JSON has all.
const SHOWN: usize = 8;

impl Report {
    /// The report as text. `paint` may colour a severity's word.
    #[must_use]
    pub fn to_text(&self, paint: impl Fn(Severity, &str) -> String) -> String {
        let mut out = format!("audit of {} at {}\n", self.url, utc(&self.at));
        let origin = if self.anchor.supplied { "supplied" } else { "not supplied, 1.root.json as served" };
        out += &format!("anchor: {origin}, sha256 {}\n\n", self.anchor.sha256);
        out += &self.roles_text();
        if let Some(files) = &self.files {
            out += &format!(
                "\nfiles: {} checked ({} bytes), {} wrong\n",
                files.checked, files.bytes, files.failed
            );
        }
        out += &self.findings_text(&paint);
        let counts = Severity::ALL.map(|severity| {
            let (count, plural) = (self.count(severity), if self.count(severity) == 1 { "" } else { "s" });
            format!("{count} {severity}{plural}")
        });
        out + &format!("\n{}\n", counts.join(", "))
    }

    fn roles_text(&self) -> String {
        let heads = ["ROLE", "VERSION", "EXPIRES", "LEFT", "BYTES", "TARGETS", "SIGNED", "BY", "NOT BY"];
        let mut rows = vec![heads.map(str::to_owned).to_vec()];
        rows.extend(self.roots.iter().map(|role| row(role, 0)));
        let mut children: BTreeMap<&str, Vec<&RoleReport>> = BTreeMap::new();
        for role in &self.roles {
            match &role.delegator {
                Some(delegator) => children.entry(delegator).or_default().push(role),
                None => rows.push(row(role, 0)),
            }
        }
        let mut tree = Tree { children, pending: Vec::new() };
        tree.open("targets", 1);
        while let Some((line, depth)) = tree.pending.pop() {
            match line {
                Line::Role(role) => {
                    rows.push(row(role, depth));
                    tree.open(&role.role, depth.saturating_add(1));
                }
                Line::More(count) => rows.push(vec![format!("{}… {count} more", indent(depth))]),
            }
        }
        table(&rows, &[1, 4, 5])
    }

    fn findings_text(&self, paint: &impl Fn(Severity, &str) -> String) -> String {
        let mut out = String::new();
        let mut of_kind: BTreeMap<&str, usize> = BTreeMap::new();
        for finding in &self.findings {
            let count = of_kind.entry(finding.id).or_default();
            *count += 1;
            if *count <= SHOWN {
                out += &finding_text(finding, paint);
            }
        }
        for (id, count) in of_kind.into_iter().filter(|(_, count)| *count > SHOWN) {
            out += &format!("… and {} more {id}; JSON has all\n", count.saturating_sub(SHOWN));
        }
        if out.is_empty() { out } else { format!("\n{out}") }
    }
}

/// The delegations, depth first; the children of a role are shown once, below its first place.
struct Tree<'a> {
    children: BTreeMap<&'a str, Vec<&'a RoleReport>>,
    pending: Vec<(Line<'a>, usize)>,
}

enum Line<'a> {
    More(usize),
    Role(&'a RoleReport),
}

impl Tree<'_> {
    fn open(&mut self, role: &str, depth: usize) {
        let all = self.children.remove(role).unwrap_or_default();
        if all.len() > SHOWN {
            self.pending.push((Line::More(all.len().saturating_sub(SHOWN)), depth));
        }
        let shown = all.into_iter().take(SHOWN).rev();
        self.pending.extend(shown.map(|role| (Line::Role(role), depth)));
    }
}

fn finding_text(finding: &Finding, paint: &impl Fn(Severity, &str) -> String) -> String {
    let severity = paint(finding.severity, &format!("{:<7}", finding.severity));
    let about = match (&finding.role, finding.version) {
        (Some(role), Some(version)) => format!("{role} {version}: "),
        (Some(role), None) => format!("{role}: "),
        _ => String::new(),
    };
    let mut out = format!("{severity}  {}: {about}{}\n", finding.id, finding.message);
    if let Some(hint) = finding.hint {
        out += &format!("         hint: {hint}\n");
    }
    out
}

fn indent(depth: usize) -> String {
    "  ".repeat(depth.min(16))
}

fn row(role: &RoleReport, depth: usize) -> Vec<String> {
    let short = |ids: &[String]| match ids {
        [] => "-".to_owned(),
        ids => ids.iter().map(|id| id.chars().take(8).collect()).collect::<Vec<String>>().join(" "),
    };
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let refused = if role.accepted { "" } else { " (refused)" };
    vec![
        format!("{}{}{refused}", indent(depth), role.role),
        or_dash(role.version.map(|version| version.to_string())),
        or_dash(role.expires.clone()),
        or_dash(role.expires_in.and_then(TimeDelta::try_seconds).map(span)),
        role.bytes.to_string(),
        or_dash(role.targets.map(|targets| targets.to_string())),
        format!("{}/{} of {}", role.signed.len(), role.threshold, role.keys.len()),
        short(&role.signed),
        short(&[&role.missing[..], &role.invalid[..]].concat()),
    ]
}
