//! The lines of /etc/passwd and /etc/group, read as the C library's `files` service reads them (nss/nss_files/files-XXX.c,
//! pwd/fgetpwent.c). Pure: bytes in, entries out.
//!
//! A line that is none (a comment, `+::::::` of NIS, a number that is no number) is passed over, and so is one longer than
//! [`MAX_LINE`]. The first line of a name or number counts.

/// Of either file so many bytes are read; more is an error.
pub const MAX_FILE: usize = 4 * 1024 * 1024;
/// In bytes. A group of twenty thousand members fits.
pub const MAX_LINE: usize = 256 * 1024;
/// Groups of one user: as many as the kernel takes (`NGROUPS_MAX`).
pub const MAX_GROUPS: usize = 65_536;

/// A line of /etc/passwd.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct User<'a> {
    pub name: &'a [u8],
    pub uid: u32,
    pub gid: u32,
    /// May be empty.
    pub home: &'a [u8],
}

/// A line of /etc/group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Group<'a> {
    pub name: &'a [u8],
    pub gid: u32,
    /// Names with commas in between.
    members: &'a [u8],
}

impl<'a> Group<'a> {
    pub fn members(&self) -> impl Iterator<Item = &'a [u8]> {
        self.members.split(|b| *b == b',').map(<[u8]>::trim_ascii_start).filter(|name| !name.is_empty())
    }
}

/// The entries of /etc/passwd, in order.
pub fn users(passwd: &[u8]) -> impl Iterator<Item = User<'_>> {
    lines(passwd).filter_map(|line| {
        let mut fields = line.split(|b| *b == b':');
        let name = named(fields.next()?)?;
        let (_password, uid, gid) = (fields.next()?, number(fields.next()?)?, number(fields.next()?)?);
        let (_comment, home) = (fields.next(), fields.next().unwrap_or_default());
        Some(User { name, uid, gid, home })
    })
}

/// The entries of /etc/group, in order.
pub fn groups(group: &[u8]) -> impl Iterator<Item = Group<'_>> {
    lines(group).filter_map(|line| {
        let mut fields = line.split(|b| *b == b':');
        let name = named(fields.next()?)?;
        let (_password, gid) = (fields.next()?, number(fields.next()?)?);
        Some(Group { name, gid, members: fields.next().unwrap_or_default() })
    })
}

/// What a member called `name` gets whose own group is `gid`: that first, then the others that list it, each once.
pub fn groups_of(group: &[u8], name: &[u8], gid: u32) -> Vec<u32> {
    let mut found = vec![gid];
    let mut known = std::collections::HashSet::from([gid]);
    for group in groups(group) {
        if found.len() == MAX_GROUPS {
            break;
        }
        if group.members().any(|member| member == name) && known.insert(group.gid) {
            found.push(group.gid);
        }
    }
    found
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = text.split(|b| *b == b'\n').map(<[u8]>::trim_ascii_start);
    lines.filter(|line| !line.is_empty() && line.len() <= MAX_LINE && line[0] != b'#' && !line.contains(&0))
}

/// `+name` and `-name` are orders to look elsewhere.
fn named(name: &[u8]) -> Option<&[u8]> {
    (!name.is_empty() && !name.starts_with(b"+") && !name.starts_with(b"-")).then_some(name)
}

