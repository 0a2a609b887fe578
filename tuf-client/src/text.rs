//! What the printed reports share: times, spans of time, and tables for a terminal.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::Serializer;

/// A time as it stands in metadata: `2030-01-31T00:00:00Z`.
#[must_use]
pub fn utc(time: &DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// [`utc`] for `#[serde(serialize_with)]`.
pub(crate) fn serialize_utc<S: Serializer>(time: &DateTime<Utc>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&utc(time))
}

/// A span in its two largest units: `364 d 2 h`, `3 min 5 s`, `-2 h 0 min`.
#[must_use]
pub fn span(span: TimeDelta) -> String {
    let seconds = span.num_seconds();
    let sign = if seconds < 0 { "-" } else { "" };
    let seconds = seconds.unsigned_abs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, seconds / 3_600, seconds / 60) {
        (0, 0, 0) => format!("{sign}{seconds} s"),
        (0, 0, _) => format!("{sign}{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{sign}{hours} h {minutes} min"),
        _ => format!("{sign}{days} d {hours} h"),
    }
}

/// Rows with aligned columns. Columns in `right` (from 0) are aligned to the right, the last column of a
/// row is not padded.
#[must_use]
pub fn table(rows: &[Vec<String>], right: &[usize]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            let width = cell.chars().count();
            match widths.get_mut(column) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let width = *width;
            line += &if right.contains(&column) {
                format!("{cell:>width$}  ")
            } else {
                format!("{cell:<width$}  ")
            };
        }
        out += line.trim_end();
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_show_two_units() {
        for (seconds, text) in [
            (5, "5 s"),
            (185, "3 min 5 s"),
            (7_200, "2 h 0 min"),
            (-7_200, "-2 h 0 min"),
            (31_456_800, "364 d 2 h"),
        ] {
            assert_eq!(span(TimeDelta::seconds(seconds)), text);
        }
    }

    #[test]
    fn columns_line_up() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [row(["a", "1", "x"]), row(["bcd", "234", ""])];
        assert_eq!(table(&rows, &[1]), "a      1  x\nbcd  234\n");
    }
}
