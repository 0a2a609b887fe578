//! The one place that reads the system clock.
//!
//! Everything else takes the time as a parameter: TUF fixes it once per refresh (spec 5.1), and what takes time
//! as a value can be tested at any date.

use chrono::{DateTime, Utc};

/// The system's idea of the present, in UTC.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place")]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}