/// Digits alone. The highest one means "no change" to the kernel.
pub(super) fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|n| *n != u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PASSWD: &[u8] = b"# a comment\n\
        root:x:0:0:root:/root:/bin/bash\n\
        \n\
        +::::::\n\
        +nis:x:7:7::/:\n\
        broken\n\
        nan:x:one:1::/:/bin/sh\n\
        minus:x:-1:1::/:/bin/sh\n\
        all:x:4294967295:1::/:/bin/sh\n\
        \x20 www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n\
        short:x:5:6\n\
        root:x:1:1:again:/elsewhere:/bin/sh\n\
        last:*:12:34:no newline:/last:";

    fn user(name: &str) -> Option<User<'static>> {
        users(PASSWD).find(|user| user.name == name.as_bytes())
    }

    #[test]
    fn users_are_found_as_the_c_library_finds_them() {
        let www = User { name: b"www-data", uid: 33, gid: 33, home: b"/var/www" };
        assert_eq!(user("www-data"), Some(www));
        assert_eq!(user("root"), Some(User { name: b"root", uid: 0, gid: 0, home: b"/root" }));
        assert_eq!(user("short"), Some(User { name: b"short", uid: 5, gid: 6, home: b"" }));
        assert_eq!(user("last"), Some(User { name: b"last", uid: 12, gid: 34, home: b"/last" }));
        for name in ["", "+", "+nis", "nis", "broken", "nan", "minus", "all", "# a comment", "Root", "www-dat"] {
            assert_eq!(user(name), None, "{name}");
        }
    }

    #[test]
    fn groups_are_all_that_list_the_user_each_once_its_own_first() {
        let group = b"root:x:0:\nwww-data:x:33:\nssl:x:110:db, www,www-data\nssl2:x:110:www-data\n#c:x:9:www-data\n\
            own:x:34:www-data\n+::::www-data\nx:x:y:www-data\nlast:x:7:www-data";
        assert_eq!(groups_of(group, b"www-data", 34), [34, 110, 7]);
        assert_eq!(groups_of(group, b"www", 1), [1, 110]);
        assert_eq!(groups_of(group, b"", 1), [1]);
        assert_eq!(groups_of(b"", b"x", 1), [1]);
        assert_eq!(groups(group).find(|g| g.name == b"ssl").map(|g| g.gid), Some(110));
    }

    #[test]
    fn what_is_endless_has_an_end() {
        let long = [b"long:x:1:", vec![b'm'; MAX_LINE].as_slice(), b"\nok:x:2:long"].concat();
        assert_eq!(groups(&long).count(), 1);
        let many: Vec<u8> = (0..70_000).flat_map(|n| format!("g:x:{n}:u\n").into_bytes()).collect();
        assert!(many.len() < MAX_FILE);
        assert_eq!(groups_of(&many, b"u", 70_001).len(), MAX_GROUPS);
    }

    proptest! {
        /// Whatever stands around it, an entry is read as it was written.
        #[test]
        fn an_entry_is_read_as_written(
            before in "(#[a-z:]{0,9}\n|[a-z]{0,9}\n|\\+[a-z:]{0,9}\n){0,5}",
            name in "[a-z_][a-z0-9_-]{0,8}", uid in 0..u32::MAX, gid in 0..u32::MAX,
            home in "(/[^:\n\0]{0,20})?", after in "[^\0]{0,40}",
        ) {
            let text = format!("{before}{name}:x:{uid}:{gid}:,,,:{home}:/bin/sh\n{after}");
            let found = users(text.as_bytes()).next();
            prop_assert_eq!(found, Some(User { name: name.as_bytes(), uid, gid, home: home.as_bytes() }));
            let text = format!("{before}{name}:x:{gid}:a,{name},b\n{after}");
            prop_assert_eq!(groups(text.as_bytes()).next().map(|g| (g.name, g.gid)), Some((name.as_bytes(), gid)));
            prop_assert!(groups_of(text.as_bytes(), name.as_bytes(), gid ^ 1).starts_with(&[gid ^ 1]));
            prop_assert!(groups_of(text.as_bytes(), name.as_bytes(), gid ^ 1).contains(&gid));
        }
    }

    /// This machine's own files, through the C library (of a test, which is not static).
    #[test]
    fn the_c_library_says_the_same_of_this_machine() {
        use nix::unistd::{Gid, User, getgrouplist};
        let read = |path: &str| std::fs::read(path).unwrap_or_default();
        let (passwd, group) = (read("/etc/passwd"), read("/etc/group"));
        let mut compared = 0;
        for ours in users(&passwd) {
            let name = String::from_utf8_lossy(ours.name).into_owned();
            let Ok(Some(theirs)) = User::from_name(&name) else { panic!("{name} is nobody to the C library") };
            if theirs.uid.as_raw() != ours.uid {
                // Listed twice.
                continue;
            }
            assert_eq!(theirs.gid.as_raw(), ours.gid, "{name}");
            assert_eq!(theirs.dir.as_os_str().as_encoded_bytes(), ours.home, "{name}");
            let c_name = std::ffi::CString::new(name.as_str()).unwrap();
            let theirs: Vec<u32> =
                getgrouplist(&c_name, Gid::from_raw(ours.gid)).unwrap().into_iter().map(Gid::as_raw).collect();
            let mut found = groups_of(&group, ours.name, ours.gid);
            let mut theirs_sorted = theirs.clone();
            found.sort_unstable();
            theirs_sorted.sort_unstable();
            theirs_sorted.dedup();
            assert_eq!(found, theirs_sorted, "{name}");
            compared += 1;
        }
        assert!(compared > 0 || passwd.is_empty());
    }
}
