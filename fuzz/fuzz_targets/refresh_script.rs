//! [`tuf_fuzz::refresh_script`] under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tuf_fuzz::refresh_script(data));
