//! Tests of the public API: one binary, so that the shared support is built and linked once.

mod clock;
mod hostile;
mod matrix;
mod ml_dsa;
mod mutations;
mod names;
mod no_io;
mod odd_json;
mod paths;
mod properties;
mod regressions;
mod roots;
mod search;
mod stolen_keys;
mod support;
mod vectors;
mod workflow;
mod wycheproof;
