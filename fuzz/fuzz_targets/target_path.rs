//! [`tuf_fuzz::target_path`] under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tuf_fuzz::target_path(data));
