//! `inspect`: one file.

use std::path::Path;
use std::process::ExitCode;

use tuf_client::{chain, clock, inspect};

use super::Global;
use super::error::Failure;
use super::open::read;
use super::output::Output;

pub(crate) fn inspect(global: &Global, file: &Path, out: &Output) -> Result<ExitCode, Failure> {
    let root = global.root.as_deref().map(read).transpose()?;
    let said = inspect::inspect(&read(file)?, root.as_deref(), clock::now())
        .map_err(|error| Failure::new(format!("{}: {}", file.display(), chain(&error))))?;
    out.result(|| said.to_text(), || serde_json::to_value(&said).unwrap_or_default())?;
    Ok(ExitCode::SUCCESS)
}
