//! Nothing is loaded into softstop. In a static binary glibc keeps a dynamic loader for its own needs (character sets, NSS), which loads
//! files of the image into the process and ends it with SIGSEGV when they are of another version. These stand in its place, so that
//! the linker takes none of it: `tests/image/static_binary.rs` reads the symbols.
//!
//! What is left to ask for them: character sets other than the C locale's, which is never left; and the standard library, which asks
//! `dlsym` for what newer C libraries have and does without.
//!
//! A "duplicate symbol" at link time means that something wants the loader after all (`getaddrinfo`, `getpwnam`, `iconv_open`): see who with
//! `-Wl,--why-extract=-`, and do without it.

#![cfg(all(target_env = "gnu", target_feature = "crt-static"))]
#![expect(unsafe_code, reason = "symbols by their C names")]

use std::ffi::{c_char, c_int, c_void};
use std::ptr::null_mut;

// SAFETY: all of them have the C library's own signatures, and their answers are those of a library or symbol that is not there.

#[unsafe(no_mangle)]
extern "C" fn dlsym(_handle: *mut c_void, _name: *const c_char) -> *mut c_void {
    null_mut()
}

#[unsafe(no_mangle)]
extern "C" fn __libc_dlopen_mode(_name: *const c_char, _mode: c_int) -> *mut c_void {
    null_mut()
}

#[unsafe(no_mangle)]
extern "C" fn __libc_dlsym(_handle: *mut c_void, _name: *const c_char) -> *mut c_void {
    null_mut()
}

#[unsafe(no_mangle)]
extern "C" fn __libc_dlvsym(_handle: *mut c_void, _name: *const c_char, _version: *const c_char) -> *mut c_void {
    null_mut()
}

#[unsafe(no_mangle)]
extern "C" fn __libc_dlclose(_handle: *mut c_void) -> c_int {
    0
}
