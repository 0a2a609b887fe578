//! A report in the text format of Prometheus, version 0.0.4.

use std::fmt::{Display, Write};

use super::Report;

/// The content type of that format.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Metrics as text.
#[derive(Debug, Default)]
struct Exposition(String);

impl Exposition {
    /// A metric of this kind with a sample for each value of one label.
    fn labelled<V: Display>(
        &mut self,
        (kind, name, help): (&str, &str, &str),
        label: &str,
        samples: impl IntoIterator<Item = (String, V)>,
    ) {
        self.head(kind, name, help);
        for (of, value) in samples {
            // Into a text, nothing fails.
            let _ = writeln!(self.0, "{name}{{{label}=\"{}\"}} {value}", escaped(&of));
        }
    }

    /// A metric with one sample, or none.
    fn single(&mut self, (kind, name, help): (&str, &str, &str), value: Option<impl Display>) {
        self.head(kind, name, help);
        if let Some(value) = value {
            let _ = writeln!(self.0, "{name} {value}");
        }
    }

    fn head(&mut self, kind: &str, name: &str, help: &str) {
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }
}

/// The value of a label.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The whole report.
pub(super) fn text(report: &Report) -> String {
    let health = report.health();
    let mut out = Exposition::default();
    let version = [(env!("CARGO_PKG_VERSION").to_owned(), 1)];
    out.labelled(("gauge", "tuf_repo_build_info", "The version of tuf-repo."), "version", version);
    let roles = &health.roles;
    out.labelled(
        (
            "gauge",
            "tuf_repo_role_expiry_timestamp_seconds",
            "When clients begin to refuse the role; of hash bins, the first of them.",
        ),
        "role",
        roles.iter().map(|role| (role.role.clone(), role.expires.timestamp())),
    );
    out.labelled(
        (
            "gauge",
            "tuf_repo_role_renewal_timestamp_seconds",
            "From when on the role is signed again; none for a role that another machine signs.",
        ),
        "role",
        roles.iter().filter_map(|role| Some((role.role.clone(), role.renews?.timestamp()))),
    );
    out.labelled(
        ("gauge", "tuf_repo_role_version", "The version published; of hash bins, the highest."),
        "role",
        roles.iter().map(|role| (role.role.clone(), role.version)),
    );
    out.single(
        ("gauge", "tuf_repo_healthy", "Whether /healthz answers with 200."),
        Some(u8::from(health.healthy)),
    );
    out.single(
        ("gauge", "tuf_repo_standby", "Whether another daemon renews, and this one stands by."),
        Some(u8::from(health.standby)),
    );
    out.single(
        ("gauge", "tuf_repo_last_success_timestamp_seconds", "When a round ended well last."),
        report.last_success.map(|time| time.timestamp()),
    );
    for (name, help, value) in [
        ("tuf_repo_rounds_total", "Rounds that ended.", report.rounds),
        ("tuf_repo_failures_total", "Rounds that failed.", report.failures),
        (
            "tuf_repo_busy_total",
            "Rounds that failed because another command or publisher was at work.",
            report.busy,
        ),
        ("tuf_repo_renewals_total", "Rounds that published something.", report.renewals),
    ] {
        out.single(("counter", name, help), Some(value));
    }
    out.single(
        ("gauge", "tuf_repo_postponed_roles", "Kinds of roles that are due and could not be signed here."),
        Some(report.postponed.len()),
    );
    out.single(
        ("gauge", "tuf_repo_pending_events", "Events that wait for signatures."),
        Some(health.events.len()),
    );
    out.labelled(
        ("gauge", "tuf_repo_pending_event_age_seconds", "How long ago the event was opened."),
        "event",
        health.events.iter().map(|event| (event.id.clone(), event.age_seconds)),
    );
    out.0
}
