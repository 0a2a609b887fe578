//! Core metadata out of a wheel.
//!
//! An upstream that does not offer a wheel's metadata alone (PEP 658) does not keep a mirror from doing so: they are in
//! the wheel.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use pep440_rs::Version;
use tuf_client::simple::ProjectName;
use zip::ZipArchive;
use zip::result::ZipError;

/// The most that a wheel's metadata may have, decompressed, in bytes.
pub const MAX_METADATA_BYTES: u64 = 8 << 20;

/// Reads `METADATA` from the `.dist-info` directory of a wheel on disk.
///
/// The directory must be the only one of its kind and named after the wheel's project and version, compared
/// normalised: installers refuse a wheel that is not so (binary distribution format). Blocks; reads only the
/// archive's directory and the one file.
///
/// # Errors
/// [`WheelError`] with the wheel's path.
pub(super) fn open_wheel(
    wheel: &Path,
    project: &ProjectName,
    version: &Version,
) -> Result<Vec<u8>, WheelError> {
    match File::open(wheel) {
        Ok(file) => read_metadata(wheel, BufReader::new(file), project, version),
        Err(error) => Err(WheelError { wheel: wheel.to_owned(), problem: Problem::Open(error) }),
    }
}

/// As [`open_wheel`], of a wheel that is open.
pub(super) fn read_metadata(
    name: &Path,
    wheel: impl Read + Seek,
    project: &ProjectName,
    version: &Version,
) -> Result<Vec<u8>, WheelError> {
    read_from(wheel, project, version).map_err(|problem| WheelError { wheel: name.to_owned(), problem })
}

