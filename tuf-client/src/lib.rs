//! A TUF client that only ever hands over verified bytes.
//!
//! ```no_run
//! use tuf_client::{Client, TargetPath, blocking, store::FsStore};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let root = std::fs::read("root.json")?; // the trust anchor, from a source you trust
//!     let url = "https://mirror.example/".parse()?;
//!     let store = FsStore::init("tuf-store".as_ref(), &root, &url)?;
//!     let client = blocking::Client::new(Client::builder(root, url).store(store).build()?)?;
//!     let target = TargetPath::new("simple/six/index.json")?;
//!     let file = client.download(&target, "downloads".as_ref())?;
//!     println!("verified: {}", file.display());
//!     Ok(())
//! }
//! ```
//!
//! [`Client`] refreshes and gives a [`View`]: one pinned snapshot, through which targets are found, read
//! and downloaded. Everything is async; [`blocking`] is the same for programs without a runtime.
//!
//! Features: `http` (the transport for HTTP and HTTPS), `blocking`, `proxy` (the verifying proxy for pip
//! and uv), `cli` (the binary), `ml-dsa` (ML-DSA keys; needs a C compiler; never a default). An installer takes `default-features = false, features = ["http"]`;
//! without any, there is no HTTP client, and the transport is your own.
//!
//! The directory `examples` has an installer, offline use, mirrors, several repositories, and a transport of one's own.

// Tests inside share helpers with those outside.
#[cfg(test)]
extern crate self as tuf_client;

pub mod audit;
#[cfg(feature = "blocking")]
pub mod blocking;
mod cache;
mod client;
pub mod clock;
pub mod dangerous;
mod download;
pub mod durable;
pub mod env;
mod error;
pub mod inspect;
pub mod listing;
mod mirrors;
pub mod multi;
mod offline;
mod partial;
#[cfg(feature = "proxy")]
pub mod proxy;
mod reach;
#[cfg(feature = "proxy")]
pub mod run;
#[cfg(feature = "proxy")]
pub mod simple;
pub mod store;
mod stream;
pub mod text;
pub mod transport;
mod url;
mod view;

pub use cache::TargetCache;
pub use client::{Client, ClientBuilder, Clock};
pub use download::{DownloadOptions, Progress, Wanted};
pub use error::{Error, ErrorKind, MirrorFault, chain};
pub use mirrors::MirrorStatus;
pub use stream::VerifiedBody;
pub use tuf_core::{self, Limits, TargetPath};
pub use url::{Url, UrlError};
pub use view::{Target, View, Warning};
