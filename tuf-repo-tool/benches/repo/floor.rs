//! What nobody who signs these bins can do without: an Ed25519 signature over each, and its file. The payloads are there
//! already; nothing is built, verified or written twice.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use data_encoding::HEXLOWER;
use ring::signature::Ed25519KeyPair;

use crate::ours::Report;
use crate::phases::Start;

/// `floor METADATA OUT REPORT`: signs and writes every hash bin.
pub(crate) fn run(words: &[String]) {
    let [metadata, out, path] = words else { panic!("floor METADATA OUT REPORT") };
    let out = Path::new(out);
    fs::create_dir_all(out).unwrap();
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let mut payloads = Vec::new();
    for entry in fs::read_dir(metadata).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with("1.bin-") {
            let text = fs::read_to_string(entry.path()).unwrap();
            let (_, signed) = text.split_once(r#""signed":"#).unwrap();
            payloads.push((name, signed.strip_suffix('}').unwrap().to_owned()));
        }
    }
    let start = Start::now();
    for (name, payload) in &payloads {
        let sig = HEXLOWER.encode(pair.sign(payload.as_bytes()).as_ref());
        let text = format!(r#"{{"signatures":[{{"keyid":"","sig":"{sig}"}}],"signed":{payload}}}"#);
        File::create(out.join(name)).unwrap().write_all(text.as_bytes()).unwrap();
    }
    let mut report = Report::default();
    report.add("floor", start.passed());
    report.write(path);
}
