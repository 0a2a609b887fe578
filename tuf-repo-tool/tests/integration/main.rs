//! `tuf-repo` and `tuf-client` from the outside: against a fixture index, hostile mirrors, and the real pip, uv and
//! python-tuf. They need `cargo build --workspace --bins` first.

mod adopt;
mod backup;
mod bad_days;
mod bad_upstreams;
mod bins;
mod edit;
mod event;
mod gc;
mod interop;
mod keys;
mod log;
mod machines;
mod manifest;
mod mirror;
mod operating;
mod plan;
mod publish_crash;
mod publish_races;
mod quickstart;
mod recover;
mod repository;
mod rotate;
mod state;
mod storage;
mod support;
mod tamper;
mod vectors;
mod watch;
