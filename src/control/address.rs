//! Where the control socket is, when nothing says otherwise. Pure.
//!
//! An abstract address: no file, so a read-only root, any user and a crash are the same to it. Such names belong to the
//! *network* namespace, which the containers of a pod share and `hostNetwork` shares with the node. So the name says whose
//! it is: `softstop/<inode of the PID namespace>/<pid of softstop in it>`. Two containers have different PID namespaces, two
//! softstops in one have different pids, and a client can hold the pid against what the kernel says of the listener: who else
//! takes the name first is found out. Who may give orders the kernel says, too ([`super::server`]).

use crate::sorted;

/// The name of a softstop's own socket, without the leading NUL.
pub fn name(namespace: u64, pid: i32) -> String {
    format!("softstop/{namespace}/{pid}")
}

/// The pids of those who listen at such a name of this PID namespace, rising, from the text of /proc/net/unix.
pub fn listening(table: &str, namespace: u64) -> Vec<i32> {
    // Num RefCount Protocol Flags Type St Inode Path; __SO_ACCEPTCON is the flag of a listening socket.
    let mut pids: Vec<i32> = table
        .lines()
        .filter_map(|line| {
            let mut columns = line.split_ascii_whitespace();
            let flags = columns.nth(3)?;
            let path = columns.nth(3)?;
            let pid = path.strip_prefix("@softstop/")?.strip_prefix(&namespace.to_string())?.strip_prefix('/')?;
            pid.parse().ok().filter(|pid| *pid > 0 && flags == "00010000")
        })
        .collect();
    sorted::sort(&mut pids);
    pids.dedup();
    pids
}

/// Which of several is meant: the nearest of the client's own `ancestors` (nearest first), else the namespace's init, else the
/// only one. `None`: it has to be said.
pub fn meant(instances: &[i32], ancestors: &[i32]) -> Option<i32> {
    let ancestor = ancestors.iter().copied().find(|pid| instances.contains(pid));
    let init = || instances.iter().copied().find(|pid| *pid == 1);
    let only = || instances.first().copied().filter(|_| instances.len() == 1);
    ancestor.or_else(init).or_else(only)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 21161 @softstop/4026531836/1
0000000000000000: 00000003 00000000 00000000 0001 03 21170 @softstop/4026531836/1
0000000000000000: 00000002 00000000 00010000 0001 01 21162 @softstop/4026531836/77
0000000000000000: 00000002 00000000 00010000 0001 01 21168 @softstop/4026531836/0
0000000000000000: 00000002 00000000 00010000 0001 01 21169 @softstop/4026531836/-4
0000000000000000: 00000002 00000000 00010000 0001 01 21163 @softstop/40265318360/5
0000000000000000: 00000003 00000000 00000000 0001 03 21164 @softstop/4026531836/9
0000000000000000: 00000002 00000000 00010000 0001 01 21165 /run/softstop/4026531836/6
0000000000000000: 00000002 00000000 00010000 0001 01 21166
0000000000000000: 00000002 00000000 00010000 0001 01 21167 @softstop/4026531836/x
";

    #[test]
    fn those_who_listen_in_this_namespace_are_found() {
        assert_eq!(listening(TABLE, 4_026_531_836), [1, 77]);
        assert!(listening(TABLE, 1).is_empty());
        assert!(listening("", 4_026_531_836).is_empty());
        assert_eq!(name(4_026_531_836, 77), "softstop/4026531836/77");
    }

    #[test]
    fn the_nearest_is_meant() {
        assert_eq!(meant(&[], &[5, 1]), None);
        assert_eq!(meant(&[77], &[5, 1]), Some(77));
        assert_eq!(meant(&[1, 77], &[90, 0]), Some(1), "kubectl exec in a container with another softstop in it");
        assert_eq!(meant(&[1, 77], &[80, 77, 1]), Some(77), "below the inner one");
        assert_eq!(meant(&[30, 77], &[80, 12]), None, "two on one machine");
    }
}
