//! Writing a file where others may have a hand in. softstop often runs as root, and the folder belongs to a process of another user: a
//! symbolic link there, a hard link, or a folder that is exchanged for a link would make it write wherever that user likes.
//!
//! So the path is walked one name at a time, and a symbolic link is followed only if root or softstop's own user made it. In a folder that
//! others may change, a file is not opened but replaced: a new one is renamed over its name, which replaces links of either kind. What
//! cannot be replaced is written in place: a FIFO, a device, and a mount (the kubelet's termination log), which nobody but root puts there.
//!
//! (`openat2` can refuse all links or none; whose they are it does not ask.) Writing is async-signal-safe: it allocates nothing.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::writer::write_all;
use super::{DIGITS, decimal};
use crate::sys::ids::OVERFLOW;
use nix::Error;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use nix::sys::uio::pread;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, ftruncate, geteuid, unlinkat};

/// The kernel's limits: of a path with its NUL, of a name with its NUL, of links in a row.
const PATH: usize = 4096;
const NAME: usize = 256;
const LINKS: u32 = 40;

/// Replaces the content of the file; with `create` it is made if it is not there.
///
/// # Errors
/// As open and write have it. ELOOP: a symbolic link on the way is another user's. EMLINK: the file has another name, too, in a folder
/// that others may change. ENXIO: a FIFO that nobody reads.
pub(super) fn write(path: &CStr, create: bool, text: &[u8]) -> nix::Result<()> {
    let place = Place::find(path)?;
    if place.is_others() && place.is_file(create)? && place.replace(text)? {
        return Ok(());
    }
    place.write_in_place(create, text)
}

/// The file, to be read: nothing is waited for, and by the same rule nobody has softstop read what it may read and they may not.
///
/// # Errors
/// As open has it; ELOOP and EMLINK as above.
pub fn open_to_read(path: &Path) -> io::Result<File> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let place = Place::find(&path)?;
    let mut flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    flags.set(OFlag::O_NOFOLLOW, !place.magic);
    let file = openat(&place.folder, place.name.as_c_str(), flags, Mode::empty())?;
    let found = fstat(&file)?;
    if place.has_another_name(&found) {
        return Err(Error::EMLINK.into());
    }
    Ok(file.into())
}

/// A name in a folder.
struct Place {
    folder: OwnedFd,
    name: Text<NAME>,
    /// A link of /proc to an open file: it leads to the file, not to a path.
    magic: bool,
}

impl Place {
    fn find(path: &CStr) -> nix::Result<Place> {
        let mut rest = Text::<PATH>::new(path.to_bytes())?;
        let mut folder = enter(AT_FDCWD, c".")?;
        let mut links = 0;
        loop {
            if rest.bytes().starts_with(b"/") {
                folder = enter(AT_FDCWD, c"/")?;
            }
            let (name, last) = rest.take_name()?;
            if name.bytes().is_empty() || last && [&b"."[..], b".."].contains(&name.bytes()) {
                return Err(Error::EISDIR);
            }
            let found = match fstatat(&folder, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
                Err(Error::ENOENT) if last => return Ok(Place { folder, name, magic: false }),
                found => found?,
            };
            if kind(&found) == SFlag::S_IFLNK {
                links += 1;
                if fstatfs(&folder)?.filesystem_type() == PROC_SUPER_MAGIC {
                    if last {
                        return Ok(Place { folder, name, magic: true });
                    }
                    folder = enter_by(&folder, name.as_c_str(), OFlag::empty())?;
                    continue;
                }
                if links > LINKS || !is_trusted(found.st_uid) {
                    return Err(Error::ELOOP);
                }
                rest.put_in_front(&link(&folder, name.as_c_str())?)?;
            } else if last {
                return Ok(Place { folder, name, magic: false });
            } else {
                folder = enter(&folder, name.as_c_str())?;
            }
        }
    }

    /// Others may put something else at the name.
    fn is_others(&self) -> bool {
        let others = Mode::S_IWGRP | Mode::S_IWOTH;
        !self.magic
            && fstat(&self.folder).is_ok_and(|folder| {
                !is_trusted(folder.st_uid) || Mode::from_bits_truncate(folder.st_mode).intersects(others)
            })
    }

    /// A hard link that another user may have put here. (A folder has as many names as folders in it.)
    fn has_another_name(&self, found: &FileStat) -> bool {
        kind(found) == SFlag::S_IFREG && found.st_nlink > 1 && self.is_others()
    }

