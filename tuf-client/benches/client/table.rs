//! What is printed: Markdown.

use std::time::Duration;

use crate::measured::Cost;

pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

pub(crate) fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}

/// KiB to MiB.
pub(crate) fn mebibytes(peak: u64) -> f64 {
    f64::from(u32::try_from(peak).unwrap_or(u32::MAX)) / 1024.0
}

#[expect(clippy::print_stdout, reason = "its purpose")]
pub(crate) fn print(text: &str) {
    println!("{text}");
}

/// One table of clients for one piece of work; the first is the one the others are compared with.
pub(crate) fn clients(title: &str, rows: &[(&str, Result<Cost, String>)]) {
    print(&format!("\n### {title}\n"));
    print("| Client | wall ms | cpu ms | peak MiB | wall / tuf-client |\n|---|---:|---:|---:|---:|");
    let ours = rows.first().and_then(|(_, cost)| cost.as_ref().ok());
    for (name, cost) in rows {
        match cost {
            Err(why) => print(&format!("| {name} | {} | | | |", why.replace('|', "/"))),
            Ok(cost) => {
                let times = ours.map_or_else(String::new, |ours| {
                    let mut text = format!("{:.2}", ratio(cost.wall, ours.wall));
                    text.truncate(6);
                    text
                });
                print(&format!(
                    "| {name} | {:.1} | {:.1} | {:.1} | {times} |",
                    milliseconds(cost.wall),
                    milliseconds(cost.cpu),
                    mebibytes(cost.peak)
                ));
            }
        }
    }
}

/// What was promised, and what came of it.
#[derive(Default)]
pub(crate) struct Budgets(Vec<String>);

impl Budgets {
    pub(crate) fn at_most(&mut self, work: &str, unit: &str, limit: f64, found: f64) {
        self.add(work, &format!("<= {limit} {unit}"), found, found <= limit);
    }

    pub(crate) fn at_least(&mut self, work: &str, unit: &str, limit: f64, found: f64) {
        self.add(work, &format!(">= {limit} {unit}"), found, found >= limit);
    }

    fn add(&mut self, work: &str, asked: &str, found: f64, met: bool) {
        let word = if met { "met" } else { "**not met**" };
        self.0.push(format!("| {work} | {asked} | {found:.2} | {word} |"));
    }

    pub(crate) fn print(&self) {
        if self.0.is_empty() {
            return;
        }
        print("\n### Budgets\n\n| Work | Asked | Measured | |\n|---|---|---:|---|");
        for line in &self.0 {
            print(line);
        }
    }
}
