//! Capabilities of the calling thread, as the kernel has them. What a child does with them is async-signal-safe: system calls alone.

#![expect(unsafe_code, reason = "capget, capset and prctl have no safe wrapper")]

use nix::errno::Errno;

use crate::config::CapabilitySet;

/// `_LINUX_CAPABILITY_VERSION_3`.
const VERSION: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// The three sets that capget(2) knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sets {
    pub effective: CapabilitySet,
    pub permitted: CapabilitySet,
    pub inheritable: CapabilitySet,
}

impl Sets {
    /// Those of this thread.
    ///
    /// # Errors
    /// ENOSYS and EPERM in sandboxes.
    pub fn own() -> nix::Result<Sets> {
        let mut header = Header { version: VERSION, pid: 0 };
        let mut halves = [Half::default(); 2];
        // SAFETY: both are live memory of the layout that this version has; the kernel writes two halves.
        Errno::result(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, halves.as_mut_ptr()) })?;
        let whole =
            |part: fn(&Half) -> u32| CapabilitySet(u64::from(part(&halves[1])) << 32 | u64::from(part(&halves[0])));
        Ok(Sets {
            effective: whole(|half| half.effective),
            permitted: whole(|half| half.permitted),
            inheritable: whole(|half| half.inheritable),
        })
    }

    /// Gives this thread these.
    ///
    /// # Errors
    /// EPERM: one is added that it does not have.
    pub(super) fn take(self) -> nix::Result<()> {
        let mut header = Header { version: VERSION, pid: 0 };
        let part = |set: CapabilitySet, shift: u32| (set.0 >> shift & u64::from(u32::MAX)) as u32;
        let half = |shift| Half {
            effective: part(self.effective, shift),
            permitted: part(self.permitted, shift),
            inheritable: part(self.inheritable, shift),
        };
        let halves = [half(0), half(32)];
        // SAFETY: as above; the kernel only reads the halves.
        Errno::result(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, halves.as_ptr()) }).map(drop)
    }
}

/// What this thread and what it starts can ever get by executing a program.
pub fn bounding() -> CapabilitySet {
    let has = |number: &u32| prctl(libc::PR_CAPBSET_READ, libc::c_ulong::from(*number), 0) == Ok(1);
    CapabilitySet((0..u64::BITS).filter(has).fold(0, |set, number| set | 1 << number))
}

/// Takes one away for good.
pub(super) fn drop_from_bounding(number: u32) -> nix::Result<()> {
    prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number), 0).map(drop)
}

/// Has what is executed get one that is permitted and inheritable.
pub(super) fn raise_ambient(number: u32) -> nix::Result<()> {
    let raise = libc::PR_CAP_AMBIENT_RAISE as libc::c_ulong;
    prctl(libc::PR_CAP_AMBIENT, raise, libc::c_ulong::from(number)).map(drop)
}

fn prctl(option: libc::c_int, first: libc::c_ulong, second: libc::c_ulong) -> nix::Result<libc::c_int> {
    // SAFETY: these options take integers and touch no memory of ours.
    Errno::result(unsafe { libc::prctl(option, first, second, 0 as libc::c_ulong, 0 as libc::c_ulong) })
}
