//! Writes the seeds that are metadata into `corpus/`: run it after a change of the formats. The other seeds
//! are made by hand.

use std::io;
use std::path::Path;

use tuf_fuzz::honest_payloads;

const UNKNOWN: &str = r#","zz":[null,{"é":"\u0001\"\\"}]}"#;

fn main() -> io::Result<()> {
    for (role, signed) in honest_payloads() {
        let target = if role == "dele" { "targets" } else { role };
        put(target, role, &signed)?;
        put(target, &format!("{role}-unknown"), &format!("{}{UNKNOWN}", &signed[..signed.len() - 1]))?;
        let signature = r#"{"keyid":"a","sig":"00"},{"keyid":"b","sig":"","x":1}"#;
        put("envelope", role, &format!(r#"{{"signatures":[{signature}],"signed":{signed},"x":{{}}}}"#))?;
        put("json", role, &signed)?;
    }
    put("envelope", "spaced", "{ \"signed\" : { \"b\" : 1 , \"a\" : \"\\u00e9\" } , \"signatures\" : [ ] }\n")
}

fn put(target: &str, name: &str, text: &str) -> io::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target).join(name);
    std::fs::write(path, text)
}
