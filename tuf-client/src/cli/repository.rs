//! `init`, `refresh`, `list`, `info`: what the trusted repository says.

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde_json::{Map, Value, json};
use tuf_client::text::{span, table, utc};
use tuf_client::{TargetPath, View, clock, listing};
use tuf_core::TargetFile;

use super::Global;
use super::error::Failure;
use super::open;
use super::output::Output;

pub(crate) fn init(global: &Global, out: &Output) -> Result<ExitCode, Failure> {
    for (missing, option) in [(global.root.is_none(), "--root FILE"), (global.url.is_empty(), "--url URL")] {
        if missing {
            let hint =
                "the root file is the trust anchor: get it from the repository's operator, not from the URL";
            return Err(Failure::new(format!("init needs {option}")).hint(hint));
        }
    }
    let store = open::store(global)?;
    let directory = store.directory().display().to_string();
    out.result(
        || format!("{directory}\n"),
        || json!({ "store": directory, "url": tuf_client::transport::redact(store.url()) }),
    )?;
    out.say(&format!("initialised; next: tuf-client --store {directory} refresh"));
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn refresh(global: &Global, out: &Output) -> Result<ExitCode, Failure> {
    let view = open::client(global)?.refresh().await?;
    open::announce(&view, out);
    let set = view.trusted();
    let rows = [
        ("root", set.root().header.clone()),
        ("timestamp", set.timestamp().header.clone()),
        ("snapshot", set.snapshot().header.clone()),
        ("targets", set.targets().header.clone()),
    ];
    let now = clock::now();
    let text = || {
        let lines = rows.iter().map(|(role, header)| {
            let left = header.expires.signed_duration_since(now);
            let left =
                if left.num_seconds() > 0 { format!("in {}", span(left)) } else { "expired".to_owned() };
            vec![
                (*role).to_owned(),
                header.version.to_string(),
                format!("expires {} ({left})", utc(&header.expires)),
            ]
        });
        table(&lines.collect::<Vec<_>>(), &[1])
    };
    let json = || {
        let roles = rows.iter().map(|(role, header)| {
            ((*role).to_owned(), json!({ "version": header.version, "expires": utc(&header.expires) }))
        });
        json!({
            "roles": roles.collect::<Map<_, _>>(),
            "expires": utc(&view.expires()),
            "offline": view.is_offline(),
            "stale": view.is_stale(),
            "warnings": view.warnings().iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    };
    out.result(text, json)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn list(global: &Global, pattern: Option<&str>, out: &Output) -> Result<ExitCode, Failure> {
    let roles = open::client(global)?
        .with_view(async |view: View| {
            open::announce(&view, out);
            let roles = view.roles().await?;
            view.save().await?;
            Ok(roles)
        })
        .await?;
    let listed: BTreeMap<_, _> = listing::targets(&roles)
        .into_iter()
        .filter(|(path, _)| pattern.is_none_or(|pattern| listing::selects(pattern, path)))
        .collect();
    let text = || {
        let rows: Vec<_> =
            listed.iter().map(|(path, (_, file))| vec![file.length.to_string(), path.to_string()]).collect();
        table(&rows, &[0])
    };
    let json = || {
        let targets = listed.iter().map(|(path, (role, file))| target_json(path, role.as_str(), file));
        json!({ "targets": targets.collect::<Vec<_>>() })
    };
    out.result(text, json)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn info(global: &Global, target: &str, out: &Output) -> Result<ExitCode, Failure> {
    let path = TargetPath::new(target).map_err(tuf_client::Error::from)?;
    let target = open::client(global)?
        .with_view(async |view: View| {
            open::announce(&view, out);
            let target = view.require(&path).await?;
            view.save().await?;
            Ok(target)
        })
        .await?;
    let text = || {
        let mut rows = vec![
            vec!["path".to_owned(), path.to_string()],
            vec!["length".to_owned(), target.file.length.to_string()],
        ];
        rows.extend(target.file.hashes.iter().map(|(algorithm, sum)| {
            vec![algorithm.escape_debug().to_string(), sum.escape_debug().to_string()]
        }));
        rows.push(vec!["signed by".to_owned(), target.role.to_string()]);
        if let Some(custom) = &target.file.custom {
            rows.push(vec!["custom".to_owned(), custom.as_canonical().escape_debug().to_string()]);
        }
        table(&rows, &[])
    };
    out.result(text, || target_json(&path, target.role.as_str(), &target.file))?;
    Ok(ExitCode::SUCCESS)
}

/// A target as every command's JSON shows it.
pub(crate) fn target_json(path: &TargetPath, role: &str, file: &TargetFile) -> Value {
    let hashes: Map<_, _> = file.hashes.iter().map(|(name, sum)| (name.to_owned(), sum.into())).collect();
    let custom = file.custom.as_ref().map(tuf_core::Json::to_value);
    json!({ "path": path.as_str(), "length": file.length, "hashes": hashes, "role": role, "custom": custom })
}