fn read_from(wheel: impl Read + Seek, project: &ProjectName, version: &Version) -> Result<Vec<u8>, Problem> {
    let mut archive = ZipArchive::new(wheel).map_err(Problem::Zip)?;
    let directory = dist_info(&archive)?;
    if !is_of(&directory, project, version) {
        return Err(Problem::OtherWheel {
            expected: format!("{project}-{version}.dist-info"),
            found: directory,
        });
    }
    let mut entry = match archive.by_name(&format!("{directory}/METADATA")) {
        Ok(entry) if entry.is_file() => entry,
        Ok(_) | Err(ZipError::FileNotFound) => return Err(Problem::NoMetadata { directory }),
        Err(error) => return Err(Problem::Zip(error)),
    };
    if entry.size() > MAX_METADATA_BYTES {
        return Err(Problem::TooLarge);
    }
    // The archive may lie about the size, so what comes out is counted too.
    let mut bytes = Vec::new();
    entry
        .by_ref()
        .take(MAX_METADATA_BYTES.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(Problem::Read)?;
    if u64::try_from(bytes.len()).map_or(true, |length| length > MAX_METADATA_BYTES) {
        return Err(Problem::TooLarge);
    }
    Ok(bytes)
}

/// The one top-level directory `*.dist-info`.
fn dist_info<R: Read + Seek>(archive: &ZipArchive<R>) -> Result<String, Problem> {
    let mut found: Option<&str> = None;
    for name in archive.file_names() {
        let Some((directory, _)) = name.split_once('/') else {
            continue;
        };
        if !directory.ends_with(".dist-info") {
            continue;
        }
        match found {
            Some(first) if first != directory => {
                return Err(Problem::SeveralDistInfo {
                    first: first.to_owned(),
                    second: directory.to_owned(),
                });
            }
            _ => found = Some(directory),
        }
    }
    found.map(str::to_owned).ok_or(Problem::NoDistInfo)
}

fn is_of(directory: &str, project: &ProjectName, version: &Version) -> bool {
    directory.strip_suffix(".dist-info").and_then(|stem| stem.split_once('-')).is_some_and(|(name, raw)| {
        project.is_spelled(name) && raw.parse::<Version>().is_ok_and(|raw| raw == *version)
    })
}

/// Why no metadata came out of a wheel.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", wheel.display())]
pub struct WheelError {
    wheel: PathBuf,
    problem: Problem,
}

impl WheelError {
    /// Whether the wheel is at fault, and not this machine's disk.
    #[must_use]
    pub fn is_malformed(&self) -> bool {
        !matches!(self.problem, Problem::Open(_) | Problem::Zip(ZipError::Io(_)))
    }
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("expected a .dist-info directory, found none")]
    NoDistInfo,
    #[error("expected a file {directory}/METADATA, found none")]
    NoMetadata { directory: String },
    #[error("cannot be opened: {0}")]
    Open(io::Error),
    #[error("expected the directory {expected}, found {found}")]
    OtherWheel { expected: String, found: String },
    #[error("METADATA cannot be read: {0}")]
    Read(io::Error),
    #[error("expected one .dist-info directory, found {first} and {second}")]
    SeveralDistInfo { first: String, second: String },
    #[error("expected at most {MAX_METADATA_BYTES} bytes of METADATA, found more")]
    TooLarge,
    #[error("expected a wheel (a zip archive): {0}")]
    Zip(ZipError),
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use zip::write::{SimpleFileOptions, ZipWriter};

    use super::*;

    fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in entries {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn read(wheel: &[u8]) -> Result<Vec<u8>, String> {
        let project = ProjectName::new("demo-pkg").unwrap();
        read_from(Cursor::new(wheel), &project, &"1.0".parse().unwrap())
            .map_err(|problem| problem.to_string())
    }

    #[test]
    fn the_metadata_of_the_wheels_own_directory_is_read() {
        for directory in ["demo_pkg-1.0", "Demo.Pkg-1.0", "demo_pkg-1.0.0"] {
            let metadata = format!("{directory}.dist-info/METADATA");
            let wheel = archive(&[
                ("demo_pkg/__init__.py", b""),
                ("demo_pkg/vendored-1.0.dist-info/METADATA", b"no"),
                (&metadata, b"Name: demo-pkg\n"),
                (&format!("{directory}.dist-info/WHEEL"), b"x"),
            ]);
            assert_eq!(read(&wheel).unwrap(), b"Name: demo-pkg\n");
        }
    }

    #[test]
    fn wheels_without_one_right_directory_are_refused() {
        let own = "demo_pkg-1.0.dist-info/METADATA";
        for (entries, expected) in [
            (vec![], "found none"),
            (vec!["demo_pkg/x"], "expected a .dist-info directory"),
            (vec!["x.dist-info"], "expected a .dist-info directory"),
            (vec!["demo_pkg-1.0.dist-info/WHEEL"], "expected a file demo_pkg-1.0.dist-info/METADATA"),
            (vec!["demo_pkg-1.0.dist-info/METADATA/x"], "expected a file"),
            (vec!["demo_pkg-1.0.dist-info/metadata"], "expected a file"),
            (
                vec![own, "other-1.0.dist-info/METADATA"],
                "found demo_pkg-1.0.dist-info and other-1.0.dist-info",
            ),
            (
                vec!["other-1.0.dist-info/METADATA"],
                "expected the directory demo-pkg-1.0.dist-info, found other-1.0",
            ),
            (vec!["demo_pkg-1.1.dist-info/METADATA"], "found demo_pkg-1.1.dist-info"),
            (vec![".dist-info/METADATA"], "found .dist-info"),
        ] {
            let entries: Vec<(&str, &[u8])> =
                entries.into_iter().map(|name| (name, b"x".as_slice())).collect();
            let error = read(&archive(&entries)).unwrap_err();
            assert!(error.contains(expected), "{entries:?} gave: {error}");
        }
    }

    #[test]
    fn metadata_over_the_limit_is_refused_even_if_the_archive_lies() {
        let limit = usize::try_from(MAX_METADATA_BYTES).unwrap();
        let own = "demo_pkg-1.0.dist-info/METADATA";
        assert_eq!(read(&archive(&[(own, &vec![b'x'; limit])])).unwrap().len(), limit);
        let mut wheel = archive(&[(own, &vec![b'x'; limit + 1])]);
        assert!(read(&wheel).unwrap_err().contains("at most 8388608 bytes"));
        // The uncompressed size in the central directory, 24 bytes into its only entry.
        let entry = wheel.windows(4).rposition(|window| window == b"PK\x01\x02").unwrap();
        wheel[entry + 24..entry + 28].copy_from_slice(&[1, 0, 0, 0]);
        assert!(read(&wheel).is_err());
    }

    #[test]
    fn garbage_is_refused_without_a_panic() {
        let good = archive(&[("demo_pkg-1.0.dist-info/METADATA", b"Name: demo-pkg\nVersion: 1.0\n")]);
        assert!(read(b"").is_err());
        assert!(read(b"PK\x05\x06").is_err());
        for at in 0..good.len() {
            let _ = read(&good[..at]);
            for bits in [0x01, 0x80, 0xff] {
                let mut changed = good.clone();
                changed[at] ^= bits;
                let _ = read(&changed);
            }
        }
    }

    #[test]
    fn errors_name_the_wheel() {
        let folder = tempfile::tempdir().unwrap();
        let project = ProjectName::new("demo").unwrap();
        let version: Version = "1.0".parse().unwrap();
        let missing = open_wheel(&folder.path().join("none.whl"), &project, &version).unwrap_err();
        assert!(missing.to_string().contains("none.whl: cannot be opened") && !missing.is_malformed());

        let mut file = tempfile::NamedTempFile::new_in(folder.path()).unwrap();
        file.write_all(b"no zip").unwrap();
        let garbage = open_wheel(file.path(), &project, &version).unwrap_err();
        assert!(garbage.to_string().contains("expected a wheel (a zip archive)") && garbage.is_malformed());
    }
}
