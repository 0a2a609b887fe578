//! Wheels and source distributions, small but real: pip installs them, and builds the latter without network.

use std::fmt::Write as _;
use std::io::{Cursor, Write};

use data_encoding::BASE64URL_NOPAD;
use flate2::Compression;
use flate2::write::GzEncoder;
use ring::digest::{SHA256, digest};
use zip::write::{SimpleFileOptions, ZipWriter};

/// One file of a project, and what its index says of it. A test may make any of it a lie.
#[derive(Clone, Debug)]
pub(crate) struct Dist {
    pub(crate) filename: String,
    pub(crate) bytes: Vec<u8>,
    /// Core metadata that the index offers beside the file, if it offers any.
    pub(crate) metadata: Option<Vec<u8>>,
    /// Why it was yanked.
    pub(crate) yanked: Option<String>,
    pub(crate) requires_python: Option<String>,
    /// Stands on the page instead of the address by the upstream's options.
    pub(crate) url: Option<String>,
    /// Stands on the page instead of the file's digest.
    pub(crate) sha256: Option<String>,
    /// Stands on the page instead of the metadata's digest.
    pub(crate) metadata_sha256: Option<String>,
}

impl Dist {
    /// Any bytes under any name.
    pub(crate) fn new(filename: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            filename: filename.into(),
            bytes: bytes.into(),
            metadata: None,
            yanked: None,
            requires_python: None,
            url: None,
            sha256: None,
            metadata_sha256: None,
        }
    }

    /// The same, yanked.
    pub(crate) fn yanked(mut self, reason: &str) -> Self {
        self.yanked = Some(reason.to_owned());
        self
    }

    /// The same, with this address on the page.
    pub(crate) fn at(mut self, url: &str) -> Self {
        self.url = Some(url.to_owned());
        self
    }
}

fn core_metadata(name: &str, version: &str) -> String {
    format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: A fixture.\n")
}

fn module(version: &str) -> String {
    format!("VERSION = \"{version}\"\n")
}

/// A pure Python wheel with one module, which knows its `VERSION`.
pub(crate) fn wheel(name: &str, version: &str) -> Dist {
    let stem = name.replace('-', "_");
    let info = format!("{stem}-{version}.dist-info");
    let metadata = core_metadata(name, version);
    let entries = [
        (format!("{stem}.py"), module(version)),
        (format!("{info}/METADATA"), metadata.clone()),
        (
            format!("{info}/WHEEL"),
            "Wheel-Version: 1.0\nGenerator: fixture\nRoot-Is-Purelib: true\nTag: py3-none-any\n".to_owned(),
        ),
    ];
    let mut record = String::new();
    for (path, text) in &entries {
        let sum = BASE64URL_NOPAD.encode(digest(&SHA256, text.as_bytes()).as_ref());
        writeln!(record, "{path},sha256={sum},{}", text.len()).unwrap();
    }
    writeln!(record, "{info}/RECORD,,").unwrap();

    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, text) in entries.iter().chain([&(format!("{info}/RECORD"), record)]) {
        archive.start_file(path.as_str(), SimpleFileOptions::default()).unwrap();
        archive.write_all(text.as_bytes()).unwrap();
    }
    let mut dist =
        Dist::new(format!("{stem}-{version}-py3-none-any.whl"), archive.finish().unwrap().into_inner());
    dist.metadata = Some(metadata.into_bytes());
    dist
}

/// Builds the wheel without any package, so that pip needs no network for it.
const BACKEND: &str = r#"
import zipfile

STEM, VERSION = "{stem}", "{version}"


def build_wheel(directory, settings=None, metadata_directory=None):
    info = f"{STEM}-{VERSION}.dist-info"
    name = f"{STEM}-{VERSION}-py3-none-any.whl"
    files = {
        f"{STEM}.py": open(f"{STEM}.py").read(),
        f"{info}/METADATA": open("PKG-INFO").read(),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: fixture\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(f"{directory}/{name}", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return name
"#;

/// A source distribution of the same module.
pub(crate) fn sdist(name: &str, version: &str) -> Dist {
    let stem = name.replace('-', "_");
    let backend = BACKEND.replace("{stem}", &stem).replace("{version}", version);
    let project =
        "[build-system]\nrequires = []\nbuild-backend = \"fixture_backend\"\nbackend-path = [\".\"]\n";
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    for (path, text) in [
        ("PKG-INFO", core_metadata(name, version)),
        ("pyproject.toml", project.to_owned()),
        ("fixture_backend.py", backend),
        (&format!("{stem}.py"), module(version)),
    ] {
        gzip.write_all(&tar_entry(&format!("{stem}-{version}/{path}"), text.as_bytes())).unwrap();
    }
    gzip.write_all(&[0; 1024]).unwrap();
    Dist::new(format!("{stem}-{version}.tar.gz"), gzip.finish().unwrap())
}

/// A file in a POSIX tar archive: a header of 512 bytes, and the contents in blocks of 512.
fn tar_entry(path: &str, contents: &[u8]) -> Vec<u8> {
    let mut entry = vec![0; 512];
    let size = format!("{:011o}", contents.len());
    for (at, field) in [
        (0, path),
        (100, "0000644"),
        (108, "0000000"),
        (116, "0000000"),
        (124, &size),
        (136, "00000000000"),
        (148, "        "),
        (156, "0"),
        (257, "ustar"),
        (263, "00"),
    ] {
        entry[at..at + field.len()].copy_from_slice(field.as_bytes());
    }
    let sum: u32 = entry.iter().map(|byte| u32::from(*byte)).sum();
    entry[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    entry.extend_from_slice(contents);
    entry.resize(entry.len().next_multiple_of(512), 0);
    entry
}
