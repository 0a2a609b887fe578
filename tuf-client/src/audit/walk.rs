//! The walk from the anchor to the last delegated role.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use data_encoding::HEXLOWER;
use futures_util::{StreamExt, stream};
use tuf_core::trust::{Floor, RootChain, Trusted, TrustedSet};
use tuf_core::{
    Delegated, Delegations, Envelope, ErrorKind, Header, Limits, RoleName, TargetPath, Targets, TopLevel,
};

use super::describe::{Grant, accept, describe};
use super::report::{Anchor, FilesReport, Finding, Report};
use super::{AUDIT_BYTES, files, rules};
use crate::client::Client;
use crate::error::{Error, chain as in_words};
use crate::reach::Reach;
use crate::transport::redact;
use crate::url::Url;

/// Expiry is judged apart: at this time nothing has expired.
const BEFORE_EVERYTHING: DateTime<Utc> = DateTime::<Utc>::MIN_UTC;
/// Metadata files fetched at the same time.
const PARALLEL: usize = 8;
/// Three times all hash bins that the clients' limits allow.
const MAX_ROLES: usize = 200_000;

pub(super) async fn walk(
    client: Client,
    limits: Arc<Limits>,
    url: &Url,
    anchor: Option<Arc<[u8]>>,
    files: bool,
    now: DateTime<Utc>,
) -> Result<Report, Error> {
    let supplied = anchor.is_some();
    let anchor = match anchor {
        Some(bytes) => bytes,
        None => match client.fetch_metadata((&TopLevel::Root.role(), "1.root.json", AUDIT_BYTES)).await? {
            Some(bytes) => bytes.into(),
            None => {
                let missing = tuf_core::Error::from(ErrorKind::Missing("1.root.json".to_owned()));
                return Err(client.refused("1.root.json", missing.in_role(&TopLevel::Root.role())));
            }
        },
    };
    let sha256 = HEXLOWER.encode(ring::digest::digest(&ring::digest::SHA256, &anchor).as_ref());
    let report = Report {
        format: "tuf-client.audit/1",
        url: redact(url),
        at: now,
        anchor: Anchor { supplied, sha256 },
        roots: Vec::new(),
        roles: Vec::new(),
        files: files.then(FilesReport::default),
        findings: Vec::new(),
    };
    let walk = Walk {
        client,
        limits,
        now,
        report,
        outside: BTreeMap::new(),
        named: BTreeSet::new(),
        complete: true,
    };
    walk.run(&anchor).await
}

/// A file to be judged.
struct File<'a> {
    role: &'a RoleName,
    delegator: Option<&'a RoleName>,
    name: String,
    fetched: Result<Arc<[u8]>, Finding>,
}

pub(super) struct Walk {
    pub(super) client: Client,
    pub(super) limits: Arc<Limits>,
    pub(super) now: DateTime<Utc>,
    pub(super) report: Report,
    /// For every delegated role seen, its version and the targets that no delegation seen so far reaches.
    outside: BTreeMap<RoleName, (u64, BTreeSet<Box<str>>)>,
    /// Every role that something delegates to.
    named: BTreeSet<RoleName>,
    /// Whether every branch could be followed.
    complete: bool,
}

impl Walk {
    async fn run(mut self, anchor: &Arc<[u8]>) -> Result<Report, Error> {
        let role = TopLevel::Root.role();
        if !self.report.anchor.supplied {
            let message = "trust starts at the 1.root.json that the repository itself serves";
            self.add(
                Finding::warning("anchor-not-supplied", message)
                    .hint("give the root that you got from its operator with --root"),
            );
        }
        let chain = match RootChain::pinned(anchor, Arc::clone(&self.limits)) {
            Ok(chain) => chain,
            Err(error) if self.report.anchor.supplied => return Err(error.into()),
            Err(error) => {
                self.add(rules::refused(&error));
                self.stopped_at(&role);
                return Ok(self.report);
            }
        };
        self.root(anchor, None, Some(chain.root()));
        let chain = self.roots(chain).await?;
        let newest = chain.root();
        self.extend(rules::expiry(&role, &newest.header, rules::stated_life(&newest.extra), self.now));
        self.extend(rules::spec_version(&role, &newest.header));
        self.extend(rules::newest_root(newest));
        let roles = TopLevel::ALL.map(|role| (role.role(), newest.role(role)));
        self.extend(rules::keys(&role, newest.header.version, &newest.keys, &roles));

        if let Some(set) = self.top_level(&chain).await? {
            self.delegations(&set).await;
            self.finish(&set);
        }
        Ok(self.report)
    }

