//! The limits that softstop raises for itself, and gives back to what it starts. Both are limits of what a *process* may do by
//! accident, set for programs that softstop is not one of: how many descriptors `select` can take, and how deep a recursion may go.

#![expect(
    unsafe_code,
    reason = "between fork and exec only system calls, and nix refuses a soft limit above the hard one by panicking"
)]

use std::os::fd::RawFd;

use nix::errno::Errno;

use crate::config;

/// Enough for whatever softstop does, and what most machines give.
const STACK: libc::rlim_t = 8 << 20;

/// The soft limits that softstop was started with, of those that it has raised.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Raised {
    descriptors: Option<libc::rlim_t>,
    stack: Option<libc::rlim_t>,
}

/// Raises the soft limits of descriptors, to the hard one, and of the stack, to 8 MiB if that is allowed. What is refused stays as it is.
pub fn raise() -> Raised {
    Raised {
        descriptors: raise_one(libc::RLIMIT_NOFILE, libc::RLIM_INFINITY),
        stack: raise_one(libc::RLIMIT_STACK, STACK),
    }
}

impl Raised {
    pub const NONE: Raised = Raised { descriptors: None, stack: None };

    /// Gives the calling process the soft limits back, and leaves the hard ones as they are now. Async-signal-safe.
    pub(super) fn give_back(self) {
        for (resource, soft) in [(libc::RLIMIT_NOFILE, self.descriptors), (libc::RLIMIT_STACK, self.stack)] {
            if let (Some(soft), Some(now)) = (soft, get(resource)) {
                let _kept_as_it_is = set(resource, libc::rlimit { rlim_cur: soft.min(now.rlim_max), ..now });
            }
        }
    }
}

#[cfg(target_env = "gnu")]
pub(super) type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
pub(super) type Resource = libc::c_int;

/// In the order of [`config::Resource::NAMES`].
const NUMBERS: [Resource; config::Resource::NAMES.len()] = [
    libc::RLIMIT_AS,
    libc::RLIMIT_CORE,
    libc::RLIMIT_CPU,
    libc::RLIMIT_DATA,
    libc::RLIMIT_FSIZE,
    libc::RLIMIT_LOCKS,
    libc::RLIMIT_MEMLOCK,
    libc::RLIMIT_MSGQUEUE,
    libc::RLIMIT_NICE,
    libc::RLIMIT_NOFILE,
    libc::RLIMIT_NPROC,
    libc::RLIMIT_RSS,
    libc::RLIMIT_RTPRIO,
    libc::RLIMIT_RTTIME,
    libc::RLIMIT_SIGPENDING,
    libc::RLIMIT_STACK,
];

/// A resource's number and the limit that a child has of it by default; one that softstop has raised is not to be given back any more.
pub(super) fn of(resource: config::Resource, raised: &mut Raised) -> (Resource, libc::rlimit) {
    let number = NUMBERS[resource.0.min(NUMBERS.len() - 1)];
    let unlimited = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    let mut now = get(number).unwrap_or(unlimited);
    let soft = match number {
        libc::RLIMIT_NOFILE => raised.descriptors.take(),
        libc::RLIMIT_STACK => raised.stack.take(),
        _ => None,
    };
    now.rlim_cur = soft.map_or(now.rlim_cur, |soft| soft.min(now.rlim_max));
    (number, now)
}

/// The hard limit that softstop has itself.
pub fn hard(resource: config::Resource) -> u64 {
    of(resource, &mut Raised::NONE.clone()).1.rlim_max
}

/// For a helper of softstop's own that reads what others may have written: so many bytes of memory, which is an abort above, and no core file.
pub fn confine(memory: u64) {
    for (resource, most) in [(libc::RLIMIT_DATA, memory), (libc::RLIMIT_CORE, 0)] {
        let Some(now) = get(resource) else { continue };
        let most = now.rlim_max.min(most);
        let _kept_as_it_is = set(resource, libc::rlimit { rlim_cur: most, rlim_max: most });
    }
}

fn raise_one(resource: Resource, to: libc::rlim_t) -> Option<libc::rlim_t> {
    let found = get(resource)?;
    let wanted = found.rlim_max.min(to);
    (found.rlim_cur < wanted && set(resource, libc::rlimit { rlim_cur: wanted, ..found }).is_ok())
        .then_some(found.rlim_cur)
}

/// The soft limit of descriptors as it is now: the highest number that one may have, plus one. Async-signal-safe.
pub fn descriptors() -> u64 {
    get(libc::RLIMIT_NOFILE).map_or(1024, |limit| limit.rlim_cur)
}

/// Where it has to be tried which numbers are open, it is from 3 up to this one, which is left out: a limit of a thousand million would take
/// minutes. Async-signal-safe.
pub(super) fn highest_descriptor_tried() -> RawFd {
    RawFd::try_from(descriptors().min(65_536)).unwrap_or(0)
}

fn get(resource: Resource) -> Option<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is live memory of the right type.
    (unsafe { libc::getrlimit(resource, &raw mut limit) } == 0).then_some(limit)
}

/// Async-signal-safe.
pub(super) fn set(resource: Resource, limit: libc::rlimit) -> nix::Result<()> {
    // SAFETY: `limit` is live memory of the right type, and only read.
    Errno::result(unsafe { libc::setrlimit(resource, &raw const limit) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_tried_up_to_the_soft_limit_and_no_further_than_65536() {
        let (soft, _) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(descriptors(), soft);
        assert_eq!(highest_descriptor_tried(), i32::try_from(soft.min(65_536)).unwrap());
    }
}
