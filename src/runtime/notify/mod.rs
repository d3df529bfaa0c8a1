//! Processes that say themselves how they are: over one socket for all of them (NOTIFY_SOCKET), where the kernel says who sends, or each
//! over a descriptor of its own (s6).

mod message;

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

use super::hooks::News;
use super::shell::{Owner, Shell};
use crate::config::notify::{NotifyAccess, NotifyBy};
use crate::config::socket::UnixAt;
use crate::config::{Config, Process};
use crate::control::{address, socket};
use crate::lifecycle::event::{Event, Notification, ProcId, SpawnError};
use crate::sys::bind::unix::{self, SocketFile};
use crate::sys::notify::{ask_who_sends, receive};
use crate::sys::procfs::parent_of;
use crate::sys::stdio::{pipe, watch};
use crate::sys::target;
use crate::tasks;

/// As systemd has it; what is longer is no message.
const LONGEST: usize = 4096;
/// Messages taken in one turn: whoever sends without end waits for the next, and nobody else does.
const BATCH: usize = 64;
/// Before something is due, so many batches.
const BATCHES_LATE: usize = 16;
/// Above a sender so many parents are looked at.
const PARENTS: usize = 32;
/// What is not accepted is said no sooner again.
const SAID_AGAIN: Duration = Duration::from_secs(10);
/// Of the file, where the socket has one: who sends is asked of the kernel.
const MODE: u32 = 0o666;

/// Where processes say how they are.
#[derive(Default)]
pub(super) struct Notices {
    socket: Option<Socket>,
    /// It, for the loop to wait for.
    watched: Option<AsyncFd<File>>,
    /// Those who are still to write a line, by their pid.
    pipes: HashMap<i32, Rc<AsyncFd<File>>>,
    said: Option<Instant>,
}

pub(super) struct Socket {
    fd: OwnedFd,
    /// As NOTIFY_SOCKET has it.
    address: OsString,
    /// Removed with it.
    _file: Option<SocketFile>,
    /// There may be more than was taken.
    more: bool,
}

impl Socket {
    /// `None`: nobody needs one.
    ///
    /// # Errors
    /// One line: what is in its way, and what to do.
    pub(super) fn make(config: &Config) -> Result<Option<Socket>, String> {
        let by_socket = |p: &Process| p.notify.as_ref().is_some_and(|n| matches!(n.by, NotifyBy::Socket { .. }));
        if !config.processes.iter().any(by_socket) {
            return Ok(None);
        }
        let own = || {
            UnixAt::Abstract(format!("{}/notify", address::name(socket::namespace(), crate::sys::process::own_pid())))
        };
        let (socket, file, address) = match config.notify_socket.clone().unwrap_or_else(own) {
            UnixAt::Path(path) => {
                let (socket, file) = unix::at_path(&path, MODE, UnixDatagram::bind_addr)?;
                (socket, file, path.into_os_string())
            }
            UnixAt::Abstract(name) => (unix::by_name(&name, UnixDatagram::bind_addr)?, None, format!("@{name}").into()),
        };
        ask_who_sends(&socket).map_err(|e| format!("the kernel does not say who sends: {e}"))?;
        Ok(Some(Socket { fd: socket.into(), address, _file: file, more: false }))
    }
}

/// Why a message counts for nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Unheard {
    Stranger,
    /// What that process has started, where it alone is heard.
    NotMain(ProcId),
    /// That process says so on a descriptor.
    Descriptor(ProcId),
}

/// What a process that is to write a line writes it to: at which number, its end, and ours. `None`: it is to write none.
///
/// # Errors
/// As pipe(2) has it.
pub(super) fn line_pipe(process: &Process) -> Result<Option<(i32, OwnedFd, OwnedFd)>, SpawnError> {
    let Some(NotifyBy::Descriptor(number)) = process.notify.as_ref().map(|notify| &notify.by) else { return Ok(None) };
    let pipe = pipe().map_err(|error| SpawnError::transient(format!("no pipe for its readiness: {error}")));
    pipe.map(|(ours, theirs)| Some((*number, theirs, ours)))
}

