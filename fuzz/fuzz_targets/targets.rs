//! [`tuf_fuzz::targets`] under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tuf_fuzz::targets(data));
