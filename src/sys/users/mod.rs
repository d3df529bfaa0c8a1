//! Who a process runs as: names from /etc/passwd and /etc/group into numbers. The C library is not asked: it loads modules named in
//! /etc/nsswitch.conf into the process, which a static program does not survive and a PID 1 must not risk.

pub mod files;

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use nix::unistd::{Gid, getegid, geteuid, getgroups};

use crate::config::Identity;
use crate::facts::{SpawnError, SpawnErrorKind};
use files::MAX_FILE;

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

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
    pub name: Option<OsString>,
}

/// What a look-up gave.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// `None` when the identity asks for nothing.
    pub credentials: Option<Credentials>,
    /// A file that would have been good to have could not be read: which, why, and what follows.
    pub warning: Option<String>,
}

/// Reads one of the two files, all of it, or [`MAX_FILE`] bytes and one more.
pub type Files<'f> = dyn FnMut(&str) -> io::Result<Vec<u8>> + 'f;

/// Looks an identity up, now.
///
/// A number needs no entry in /etc/passwd, nor the file. Such a user gets no supplementary groups and, unless a group is named, keeps
/// the group softstop runs with: that is what container runtimes do (`USER 1000` runs with group 0) and what images for
/// arbitrary user ids rely on. A group without a user changes the group alone.
///
/// # Errors
/// One line: which name is unknown to which file, and what to do. [`SpawnErrorKind::Transient`] when the file may be readable later.
pub fn resolve(identity: &Identity, files: &mut Files<'_>) -> Result<Found, SpawnError> {
    let further = identity.supplementary.iter().map(|text| find_group(text, files)).collect::<Result<Vec<_>, _>>()?;
    let mut found = without_further(identity, files)?;
    if let Some(credentials) = &mut found.credentials {
        for group in further {
            if !credentials.groups.contains(&group) {
                credentials.groups.push(group);
            }
        }
    }
    Ok(found)
}

fn without_further(identity: &Identity, files: &mut Files<'_>) -> Result<Found, SpawnError> {
    let group = identity.group.as_deref().map(|text| find_group(text, files)).transpose()?;
    let (uid, named) = match (identity.user.as_deref(), group) {
        (Some(text), _) => match number(text, "user")? {
            Some(uid) => (uid, false),
            None => return by_name(text, group, files),
        },
        (None, None) if identity.supplementary.is_empty() => return Ok(Found::default()),
        (None, _) => (geteuid().as_raw(), true),
    };
    let (entry, warning) = match read(PASSWD, files) {
        Ok(passwd) => (Entry::find(&passwd, |user| user.uid == uid), None),
        Err(error) => (None, Some(error)),
    };
    let gid = group.or(entry.as_ref().map(|entry| entry.gid)).unwrap_or_else(|| getegid().as_raw());
    let (groups, second) = match &entry {
        // A group without a user: the groups stay as they are.
        _ if named => (getgroups().unwrap_or_default().into_iter().map(Gid::as_raw).collect(), None),
        None => (Vec::new(), None),
        Some(entry) => match read(GROUP, files) {
            Ok(group) => (files::groups_of(&group, &entry.name, gid), None),
            Err(error) => (vec![gid], Some(error)),
        },
    };
    let said = |unread: Unread| {
        let without =
            if unread.path == PASSWD { "HOME is / and there are no further groups" } else { "no further groups" };
        format!("user {uid}: {} cannot be read ({}): {without}", unread.path, unread.error)
    };
    let warning = warning.or(second).filter(|unread| !unread.is_missing()).map(said);
    Ok(Found { credentials: Some(credentials(uid, gid, groups, entry)), warning })
}

fn by_name(name: &str, group: Option<u32>, files: &mut Files<'_>) -> Result<Found, SpawnError> {
    let passwd = read(PASSWD, files).map_err(|unread| unread.explain("user", name))?;
    let Some(entry) = Entry::find(&passwd, |user| user.name == name.as_bytes()) else {
        return Err(unknown("user", name, PASSWD));
    };
    let gid = group.unwrap_or(entry.gid);
    let groups = match read(GROUP, files) {
        Ok(group) => files::groups_of(&group, &entry.name, gid),
        Err(unread) if unread.is_missing() => vec![gid],
        Err(unread) => return Err(unread.explain("the groups of user", name)),
    };
    Ok(Found { credentials: Some(credentials(entry.uid, gid, groups, Some(entry))), warning: None })
}

fn credentials(uid: u32, gid: u32, groups: Vec<u32>, entry: Option<Entry>) -> Credentials {
    let (name, home) = entry.map_or((None, Vec::new()), |entry| (Some(OsString::from_vec(entry.name)), entry.home));
    let home = if home.is_empty() { PathBuf::from("/") } else { PathBuf::from(OsString::from_vec(home)) };
    Credentials { uid, gid, groups, home, name }
}

