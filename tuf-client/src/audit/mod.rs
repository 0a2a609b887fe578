//! Audits a repository: the same trust machine as the client's, collecting findings instead of stopping at
//! the first.
//!
//! ```no_run
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! use tuf_client::audit::{Audit, Severity};
//!
//! let report = Audit::of("https://mirror.example/".parse()?).anchor(std::fs::read("root.json")?).run().await?;
//! print!("{}", report.to_text(|_, word| word.to_owned()));
//! assert!(!report.fails(Severity::Warning));
//! # Ok(())
//! # }
//! ```
//!
//! It walks every root from the anchor upward, then timestamp, snapshot, targets and every delegated role, once
//! for each delegator, and every target entry. The machine runs at a time at which nothing has expired, so that
//! expired metadata does not hide what is behind it; expiry is judged apart. Behind a file that fails
//! verification nothing is believed: it is reported, and the walk goes on with the branches that are left.
//! Nothing is stored.
//!
//! [`Report`] is also the JSON document: `format` (`tuf-client.audit/1`), `url`, `at`, `anchor`
//! (`supplied`, `sha256`), `roots` and `roles` (lists of [`RoleReport`]), `files` ([`FilesReport`] or null),
//! `findings` (list of [`Finding`]: `severity`, `id`, `role`, `version`, `message`, `hint`). Fields are
//! added, never renamed. `id` is one of:
//!
//! | Severity | `id` |
//! |---|---|
//! | error | `threshold` `threshold-unreachable` `expired` `missing-file` `length-mismatch` `hash-mismatch` `version-mismatch` `root-rollback` `root-gap` `role-not-in-snapshot` `duplicate-signature` `malformed` `wrong-type` `no-known-hash` `unreadable-spec-version` `over-limit` `unreadable` `refused` `target-path` `target-no-known-hash` `target-missing` `target-length` `target-hash` `target-unreadable` |
//! | warning | `anchor-not-supplied` `demonstration` `expires-soon` `root-threshold-1` `root-key-online` `key-under-two-ids` `invalid-signature` `size-limit` `no-consistent-snapshot` `target-without-sha256` `target-out-of-scope` |
//! | note | `root-key-reused` `unusable-key` `unknown-key-id` `key-id-not-standard` `old-spec-version` `orphan-in-snapshot` `shadowed-delegation` `not-audited` |

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::client::{Client, ClientBuilder};
use crate::error::Error;
use crate::transport::Transport;
use crate::url::Url;
use crate::{Limits, clock};

mod describe;
mod files;
mod report;
mod roots;
mod rules;
mod text;
mod walk;

pub use report::{Anchor, FilesReport, Finding, KeyReport, Report, RoleReport, Severity, SeverityError};

/// More than any client reads, so that what is too large for them can be looked at: 64 MiB.
const AUDIT_BYTES: u64 = 64 * 1024 * 1024;

/// An audit to be made.
#[derive(Debug)]
pub struct Audit {
    builder: ClientBuilder,
    url: Url,
    anchor: Option<Arc<[u8]>>,
    files: bool,
    at: DateTime<Utc>,
}

impl Audit {
    /// Audits the repository at `url`, now.
    #[must_use]
    pub fn of(url: Url) -> Self {
        // The client here only fetches: what to trust is the walk's business.
        let builder = Client::builder(Vec::new(), url.clone());
        Self { builder, url, anchor: None, files: false, at: clock::now() }
    }

    /// Starts at this root. Without it, trust starts at the `1.root.json` that the repository serves, and the
    /// first finding says so.
    #[must_use]
    pub fn anchor(mut self, root: impl Into<Arc<[u8]>>) -> Self {
        self.anchor = Some(root.into());
        self
    }

    /// Whether every target is fetched and checked too. Default: no.
    #[must_use]
    pub const fn files(mut self, files: bool) -> Self {
        self.files = files;
        self
    }

    /// Judges expiry by this time.
    #[must_use]
    pub const fn at(mut self, at: DateTime<Utc>) -> Self {
        self.at = at;
        self
    }

    /// How bytes are fetched; see [`ClientBuilder::transport`].
    #[must_use]
    pub fn transport(mut self, transport: impl Transport + 'static) -> Self {
        self.builder = self.builder.transport(transport);
        self
    }

    /// Makes the audit.
    ///
    /// # Errors
    /// If nothing could be audited: the repository cannot be reached, has no `1.root.json` while no anchor was
    /// given, or the anchor is no root.
    pub async fn run(self) -> Result<Report, Error> {
        let mut limits = Limits::default();
        for bytes in [
            &mut limits.root_bytes,
            &mut limits.timestamp_bytes,
            &mut limits.snapshot_bytes,
            &mut limits.targets_bytes,
        ] {
            *bytes = AUDIT_BYTES;
        }
        let client = self.builder.limits(limits.clone()).build()?;
        walk::walk(client, Arc::new(limits), &self.url, self.anchor, self.files, self.at).await
    }
}
