//! What the C library calls of its own string functions. It has each five to eight times, for as many processors, and numbers in texts bring in locales
//! and their tables: 140 kB in each image, for names of a few bytes that are compared a few times. These stand in their place. What is called for
//! every line and every copy (`memcpy`, `memchr`, `memcmp`, `strlen`) stays the C library's.
//!
//! All are weak: where another version of the C library needs one of its own in any case, that one is taken, and nothing is there twice.

#![cfg(all(target_env = "gnu", target_feature = "crt-static", any(target_arch = "x86_64", target_arch = "aarch64")))]
#![expect(unsafe_code, reason = "C strings, and symbols by their C names")]

use std::ffi::{c_char, c_int, c_long, c_ulong, c_void};

#[cfg(target_arch = "x86_64")]
macro_rules! jump {
    () => {
        "jmp {}"
    };
}
#[cfg(target_arch = "aarch64")]
macro_rules! jump {
    () => {
        "b {}"
    };
}
/// Each as it is called there, and what it is.
macro_rules! instead {
    ($($name:literal $function:ident)+) => {
        $(std::arch::global_asm!(
            concat!(".pushsection .text.softstop_", $name, ",\"ax\",@progbits"),
            concat!(".weak ", $name),
            concat!(".type ", $name, ",@function"),
            concat!($name, ":"),
            jump!(),
            ".popsection",
            sym $function,
        );)+
    };
}

instead!(
    "strcmp" strcmp "strncmp" strncmp "strcpy" strcpy "strncpy" strncpy "strchr" strchr "strrchr" strrchr "__strchrnul" strchrnul
    "strstr" strstr "__strnlen" strnlen "__rawmemchr" rawmemchr "strtol" strtol "strtoul" strtoul
);

// All of them have the C library's own signatures and promises.

/// Up to its zero, or `most` bytes.
///
/// # Safety
/// So much of it can be read for as long as the slice is used.
unsafe fn text<'t>(from: *const c_char, most: usize) -> &'t [u8] {
    let from = from.cast::<u8>();
    let mut length = 0;
    // SAFETY: no byte before this one is a zero, and there are `most`.
    while length < most && unsafe { from.wrapping_add(length).read() } != 0 {
        length += 1;
    }
    // SAFETY: all of them have just been read.
    unsafe { std::slice::from_raw_parts(from, length) }
}

unsafe extern "C" fn strcmp(one: *const c_char, other: *const c_char) -> c_int {
    // SAFETY: as this one's caller promises.
    unsafe { strncmp(one, other, usize::MAX) }
}

unsafe extern "C" fn strncmp(one: *const c_char, other: *const c_char, most: usize) -> c_int {
    // SAFETY: as this one's caller promises.
    let one = unsafe { text(one, most) };
    // SAFETY: as this one's caller promises.
    let other = unsafe { text(other, most) };
    one.cmp(other) as c_int
}

unsafe extern "C" fn strcpy(to: *mut c_char, from: *const c_char) -> *mut c_char {
    // SAFETY: as this one's caller promises.
    let length = unsafe { text(from, usize::MAX) }.len();
    // SAFETY: there is room for the text and its zero, elsewhere.
    unsafe { std::ptr::copy_nonoverlapping(from, to, length + 1) };
    to
}

unsafe extern "C" fn strncpy(to: *mut c_char, from: *const c_char, room: usize) -> *mut c_char {
    // SAFETY: as this one's caller promises.
    let length = unsafe { text(from, room) }.len();
    // SAFETY: there is room for it, elsewhere.
    unsafe { std::ptr::copy_nonoverlapping(from, to, length) };
    // SAFETY: the rest of the room.
    unsafe { std::ptr::write_bytes(to.wrapping_add(length), 0, room - length) };
    to
}

