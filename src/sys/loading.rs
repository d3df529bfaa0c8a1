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

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
instead!("_dl_protect_relro" protect);

/// From here on what the linker has marked so is only read. The C library has this beside all that a loader does to what it has loaded.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
extern "C" fn protect(_softstop: *mut c_void) {
    // SAFETY: asks for a number.
    let headers = unsafe { libc::getauxval(libc::AT_PHDR) } as *const libc::Elf64_Phdr;
    // SAFETY: asks for a number.
    let count = unsafe { libc::getauxval(libc::AT_PHNUM) } as usize;
    // SAFETY: asks for a number.
    let page = unsafe { libc::getauxval(libc::AT_PAGESZ) } as usize;
    if headers.is_null() || !page.is_power_of_two() {
        return;
    }
    // SAFETY: the kernel has mapped them with the program, as many as it says.
    let all = unsafe { std::slice::from_raw_parts(headers, count) };
    let of = |kind| all.iter().find(|header| header.p_type == kind);
    let Some(marked) = of(libc::PT_GNU_RELRO) else { return };
    // How far from where it was linked for: nothing, unless it is position-independent.
    let moved = of(libc::PT_PHDR).map_or(0, |own| headers.addr().wrapping_sub(own.p_vaddr as usize));
    let begin = moved.wrapping_add(marked.p_vaddr as usize);
    let end = begin.wrapping_add(marked.p_memsz as usize) & !(page - 1);
    let begin = begin & !(page - 1);
    // SAFETY: whole pages of the program that nobody writes to any more; without it everything works as well.
    unsafe { libc::mprotect(std::ptr::with_exposed_provenance_mut(begin), end.wrapping_sub(begin), libc::PROT_READ) };
}