impl Notices {
    /// What a process that uses the socket is told of it.
    pub(super) fn variables(&self, process: &Process) -> impl Iterator<Item = (OsString, OsString)> {
        let (address, watchdog) = match process.notify.as_ref().map(|notify| &notify.by) {
            Some(NotifyBy::Socket { watchdog, .. }) => (self.socket.as_ref().map(|s| s.address.clone()), *watchdog),
            Some(NotifyBy::Descriptor(_)) | None => (None, None),
        };
        let address = address.map(|address| ("NOTIFY_SOCKET".into(), address));
        address.into_iter().chain(watchdog.map(|w| ("WATCHDOG_USEC".into(), w.as_micros().to_string().into())))
    }

    /// For the loop: what is to be watched, if there is anything.
    pub(super) fn watched(&self) -> Option<&AsyncFd<File>> {
        self.watched.as_ref()
    }

    pub(super) fn has_socket(&self) -> bool {
        self.socket.is_some()
    }

    /// At the start, and after a reload. One that is there stays.
    pub(super) fn adopt(&mut self, socket: Option<Socket>) {
        let Some(socket) = socket.filter(|_| self.socket.is_none()) else { return };
        let watched = socket.fd.try_clone().and_then(|fd| watch(File::from(fd), Interest::READABLE));
        let watched = watched.inspect_err(|error| tracing::warn!("NOTIFY_SOCKET cannot be read: {error}"));
        (self.socket, self.watched) = (Some(socket), watched.ok());
    }

    /// There may be more than was taken.
    pub(super) fn more(&self) -> bool {
        self.socket.as_ref().is_some_and(|socket| socket.more)
    }

    /// Not too often.
    fn may_say(&mut self) -> bool {
        let now = Instant::now();
        let may = self.said.is_none_or(|said| now.saturating_duration_since(said) >= SAID_AGAIN);
        if may {
            self.said = Some(now);
        }
        may
    }
}

impl Shell {
    /// What has been sent, up to a batch of it.
    pub(super) fn receive_notices(&mut self) {
        let mut buffer = [0; LONGEST];
        for _ in 0..BATCH {
            let Some(socket) = &mut self.notices.socket else { return };
            match receive(socket.fd.as_fd(), &mut buffer) {
                Ok(Some(received)) => {
                    socket.more = true;
                    let text = buffer.get(..received.length).filter(|_| received.whole).unwrap_or_default();
                    self.is_notified(received.sender, text);
                }
                Ok(None) => {
                    socket.more = false;
                    return;
                }
                Err(error) => {
                    socket.more = false;
                    tracing::debug!("NOTIFY_SOCKET: {error}");
                    return;
                }
            }
        }
    }

    /// What was said before something that is due now.
    pub(super) fn receive_late_notices(&mut self) {
        for _ in 0..BATCHES_LATE {
            self.receive_notices();
            if !self.notices.more() {
                return;
            }
        }
    }

    fn is_notified(&mut self, sender: Option<i32>, text: &[u8]) {
        let message = message::parse(text);
        if message == message::Message::default() {
            return;
        }
        let (process, pid) = match sender.map_or(Err(Unheard::Stranger), |sender| self.speaks_for(sender)) {
            Ok(found) => found,
            Err(why) => {
                if self.notices.may_say() {
                    let who = sender.map_or_else(|| "a process elsewhere".to_owned(), |pid| format!("pid {pid}"));
                    let why = self.why_unheard(why);
                    tracing::warn!("a message to NOTIFY_SOCKET by {who} is ignored: {why}");
                }
                return;
            }
        };
        if let Some(main) = message.main_pid.filter(|main| *main != pid)
            && self.notices.may_say()
        {
            let name = self.plan.name(process.0);
            tracing::warn!(
                "{name}: MAINPID={main} is not followed: the process is the one that was started, pid {pid}"
            );
        }
        for what in message.says {
            self.push(Event::Notified { process, what });
        }
    }

