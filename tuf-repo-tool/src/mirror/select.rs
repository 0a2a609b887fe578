//! Which files of a project a mirror of the newest releases keeps.

use std::collections::BTreeMap;

use pep440_rs::Version;
use tuf_client::simple::{DistFile, DistKind, FileNameError, PageFile, ProjectName};

/// What [`latest`] kept of a page.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Selection<'a> {
    /// The files to mirror, in the page's order.
    pub kept: Vec<&'a PageFile>,
    /// Files that were passed over because their names or versions cannot be read, with the reason.
    pub unreadable: Vec<(&'a PageFile, FileNameError)>,
}

/// The wheels and source distributions of the `n` newest final releases; of all releases without `n`.
///
/// Newest means highest by PEP 440, where a post-release is final. Pre-releases and development releases count
/// only where no final release does. A release whose files are all yanked (PEP 592) does not count towards `n`, but is kept if
/// it is not older than the oldest one kept: whoever pinned it still finds it. Other kinds of files are dropped.
#[must_use]
pub fn latest<'a>(project: &ProjectName, files: &'a [PageFile], n: Option<usize>) -> Selection<'a> {
    let mut selection = Selection::default();
    let mut readable: Vec<(&PageFile, Version)> = Vec::new();
    for file in files {
        match DistFile::parse(&file.filename, project) {
            Ok(dist) if dist.kind() == DistKind::Other => {}
            Ok(dist) => readable.extend(dist.version().map(|version| (file, version.clone()))),
            Err(error) => selection.unreadable.push((file, error)),
        }
    }

    let Some(n) = n else {
        selection.kept = readable.into_iter().map(|(file, _)| file).collect();
        return selection;
    };
    // Whether a release counts: it has a file that is not yanked.
    let mut releases: BTreeMap<&Version, bool> = BTreeMap::new();
    for (file, version) in &readable {
        *releases.entry(version).or_default() |= !file.yanked.is_yanked();
    }
    let finals_only = releases.iter().any(|(version, counts)| *counts && version.is_stable());
    let eligible = |version: &Version| version.is_stable() || !finals_only;
    let oldest = releases
        .iter()
        .rev()
        .filter(|(version, counts)| **counts && eligible(version))
        .take(n)
        .last()
        .map(|(version, _)| (*version).clone());
    if let Some(oldest) = oldest {
        let kept = readable.iter().filter(|(_, version)| *version >= oldest && eligible(version));
        selection.kept = kept.map(|(file, _)| *file).collect();
    }
    selection
}

#[cfg(test)]
mod tests {
    use tuf_client::simple::Yanked;

    use super::*;

    /// File names of `demo`; a leading `~` marks a yanked file.
    fn kept(names: &[&str], n: Option<usize>) -> (Vec<String>, usize) {
        let files: Vec<PageFile> = names
            .iter()
            .map(|name| {
                let plain = name.trim_start_matches('~');
                let mut file = PageFile::new(plain, plain);
                if plain != *name {
                    file.yanked = Yanked::yes("");
                }
                file
            })
            .collect();
        let selection = latest(&ProjectName::new("demo").unwrap(), &files, n);
        (selection.kept.iter().map(|file| file.filename.clone()).collect(), selection.unreadable.len())
    }

    /// Releases by version, each one source distribution.
    fn kept_versions(versions: &str, n: usize) -> String {
        let names: Vec<String> = versions
            .split_whitespace()
            .map(|version| match version.strip_prefix('~') {
                Some(version) => format!("~demo-{version}.tar.gz"),
                None => format!("demo-{version}.tar.gz"),
            })
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let kept = kept(&names, Some(n)).0;
        let versions: Vec<&str> =
            kept.iter().map(|name| name.trim_start_matches("demo-").trim_end_matches(".tar.gz")).collect();
        versions.join(" ")
    }

    #[test]
    fn the_newest_final_releases_are_kept() {
        for (rule, versions, n, expected) in [
            ("highest by PEP 440, not by text or place", "10.0 9.0 1.0", 2, "10.0 9.0"),
            ("epochs outrank", "1!1.0 2026.1", 1, "1!1.0"),
            ("post-releases are final", "1.0 1.0.post1", 1, "1.0.post1"),
            ("pre-releases give way to finals", "1.0 2.0a1 2.0rc1 2.0.dev1", 3, "1.0"),
            ("a pre-release's post-release is none", "1.0 2.0a1.post1", 1, "1.0"),
            ("without a final, pre-releases count", "1.0a1 1.0a2 1.0.dev1", 2, "1.0a1 1.0a2"),
            ("spellings of one version are one release", "1.0 1.0.0 0.9", 1, "1.0 1.0.0"),
            ("fewer than asked for", "1.0", 5, "1.0"),
            ("none asked for", "1.0", 0, ""),
            ("no files", "", 3, ""),
            ("yanked releases do not count, and stay within the span", "1.0 ~2.0 3.0", 2, "1.0 ~2.0 3.0"),
            ("a yanked release above the span's top stays", "1.0 2.0 ~3.0", 1, "2.0 ~3.0"),
            ("a yanked release below the span goes", "~1.0 2.0 3.0", 2, "2.0 3.0"),
            ("yanked pre-releases are no finals", "1.0 ~2.0a1", 1, "1.0"),
            ("only yanked releases: nothing counts", "~1.0 ~2.0", 1, ""),
            ("only yanked finals: pre-releases count", "~1.0 2.0a1 ~3.0", 1, "2.0a1 ~3.0"),
        ] {
            assert_eq!(kept_versions(versions, n), expected.replace('~', ""), "{rule}");
        }
    }

    #[test]
    fn wheels_and_source_distributions_of_a_release_stay_and_other_kinds_go() {
        let names = [
            "demo-2.0-py3-none-any.whl",
            "~demo-2.0-1-py3-none-any.whl",
            "demo-2.0.tar.gz",
            "demo-2.0-py3.9.egg",
            "demo-3.0.win32.exe",
            "demo-1.0.tar.gz",
        ];
        assert_eq!(
            kept(&names, Some(1)).0,
            ["demo-2.0-py3-none-any.whl", "demo-2.0-1-py3-none-any.whl", "demo-2.0.tar.gz"]
        );
    }

    #[test]
    fn without_a_number_every_release_stays() {
        let names = ["demo-1.0.tar.gz", "~demo-2.0.tar.gz", "demo-3.0a1.zip", "demo-1.0-py3.9.egg"];
        assert_eq!(kept(&names, None).0, ["demo-1.0.tar.gz", "demo-2.0.tar.gz", "demo-3.0a1.zip"]);
    }

    #[test]
    fn unreadable_names_are_dropped_and_reported() {
        let names = ["demo-2004b-x.tar.gz", "other-1.0.tar.gz", "demo-1.0.tar.gz", "readme.txt"];
        assert_eq!(kept(&names, Some(1)), (vec!["demo-1.0.tar.gz".to_owned()], 3));
    }
}
