//! Downloads one target on which several repositories agree, as a map file (TAP 4) demands:
//!
//! ```text
//! several_repositories map.json ROOTS STORES TARGET DIRECTORY
//! ```
//!
//! `ROOTS/NAME/root.json` is the pinned root of the repository NAME, which came to the user in a way the user trusts.

#![expect(clippy::print_stdout, reason = "a program says what it did")]

use std::error::Error;
use std::path::PathBuf;

use tuf_client::multi::{Map, MultiClient, roots_in};
use tuf_client::{TargetPath, blocking, chain};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [map, roots, stores, target, directory] = &arguments[..] else {
        return Err("give a map, the roots, the stores, a target and a directory".into());
    };
    let path = TargetPath::new(target.to_str().ok_or("a target path is Unicode")?)?;

    // The whole map and every root are checked before anything is fetched or written.
    let map = Map::parse(&std::fs::read(map)?)?;
    let client = MultiClient::builder(map, roots_in(roots), stores).build()?;
    let client = blocking::MultiClient::new(client)?;

    let found = match client.find(&path) {
        Ok(found) => found,
        Err(error) if error.is_refusal() => {
            return Err(format!("do not install it: {}", chain(&error)).into());
        }
        Err(error) => return Err(error.into()),
    };
    println!("{}: {} bytes, by mapping[{}]", found.path, found.file.length, found.mapping);
    for vote in &found.agreeing {
        println!("  agrees: {}", vote.repository);
    }
    // Those that were asked before and did not agree were outvoted, but somebody should look at it.
    for dissent in &found.disagreeing {
        println!("  disagrees: {dissent}");
    }
    for fault in &found.failed {
        println!("  {fault}");
    }
    println!("verified: {}", client.download(&path, directory)?.display());
    Ok(())
}
