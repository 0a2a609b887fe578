//! `cargo xtask api`: what others can name of the libraries, one line each, in `specs/api/`, so that a change of it is
//! seen where changes are looked at.
//!
//! The listing is made of rustdoc's JSON, which is no stable output: its form, and how types of the standard library are
//! called, belong to a release of Rust. So it is compared with the release that wrote it, and with no other.

use std::path::Path;

use public_api::Builder;

use super::Failed;
use super::tools::{cargo, output, print, run, say};

/// Who writes the listings. With another one, write them anew and look at the difference.
const RUST: &str = "rustc 1.95.";
const DIRECTORY: &str = "specs/api";
/// By itself: where cargo finds `RUSTC_BOOTSTRAP` changed it builds much anew.
const TARGET: &str = "target/api";
/// Packages, and the features whose items are listed.
const PACKAGES: [(&str, &str); 2] = [("tuf-core", ""), ("tuf-client", "http,blocking,proxy")];

/// What is done with the listings.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listings {
    /// They are written.
    Write,
    /// They have to be what would be written.
    Check,
}

pub(crate) fn listings(what: Listings) -> Result<(), Failed> {
    let version = output(std::process::Command::new("rustc").arg("--version"))?;
    if !version.starts_with(RUST) {
        let why = format!("the listings of the public API are made with {RUST}x, and this is {version}");
        // A newer Rust is no fault of the code; CI has the right one.
        if what == Listings::Check && !is_ci() {
            say(&format!("NOT CHECKED: {why}"));
            return Ok(());
        }
        return Err(Failed(why));
    }
    let mut stale = Vec::new();
    for (package, features) in PACKAGES {
        let file = Path::new(DIRECTORY).join(package).with_extension("txt");
        let listing = listing(package, features)?;
        if what == Listings::Write {
            let failed = |error| Failed(format!("{}: {error}", file.display()));
            std::fs::create_dir_all(DIRECTORY).map_err(failed)?;
            write(&file, &listing).map_err(failed)?;
            print(&format!("{}: {} items", file.display(), listing.lines().count()));
        } else {
            let stored = std::fs::read_to_string(&file).unwrap_or_default();
            stale.extend(difference(&stored, &listing).map(|first| format!("{}: {first}", file.display())));
        }
    }
    match stale.first() {
        None => Ok(()),
        Some(_) => Err(Failed(format!(
            "the public API is not the one listed; if that is meant, `cargo xtask api` lists it:\n{}",
            stale.join("\n")
        ))),
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place")]
fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true")
}

#[expect(clippy::disallowed_methods, reason = "a generated file of the source tree, as requirements.md is")]
fn write(file: &Path, text: &str) -> std::io::Result<()> {
    std::fs::write(file, text)
}

/// The items of one library; without what every type has, and without derived traits.
fn listing(package: &str, features: &str) -> Result<String, Failed> {
    let mut rustdoc = cargo(&["rustdoc", "--quiet", "--locked", "--lib", "--package", package]);
    rustdoc.args(["--no-default-features", "--features", features, "--target-dir", TARGET]);
    rustdoc.args(["--", "-Z", "unstable-options", "--output-format", "json"]);
    run(rustdoc.env("RUSTC_BOOTSTRAP", "1"))?;
    let json = Path::new(TARGET).join("doc").join(package.replace('-', "_")).with_extension("json");
    let api = Builder::from_rustdoc_json(&json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()
        .map_err(|error| Failed(format!("{}: {error}", json.display())))?;
    Ok(api.to_string())
}

/// The first lines that are only in one of the two.
fn difference(stored: &str, found: &str) -> Option<String> {
    let missing = |here: &str, there: &str| {
        let lines: std::collections::BTreeSet<&str> = there.lines().collect();
        here.lines().find(|line| !lines.contains(line)).map(str::to_owned)
    };
    let new = missing(found, stored).map(|line| format!("not listed: {line}"));
    let gone = missing(stored, found).map(|line| format!("listed, and gone: {line}"));
    let order = || (stored != found).then(|| "the order is another".to_owned());
    match (new, gone) {
        (Some(new), Some(gone)) => Some(format!("{new}; {gone}")),
        (new, gone) => new.or(gone).or_else(order),
    }
}
