//! A static position-independent binary relocates itself: packed, its relocations take 90 kB less (docs/performance.md).
//! A dynamic one would need a newer C library on the machine it runs on, so it is left alone. Linkers that do not know the
//! word ignore it with a warning.
//!
//! The entry point is softstop's own where there is one: `src/sys/first.rs`.

fn main() {
    // The last is what the linker of static-build goes by.
    for file in ["build.rs", "link/cc", "link/order", "link/in-order"] {
        println!("cargo:rerun-if-changed={file}");
    }
    let of_target = |what: &str| std::env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    if ["x86_64", "aarch64"].contains(&of_target("ARCH").as_str()) && of_target("POINTER_WIDTH") == "64" {
        println!("cargo:rustc-link-arg-bins=-Wl,--entry=softstop_first");
    }
    if of_target("ENV") == "gnu" && of_target("FEATURE").split(',').any(|f| f == "crt-static") {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