    fn why_unheard(&self, why: Unheard) -> String {
        let name = |id: ProcId| self.plan.name(id.0);
        match why {
            Unheard::Stranger => {
                "it is not of a process with `notify`, or has ended already (`systemd-notify` waits, so that it is \
                known)"
                    .to_owned()
            }
            Unheard::NotMain(id) => {
                format!("{0} has started it, and with access = \"main\" only {0} itself is heard", name(id))
            }
            Unheard::Descriptor(id) => format!("it is of {0}, and `notify` of {0} has a descriptor", name(id)),
        }
    }

    /// The process whose words these are, if they count, and its pid.
    fn speaks_for(&self, sender: i32) -> Result<(ProcId, i32), Unheard> {
        let process = |pid: i32| match self.children.get(&pid) {
            Some(Owner::Process(id)) => Some((*id, pid)),
            _ => None,
        };
        let of_group = || target::group_of(sender).and_then(process);
        let found = process(sender).or_else(of_group).or_else(|| {
            let mut pid = sender;
            (0..PARENTS).find_map(|_| {
                pid = parent_of(pid)?;
                process(pid)
            })
        });
        let (id, pid) = found.ok_or(Unheard::Stranger)?;
        match self.plan.config.processes[id.0].notify.as_ref().ok_or(Unheard::Stranger)?.by {
            NotifyBy::Socket { access: NotifyAccess::Main, .. } if pid != sender => Err(Unheard::NotMain(id)),
            NotifyBy::Socket { .. } => Ok((id, pid)),
            NotifyBy::Descriptor(_) => Err(Unheard::Descriptor(id)),
        }
    }

    /// The line that a process is to write.
    pub(super) fn await_line(&mut self, pid: i32, pipe: OwnedFd) {
        let Ok(pipe) = watch(File::from(pipe), Interest::READABLE).map(Rc::new) else {
            tracing::warn!("pid {pid}: its notification descriptor cannot be read");
            return;
        };
        self.notices.pipes.insert(pid, Rc::clone(&pipe));
        let done = self.done.clone();
        tasks::spawn(async move {
            while let Ok(mut ready) = pipe.readable().await {
                match read_line(&pipe) {
                    Some(line) => {
                        // The loop is gone only when everything is.
                        let _ = done.send(News::Line { pid, line });
                        return;
                    }
                    None => ready.clear_ready(),
                }
            }
        });
    }

    /// A line was written, or will never be.
    pub(super) fn line_written(&mut self, pid: i32, line: bool) {
        let known = self.notices.pipes.remove(&pid).is_some();
        if let Some(Owner::Process(process)) = self.children.get(&pid).filter(|_| known && line) {
            self.push(Event::Notified { process: *process, what: Notification::Ready });
        }
    }

    /// It has ended, and is a zombie still: what it said before is told before.
    #[inline(never)] // its frame is not its caller's
    pub(super) fn last_notices(&mut self, process: ProcId, pid: i32) {
        if self.plan.config.processes[process.0].notify.is_none() {
            return;
        }
        if let Some(pipe) = self.notices.pipes.get(&pid).cloned() {
            self.line_written(pid, read_line(&pipe) == Some(true));
        }
        self.receive_late_notices();
        self.tell_queue();
    }
}

/// Whether a line has been written; `None`: not yet.
fn read_line(pipe: &AsyncFd<File>) -> Option<bool> {
    let mut chunk = [0; 512];
    loop {
        match pipe.get_ref().read(&mut chunk) {
            Ok(0) => return Some(false),
            Ok(n) if chunk.get(..n).is_some_and(|read| read.contains(&b'\n')) => return Some(true),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return None,
            Err(_) => return Some(false),
        }
    }
}
