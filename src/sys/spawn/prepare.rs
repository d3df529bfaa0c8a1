//! Everything a child needs, allocated before the fork.

use std::ffi::{CString, OsStr, c_char};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use nix::unistd::{Gid, Uid, getegid, geteuid, getgroups};

use super::error::Context;
use super::{DIGITS, Handed, Spawn, Stdio, decimal, limits};
use crate::facts::SpawnError;
use crate::sys::signals::Inherited;
use crate::sys::terminal::terminal;
use crate::sys::{ids, process};

/// Where a program is looked for when the environment has no PATH: what container runtimes set.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const LISTEN_PID: &str = "LISTEN_PID";

/// A NULL-terminated array of C strings, as execve wants it, with its owner. They stand one behind the other: scattered over the heap each would cost
/// a page fault after the fork, when it is freed.
pub(super) struct Strings {
    _text: Vec<u8>,
    pointers: Vec<*const c_char>,
}

impl Strings {
    /// Each of these parts. `None`: one of them contains a NUL byte.
    fn new<'s, const N: usize>(each: impl Iterator<Item = [&'s [u8]; N]> + Clone) -> Option<Strings> {
        let length = |parts: [&[u8]; N]| parts.iter().map(|part| part.len()).sum::<usize>() + 1;
        let mut text: Vec<u8> = Vec::with_capacity(each.clone().map(length).sum());
        let mut pointers = Vec::with_capacity(each.clone().count() + 1);
        for parts in each {
            if parts.iter().any(|part| part.contains(&0)) {
                return None;
            }
            // It has all the room that it needs: nothing is moved.
            pointers.push(text.as_ptr().wrapping_add(text.len()).cast());
            parts.iter().for_each(|part| text.extend_from_slice(part));
            text.push(0);
        }
        pointers.push(std::ptr::null());
        Some(Strings { _text: text, pointers })
    }

    pub(super) fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }
}

/// Who to become.
pub(super) struct Identity {
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    pub(super) groups: Vec<Gid>,
    /// We are that user and group already, so being refused changes nothing.
    pub(super) already: bool,
    /// We are in no supplementary group that is not wanted, so being refused setgroups takes no right away.
    pub(super) groups_harmless: bool,
}

pub(super) struct Prepared {
    pub(super) argv: Strings,
    pub(super) envp: Strings,
    /// `LISTEN_PID=` with room for digits, and its place in `envp`.
    pub(super) listen_pid: Option<ListenPid>,
    /// The paths to try, in order.
    pub(super) candidates: Vec<CString>,
    pub(super) working_dir: Option<CString>,
    pub(super) identity: Option<Identity>,
    pub(super) limits: limits::Prepared,
    /// For descriptors 0 to 2; `None` inherits.
    pub(super) stdio: [Option<RawFd>; 3],
    pub(super) terminal: Option<RawFd>,
    /// It leads a session, and standard input is its controlling terminal.
    pub(super) session: bool,
    pub(super) keep_fds: bool,
    /// Numbers, and what is to be there: above all of these numbers, so that none is overwritten before its turn.
    pub(super) handed: Vec<(RawFd, OwnedFd)>,
    pub(super) inherited: Inherited,
    /// Keeps what `stdio` names open.
    _nulls: Vec<OwnedFd>,
}

pub(super) struct ListenPid {
    pub(super) text: Vec<u8>,
    pub(super) index: usize,
}

impl ListenPid {
    const DIGITS_AT: usize = LISTEN_PID.len() + 1;

    fn new(index: usize) -> ListenPid {
        let mut text = format!("{LISTEN_PID}=").into_bytes();
        text.resize(Self::DIGITS_AT + DIGITS + 1, 0);
        ListenPid { text, index }
    }

    /// Writes the pid in decimal, NUL-terminated. Async-signal-safe.
    pub(super) fn write(&mut self, pid: u32) {
        let places = self.text[Self::DIGITS_AT..].iter_mut();
        for (place, digit) in places.zip(decimal(pid, &mut [0; DIGITS]).iter().chain([&0])) {
            *place = *digit;
        }
    }
}

impl Prepared {
    /// Puts the child's pid where the environment names it. Async-signal-safe.
    pub(super) fn write_listen_pid(&mut self, pid: u32) {
        if let Some(listen) = &mut self.listen_pid {
            listen.write(pid);
            self.envp.pointers[listen.index] = listen.text.as_ptr().cast();
        }
    }
}