fn find_group(text: &str, files: &mut Files<'_>) -> Result<u32, SpawnError> {
    if let Some(gid) = number(text, "group")? {
        return Ok(gid);
    }
    let group = read(GROUP, files).map_err(|unread| unread.explain("group", text))?;
    let found = files::groups(&group).find(|group| group.name == text.as_bytes());
    found.map(|group| group.gid).ok_or_else(|| unknown("group", text, GROUP))
}

/// A line of /etc/passwd that outlives the file's text.
struct Entry {
    name: Vec<u8>,
    uid: u32,
    gid: u32,
    home: Vec<u8>,
}

impl Entry {
    fn find(passwd: &[u8], is_meant: impl Fn(&files::User<'_>) -> bool) -> Option<Entry> {
        let user = files::users(passwd).find(is_meant)?;
        Some(Entry { name: user.name.to_vec(), uid: user.uid, gid: user.gid, home: user.home.to_vec() })
    }
}

/// A text of digits alone is a number.
fn number(text: &str, what: &str) -> Result<Option<u32>, SpawnError> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(None);
    }
    let out_of_range = || SpawnError::setup(format!("{what} {text} is out of range: numbers go from 0 to 4294967294"));
    files::number(text.as_bytes()).map(Some).ok_or_else(out_of_range)
}

fn unknown(what: &str, name: &str, path: &str) -> SpawnError {
    let services = "other services (LDAP, sssd, systemd) are not asked";
    SpawnError::setup(format!(
        "unknown {what} {name:?}: not in {path}, and {services}: add it to the image or write its number"
    ))
}

/// A file that could not be read.
struct Unread {
    path: &'static str,
    error: io::Error,
}

impl Unread {
    fn is_missing(&self) -> bool {
        matches!(self.error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
    }

    fn explain(self, what: &str, name: &str) -> SpawnError {
        let Unread { path, error } = &self;
        if self.is_missing() {
            return SpawnError::setup(format!(
                "unknown {what} {name:?}: there is no {path}: add it to the image or write the number"
            ));
        }
        // It is there, and the number would do without it; but it may come back, too.
        let kind = match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput | io::ErrorKind::FileTooLarge => {
                SpawnErrorKind::Setup
            }
            _ => SpawnErrorKind::Transient,
        };
        SpawnError { kind, text: format!("cannot look up {what} {name:?}: {path}: {error}: or write the number") }
    }
}

