//! What comes before the C library: the ELF entry point. It holds the signals and goes on to the C library's own `_start`.
//!
//! Until signals are held, the kernel drops a SIGTERM to PID 1. What a C library does before `main` (relocations, `cpuid`, which traps
//! in a virtual machine, thread-local storage) takes a hundred times as long as this, and far longer where a CPU limit puts the process to
//! sleep in the middle of it. Figures: docs/performance.md.
//!
//! build.rs makes it the binary's entry point. Where it is not (tests with a program of their own, an architecture without instructions
//! here) [`super::signals::block`] is the first to hold them. In a dynamic binary the loader runs before either.

#![expect(unsafe_code, reason = "instructions before the first function, and the word they leave behind")]

use super::mask::SignalSet;

/// The architecture's instructions between what all have in common: the mask to set, and a word for the one that was found.
///
/// At an ELF entry point the stack pointer counts, and the register of a function for `atexit` (x86-64: rdx, AArch64: x0); all others are
/// free. Nothing is called and the stack is left alone. The kernel takes the new mask before it writes the old one, whose page it may have
/// to make first.
#[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), target_pointer_width = "64"))]
macro_rules! first {
    ($($instruction:literal),+ $(,)?) => {
        std::arch::global_asm!(
            ".pushsection .text.softstop_first,\"ax\",@progbits",
            ".globl softstop_first",
            ".hidden softstop_first",
            ".type softstop_first,@function",
            "softstop_first:",
            $($instruction,)+
            ".balign 8",
            ".Lsoftstop_held: .quad {held}",
            ".size softstop_first, .-softstop_first",
            ".popsection",
            ".pushsection .data.softstop_found,\"aw\",@progbits",
            ".globl softstop_found",
            ".hidden softstop_found",
            ".type softstop_found,@object",
            ".size softstop_found, 8",
            ".balign 8",
            "softstop_found: .quad -1",
            ".popsection",
            call = const libc::SYS_rt_sigprocmask,
            how = const libc::SIG_SETMASK,
            held = const super::signals::HELD.bits(),
        );
    };
}

#[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
first!(
    "endbr64",
    "mov r8, rdx",
    "mov eax, {call}",
    "mov edi, {how}",
    "lea rsi, [rip + .Lsoftstop_held]",
    "lea rdx, [rip + softstop_found]",
    "mov r10d, 8",
    "syscall",
    "mov rdx, r8",
    "jmp _start",
);

#[cfg(all(target_arch = "aarch64", target_pointer_width = "64"))]
first!(
    "hint #34",
    "mov x9, x0",
    "mov x8, #{call}",
    "mov x0, #{how}",
    "adr x1, .Lsoftstop_held",
    "adrp x2, softstop_found",
    "add x2, x2, :lo12:softstop_found",
    "mov x3, #8",
    "svc #0",
    "mov x0, x9",
    "b _start",
);

/// The mask that the program was started with, if the entry point was here. No mask has KILL in it, so the word from before is none.
#[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), target_pointer_width = "64"))]
pub(super) fn found() -> Option<SignalSet> {
    unsafe extern "C" {
        #[link_name = "softstop_found"]
        static FOUND: u64;
    }
    // SAFETY: eight bytes, defined above; written before the first function ran, and by nobody since.
    let found = unsafe { FOUND };
    (found != u64::MAX).then(|| SignalSet::from_bits(found))
}

#[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), target_pointer_width = "64")))]
pub(super) fn found() -> Option<SignalSet> {
    None
}
