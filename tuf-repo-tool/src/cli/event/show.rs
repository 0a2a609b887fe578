//! An event as text.

use chrono::{DateTime, Utc};
use tuf_repo_tool::event::{DraftReview, Order, Review};

/// The whole review. Who gave no root is told what to compare.
pub(super) fn text(review: &Review, unanchored: bool) -> String {
    let mut lines = vec![
        format!("event   {}", review.id),
        format!("opened  {}", time(review.opened)),
        format!("reason  {}", review.reason),
    ];
    if unanchored {
        lines.push(format!("rests on the root chain whose first root has SHA-256 {}:", review.first_root));
        lines
            .push("        compare it with the root that you know, or give that with --root FILE".to_owned());
    } else {
        lines.push(format!("rests on root {}, which follows from the root that you know", review.root));
    }
    if let Some(recovery) = &review.recovery {
        lines.push(String::new());
        lines.extend([
            format!("RECOVERY from a compromise of {}", recovery.compromised.join(", ")),
            format!("    goes back to snapshot {}: what was published since is dropped, unless it is kept", recovery.known_good),
            "    the new root is NOT dual-signed: from it on, no client accepts anything that the old keys of".to_owned(),
            "    timestamp and snapshot signed, and every client forgets the versions that it saw of them".to_owned(),
        ]);
    }
    if review.order == Order::RootFirst {
        lines.push("order   the root appears first; the others follow when clients have it".to_owned());
    }
    for draft in &review.drafts {
        lines.push(String::new());
        lines.extend(draft_lines(draft));
    }
    lines.push(String::new());
    lines.push(format!("check phrase: {}", review.phrase));
    lines.join("\n")
}

fn draft_lines(draft: &DraftReview) -> Vec<String> {
    let (old, new) = draft.versions;
    let (expired, expires) = draft.expires;
    let mut lines = match (old, expired) {
        (Some(old), Some(expired)) => vec![
            format!("{} {old} → {new}", draft.role),
            format!("    expires {} → {}", time(expired), time(expires)),
        ],
        _ => vec![
            format!("{} {new}, the first file of a new role", draft.role),
            format!("    expires {}", time(expires)),
        ],
    };
    if let Some(old) = old
        && new > old + 1
    {
        lines.push(format!("    skips {} versions that a publisher left unused", new - old - 1));
    }
    lines.extend(draft.changes.iter().map(|change| format!("    {change}")));
    if draft.changes.is_empty() {
        let nothing =
            if old.is_some() { "nothing else changes" } else { "it lists no target and delegates nothing" };
        lines.push(format!("    {nothing}"));
    }
    for who in &draft.signatures {
        let verdict = if who.met { "met" } else { "not met" };
        lines.push(format!("  signatures by {}: {} of {}, {verdict}", who.by, who.distinct, who.threshold));
        lines.extend(who.signed.iter().map(|key| format!("    signed   {key}")));
        lines.extend(who.missing.iter().map(|key| format!("    missing  {key}")));
    }
    lines
}

fn time(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M UTC").to_string()
}