    /// A regular file, or one that may be made.
    fn is_file(&self, create: bool) -> nix::Result<bool> {
        match fstatat(&self.folder, self.name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            // A link that was put there just now is refused when it is opened.
            Ok(found) => Ok(kind(&found) == SFlag::S_IFREG),
            Err(Error::ENOENT) if create => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// False: it cannot be replaced here, and nothing has changed.
    fn replace(&self, text: &[u8]) -> nix::Result<bool> {
        // Nobody needs to find it. One that is left was a killed writer's, or somebody's who is in for mischief.
        const NEW: &CStr = c".softstop-is-writing";
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let make = || openat(&self.folder, NEW, flags, Mode::from_bits_truncate(0o644));
        let made = match make() {
            Err(Error::EEXIST) => {
                let _ = unlinkat(&self.folder, NEW, UnlinkatFlags::NoRemoveDir);
                make()
            }
            made => made,
        };
        let file = match made {
            Err(Error::EACCES | Error::EPERM | Error::EROFS | Error::EEXIST) => return Ok(false),
            made => made?,
        };
        let written =
            write_all(&file, text).and_then(|()| renameat(&self.folder, NEW, &self.folder, self.name.as_c_str()));
        if written.is_err() {
            let _ = unlinkat(&self.folder, NEW, UnlinkatFlags::NoRemoveDir);
        }
        match written {
            // A mount, or somebody else's file in a folder such as /tmp.
            Err(Error::EBUSY | Error::EXDEV | Error::EACCES | Error::EPERM) => Ok(false),
            written => written.map(|()| true),
        }
    }

    fn write_in_place(&self, create: bool, text: &[u8]) -> nix::Result<()> {
        // A FIFO that nobody reads and a device that blocks are refused.
        let mut flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
        flags.set(OFlag::O_CREAT, create);
        flags.set(OFlag::O_NOFOLLOW, !self.magic);
        let file = openat(&self.folder, self.name.as_c_str(), flags, Mode::from_bits_truncate(0o644))?;
        let found = fstat(&file)?;
        if self.has_another_name(&found) {
            return Err(Error::EMLINK);
        }
        if kind(&found) == SFlag::S_IFREG {
            ftruncate(&file, 0)?;
        }
        write_all(&file, text)
    }
}

// === a log file ===

/// A file that lines are appended to, and the folder that it was found in.
pub(super) struct LogFile {
    file: OwnedFd,
    place: Place,
}

impl LogFile {
    /// Opens it to append, and makes it if it is not there.
    ///
    /// # Errors
    /// As [`write()`]; EINVAL: it is no regular file.
    pub fn open(path: &CStr) -> nix::Result<LogFile> {
        let place = Place::find(path)?;
        let file = place.open_to_append()?;
        Ok(LogFile { file, place })
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Its last line has no end, as far as that can be seen.
    pub fn is_mid_line(&self) -> bool {
        let mut last = [0; 1];
        let size = fstat(&self.file).map_or(0, |found| found.st_size);
        size > 0 && pread(&self.file, &mut last, size - 1) == Ok(1) && last != *b"\n"
    }

    /// Its name becomes `NAME.1`, once that has become `NAME.2` and so on; of `files` in all, a new one included, the oldest goes. The new one
    /// is made at once, with the owner and mode of this one.
    ///
    /// # Errors
    /// As rename has it.
    pub fn rotate(&mut self, files: u32) -> nix::Result<()> {
        let Place { folder, name, magic } = &self.place;
        if *magic {
            return Err(Error::EINVAL);
        }
        let old = fstat(&self.file)?;
        let oldest = files.saturating_sub(1);
        if oldest == 0 {
            unlinkat(folder, name.as_c_str(), UnlinkatFlags::NoRemoveDir)?;
        } else {
            // Up to the first number that is free; where none is, the oldest is replaced.
            let is_there = |n: u32| -> nix::Result<bool> {
                let found = fstatat(folder, name.numbered(n)?.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
                Ok(found.is_ok())
            };
            let mut free = 1;
            while free < oldest && is_there(free)? {
                free += 1;
            }
            for n in (1..free).rev() {
                renameat(folder, name.numbered(n)?.as_c_str(), folder, name.numbered(n + 1)?.as_c_str())?;
            }
            renameat(folder, name.as_c_str(), folder, name.numbered(1)?.as_c_str())?;
        }
        if let Ok(new) = self.place.open_to_append() {
            let _ = fchown(&new, Some(Uid::from_raw(old.st_uid)), Some(Gid::from_raw(old.st_gid)));
            let _ = fchmod(&new, Mode::from_bits_truncate(old.st_mode));
        }
        Ok(())
    }
}

impl Place {
    fn open_to_append(&self) -> nix::Result<OwnedFd> {
        let mut flags = OFlag::O_APPEND | OFlag::O_CREAT | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
        flags.set(OFlag::O_NOFOLLOW, !self.magic);
        let open = |how| openat(&self.folder, self.name.as_c_str(), flags | how, Mode::from_bits_truncate(0o644));
        // To see how it ends; who may only write may still do that.
        let file = match open(OFlag::O_RDWR) {
            Err(Error::EACCES) => open(OFlag::O_WRONLY)?,
            opened => opened?,
        };
        let found = fstat(&file)?;
        if kind(&found) != SFlag::S_IFREG {
            return Err(Error::EINVAL);
        }
        if self.has_another_name(&found) {
            return Err(Error::EMLINK);
        }
        Ok(file)
    }
}

impl Text<NAME> {
    /// `NAME.12`.
    fn numbered(&self, number: u32) -> nix::Result<Text<NAME>> {
        let mut text = Text { bytes: self.bytes, len: self.len };
        for byte in [b'.'].iter().chain(decimal(number, &mut [0; DIGITS])) {
            *text.bytes.get_mut(..NAME - 1).and_then(|room| room.get_mut(text.len)).ok_or(Error::ENAMETOOLONG)? = *byte;
            text.len += 1;
        }
        Ok(text)
    }
}

fn enter(folder: impl AsFd, name: &CStr) -> nix::Result<OwnedFd> {
    enter_by(folder, name, OFlag::O_NOFOLLOW)
}

fn enter_by(folder: impl AsFd, name: &CStr, follow: OFlag) -> nix::Result<OwnedFd> {
    openat(folder, name, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | follow, Mode::empty())
}

fn kind(found: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT
}

/// Root or softstop's own user; not the uid that everybody without a mapping has in a user namespace.
fn is_trusted(uid: u32) -> bool {
    is_trusted_by(geteuid().as_raw(), uid)
}

fn is_trusted_by(own: u32, uid: u32) -> bool {
    uid == 0 || uid == own && uid != OVERFLOW
}

/// What the link says.
fn link(folder: &OwnedFd, name: &CStr) -> nix::Result<Text<PATH>> {
    let mut text = Text::<PATH> { bytes: [0; PATH], len: 0 };
    // SAFETY: a NUL-terminated name, and as much room as the buffer has.
    let n = unsafe { libc::readlinkat(folder.as_raw_fd(), name.as_ptr(), text.bytes.as_mut_ptr().cast(), PATH) };
    // One that fills the buffer, and so may be longer, fits in front of nothing.
    text.len = usize::try_from(Error::result(n)?).unwrap_or_default();
    Ok(text)
}

/// Bytes and a NUL, on the stack.
struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Text<N> {
    fn new(text: &[u8]) -> nix::Result<Text<N>> {
        let mut bytes = [0; N];
        let room = bytes.get_mut(..N - 1).and_then(|room| room.get_mut(..text.len()));
        room.ok_or(Error::ENAMETOOLONG)?.copy_from_slice(text);
        Ok(Text { bytes, len: text.len() })
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or_default()
    }
}

impl Text<PATH> {
    /// The first name, and whether it is the last.
    fn take_name(&mut self) -> nix::Result<(Text<NAME>, bool)> {
        let slashes = |bytes: &[u8]| bytes.iter().take_while(|b| **b == b'/').count();
        let start = slashes(self.bytes());
        let end = start + self.bytes()[start..].iter().take_while(|b| **b != b'/').count();
        let name = Text::new(&self.bytes()[start..end])?;
        let rest = end + slashes(&self.bytes()[end..]);
        self.bytes.copy_within(rest..self.len, 0);
        self.len -= rest;
        Ok((name, self.len == 0))
    }

    fn put_in_front(&mut self, front: &Text<PATH>) -> nix::Result<()> {
        let at = front.len + 1;
        if at + self.len >= PATH {
            return Err(Error::ENAMETOOLONG);
        }
        self.bytes.copy_within(..self.len, at);
        self.bytes[..front.len].copy_from_slice(front.bytes());
        self.bytes[front.len] = b'/';
        self.len += at;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::path::{Path, PathBuf};

    use super::*;

    /// A folder that only its owner may change, and one that everybody may; both gone with it.
    struct Folders(PathBuf);

    impl Folders {
        fn new(name: &str) -> Folders {
            let path = std::env::temp_dir().join(format!("softstop-place-{}-{name}", std::process::id()));
            for (folder, mode) in [("own", 0o755), ("shared", 0o777)] {
                fs::create_dir_all(path.join(folder)).unwrap();
                fs::set_permissions(path.join(folder), fs::Permissions::from_mode(mode)).unwrap();
            }
            Folders(path.canonicalize().unwrap())
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }

        fn text(&self, name: &str) -> String {
            fs::read_to_string(self.path(name)).unwrap()
        }
    }

    impl Drop for Folders {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn write_to(path: &Path, create: bool) -> nix::Result<()> {
        write(&CString::new(path.as_os_str().as_encoded_bytes()).unwrap(), create, b"new")
    }

    fn inode(path: &Path) -> u64 {
        fs::symlink_metadata(path).unwrap().ino()
    }

    #[test]
    fn a_file_is_written_in_place_where_nobody_else_may_change_its_folder_and_replaced_elsewhere() {
        let folders = Folders::new("place");
        for (file, stays) in [("own/file", true), ("shared/file", false)] {
            let path = folders.path(file);
            fs::write(&path, "old and longer").unwrap();
            let before = inode(&path);
            write_to(&path, false).unwrap();
            assert_eq!((folders.text(file).as_str(), inode(&path) == before), ("new", stays), "{file}");
        }
        // What a writer that was killed has left.
        fs::write(folders.path("shared/.softstop-is-writing"), "left").unwrap();
        let before = inode(&folders.path("shared/file"));
        write_to(&folders.path("shared/file"), false).unwrap();
        assert_ne!(inode(&folders.path("shared/file")), before);
        assert!(!folders.path("shared/.softstop-is-writing").exists());
        for folder in ["own", "shared"] {
            let path = folders.path(folder).join("made");
            assert_eq!(write_to(&path, false), Err(Error::ENOENT));
            write_to(&path, true).unwrap();
            assert_eq!(fs::read_to_string(path).unwrap(), "new");
            assert_eq!(write_to(&folders.path(folder).join("no/made"), true), Err(Error::ENOENT));
            assert!(!folders.path(folder).join("no").exists());
        }
    }

    #[test]
    fn links_of_our_own_are_followed_but_not_for_ever() {
        let folders = Folders::new("links");
        fs::write(folders.path("own/file"), "old").unwrap();
        symlink("file", folders.path("own/link")).unwrap();
        symlink(folders.path("own"), folders.path("shared/folder")).unwrap();
        write_to(&folders.path("shared/folder/link"), false).unwrap();
        assert_eq!(folders.text("own/file"), "new");
        assert!(fs::symlink_metadata(folders.path("own/link")).unwrap().is_symlink());
        symlink("b", folders.path("own/a")).unwrap();
        symlink("a", folders.path("own/b")).unwrap();
        assert_eq!(write_to(&folders.path("own/a"), true), Err(Error::ELOOP));
        // As many in a row as the kernel follows, and one more.
        fs::write(folders.path("own/0"), "old").unwrap();
        for n in 0..=LINKS {
            symlink(n.to_string(), folders.path("own").join((n + 1).to_string())).unwrap();
        }
        write_to(&folders.path("own").join(LINKS.to_string()), false).unwrap();
        assert_eq!(folders.text("own/0"), "new");
        assert_eq!(write_to(&folders.path("own").join((LINKS + 1).to_string()), false), Err(Error::ELOOP));
        // One that is put there after the look at it.
        let place = Place::find(&CString::new(folders.path("own/file").into_os_string().into_encoded_bytes()).unwrap());
        let place = place.unwrap();
        fs::rename(folders.path("own/link"), folders.path("own/file")).unwrap();
        symlink("other", folders.path("own/link")).unwrap();
        fs::write(folders.path("own/other"), "old").unwrap();
        fs::rename(folders.path("own/link"), folders.path("own/file")).unwrap();
        assert_eq!(place.write_in_place(true, b"new"), Err(Error::ELOOP));
        assert_eq!(folders.text("own/other"), "old");
    }

    /// `/dev/stderr` is such a link, and `/proc/self/cwd` leads to a folder.
    #[test]
    fn links_of_proc_lead_to_what_is_open() {
        let folders = Folders::new("proc");
        let folder = fs::File::open(folders.path("own")).unwrap();
        let path = PathBuf::from(format!("/proc/self/fd/{}/file", folder.as_raw_fd()));
        write_to(&path, true).unwrap();
        assert_eq!(folders.text("own/file"), "new");
        fs::write(folders.path("own/file"), "old").unwrap();
        let file = fs::File::options().write(true).open(folders.path("own/file")).unwrap();
        fs::rename(folders.path("own/file"), folders.path("own/moved")).unwrap();
        write_to(&PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())), false).unwrap();
        assert_eq!(folders.text("own/moved"), "new");
    }

    /// It cannot be replaced where a file is a mount, or another user's in a folder such as /tmp.
    #[test]
    fn in_place_nothing_is_written_into_a_file_of_two_names_in_a_folder_that_others_may_change() {
        let folders = Folders::new("names");
        for (folder, result) in [("own", Ok(())), ("shared", Err(Error::EMLINK))] {
            let path = folders.path(folder).join("file");
            fs::write(&path, "old").unwrap();
            fs::hard_link(&path, folders.path(folder).join("other")).unwrap();
            let place = Place::find(&CString::new(path.into_os_string().into_encoded_bytes()).unwrap()).unwrap();
            assert_eq!(place.write_in_place(false, b"new"), result, "{folder}");
            let text = if result.is_ok() { "new" } else { "old" };
            assert_eq!(folders.text(&format!("{folder}/other")), text);
        }
    }

    #[test]
    fn only_a_folder_is_entered_and_a_link_to_one_only_where_it_is_to_be_followed() {
        let folders = Folders::new("enter");
        fs::write(folders.path("own/file"), "").unwrap();
        symlink(".", folders.path("own/link")).unwrap();
        let own = fs::File::open(folders.path("own")).unwrap();
        assert_eq!(enter(&own, c"file").unwrap_err(), Error::ENOTDIR);
        assert!(enter(&own, c"link").is_err());
        let entered = enter_by(&own, c"link", OFlag::empty()).unwrap();
        assert_eq!(fstat(&entered).unwrap().st_ino, own.metadata().unwrap().ino());
        assert_eq!(enter_by(&own, c"file", OFlag::empty()).unwrap_err(), Error::ENOTDIR);
    }

    #[test]
    fn root_and_softstops_own_user_are_trusted_and_nobody_without_a_mapping() {
        for (own, uid, trusted) in
            [(0, 0, true), (1000, 0, true), (1000, 1000, true), (0, 1000, false), (1000, 1001, false)]
        {
            assert_eq!(is_trusted_by(own, uid), trusted, "{uid} by {own}");
        }
        assert!(!is_trusted_by(65_534, 65_534));
    }

    #[test]
    fn a_path_that_names_a_folder_is_no_file() {
        let folders = Folders::new("folder");
        let no_file = ["own/.", "own/..", ""].map(|name| folders.path(name));
        for path in no_file.iter().map(PathBuf::as_path).chain([Path::new("/"), Path::new("")]) {
            assert_eq!(write_to(path, true), Err(Error::EISDIR), "{path:?}");
        }
    }

    #[test]
    fn a_path_is_taken_apart_name_by_name() {
        let mut path = Text::<PATH>::new(b"//a/./bc//d/").unwrap();
        let mut names = Vec::new();
        loop {
            let (name, last) = path.take_name().unwrap();
            names.push(String::from_utf8(name.bytes().to_vec()).unwrap());
            if last {
                break;
            }
        }
        assert_eq!(names, ["a", ".", "bc", "d"]);
        let mut path = Text::<PATH>::new(b"rest/of").unwrap();
        path.put_in_front(&Text::new(b"/to").unwrap()).unwrap();
        assert_eq!(path.bytes(), b"/to/rest/of");
        path.put_in_front(&Text::new(&[b'x'; 1000]).unwrap()).unwrap();
        assert_eq!(path.bytes().len(), 1012);
        assert!(Text::<NAME>::new(&[b'x'; NAME - 1]).is_ok() && Text::<NAME>::new(&[b'x'; NAME]).is_err());
        assert!(Text::<PATH>::new(&[b'x'; PATH - 4]).unwrap().put_in_front(&Text::new(b"abcd").unwrap()).is_err());
    }
}
