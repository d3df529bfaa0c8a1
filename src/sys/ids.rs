//! Whether a user or group id means what it says. In a user namespace every id without a mapping there shows as the same number, the
//! overflow id (65534): it is nobody's, however many have it.

use std::fs;

use super::process;

/// Where the kernel does not say: its default.
pub(super) const OVERFLOW: u32 = 65_534;

/// Whether process `pid`, of which the kernel says that it runs as `uid`, certainly does.
///
/// The overflow uid is believed where every uid is mapped, and of a process that softstop may signal, if it runs as that uid itself: the
/// kernel compares the users behind the numbers there. (With the capability KILL it would not; who has it has no need to be unmapped.)
pub fn runs_as(pid: i32, uid: u32) -> bool {
    is_certain_user(uid) || uid == own_user() && pid > 0 && process::kill(pid, 0).is_ok()
}

fn own_user() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// Whether no two users can show as this one.
pub fn is_certain_user(uid: u32) -> bool {
    is_certain(uid, "/proc/sys/kernel/overflowuid", "/proc/self/uid_map")
}

/// Whether no two groups can show as this one.
pub fn is_certain_group(gid: u32) -> bool {
    is_certain(gid, "/proc/sys/kernel/overflowgid", "/proc/self/gid_map")
}

fn is_certain(id: u32, overflow: &str, map: &str) -> bool {
    let overflow = fs::read_to_string(overflow).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(OVERFLOW);
    id != overflow || fs::read_to_string(map).is_ok_and(|map| maps_everything(&map))
}

/// As outside all user namespaces: one range of every id there is.
fn maps_everything(map: &str) -> bool {
    map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_map_leaves_nobody_out() {
        assert!(maps_everything("         0          0 4294967295\n"));
        for map in ["", "0 100000 65536\n", "0 0 1\n", "0 0 4294967295\n5 5 1\n", "0 1000 4294967295\n"] {
            assert!(!maps_everything(map), "{map:?}");
        }
    }

    #[test]
    fn what_is_no_overflow_id_is_certain() {
        assert!(is_certain(0, "/nowhere", "/nowhere") && is_certain(65_533, "/nowhere", "/nowhere"));
        assert!(!is_certain(OVERFLOW, "/nowhere", "/nowhere"), "without /proc nothing says who it is");
    }
}
