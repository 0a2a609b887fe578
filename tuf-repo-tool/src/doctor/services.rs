//! What this machine needs of others: storage, database, time, and the server before clients.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::task::block_in_place;
use tokio::time::timeout;
use tuf_client::text::span;
use tuf_client::transport::{HttpOptions, HttpTransport, redact};
use tuf_client::{Url, env};

use super::Check;
use crate::error::Error;
use crate::publish::clock::{self, TOLERANCE};
use crate::repository::{Published, Repository};
use crate::state::State;
use crate::storage::Swap;
use crate::verify::served;

/// How long a server may take to say what time it is.
const ANSWER: Duration = Duration::from_secs(10);

const SET_CLOCK: &str =
    "set this machine's clock, and let NTP keep it: what is signed with a wrong one expires at a wrong time";

/// Whether published files can be read, and what keeps publishers apart.
pub(super) fn storage(repository: &Repository, checks: &mut Vec<Check>) -> bool {
    let storage = repository.storage();
    let url = storage.url();
    let anchor = block_in_place(|| storage.length(&Repository::metadata_path("1.root.json")));
    match anchor {
        Err(error) => {
            checks.push(Check::failed("storage", &error.into()));
            return false;
        }
        Ok(None) => {
            let check = Check::error("storage", format!("{url} has no metadata/1.root.json")).unsafe_if(true);
            checks.push(check.hint(
                "is this the storage of this repository? else restore it from a copy: root.json is it if there was no other root",
            ));
            return false;
        }
        Ok(Some(_)) => {}
    }
    checks.push(match (block_in_place(|| storage.swaps()), &repository.config.state) {
        (Ok(Swap::Atomic), _) if storage.local().is_some() => {
            Check::ok("storage", format!("{url} can be read"))
        }
        (Ok(Swap::Atomic), _) => {
            Check::ok("storage", format!("{url} can be read and keeps the conditions of puts"))
        }
        (Ok(Swap::Unguarded), Some(_)) => {
            let message = format!(
                "{url} does not keep the conditions of puts: the lease in the database keeps publishers apart"
            );
            Check::warning("storage", message).hint("that is weaker; a server that knows If-Match is better")
        }
        (Ok(Swap::Unguarded), None) => Check::failed("storage", &Error::Unguarded { storage: url }),
        (Err(error), _) => Check::failed("storage", &error.into()),
    });
    true
}

/// The database answers, has a schema that this program knows, and is this repository's.
pub(super) async fn state(repository: &Repository, reachable: bool, checks: &mut Vec<Check>) {
    let config = &repository.config;
    if config.state.is_none() && !repository.state().join("state.db").exists() {
        return checks.push(Check::ok("state", "no database yet: nothing was staged on this machine"));
    }
    let opened = async {
        let state = State::open(config.state.as_ref(), &repository.state()).await?;
        if reachable {
            state.bind(&repository.first_root()?).await?;
        }
        state.mark().await?;
        Ok::<_, Error>(state)
    };
    checks.push(match opened.await {
        Ok(state) => Check::ok("state", format!("{} answers", state.place())),
        Err(error) => Check::failed("state", &error),
    });
}

/// This machine's clock, against what was signed and against servers that say what time it is.
pub(super) async fn clock(repository: &Repository, published: Option<&Published>, checks: &mut Vec<Check>) {
    let mut told = Vec::new();
    if let Some((_, behind)) = published.and_then(|published| clock::behind(repository, published))
        && behind > TOLERANCE
    {
        let message = format!("this machine's clock is {} behind what was signed", span(behind));
        checks.push(Check::error("clock", message).unsafe_if(true).hint(SET_CLOCK));
        told.push("what was signed".to_owned());
    }
    let mut servers = Vec::new();
    if let Some(url) = &repository.config.public_url {
        servers.push((url.to_string(), None));
    }
    let endpoint = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"].into_iter().find_map(env::var);
    if let Some(endpoint) = endpoint.filter(|_| repository.storage().local().is_none()) {
        servers.push((endpoint, env::var("AWS_CA_BUNDLE").map(PathBuf::from)));
    }
    let mut agree = Vec::new();
    for (url, authorities) in servers {
        let name = Url::parse(&url).map_or_else(|_| "a server".to_owned(), |url| redact(&url));
        // A server that is down, or says no time, was or will be found as such.
        let Some(time) = date(&url, authorities).await else { continue };
        let off = repository.now() - time;
        if off.abs() > TOLERANCE {
            let direction = if off < TimeDelta::zero() { "behind" } else { "ahead of" };
            let message = format!("this machine's clock is {} {direction} that of {name}", span(off.abs()));
            checks.push(Check::error("clock", message).unsafe_if(true).hint(SET_CLOCK));
            told.push(name);
        } else {
            agree.push(name);
        }
    }
    if told.is_empty() {
        let by =
            if agree.is_empty() { "not before the published timestamp".to_owned() } else { agree.join(", ") };
        checks.push(Check::ok("clock", format!("this machine's clock agrees: {by}")));
    }
}

/// The time by a server's `Date`.
async fn date(url: &str, authorities: Option<PathBuf>) -> Option<DateTime<Utc>> {
    let mut options = HttpOptions::default();
    options.ca_file = authorities;
    let transport = HttpTransport::new(options).ok()?;
    let response = timeout(ANSWER, transport.client().head(url).send()).await.ok()?.ok()?;
    let date = response.headers().get("date")?.to_str().ok()?;
    DateTime::parse_from_rfc2822(date).ok().map(|date| date.to_utc())
}

/// What clients get is what is published.
pub(super) async fn public_url(
    repository: &Repository,
    published: Option<&Published>,
    checks: &mut Vec<Check>,
) {
    let (Some(url), Some(published)) = (&repository.config.public_url, published) else { return };
    let expected = published.set().timestamp().header.version;
    let found = async {
        let root = repository.first_root()?;
        let url = Url::parse(url.as_str())
            .map_err(|error| Error::NotServed { url: "public_url".to_owned(), reason: error.to_string() })?;
        let not_served = |reason| Error::NotServed { url: redact(&url), reason };
        match served(&root, &url).await {
            Ok(version) if version == expected => Ok(redact(&url)),
            Ok(version) => Err(not_served(format!("expected timestamp {expected}, found {version}"))),
            Err(error) => Err(not_served(tuf_client::chain(&error))),
        }
    };
    checks.push(match found.await {
        Ok(url) => Check::ok("public-url", format!("{url} serves timestamp {expected}")),
        Err(error) => Check::failed("public-url", &error),
    });
}
