//! /etc/passwd and /etc/group: an image's own files, and whatever stands in their place.

use softstop::sys::users::files::{MAX_GROUPS, groups, groups_of, users};

pub fn target(data: &[u8]) {
    for user in users(data) {
        assert!(
            !user.name.is_empty() && !user.name.contains(&b':') && !user.name.contains(&b'\n'),
            "a name of a line's parts"
        );
        assert!(user.uid != u32::MAX && user.gid != u32::MAX, "the kernel's word for no change");
        assert!(!user.home.contains(&0), "a path that ends early");
        let found = groups_of(data, user.name, user.gid);
        assert!(found.first() == Some(&user.gid) && found.len() <= MAX_GROUPS, "its own group first");
        let mut once = found.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), found.len(), "each once");
    }
    for group in groups(data) {
        assert!(group.gid != u32::MAX);
        assert!(group.members().all(|member| !member.is_empty() && !member.contains(&b',')));
    }
}
