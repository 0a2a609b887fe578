//! How much of anything a repository may send, and how strictly it is read.
//!
//! Byte limits stop endless data; counts stop small files that cost much work. Every default says
//! where it comes from.

/// Limits on what is read. The defaults fit every public repository known and a mirror of all of
/// PyPI; [`Limits::default`] is what the clients use.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of one root file. 512,000 as in python-tuf, go-tuf and tuf-js.
    pub root_bytes: u64,
    /// Bytes of `timestamp.json`. 16,384 as in python-tuf.
    pub timestamp_bytes: u64,
    /// Bytes of a snapshot, whatever length the timestamp gives. 2,000,000 as in python-tuf: 16,384
    /// hash bins take 0.6 MB.
    pub snapshot_bytes: u64,
    /// Bytes of a targets file, whatever length the snapshot gives. 5,000,000 as in python-tuf: 16,384
    /// delegations by hash prefix take 3 MB.
    pub targets_bytes: u64,
    /// New roots followed in one refresh; the next refresh goes on from there. 256 as in python-tuf.
    pub root_rotations: u32,
    /// Targets roles visited in one search. 32 as in python-tuf.
    pub visited_roles: u32,
    /// Entries in `signatures`, and with them the signatures that are verified for one file. Tens at most
    /// in practice; webpki's budget is 100 as well.
    pub signatures: usize,
    /// Keys in one file. A root has tens, a file of delegations seldom more than hundreds.
    pub keys: usize,
    /// Delegated roles in one file: 65,536 hash bins.
    pub delegations: usize,
    /// Nesting of arrays and objects. TUF needs 6, `custom` may add its own.
    pub json_depth: u32,
    /// Path patterns or hash prefixes of one delegation: 65,536 prefixes of four digits.
    pub patterns: usize,
    /// Refuse a file that lists a key under another ID than [`Key::id`](crate::Key::id), the SHA-256 of the key (spec
    /// 4.3). Off, as in every client in use: IDs are opaque (TAP 12), and public repositories have others.
    pub strict_key_ids: bool,
}

impl Limits {
    /// For what was read before, under some limits.
    pub(crate) fn none() -> Self {
        Self { keys: usize::MAX, delegations: usize::MAX, patterns: usize::MAX, ..Self::default() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            root_bytes: 512_000,
            timestamp_bytes: 16_384,
            snapshot_bytes: 2_000_000,
            targets_bytes: 5_000_000,
            root_rotations: 256,
            visited_roles: 32,
            signatures: 100,
            keys: 1_024,
            delegations: 65_536,
            json_depth: 64,
            patterns: 65_536,
            strict_key_ids: false,
        }
    }
}
