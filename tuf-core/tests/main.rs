//! Tests of the public API: one binary, so that the shared support is built and linked once.

mod hostile;
mod matrix;
mod no_io;
mod properties;
mod regressions;
mod roots;
mod search;
mod support;
mod vectors;
mod workflow;
mod wycheproof;
