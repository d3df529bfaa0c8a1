//! A static position-independent binary relocates itself: packed, its relocations take 90 kB less (docs/performance.md).
//! A dynamic one would need a newer C library on the machine it runs on, so it is left alone. Linkers that do not know the
//! word ignore it with a warning.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let features = std::env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    let gnu = std::env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|env| env == "gnu");
    if gnu && features.split(',').any(|f| f == "crt-static") {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
