//! What was reported, and what is printed: Markdown.

use std::collections::BTreeMap;

/// KiB to MiB.
pub(crate) fn mebibytes(peak: u64) -> f64 {
    f64::from(u32::try_from(peak).unwrap_or(u32::MAX)) / 1024.0
}

#[expect(clippy::print_stdout, reason = "its purpose")]
pub(crate) fn print(text: &str) {
    println!("{text}");
}

/// By name, wall and processor time of each run in nanoseconds.
pub(crate) struct Measured(BTreeMap<String, Vec<(f64, f64)>>);

impl Measured {
    pub(crate) fn read(text: &str) -> Self {
        let mut found: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for line in text.lines() {
            let [name, wall, cpu] = *line.split(' ').collect::<Vec<_>>() else { panic!("{line}") };
            found.entry(name.to_owned()).or_default().push((wall.parse().unwrap(), cpu.parse().unwrap()));
        }
        Self(found)
    }

    fn median(&self, name: &str, of: impl Fn(&(f64, f64)) -> f64) -> f64 {
        let mut all: Vec<f64> = self.0.get(name).into_iter().flatten().map(of).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or_default()
    }

    /// The median in milliseconds; 0 if there was none.
    pub(crate) fn wall(&self, name: &str) -> f64 {
        self.median(name, |(wall, _)| wall / 1e6)
    }

    /// As [`Measured::wall`], of the processors.
    pub(crate) fn cpu(&self, name: &str) -> f64 {
        self.median(name, |(_, cpu)| cpu / 1e6)
    }

    /// The median of a number.
    pub(crate) fn count(&self, name: &str) -> f64 {
        self.median(name, |(count, _)| *count)
    }
}

/// What was promised, and what came of it.
#[derive(Default)]
pub(crate) struct Budgets(Vec<String>);

impl Budgets {
    pub(crate) fn at_most(&mut self, work: &str, unit: &str, limit: f64, found: f64) {
        self.add(work, &format!("<= {limit:.1} {unit}"), found, found <= limit);
    }

    pub(crate) fn at_least(&mut self, work: &str, unit: &str, limit: f64, found: f64) {
        self.add(work, &format!(">= {limit:.1} {unit}"), found, found >= limit);
    }

    fn add(&mut self, work: &str, asked: &str, found: f64, met: bool) {
        let word = if met { "met" } else { "**not met**" };
        self.0.push(format!("| {work} | {asked} | {found:.2} | {word} |"));
    }

    pub(crate) fn print(&self) {
        print("\n### Budgets\n\n| Work | Asked | Measured | |\n|---|---|---:|---|");
        self.0.iter().for_each(|line| print(line));
    }
}
