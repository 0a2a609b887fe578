//! Tests from outside: the audit, and the built binary. One program, because linking takes longer than running.

mod audit;
#[cfg(feature = "cli")]
mod cli;
mod clock;
mod common;
#[cfg(all(feature = "cli", unix))]
mod concurrency;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod crash;
#[cfg(unix)]
mod damage;
#[cfg(feature = "http")]
mod downloads;
#[cfg(all(feature = "blocking", feature = "http"))]
mod embed;
mod faults;
#[cfg(feature = "http")]
mod hostile_server;
#[cfg(feature = "http")]
mod matrix;
#[cfg(feature = "http")]
mod mirrors;
mod multi;
mod paths;
mod promises;
#[cfg(feature = "cli")]
mod proxies;
#[cfg(feature = "proxy")]
mod proxy_mirrors;
#[cfg(feature = "http")]
mod tls;
#[cfg(feature = "http")]
mod web;
