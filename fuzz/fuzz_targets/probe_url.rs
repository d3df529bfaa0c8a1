#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| softstop_fuzz::probe_url::target(data));
