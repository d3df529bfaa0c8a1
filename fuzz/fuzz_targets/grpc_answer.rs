#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| softstop_fuzz::grpc_answer::target(data));