fn read(path: &'static str, files: &mut Files<'_>) -> Result<Vec<u8>, Unread> {
    match files(path) {
        Ok(text) if text.len() > MAX_FILE => {
            let error =
                io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {} MiB", MAX_FILE >> 20));
            Err(Unread { path, error })
        }
        Ok(text) => Ok(text),
        Err(error) => Err(Unread { path, error }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD_TEXT: &str = "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33::/var/www:/bin/false\nplain:x:40:41\n";
    const GROUP_TEXT: &str = "root:x:0:\nwww-data:x:33:\nssl:x:110:root,www-data\nstaff:x:50:\n";

    /// Texts or errors in the place of the two files; what was asked for.
    struct Fake {
        passwd: io::Result<&'static str>,
        group: io::Result<&'static str>,
        asked: Vec<String>,
    }

    impl Fake {
        fn read(&mut self, path: &str) -> io::Result<Vec<u8>> {
            self.asked.push(path.to_string());
            let result = if path == PASSWD { &self.passwd } else { &self.group };
            let error = |e: &io::Error| e.raw_os_error().map_or_else(|| e.kind().into(), io::Error::from_raw_os_error);
            result.as_ref().map(|text| text.as_bytes().to_vec()).map_err(error)
        }
    }

    fn look_up(identity: &Identity, files: &mut Fake) -> Result<Found, SpawnError> {
        resolve(identity, &mut |path| files.read(path))
    }

    fn fake() -> Fake {
        Fake { passwd: Ok(PASSWD_TEXT), group: Ok(GROUP_TEXT), asked: Vec::new() }
    }

    fn errno(errno: i32) -> Fake {
        let error = || Err(io::Error::from_raw_os_error(errno));
        Fake { passwd: error(), group: error(), asked: Vec::new() }
    }

    fn identity(user: Option<&str>, group: Option<&str>) -> Identity {
        Identity { user: user.map(Into::into), group: group.map(Into::into), supplementary: Vec::new() }
    }

    fn found(user: Option<&str>, group: Option<&str>) -> Credentials {
        let found = look_up(&identity(user, group), &mut fake()).unwrap();
        assert_eq!(found.warning, None);
        found.credentials.unwrap()
    }

    fn error(user: Option<&str>, group: Option<&str>, mut files: Fake) -> SpawnError {
        look_up(&identity(user, group), &mut files).unwrap_err()
    }

    #[test]
    fn names_numbers_and_nothing() {
        let mut files = fake();
        assert_eq!(look_up(&identity(None, None), &mut files).unwrap(), Found::default());
        assert!(files.asked.is_empty());
        let www = found(Some("www-data"), None);
        assert_eq!((www.uid, www.gid, www.groups.as_slice()), (33, 33, [33, 110].as_slice()));
        assert_eq!((www.name.as_deref(), www.home.to_str()), (Some("www-data".as_ref()), Some("/var/www")));
        assert_eq!(found(Some("33"), None), www);
        let in_staff = found(Some("www-data"), Some("staff"));
        assert_eq!((in_staff.gid, in_staff.groups.as_slice()), (50, [50, 110].as_slice()));
        assert_eq!(found(Some("33"), Some("50")), in_staff);
        let plain = found(Some("plain"), None);
        assert_eq!((plain.gid, plain.home.to_str()), (41, Some("/")));
    }

    #[test]
    fn further_groups_come_beside_those_of_the_user() {
        let with = |user: Option<&str>, further: &[&str]| {
            let supplementary = further.iter().map(|&text| text.to_owned()).collect();
            look_up(&Identity { supplementary, ..identity(user, None) }, &mut fake())
                .map(|found| found.credentials.unwrap())
        };
        let www = with(Some("www-data"), &["staff", "4242", "33"]).unwrap();
        assert_eq!((www.gid, www.groups.as_slice()), (33, [33, 110, 50, 4242].as_slice()));
        let own = with(None, &["4242"]).unwrap();
        assert_eq!((own.uid, own.gid), (geteuid().as_raw(), getegid().as_raw()));
        assert!(own.groups.contains(&4242));
        assert!(with(Some("33"), &["nobody-here"]).unwrap_err().text.contains("\"nobody-here\""));
    }

    #[test]
    fn a_number_needs_no_entry_and_no_file() {
        let own_group = getegid().as_raw();
        for mut files in [fake(), errno(libc::ENOENT), errno(libc::ENOTDIR)] {
            let result = look_up(&identity(Some("123456789"), None), &mut files).unwrap();
            assert_eq!(result.warning, None);
            let who = result.credentials.unwrap();
            assert_eq!((who.uid, who.gid, &who.name, who.home.to_str()), (123_456_789, own_group, &None, Some("/")));
            assert_eq!(who.groups, [0u32; 0]);
        }
        // A file that hangs, or that nobody may read, is worth a word.
        let result = look_up(&identity(Some("10001"), Some("10002")), &mut errno(libc::EACCES)).unwrap();
        let warning = result.warning.unwrap();
        assert!(warning.contains("user 10001") && warning.contains("/etc/passwd"), "{warning}");
        assert_eq!(result.credentials.map(|who| (who.uid, who.gid)), Some((10_001, 10_002)));
        let mut without_groups = Fake { group: Err(io::Error::from_raw_os_error(libc::EIO)), ..fake() };
        let result = look_up(&identity(Some("33"), None), &mut without_groups).unwrap();
        assert!(result.warning.unwrap().contains("/etc/group"));
        assert_eq!(result.credentials.unwrap().groups, [33]);
    }

    #[test]
    fn a_group_alone_keeps_the_user() {
        let who = found(None, Some("4242"));
        assert_eq!((who.uid, who.gid), (geteuid().as_raw(), 4242));
        assert_eq!(found(None, Some("staff")).gid, 50);
    }

    #[test]
    fn the_unknown_is_named_with_the_file_and_what_to_do() {
        for (user, group, path) in [(Some("nobody-here"), None, PASSWD), (None, Some("nobody-here"), GROUP)] {
            for (files, kind) in [
                (fake(), SpawnErrorKind::Setup),
                (errno(libc::ENOENT), SpawnErrorKind::Setup),
                (errno(libc::EACCES), SpawnErrorKind::Setup),
                (errno(libc::ETIMEDOUT), SpawnErrorKind::Transient),
                (errno(libc::EAGAIN), SpawnErrorKind::Transient),
            ] {
                let error = error(user, group, files);
                assert!(error.text.contains("\"nobody-here\"") && error.text.contains(path), "{}", error.text);
                assert!(error.text.contains("write"), "{}", error.text);
                assert_eq!(error.kind, kind, "{}", error.text);
            }
        }
        let hidden = Fake { group: Err(io::Error::from_raw_os_error(libc::EIO)), ..fake() };
        assert!(error(Some("www-data"), None, hidden).text.contains("/etc/group"));
        for text in ["4294967295", "99999999999"] {
            assert!(error(Some(text), None, fake()).text.contains("out of range"));
        }
        for text in ["", "+", "www-data ", "-1"] {
            assert!(error(Some(text), None, fake()).text.starts_with("unknown user"), "{text:?}");
        }
    }

    #[test]
    fn a_file_without_end_is_refused() {
        let mut endless = |_: &str| Ok(vec![b'\n'; MAX_FILE + 1]);
        let error = resolve(&identity(Some("www-data"), None), &mut endless).unwrap_err();
        assert!(error.text.contains("longer than 4 MiB"), "{}", error.text);
        let found = resolve(&identity(Some("33"), None), &mut endless).unwrap();
        assert!(found.warning.unwrap().contains("longer than 4 MiB"));
    }
}
