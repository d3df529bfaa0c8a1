//! Who a process runs as: names from /etc/passwd and /etc/group into numbers.

use std::ffi::CString;
use std::path::PathBuf;

use nix::unistd::{Gid, Group, Uid, User, getegid, geteuid, getgrouplist, getgroups};

use crate::config::Identity;

/// What a child becomes before it executes its program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credentials {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups, complete.
    pub groups: Vec<u32>,
    /// For HOME: `/` for a user without an entry, as container runtimes have it.
    pub home: PathBuf,
    /// For USER and LOGNAME: `None` for a user without an entry.
    pub name: Option<String>,
}

/// Looks an identity up, now. `None` when it asks for nothing.
///
/// A number needs no entry in /etc/passwd. Such a user gets no supplementary groups and, unless a group is named, keeps
/// the group softstop runs with: that is what container runtimes do (`USER 1000` runs with group 0) and what images for
/// arbitrary user ids rely on. A group without a user changes the group alone.
///
/// # Errors
/// One line: which name is unknown, and what to do.
pub fn resolve(identity: &Identity) -> Result<Option<Credentials>, String> {
    let group = identity.group.as_deref().map(find_group).transpose()?;
    let Some(text) = identity.user.as_deref() else {
        return Ok(group.map(only_group));
    };
    let (uid, user) = find_user(text)?;
    let gid = group
        .or(user.as_ref().map(|user| user.gid.as_raw()))
        .unwrap_or_else(|| getegid().as_raw());
    let groups = user
        .as_ref()
        .map_or(Vec::new(), |user| groups_of(&user.name, gid));
    let (name, home) = match user {
        Some(user) => (Some(user.name), user.dir),
        None => (None, PathBuf::from("/")),
    };
    Ok(Some(Credentials {
        uid,
        gid,
        groups,
        home,
        name,
    }))
}

fn only_group(gid: u32) -> Credentials {
    let uid = geteuid();
    let user = User::from_uid(uid).ok().flatten();
    let groups = getgroups()
        .unwrap_or_default()
        .into_iter()
        .map(Gid::as_raw)
        .collect();
    let (name, home) = user.map_or((None, PathBuf::from("/")), |user| {
        (Some(user.name), user.dir)
    });
    Credentials {
        uid: uid.as_raw(),
        gid,
        groups,
        home,
        name,
    }
}

fn find_user(text: &str) -> Result<(u32, Option<User>), String> {
    if let Some(uid) = number(text, "user")? {
        // No /etc/passwd at all is as good as no entry in it.
        return Ok((uid, User::from_uid(Uid::from_raw(uid)).ok().flatten()));
    }
    match User::from_name(text) {
        Ok(Some(user)) => Ok((user.uid.as_raw(), Some(user))),
        Ok(None) | Err(nix::Error::ENOENT) => Err(format!(
            "unknown user {text:?}: not in /etc/passwd: add it to the image or write the number"
        )),
        Err(e) => Err(format!(
            "cannot look up user {text:?}: {}: write the number instead",
            e.desc()
        )),
    }
}

fn find_group(text: &str) -> Result<u32, String> {
    if let Some(gid) = number(text, "group")? {
        return Ok(gid);
    }
    match Group::from_name(text) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        Ok(None) | Err(nix::Error::ENOENT) => Err(format!(
            "unknown group {text:?}: not in /etc/group: add it to the image or write the number"
        )),
        Err(e) => Err(format!(
            "cannot look up group {text:?}: {}: write the number instead",
            e.desc()
        )),
    }
}

/// A text of digits alone is a number. The highest one means "no change" to the kernel.
fn number(text: &str, what: &str) -> Result<Option<u32>, String> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(None);
    }
    match text.parse::<u32>() {
        Ok(n) if n != u32::MAX => Ok(Some(n)),
        _ => Err(format!(
            "{what} {text} is out of range: numbers go from 0 to 4294967294"
        )),
    }
}

fn groups_of(name: &str, gid: u32) -> Vec<u32> {
    let groups = CString::new(name)
        .ok()
        .and_then(|name| getgrouplist(&name, Gid::from_raw(gid)).ok());
    groups.map_or(vec![gid], |groups| {
        groups.into_iter().map(Gid::as_raw).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(user: Option<&str>, group: Option<&str>) -> Identity {
        Identity {
            user: user.map(Into::into),
            group: group.map(Into::into),
        }
    }

    #[test]
    fn names_numbers_and_nothing() {
        assert_eq!(resolve(&identity(None, None)).unwrap(), None);
        let root = resolve(&identity(Some("root"), None)).unwrap().unwrap();
        assert_eq!(
            (root.uid, root.gid, root.name.as_deref()),
            (0, 0, Some("root"))
        );
        assert_eq!(root.home, PathBuf::from("/root"));
        assert_eq!(resolve(&identity(Some("0"), None)).unwrap().unwrap(), root);
    }

    #[test]
    fn a_number_needs_no_entry() {
        let nobody_known = resolve(&identity(Some("123456789"), None))
            .unwrap()
            .unwrap();
        let own_group = getegid().as_raw();
        assert_eq!(
            (nobody_known.uid, nobody_known.gid, nobody_known.name),
            (123_456_789, own_group, None)
        );
        assert_eq!(nobody_known.home, PathBuf::from("/"));
        assert_eq!(nobody_known.groups, [0u32; 0]);
        assert_eq!(
            resolve(&identity(Some("5"), Some("77")))
                .unwrap()
                .unwrap()
                .gid,
            77
        );
    }

    #[test]
    fn a_group_alone_keeps_the_user() {
        let found = resolve(&identity(None, Some("4242"))).unwrap().unwrap();
        assert_eq!((found.uid, found.gid), (geteuid().as_raw(), 4242));
    }

    #[test]
    fn the_unknown_is_named_with_what_to_do() {
        let error = resolve(&identity(Some("nobody-here"), None)).unwrap_err();
        assert!(
            error.contains("\"nobody-here\"") && error.contains("/etc/passwd"),
            "{error}"
        );
        let error = resolve(&identity(None, Some("no-group"))).unwrap_err();
        assert!(
            error.contains("\"no-group\"") && error.contains("/etc/group"),
            "{error}"
        );
        for text in ["4294967295", "99999999999"] {
            assert!(
                resolve(&identity(Some(text), None))
                    .unwrap_err()
                    .contains("out of range")
            );
        }
        assert!(resolve(&identity(Some(""), None)).is_err());
    }
}