pub(super) fn prepare(spawn: &Spawn<'_>, context: &Context) -> Result<Prepared, SpawnError> {
    let has_nul = |what: &str| context.setup(&format!("{what} contains a NUL byte"));
    let text = |what: &str, text: &OsStr| CString::new(text.as_bytes()).map_err(|_| has_nul(what));
    let argv = Strings::new(spawn.argv.iter().map(|arg| [arg.as_bytes()])).ok_or_else(|| has_nul("an argument"))?;
    let listen_pid = spawn.env.iter().position(|(name, _)| name == LISTEN_PID).map(ListenPid::new);
    let envp = spawn.env.iter().map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()]);
    let envp = Strings::new(envp).ok_or_else(|| has_nul("an environment variable"))?;
    let candidates = context.candidates.iter().map(|path| text("its path", path.as_os_str()));
    let candidates = candidates.collect::<Result<Vec<_>, _>>()?;
    let working_dir = spawn.working_dir.map(|dir| text("its working directory", dir.as_os_str())).transpose()?;
    let mut nulls = Vec::new();
    let no_descriptor =
        |what: &str, error: io::Error| context.no_resources(&format!("no descriptor for {what}"), &error);
    let stdio = stdio(spawn, &mut nulls).map_err(|e| no_descriptor("/dev/null", e))?;
    let handed = copies(spawn.handed).map_err(|e| no_descriptor("what it is handed", e))?;
    let identity = spawn.credentials.map(identity);
    let mut inherited = *spawn.inherited;
    let another = identity.as_ref().filter(|identity| !identity.already).map(|identity| identity.uid.as_raw());
    let limits = limits::prepare(spawn.limits, another, &mut inherited.limits, context)?;
    // Started in the background (`softstop -- CMD &`) the terminal is the shell's and stays so.
    let terminal = spawn.foreground.then(terminal).flatten().filter(|terminal| terminal.is_ours());
    Ok(Prepared {
        argv,
        envp,
        listen_pid,
        candidates,
        working_dir,
        identity,
        limits,
        stdio,
        terminal: terminal.map(|terminal| terminal.fd),
        session: matches!(spawn.stdin, Stdio::Terminal(_)),
        keep_fds: spawn.keep_fds,
        handed,
        inherited,
        _nulls: nulls,
    })
}

/// The last number at which the child is handed something.
fn highest(handed: &[Handed<'_>]) -> RawFd {
    handed.iter().map(|handed| handed.number).max().unwrap_or(2)
}

fn copies(handed: &[Handed<'_>]) -> io::Result<Vec<(RawFd, OwnedFd)>> {
    let highest = highest(handed);
    handed.iter().map(|handed| Ok((handed.number, process::copy_above(handed.fd, highest)?))).collect()
}

/// The descriptor, or a copy of it, at a number above all of those.
pub(super) fn above(fd: OwnedFd, handed: &[Handed<'_>]) -> io::Result<OwnedFd> {
    let highest = highest(handed);
    if fd.as_raw_fd() > highest { Ok(fd) } else { process::copy_above(&fd, highest) }
}

fn stdio(spawn: &Spawn<'_>, nulls: &mut Vec<OwnedFd>) -> io::Result<[Option<RawFd>; 3]> {
    let mut fds = [None; 3];
    for (target, stdio) in [spawn.stdin, spawn.stdout, spawn.stderr].into_iter().enumerate() {
        fds[target] = match stdio {
            Stdio::Inherit => None,
            Stdio::Fd(fd) | Stdio::Terminal(fd) => Some(fd.as_raw_fd()),
            Stdio::Null => {
                let null = process::open_null(target == 0)?;
                let fd = null.as_raw_fd();
                nulls.push(null);
                Some(fd)
            }
        };
    }
    Ok(fds)
}

fn identity(wanted: &crate::sys::users::Credentials) -> Identity {
    let current = getgroups().unwrap_or_default();
    // Where an id may be anybody's (a user namespace), having it is not being it: the kernel has to say so.
    let same = geteuid().as_raw() == wanted.uid && getegid().as_raw() == wanted.gid;
    let already = same && ids::is_certain_user(wanted.uid) && ids::is_certain_group(wanted.gid);
    let kept = |group: &Gid| {
        let group = group.as_raw();
        (wanted.groups.contains(&group) || group == wanted.gid) && ids::is_certain_group(group)
    };
    Identity {
        uid: Uid::from_raw(wanted.uid),
        gid: Gid::from_raw(wanted.gid),
        groups: wanted.groups.iter().copied().map(Gid::from_raw).collect(),
        already,
        groups_harmless: already || current.iter().all(kept),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pid_is_written_in_place() {
        for pid in [1u32, 42, 32_768, 4_194_304, u32::MAX] {
            let mut listen = ListenPid::new(0);
            listen.write(77_777);
            listen.write(pid);
            let text = std::ffi::CStr::from_bytes_until_nul(&listen.text).unwrap();
            assert_eq!(text.to_str().unwrap(), format!("LISTEN_PID={pid}"));
        }
    }
}
