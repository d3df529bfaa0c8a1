#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| softstop_fuzz::procfile::target(data));
