//! A log, line by line, with what lies between the lines.

use std::io::{self, BufRead};

use data_encoding::HEXLOWER;
use ring::digest;

use super::line::{Line, NOTHING};

/// A line where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// Which line of the file it is, from 1 on, counting what is no line of the log as well.
    pub number: u64,
    /// What it says.
    pub line: Line,
    /// The sha256 of its text, in hex.
    pub hash: String,
    /// What the line must have as the one before: the sha256 of that and what follows it.
    pub before: String,
    /// How many bytes lie before it that are no line.
    pub torn: Option<u64>,
}

/// What is behind the last line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct End {
    /// The sha256 of the last line; [`NOTHING`]: there is none.
    pub head: String,
    /// How many bytes lie after it.
    pub torn: Option<u64>,
}

/// Reads a log, and gives each line.
///
/// # Errors
/// Those of reading, and of `each`.
pub fn read<E: From<io::Error>>(
    mut from: impl BufRead,
    mut each: impl FnMut(Found) -> Result<(), E>,
) -> Result<End, E> {
    let (mut record, mut torn): (Option<digest::Context>, Option<u64>) = (None, None);
    let mut end = End { head: NOTHING.to_owned(), torn: None };
    let mut text = Vec::new();
    for number in 1.. {
        text.clear();
        if from.read_until(b'\n', &mut text)? == 0 {
            break;
        }
        let text = text.strip_suffix(b"\n").unwrap_or(&text);
        let Ok(line) = Line::parse(text) else {
            let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
            // Ends of lines count but for the last.
            torn = Some(torn.map_or(length, |torn| torn.saturating_add(length).saturating_add(1)));
            let began = record.is_some();
            let record = record.get_or_insert_with(|| digest::Context::new(&digest::SHA256));
            if began {
                record.update(b"\n");
            }
            record.update(text);
            continue;
        };
        let mut this = digest::Context::new(&digest::SHA256);
        this.update(text);
        let hex = |context: digest::Context| HEXLOWER.encode(context.finish().as_ref());
        let before = record.replace(this.clone()).map_or_else(|| NOTHING.to_owned(), hex);
        end.head = hex(this);
        each(Found { number, line, hash: end.head.clone(), before, torn: torn.take() })?;
    }
    end.torn = torn;
    Ok(end)
}
