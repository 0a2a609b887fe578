//! Several copies of one repository, none of which has to be trusted:
//!
//! ```text
//! mirrors root.json STORE TARGET DIRECTORY URL...
//! ```
//!
//! If one is down, slow, old or hostile, another one is asked. As long as one of them has the newest metadata and answers, that
//! is what counts.

#![expect(clippy::print_stdout, reason = "a program says what it did")]

use std::error::Error;
use std::time::Duration;

use tuf_client::store::FsStore;
use tuf_client::{Client, ClientBuilder, TargetPath, Url, blocking, chain};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [root, store, target, directory, urls @ ..] = &arguments[..] else {
        return Err("give a root, a store, a target, a directory and URLs".into());
    };
    let root = std::fs::read(root)?;
    let mut urls = urls.iter().map(|url| url.parse::<Url>()).collect::<Result<Vec<_>, _>>()?.into_iter();
    let first = urls.next().ok_or("give at least one URL")?;

    // The store is for the repository, by its first URL: the others may come and go.
    let store = FsStore::init(store.as_ref(), &root, &first)?;
    let builder = Client::builder(root, first).store(store);
    let client = urls
        .fold(builder, ClientBuilder::mirror)
        // Once one has answered, the others have this long to show something newer.
        .mirror_grace(Duration::from_secs(1))
        .build()?;
    let known = client.clone();
    let client = blocking::Client::new(client)?;

    let result = client.download(&TargetPath::new(target)?, directory.as_ref());
    // Also after a success: a mirror that lies should not stay unnoticed because another one did not.
    for mirror in known.mirrors() {
        match mirror.fault {
            Some(fault) => println!("{}: {fault}", mirror.url),
            None => println!("{}: in order, or not asked", mirror.url),
        }
    }
    let file = result.map_err(|error| chain(&error))?;
    println!("verified: {}", file.display());
    Ok(())
}
