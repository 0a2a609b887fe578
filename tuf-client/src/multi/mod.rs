//! Several repositories that must agree (TAP 4).
//!
//! A [`Map`] says which repositories are asked for which targets, and how many of them must sign for the same length and
//! hashes. Each has its own pinned root, its own store and its own mirrors, so that whoever controls one of them cannot
//! slip in a file that the others do not sign.
//!
//! ```
//! use tuf_client::TargetPath;
//! use tuf_client::multi::Map;
//!
//! let map = Map::parse(br#"{
//!   "repositories": {
//!     "vendor": ["https://vendor.example/tuf/", "https://mirror.example/vendor/"],
//!     "review": ["https://review.example/"]
//!   },
//!   "mapping": [
//!     {"paths": ["firmware/*"], "repositories": ["vendor", "review"], "threshold": 2, "terminating": true},
//!     {"paths": ["*", "*/*"],   "repositories": ["vendor"],           "threshold": 1, "terminating": true}
//!   ]
//! }"#)?;
//! let asked = |path: &str| -> Vec<usize> {
//!     let path = TargetPath::new(path).unwrap();
//!     map.matching(&path).map(|(index, _)| index).collect()
//! };
//! assert_eq!(asked("firmware/router.bin"), [0]); // both must agree, and nobody else is asked
//! assert_eq!(asked("notes.txt"), [1]);
//! assert!(asked("a/b/c").is_empty()); // `*` does not match `/`
//! assert_eq!(
//!     Map::parse(br#"{"repositories": {}, "mapping": [{"paths": ["*"], "repositories": ["x"],
//!         "threshold": 1, "terminating": true}]}"#).unwrap_err().to_string(),
//!     r#"map: mapping[0]: the repository "x" is not among "repositories""#,
//! );
//! # Ok::<(), tuf_client::multi::MapError>(())
//! ```
//!
//! A [`MultiClient`] is built of a map, one pinned root per repository, and a directory for the stores:
//!
//! ```no_run
//! use tuf_client::TargetPath;
//! use tuf_client::multi::{Map, MultiClient, roots_in};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let map = Map::parse(&std::fs::read("tuf/map.json")?)?;
//! let client = MultiClient::builder(map, roots_in("tuf".as_ref()), "stores".as_ref()).build()?;
//! let found = client.find(&TargetPath::new("firmware/router.bin")?).await?;
//! for vote in &found.agreeing {
//!     println!("{}: signed by {}", vote.repository, vote.target.role);
//! }
//! found.download("downloads".as_ref()).await?;
//! # Ok(()) }
//! ```
//!
//! Format, agreement, and where this goes further than TAP 4: `specs/map.md`.

#[cfg(feature = "blocking")]
pub(crate) mod blocking;
mod client;
mod consensus;
mod error;
mod map;

pub use client::{MultiClient, MultiClientBuilder, MultiView, roots_in};
pub use consensus::{Consensus, Dissent, Vote};
pub(crate) use error::list;
pub use error::{MapError, MapErrorKind, NotEnoughAgree, RepositoryFault};
pub use map::{MAX_MAP_BYTES, MAX_PER_MAPPING, Map, Mapping, RepositoryName};
