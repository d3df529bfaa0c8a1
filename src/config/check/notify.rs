//! `notify`: a process that says itself when it is ready; and where it says so. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::declare::{Declared, Shape, table};
use super::handler::beside;
use super::kinds::{Bool, Int, Kind, Limit, Round, Word, kind};
use super::process::{Process, ProcessKeys};
use super::reader::{Field, Reader};
use super::socket::SocketPath;

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Notify {
    pub by: NotifyBy,
    /// It has to say so within that time; `None`: whenever it likes.
    pub timeout: Option<Duration>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NotifyBy {
    /// NOTIFY_SOCKET, as systemd has it.
    Socket {
        access: NotifyAccess,
        /// Then it says at least that often that it is alive, once it is ready.
        watchdog: Option<Duration>,
    },
    /// A line written to this descriptor, as s6 has it. From 3 up.
    Descriptor(i32),
}

impl Default for NotifyBy {
    fn default() -> NotifyBy {
        NotifyBy::Socket { access: NotifyAccess::default(), watchdog: None }
    }
}

impl Notify {
    pub fn watchdog(&self) -> Option<Duration> {
        match self.by {
            NotifyBy::Socket { watchdog, .. } => watchdog,
            NotifyBy::Descriptor(_) => None,
        }
    }
}

/// Whose words count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotifyAccess {
    /// The process's alone.
    Main,
    /// Also those of what it has started.
    #[default]
    All,
}

table! {
    pub struct NotifyKeys in "notify of a process" {
        /// A line written to this descriptor means that it is ready (s6's `notification-fd`). Instead of NOTIFY_SOCKET.
        fd: Int<3, 1023> { unset: "none", help: "write notify = { fd = 3 }", examples: &["5", "1023"] };
        /// Whose messages count: those of the process alone, or also of those that it has started. systemd's `NotifyAccess`.
        access: Word<NotifyAccess> = NotifyAccess::All;
        /// Once it is ready it sends `WATCHDOG=1` at least that often, or it is stopped and restarted as when its liveness probe fails.
        /// systemd's `WatchdogSec`.
        watchdog: Round { unset: "none", examples: &["\"30s\""] };
        /// It is ready by then, or it is stopped and restarted as when its startup probe fails. systemd's `TimeoutStartSec`.
        timeout: Limit { unset: "none", examples: &["\"90s\""] };
    }
}

table! {
    pub struct NotifySocketKeys in "[notify]" {
        /// For programs that know paths alone, or live in a network namespace of their own. `"@name"` is an abstract address. At most 107 bytes.
        socket: SocketPath { unset: "an abstract address of softstop's own", help: "write socket = \"/run/notify.sock\"" };
    }
}

kind! {
    /// `true`, or a table.
    NotifyOrTable: Option<Notify> = read_notify_or_table, &Shape::Any(&[Bool::SHAPE, &Shape::Table(NotifyKeys::DESCRIBED)])
}

fn read_notify_or_table(reader: &mut Reader<'_>, field: &Field<'_>, help: &str) -> Option<Option<Notify>> {
    if field.value.get_ref().as_bool().is_some() {
        return Bool::read(reader, field, help).map(|on| on.then(Notify::default));
    }
    let keys = reader.table::<NotifyKeys<'_>>(field, help)?;
    if let Some(fd) = &keys.fd.field {
        for other in [&keys.access.field, &keys.watchdog.field].into_iter().flatten() {
            let why = ": nothing but a line is read from a descriptor";
            beside(reader, fd, other, why, "leave one of them out: both belong to NOTIFY_SOCKET");
        }
    }
    let access = keys.access.read(reader).unwrap_or(NotifyKeys::access);
    let watchdog = keys.watchdog.read(reader);
    let by = match keys.fd.read(reader) {
        Some(fd) => NotifyBy::Descriptor(i32::try_from(fd).unwrap_or(i32::MAX)),
        None => NotifyBy::Socket { access, watchdog },
    };
    Some(Some(Notify { by, timeout: keys.timeout.read(reader) }))
}

/// Beside the rest of its process.
pub fn alone(reader: &mut Reader<'_>, keys: &ProcessKeys<'_>, process: &Process) {
    let (Some(notify), Some(field)) = (&process.notify, &keys.notify.field) else { return };
    if let Some(startup) = &keys.startup.field {
        let help = "keep one; `timeout` in `notify` is how long its start may take";
        beside(reader, field, startup, ": both say when it has started", help);
    }
    let NotifyBy::Descriptor(fd) = notify.by else { return };
    let sockets = keys.sockets.field.as_ref().and_then(Field::elements).map_or(0, |names| names.len());
    if usize::try_from(fd).is_ok_and(|fd| fd < 3 + sockets) {
        let sentence = format!("descriptor {fd} is one of its sockets");
        reader.error(&field.span(), sentence, format!("write notify = {{ fd = {} }}", 3 + sockets));
    }
}
