//! The end of a log: what the next line has to go on from. Only as much is read as that takes.

use super::line::{Line, NOTHING, sha256};

/// How much is read at first; most lines have less.
const CHUNK: u64 = 8 * 1024;

/// Where a log ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    /// The number of the last whole line; 0: there is none.
    pub(super) n: u64,
    /// What the next line has as the one before.
    pub(super) previous: String,
    /// How many bytes lie after the last whole line, if there are any.
    pub(super) torn: Option<u64>,
    /// Whether the end of a line must be written first.
    pub(super) open: bool,
}

/// Finds the end of a log of `length` bytes; `read` gives the bytes from an offset on.
pub(super) fn tail<E>(length: u64, read: impl FnMut(u64) -> Result<Vec<u8>, E>) -> Result<Tail, E> {
    let empty = Tail { n: 0, previous: NOTHING.to_owned(), torn: None, open: false };
    let found = last(length, u64::MAX, read, |line| Some(line.n))?;
    Ok(match found {
        Found { bytes, .. } if bytes.is_empty() => empty,
        Found { bytes, line } => {
            let open = bytes.last() != Some(&b'\n');
            let record = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
            let (n, whole) = line.map_or((0, 0), |(n, length)| (n, length + 1));
            let torn = record.len().checked_sub(whole).and_then(|torn| u64::try_from(torn).ok());
            Tail { n, previous: sha256(record), torn, open }
        }
    })
}

/// What `want` finds in the last line in which it finds something, if that is among the last `most` bytes.
pub(super) fn latest<T, E>(
    length: u64,
    most: u64,
    read: impl FnMut(u64) -> Result<Vec<u8>, E>,
    want: impl Fn(&Line) -> Option<T>,
) -> Result<Option<T>, E> {
    Ok(last(length, most, read, want)?.line.map(|(found, _)| found))
}

struct Found<T> {
    /// The line and all that follows, or all that was read.
    bytes: Vec<u8>,
    /// What was found, and the length of the line.
    line: Option<(T, usize)>,
}

fn last<T, E>(
    length: u64,
    most: u64,
    mut read: impl FnMut(u64) -> Result<Vec<u8>, E>,
    want: impl Fn(&Line) -> Option<T>,
) -> Result<Found<T>, E> {
    let mut size = CHUNK;
    loop {
        let start = length.saturating_sub(size);
        let mut bytes = read(start)?;
        // A line that begins before is left out.
        let from = match start {
            0 => 0,
            _ => bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1),
        };
        let mut end = bytes.len();
        while end > from {
            let text = bytes.get(from..end).unwrap_or_default();
            let text = text.strip_suffix(b"\n").unwrap_or(text);
            let begin = text.iter().rposition(|byte| *byte == b'\n').map_or(from, |at| from + at + 1);
            let text = bytes.get(begin..from + text.len()).unwrap_or_default();
            if let Some(found) = Line::parse(text).ok().as_ref().and_then(&want) {
                let length = text.len();
                return Ok(Found { bytes: bytes.split_off(begin), line: Some((found, length)) });
            }
            end = begin;
        }
        if start == 0 || size >= most {
            return Ok(Found { bytes, line: None });
        }
        size = size.saturating_mul(2);
    }
}
