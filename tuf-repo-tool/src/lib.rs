//! Keys, signing, publishing and PyPI mirroring for TUF repositories. The binary `tuf-repo` is a thin layer
//! over this library.
//!
//! A repository is a directory ([`Repository`]): settings ([`Config`]), private keys ([`keys`]), working
//! state ([`State`]), and `public/`, which any web server can serve. [`init()`] makes one, [`mirror::sync`]
//! brings it up to date with an upstream index, and [`publish::publish`] makes a new state visible in one
//! transaction.

pub mod adopt;
pub mod backup;
mod config;
pub mod detached;
pub mod doctor;
pub mod edit;
mod error;
pub mod event;
pub mod gc;
pub mod health;
mod init;
pub mod keys;
pub mod log;
pub mod mirror;
mod parallel;
pub mod publish;
pub mod quickstart;
mod reading;
pub mod recover;
mod repository;
pub mod rotate;
mod serve;
mod signing;
pub mod state;
mod status;
pub mod storage;
pub mod verify;
pub mod watch;

pub use config::{
    Config, DelegationConfig, HIGHEST_MIN_VERSION, Mirror, Period, PeriodError, ProjectConfig, RoleConfig,
    RoleKind,
};
pub use error::Error;
pub use init::{DEMONSTRATION, InitOptions, OfflineKeys, Preset, init, init_offline};
pub use repository::{Lock, Published, Repository};
pub use serve::serve;
pub use state::{SeenPage, Staging, State};
pub use status::{RoleStatus, Status, status};