unsafe extern "C" fn strchr(from: *const c_char, wanted: c_int) -> *const c_char {
    // SAFETY: as this one's caller promises.
    let found = unsafe { strchrnul(from, wanted) };
    // SAFETY: it points into the text, or at its zero.
    if unsafe { found.cast::<u8>().read() } == wanted as u8 { found } else { std::ptr::null() }
}

unsafe extern "C" fn strrchr(from: *const c_char, wanted: c_int) -> *const c_char {
    // SAFETY: as this one's caller promises.
    let text = unsafe { text(from, usize::MAX) };
    let at = if wanted as u8 == 0 { Some(text.len()) } else { text.iter().rposition(|byte| *byte == wanted as u8) };
    at.map_or(std::ptr::null(), |at| from.wrapping_add(at))
}

unsafe extern "C" fn strchrnul(from: *const c_char, wanted: c_int) -> *const c_char {
    // SAFETY: as this one's caller promises.
    let text = unsafe { text(from, usize::MAX) };
    from.wrapping_add(text.iter().position(|byte| *byte == wanted as u8).unwrap_or(text.len()))
}

unsafe extern "C" fn strstr(from: *const c_char, wanted: *const c_char) -> *const c_char {
    // SAFETY: as this one's caller promises.
    let all = unsafe { text(from, usize::MAX) };
    // SAFETY: as this one's caller promises.
    let wanted = unsafe { text(wanted, usize::MAX) };
    let at = (0..=all.len()).find(|at| all.get(*at..).is_some_and(|rest| rest.starts_with(wanted)));
    at.map_or(std::ptr::null(), |at| from.wrapping_add(at))
}

unsafe extern "C" fn strnlen(from: *const c_char, most: usize) -> usize {
    // SAFETY: as this one's caller promises.
    unsafe { text(from, most) }.len()
}

/// It is there.
unsafe extern "C" fn rawmemchr(from: *const c_void, wanted: c_int) -> *const c_void {
    let mut at = from.cast::<u8>();
    // SAFETY: it has not been found yet, so this byte can be read.
    while unsafe { at.read() } != wanted as u8 {
        at = at.wrapping_add(1);
    }
    at.cast()
}

/// Whether a minus stands before it, and the number, in the C locale. A base of 0 is 10: nobody writes another one here.
unsafe fn number(from: *const c_char, end: *mut *const c_char, base: c_int) -> (bool, c_ulong) {
    // SAFETY: as this one's caller promises.
    let text = unsafe { text(from, usize::MAX) };
    let blanks = text.iter().take_while(|byte| byte.is_ascii_whitespace() || **byte == b'\x0b').count();
    let sign = text.get(blanks).copied().filter(|byte| b"+-".contains(byte));
    let begin = blanks + usize::from(sign.is_some());
    let base = u32::try_from(base).ok().filter(|base| (2..=36).contains(base)).unwrap_or(10);
    let digits = text.iter().skip(begin).map_while(|byte| char::from(*byte).to_digit(base));
    let count = digits.clone().count();
    if !end.is_null() {
        // SAFETY: it points to a pointer that is the caller's.
        unsafe { end.write(from.wrapping_add(if count == 0 { 0 } else { begin + count })) };
    }
    let add = |sum: c_ulong, digit| sum.saturating_mul(c_ulong::from(base)).saturating_add(c_ulong::from(digit));
    (sign == Some(b'-'), digits.fold(0, add))
}

unsafe extern "C" fn strtol(from: *const c_char, end: *mut *const c_char, base: c_int) -> c_long {
    // SAFETY: as this one's caller promises.
    match unsafe { number(from, end, base) } {
        (false, number) => c_long::try_from(number).unwrap_or(c_long::MAX),
        (true, number) => 0 - c_long::try_from(number).unwrap_or(c_long::MAX),
    }
}

unsafe extern "C" fn strtoul(from: *const c_char, end: *mut *const c_char, base: c_int) -> c_ulong {
    // SAFETY: as this one's caller promises.
    match unsafe { number(from, end, base) } {
        (false, number) => number,
        (true, number) => number.wrapping_neg(),
    }
}