    pub(super) fn add(&mut self, finding: Finding) {
        self.report.findings.push(finding);
    }

    pub(super) fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.report.findings.extend(findings);
    }

    fn stopped_at(&mut self, role: &RoleName) {
        self.complete = false;
        let message = format!("what is behind {role} could not be audited");
        self.add(Finding::note("not-audited", message).about(role, None));
    }

    async fn top_level(&mut self, chain: &RootChain) -> Result<Option<TrustedSet>, Error> {
        let root = chain.finish(BEFORE_EVERYTHING)?;
        let by = TopLevel::Root.role();
        let life = |role: TopLevel| rules::stated_life(&root.root().role(role).extra);

        let role = TopLevel::Timestamp.role();
        let file = self.fetch(&role, None).await;
        let grant = Grant::top_level(root.root(), &by, TopLevel::Timestamp);
        let timestamp = self.judge(file, &grant, |bytes| {
            let timestamp = root.timestamp(bytes, &Floor::default())?;
            let header = timestamp.timestamp().header.clone();
            Ok((timestamp, header, life(TopLevel::Timestamp)))
        });
        let Some(timestamp) = timestamp else {
            self.stopped_at(&role);
            return Ok(None);
        };

        let role = TopLevel::Snapshot.role();
        let version = timestamp.timestamp().snapshot.version;
        let consistent = root.root().consistent_snapshot;
        let file = self.fetch(&role, consistent.then_some(version)).await;
        let grant = Grant::top_level(root.root(), &by, TopLevel::Snapshot);
        let snapshot = self.judge(file, &grant, |bytes| {
            let snapshot = timestamp.snapshot(bytes, &Floor::default())?;
            let header = snapshot.snapshot().header.clone();
            Ok((snapshot, header, life(TopLevel::Snapshot)))
        });
        let Some(snapshot) = snapshot else {
            self.stopped_at(&role);
            return Ok(None);
        };

        let role = TopLevel::Targets.role();
        let version = match snapshot.meta(&role) {
            Ok(meta) => meta.version,
            Err(error) => {
                self.add(rules::refused(&error));
                self.stopped_at(&role);
                return Ok(None);
            }
        };
        let file = self.fetch(&role, consistent.then_some(version)).await;
        let grant = Grant::top_level(root.root(), &by, TopLevel::Targets);
        let set = self.judge(file, &grant, |bytes| {
            let set = snapshot.targets(bytes)?;
            let (header, life) = (set.targets().header.clone(), rules::stated_life(&set.targets().extra));
            Ok((set, header, life))
        });
        if set.is_none() {
            self.stopped_at(&role);
        }
        Ok(set)
    }

    async fn fetch<'a>(&self, role: &'a RoleName, version: Option<u64>) -> File<'a> {
        let name = role.file_name(version);
        let fetched = fetch(&self.client, role, &name).await;
        File { role, delegator: None, name, fetched }
    }

    /// Judges one file: what the machine says of it, and what every file is asked.
    fn judge<T>(
        &mut self,
        file: File<'_>,
        grant: &Grant<'_>,
        verify: impl FnOnce(&Arc<[u8]>) -> Result<(T, Header, Option<TimeDelta>), tuf_core::Error>,
    ) -> Option<T> {
        let File { role, delegator, name, fetched } = file;
        let bytes = match fetched {
            Ok(bytes) => bytes,
            Err(finding) => {
                self.add(finding);
                return None;
            }
        };
        let envelope = Envelope::parse(Arc::clone(&bytes), &self.limits).ok();
        let mut report = describe(role, delegator, name, bytes.len(), envelope.as_ref(), grant);
        let verified = match verify(&bytes) {
            Ok((verified, header, life)) => {
                let version = header.version;
                accept(&mut report, &header, self.now);
                if let Some(envelope) = &envelope {
                    let found = grant.check(envelope);
                    self.extend(rules::signatures(role, version, &found, envelope, grant.keys));
                }
                // What follows is the same for every delegator.
                if !self.outside.contains_key(role) {
                    self.extend(rules::expiry(role, &header, life, self.now));
                    self.extend(rules::spec_version(role, &header));
                    self.extend(rules::size(role, version, bytes.len()));
                }
                Some(verified)
            }
            Err(error) => {
                self.add(rules::refused(&error));
                None
            }
        };
        self.report.roles.push(report);
        verified
    }

    /// Walks the delegations level by level; the files of a level are fetched ahead.
    async fn delegations(&mut self, set: &TrustedSet) {
        let mut visited = HashSet::new();
        let mut level = self.look_into(set, set.targets(), BTreeSet::new(), &mut visited).await;
        while !level.is_empty() {
            let mut next = Vec::new();
            let client = self.client.clone();
            let mut fetches = stream::iter(level)
                .map(|(delegator, role, name)| {
                    let client = client.clone();
                    async move {
                        // A task of its own: it goes on while targets are checked, so no wait is counted twice.
                        let task = tokio::spawn(async move {
                            let fetched = fetch(&client, &role, &name).await;
                            (role, name, fetched)
                        });
                        (delegator, task.await)
                    }
                })
                .buffered(PARALLEL);
            while let Some((delegator, fetched)) = fetches.next().await {
                // A task that is gone was cancelled: the runtime ends.
                let Ok((role, name, fetched)) = fetched else { return };
                if let Some((trusted, missed)) = self.delegated(set, &delegator, &role, name, fetched) {
                    next.extend(self.look_into(set, &trusted, missed, &mut visited).await);
                }
            }
            level = next;
        }
    }

    fn delegated(
        &mut self,
        set: &TrustedSet,
        delegator: &Trusted<Targets>,
        role: &RoleName,
        name: String,
        fetched: Result<Arc<[u8]>, Finding>,
    ) -> Option<(Trusted<Targets>, BTreeSet<Box<str>>)> {
        let delegations = delegator.delegations.as_ref()?;
        let keys = delegations.role_keys(role)?;
        let by = delegator.role_name();
        let grant = Grant { by: (by, delegator.header.version), keys: &delegations.keys, role: &keys };
        let file = File { role, delegator: Some(by), name, fetched };
        let trusted = self.judge(file, &grant, |bytes| {
            let trusted = set.delegated(delegator, role, bytes)?;
            let (header, life) = (trusted.header.clone(), rules::stated_life(&trusted.extra));
            Ok((trusted, header, life))
        });
        let Some(trusted) = trusted else {
            self.complete = false;
            return None;
        };
        let missed = missed(delegations, &trusted);
        Some((trusted, missed))
    }

    /// Looks at what a verified role lists, once for each role; gives the delegations to follow.
    async fn look_into(
        &mut self,
        set: &TrustedSet,
        trusted: &Trusted<Targets>,
        missed: BTreeSet<Box<str>>,
        visited: &mut HashSet<(RoleName, RoleName)>,
    ) -> Vec<(Trusted<Targets>, RoleName, String)> {
        let (role, version) = (trusted.role_name(), trusted.header.version);
        let children =
            trusted.delegations.as_ref().map(|delegations| children(set, delegations)).unwrap_or_default();
        if let Some(report) = self.report.roles.last_mut() {
            report.targets = Some(trusted.targets.len());
            report.delegations = u64::try_from(children.len()).ok();
        }
        if let Some((_, outside)) = self.outside.get_mut(role) {
            outside.retain(|path| missed.contains(path));
            return Vec::new();
        }
        self.outside.insert(role.clone(), (version, missed));
        self.extend(rules::targets(role, version, &trusted.targets));
        if let Some(delegations) = &trusted.delegations {
            if let Delegated::Roles(roles) = &delegations.roles {
                let roles: Vec<_> = roles.iter().map(|role| (role.name, role.keys)).collect();
                let roles: Vec<_> = roles.iter().map(|(name, keys)| (name.clone(), keys)).collect();
                self.extend(rules::keys(role, version, &delegations.keys, &roles));
            } else if let Some((name, keys)) =
                children.first().and_then(|name| Some((name, delegations.role_keys(name)?)))
            {
                self.extend(rules::keys(role, version, &delegations.keys, &[(name.clone(), &keys)]));
            }
            self.extend(rules::shadowed(role, version, delegations));
        }
        if let Some(report) = &mut self.report.files {
            let consistent = set.root().consistent_snapshot;
            let findings = files::check(&self.client, trusted, consistent, report).await;
            self.extend(findings);
        }
        let mut follow = Vec::new();
        for name in children {
            self.named.insert(name.clone());
            match set.meta(&name) {
                Err(error) => {
                    self.add(rules::refused(&error).about(&name, None));
                    self.complete = false;
                }
                Ok(_) if visited.len() >= MAX_ROLES => {
                    if self.complete {
                        self.add(Finding::error("over-limit", format!("more than {MAX_ROLES} delegations")));
                    }
                    self.complete = false;
                }
                Ok(meta) => {
                    let file = name.file_name(set.root().consistent_snapshot.then_some(meta.version));
                    if visited.insert((role.clone(), name.clone())) {
                        follow.push((trusted.clone(), name, file));
                    }
                }
            }
        }
        follow
    }

    /// What can only be said at the end.
    fn finish(&mut self, set: &TrustedSet) {
        for (role, (version, paths)) in std::mem::take(&mut self.outside) {
            self.extend(rules::out_of_scope(&role, version, &paths));
        }
        // Behind a branch that could not be followed there may be delegations to any role.
        if !self.complete {
            return;
        }
        let snapshot = set.snapshot();
        let roles = snapshot.meta.iter().filter_map(|(file, meta)| {
            let name = file.strip_suffix(".json").and_then(|name| RoleName::new(name).ok())?;
            (name.top_level().is_none() && !self.named.contains(&name)).then_some((name, meta.version))
        });
        let findings: Vec<_> = roles
            .map(|(role, version)| {
                let message =
                    format!("snapshot {} lists it, and nothing delegates to it", snapshot.header.version);
                Finding::note("orphan-in-snapshot", message).about(&role, Some(version))
            })
            .collect();
        self.extend(findings);
    }
}

