//! Fetching while there is a network, installing where there is none:
//!
//! ```text
//! offline fetch root.json https://mirror.example/ STORE CACHE TARGET DIRECTORY
//! offline use   root.json https://mirror.example/ STORE CACHE TARGET DIRECTORY
//! ```
//!
//! Store and cache may be carried to another machine in between. Both are verified again when they are used.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program says what it did")]

use std::error::Error;

use tuf_client::store::FsStore;
use tuf_client::{Client, ErrorKind, TargetCache, TargetPath, blocking, chain};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, root, url, store, cache, target, directory] = &arguments[..] else {
        return Err("give `fetch` or `use`, a root, a URL, a store, a cache, a target and a directory".into());
    };
    let (root, url) = (std::fs::read(root)?, url.parse()?);
    let store = FsStore::init(store.as_ref(), &root, &url)?;

    let mut builder = Client::builder(root, url).store(store).cache(TargetCache::new(cache.as_ref()));
    builder = match &**mode {
        "fetch" => builder,
        // Expired metadata is refused here as well. `tuf_client::dangerous::accept_expired` is for who must go on all the same.
        "use" => builder.offline(),
        _ => return Err("the first word is `fetch` or `use`".into()),
    };
    let client = blocking::Client::new(builder.build()?)?;

    match client.download(&TargetPath::new(target)?, directory.as_ref()) {
        Ok(file) => println!("verified: {}", file.display()),
        Err(error) if matches!(error.kind(), ErrorKind::NotStored(_)) => {
            eprintln!("it was not fetched while there was a network");
            return Err(chain(&error).into());
        }
        Err(error) => return Err(chain(&error).into()),
    }
    Ok(())
}
