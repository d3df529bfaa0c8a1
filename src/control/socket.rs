//! Making the socket that orders are taken at.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;

use super::address;
use crate::config::Control;
pub use crate::sys::bind::unix::{Address, SocketFile, connect_now};
use crate::sys::bind::unix::{at_path, by_name};
use crate::sys::process::own_pid;

/// To its owner and root alone.
const MODE: u32 = 0o600;

/// A socket that listens.
pub struct Listening {
    pub listener: UnixListener,
    /// An abstract address, which anybody in the network namespace can reach.
    pub open_to_all: bool,
    /// Removed with it.
    pub file: Option<SocketFile>,
}

/// `None`: it is off.
///
/// # Errors
/// One line: what is in the way, where, and what to do. softstop goes on without.
pub fn listen(control: &Control) -> Result<Option<Listening>, String> {
    let at_name =
        |name: &str| Ok(Listening { listener: by_name(name, UnixListener::bind_addr)?, open_to_all: true, file: None });
    let listening = match control {
        Control::Off => return Ok(None),
        Control::Own => at_name(&address::name(namespace(), own_pid())),
        Control::Abstract(name) => at_name(name),
        Control::Path(path) => at_path(path, MODE, UnixListener::bind_addr).map(|(listener, file)| Listening {
            listener,
            open_to_all: false,
            file,
        }),
    }?;
    let nonblocking = listening.listener.set_nonblocking(true);
    nonblocking.map(|()| Some(listening)).map_err(|e| format!("cannot listen: {e}"))
}

/// The inode of our PID namespace; 0 without /proc, for client and server alike.
pub fn namespace() -> u64 {
    fs::metadata("/proc/self/ns/pid").map_or(0, |m| m.ino())
}
