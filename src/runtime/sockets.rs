//! The sockets of `[[socket]]`: made before anything is started, held while nothing stops, handed to each start of the processes that name
//! them. So what connects while such a process starts, crashes or is restarted waits in the kernel's queue and is not refused.
//!
//! From the stop request on nothing is started any more: softstop lets go of its own then. Whoever was handed one goes on with it, and when
//! the last of them closes it, or ends, clients are refused at once instead of waiting for nobody.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::chown;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{Backlog, listen};

use crate::config::socket::{Socket, SocketAt};
use crate::config::{Config, Identity, Process};
use crate::sys::bind::unix::SocketFile;
use crate::sys::bind::{inet, unix};
use crate::sys::spawn::{Handed, reader};
use crate::sys::users::{self, files::MAX_FILE};

/// The first number that a program is handed a socket at (sd_listen_fds(3)).
pub(super) const FIRST: i32 = 3;
/// The files of users and groups may take so long to be read, and so much longer on a machine that is busy.
const FILES: [Duration; 2] = [Duration::from_secs(1); 2];

/// What softstop holds.
#[derive(Default)]
pub(super) struct Sockets {
    held: Vec<Held>,
}

/// A socket, by its name in the configuration. Its file is removed with it.
pub(super) struct Held {
    name: String,
    /// `None` from the stop request on.
    fd: Option<OwnedFd>,
    _file: Option<SocketFile>,
}

impl Sockets {
    /// # Errors
    /// One line: which socket, what is in its way, and what to do. Those made before are gone again.
    pub(super) fn make(config: &Config) -> Result<Sockets, String> {
        let made = Sockets::default().missing(config)?;
        Ok(Sockets { held: made })
    }

    /// Those of a configuration that are not held.
    ///
    /// # Errors
    /// As [`Sockets::make`].
    pub(super) fn missing(&self, config: &Config) -> Result<Vec<Held>, String> {
        let missing = config.sockets.iter().filter(|socket| self.named(&socket.name).is_none());
        let make = |socket: &Socket| {
            let held = Held::make(socket).map_err(|why| format!("socket {:?}: {why}", socket.name))?;
            held.fd.iter().for_each(|fd| set_blocking(fd.as_fd(), !socket.nonblocking));
            Ok(held)
        };
        missing.map(make).collect()
    }

    /// After a reload: these too, and those alone that the configuration names.
    pub(super) fn adopt(&mut self, more: Vec<Held>, config: &Config) {
        self.held.extend(more);
        self.held.retain(|held| config.sockets.iter().any(|socket| socket.name == held.name));
    }

    fn named(&self, name: &str) -> Option<&Held> {
        self.held.iter().find(|held| held.name == name)
    }

    /// What a process is handed. Its program may have made one non-blocking, or blocking, which the next start of it does not expect: nobody
    /// else is disturbed by that when nobody else has it.
    pub(super) fn of<'a>(&'a self, process: &Process, config: &Config) -> Vec<Handed<'a>> {
        let fd = |index: usize| Some(self.named(&config.sockets.get(index)?.name)?.fd.as_ref()?.as_fd());
        let held = process.sockets.iter().filter_map(|index| Some((*index, fd(*index)?)));
        let handed = (FIRST..).zip(held).map(|(number, (index, fd))| {
            if config.processes.iter().filter(|other| other.sockets.contains(&index)).count() == 1 {
                set_blocking(fd, !config.sockets[index].nonblocking);
            }
            Handed { number, fd }
        });
        handed.collect()
    }

    /// The stop has begun.
    pub(super) fn let_go(&mut self) {
        self.held.iter_mut().for_each(|held| held.fd = None);
    }
}

impl Held {
    fn make(socket: &Socket) -> Result<Held, String> {
        let queue = i32::try_from(socket.backlog).unwrap_or(i32::MAX);
        let listening = |listener: UnixListener| -> Result<OwnedFd, String> {
            let longer = Backlog::new(queue).and_then(|queue| listen(&listener, queue));
            longer.map(|()| listener.into()).map_err(|e| format!("cannot listen at {}: {e}", socket.at))
        };
        let (fd, file) = match &socket.at {
            SocketAt::Tcp(at) => (inet::tcp(*at, queue)?.into(), None),
            SocketAt::Udp(at) => (inet::udp(*at)?.into(), None),
            SocketAt::Abstract(name) => (listening(unix::by_name(name, UnixListener::bind_addr)?)?, None),
            SocketAt::Path { path, mode, owner } => {
                let (listener, file) = unix::at_path(path, *mode, UnixListener::bind_addr)?;
                give_to(path, owner)?;
                (listening(listener)?, file)
            }
        };
        Ok(Held { name: socket.name.clone(), fd: Some(fd), _file: file })
    }
}

fn set_blocking(fd: BorrowedFd<'_>, blocking: bool) {
    if let Ok(flags) = fcntl(fd, FcntlArg::F_GETFL).map(OFlag::from_bits_retain)
        && flags.contains(OFlag::O_NONBLOCK) == blocking
    {
        let _ = fcntl(fd, FcntlArg::F_SETFL(flags.symmetric_difference(OFlag::O_NONBLOCK)));
    }
}

/// LISTEN_FDS, LISTEN_FDNAMES, and LISTEN_PID with a place for the pid.
pub(super) fn environment(process: &Process, config: &Config) -> Vec<(OsString, OsString)> {
    if process.sockets.is_empty() {
        return Vec::new();
    }
    let names: Vec<&str> =
        process.sockets.iter().filter_map(|index| Some(config.sockets.get(*index)?.name.as_str())).collect();
    let texts =
        [("LISTEN_FDS", names.len().to_string()), ("LISTEN_FDNAMES", names.join(":")), ("LISTEN_PID", String::new())];
    texts.into_iter().map(|(name, text)| (name.into(), text.into())).collect()
}

fn give_to(path: &Path, owner: &Identity) -> Result<(), String> {
    let [wait, starved] = FILES;
    let found = users::resolve(owner, &mut |path| reader::read(Path::new(path), MAX_FILE, wait, starved).bytes);
    let found = found.map_err(|e| format!("its owner: {}", e.text))?;
    let Some(credentials) = found.credentials else { return Ok(()) };
    let uid = owner.user.is_some().then_some(credentials.uid);
    let given = chown(path, uid, Some(credentials.gid));
    given.map_err(|e| {
        let hint =
            if e.raw_os_error() == Some(libc::EPERM) { ": leave `owner` out, or add the capability CHOWN" } else { "" };
        format!("{} cannot be given to its owner: {e}{hint}", path.display())
    })
}