async fn fetch(client: &Client, role: &RoleName, name: &str) -> Result<Arc<[u8]>, Finding> {
    match client.fetch_metadata((role, name, AUDIT_BYTES)).await {
        Ok(Some(bytes)) => Ok(bytes.into()),
        Ok(None) => {
            let missing = tuf_core::Error::from(ErrorKind::Missing(name.to_owned()));
            Err(rules::refused(&missing.in_role(role)))
        }
        Err(error) => {
            let id = if error.is_refusal() { "over-limit" } else { "unreadable" };
            Err(Finding::error(id, in_words(&error)).about(role, None))
        }
    }
}

/// The roles that these delegations lead to. Of succinct hash bins, those that were ever published.
fn children(set: &TrustedSet, delegations: &Delegations) -> Vec<RoleName> {
    match &delegations.roles {
        Delegated::Succinct(bins) => {
            let role = |file: &str| RoleName::new(file.strip_suffix(".json")?).ok();
            let listed = set.snapshot().meta.iter().filter_map(|(file, _)| role(&file));
            listed.filter(|role| bins.contains(role)).collect()
        }
        _ => delegations.role_names(),
    }
}

/// The targets of a role that these delegations to it do not reach.
fn missed(delegations: &Delegations, role: &Trusted<Targets>) -> BTreeSet<Box<str>> {
    let reach = Reach::of(delegations, role.role_name());
    let paths = role.targets.iter().filter_map(|(path, _)| TargetPath::new(path).ok());
    paths
        .filter(|path| !reach.as_ref().is_some_and(|reach| reach.covers(path)))
        .map(|path| path.as_str().into())
        .collect()
}
