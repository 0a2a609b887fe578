//! The client inside an installer, with `default-features = false, features = ["http"]`:
//!
//! ```text
//! installer root.json https://mirror.example/ STORE TARGET DIRECTORY
//! ```
//!
//! A real installer has its root compiled in (`include_bytes!`), since the root must come with the program and never from
//! the repository. Whether a newer root is needed is no question: the client follows the chain of roots itself.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program says what it did")]

use std::error::Error;
use std::process::ExitCode;

use tuf_client::store::FsStore;
use tuf_client::{Client, TargetPath, View, chain};

/// Verification failed: of all failures the one that a script must be able to tell from a bad network.
const REFUSED: u8 = 4;

fn main() -> ExitCode {
    // An installer that is async already leaves this out. The client starts no task of its own.
    let run = || tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(install());
    let error = match run() {
        Ok(()) => return ExitCode::SUCCESS,
        Err(error) => error,
    };
    eprintln!("error: {}", chain(&*error));
    let Some(error) = error.downcast_ref::<tuf_client::Error>() else { return ExitCode::FAILURE };
    if let Some(hint) = error.hint() {
        eprintln!("hint: {hint}");
    }
    // Which attack it looks like, for whoever has to look into it.
    if let Some(attack) = error.attack() {
        eprintln!("looks like: {attack}");
    }
    if error.is_refusal() { ExitCode::from(REFUSED) } else { ExitCode::FAILURE }
}

async fn install() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [root, url, store, target, directory] = &arguments[..] else {
        return Err("give a root, a URL, a store, a target and a directory".into());
    };
    let (root, url) = (std::fs::read(root)?, url.parse()?);
    let path = TargetPath::new(target)?;

    // What was seen once is never rolled back, as long as the same store is used: keep it with the user's data, not in a cache.
    let store = FsStore::init(store.as_ref(), &root, &url)?;
    let client = Client::builder(root, url).store(store).build()?;

    // A repository that publishes meanwhile is no failure: everything is tried once more, on one newer view.
    let file = client
        .with_view(async |view: View| {
            for warning in view.warnings() {
                eprintln!("warning: {warning}");
            }
            let target = view.require(&path).await?;
            // What was fetched to find it is kept for the next run.
            view.save().await?;
            // The file has its name only once every byte is verified, so that what is there can be installed.
            view.download(&target, directory.as_ref()).await
        })
        .await?;
    println!("verified: {}", file.display());
    Ok(())
}
