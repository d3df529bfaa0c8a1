//! What of the C library makes texts is not linked. In a static binary its error messages bring in translation, and with that locales, character
//! sets, files of both, wide characters and `printf`: a quarter of a megabyte in each image, none of which is ever wanted, as softstop stays in the C locale
//! and makes its texts itself. These stand in its place, so that the linker takes none of it.
//!
//! Those that answer, answer as the C library does in the C locale. Those that are asked for wide characters and character sets alone, which nobody
//! does, are one trap. `tests/image/static_binary.rs` reads the symbols; who wants one after all is said by `-Wl,--why-extract=-`.
//! Needs glibc 2.32 or later, as the static build does.

#![cfg(all(target_env = "gnu", target_feature = "crt-static"))]
#![expect(unsafe_code, reason = "symbols by their C names")]

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::io::{Cursor, Write};

unsafe extern "C" {
    fn strerrordesc_np(error: c_int) -> *const c_char;
    fn sigdescr_np(signal: c_int) -> *const c_char;
}

// SAFETY: all of them have the C library's own signatures and promises.

/// Of an error that nobody knows the text is made in the caller's room; the others are constants.
#[unsafe(no_mangle)]
unsafe extern "C" fn __strerror_r(error: c_int, room: *mut c_char, length: usize) -> *const c_char {
    // SAFETY: takes a number; what it returns is null or a constant.
    let known = unsafe { strerrordesc_np(error) };
    if !known.is_null() || room.is_null() || length == 0 {
        return known;
    }
    // SAFETY: the caller's room has so many bytes, and a valid value for each.
    let bytes = unsafe { std::slice::from_raw_parts_mut(room.cast::<u8>(), length) };
    bytes.fill(0);
    // What does not fit is cut; the last stays zero.
    let _ = write!(Cursor::new(&mut bytes[..length - 1]), "Unknown error {error}");
    room
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __xpg_strerror_r(error: c_int, room: *mut c_char, length: usize) -> c_int {
    if room.is_null() || length == 0 {
        return libc::ERANGE;
    }
    // SAFETY: as this one's caller promises.
    let text = unsafe { __strerror_r(error, room, length) };
    if text == room.cast_const() {
        return libc::EINVAL;
    }
    // SAFETY: a text of the C library, which ends with a zero.
    let text = unsafe { CStr::from_ptr(text) }.to_bytes();
    let fits = text.len().min(length - 1);
    // SAFETY: the room has one byte more than that, and a constant lies elsewhere.
    unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), room.cast::<u8>(), fits) };
    // SAFETY: as above.
    unsafe { room.add(fits).write(0) };
    if fits < text.len() { libc::ERANGE } else { 0 }
}

#[unsafe(no_mangle)]
extern "C" fn strerror(error: c_int) -> *const c_char {
    // SAFETY: takes a number; what it returns is null or a constant.
    let known = unsafe { strerrordesc_np(error) };
    if known.is_null() { c"Unknown error".as_ptr() } else { known }
}

#[unsafe(no_mangle)]
extern "C" fn strsignal(signal: c_int) -> *const c_char {
    // SAFETY: takes a number; what it returns is null or a constant.
    let known = unsafe { sigdescr_np(signal) };
    if known.is_null() { c"Unknown signal".as_ptr() } else { known }
}

/// There are no translations.
#[unsafe(no_mangle)]
extern "C" fn __dcgettext(_domain: *const c_char, text: *const c_char, _category: c_int) -> *const c_char {
    text
}

/// What the allocator would say of itself if it were asked. It takes more arguments, which on no platform is seen by whoever does not.
#[unsafe(no_mangle)]
extern "C" fn fprintf(_file: *mut c_void, _format: *const c_char) -> c_int {
    -1
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __assert_fail(
    text: *const c_char,
    _file: *const c_char,
    _line: c_uint,
    _function: *const c_char,
) -> ! {
    // SAFETY: a text that ends with a zero.
    let text = unsafe { CStr::from_ptr(text) }.to_bytes();
    // SAFETY: live memory with its length; nobody is left to whom a failure could be told.
    unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
    // SAFETY: as the C library's own ends.
    unsafe { libc::abort() }
}

/// Weak: where another version of the C library needs one of them for something else, it has its own. The first are a trap. The others do nothing, and
/// say zero: what is kept of open files of C's own, of which there are none, of what letters are, and where a loader would look.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! nobody_asks {
    ($trap:literal, $nothing:literal; $($function:literal)+; $($empty:literal)+) => {
        std::arch::global_asm!(
            ".pushsection .text.softstop_nobody_asks,\"ax\",@progbits",
            $(concat!(".weak ", $function), concat!(".type ", $function, ",@function"), concat!($function, ":"),)+
            $trap,
            $(concat!(".weak ", $empty), concat!(".type ", $empty, ",@function"), concat!($empty, ":"),)+
            $nothing,
            ".popsection",
            ".pushsection .bss.softstop_nobody_asks,\"aw\",@nobits",
            ".balign 16",
            ".weak __wcsmbs_gconv_fcts_c",
            "__wcsmbs_gconv_fcts_c:",
            ".weak __gconv_lock",
            "__gconv_lock:",
            ".weak stderr",
            "stderr:",
            ".zero 64",
            ".popsection",
        );
    };
    ($trap:literal, $nothing:literal) => {
        nobody_asks!(
            $trap, $nothing;
            "__wcsmbs_load_conv" "__wcsmbs_clone_conv" "__wcsmbs_named_conv" "__wcsmbs_getfct" "_nl_cleanup_ctype"
            "__gconv_release_step" "__libc_dynarray_at_failure" "__netlink_assert_response";
            "__ctype_init" "_dl_init_paths" "_dl_get_origin" "fwrite" "_IO_fputs" "_IO_list_lock" "_IO_list_unlock" "_IO_list_resetlock" "_IO_iter_begin" "_IO_iter_end"
            "_IO_iter_next" "_IO_iter_file"
        );
    };
}

#[cfg(target_arch = "x86_64")]
nobody_asks!("ud2", "xor eax, eax; ret");
#[cfg(target_arch = "aarch64")]
nobody_asks!("brk #1", "mov x0, #0; ret");
