//! Names to addresses. The look-up may take long and cannot be asked to return, so it is made in a process of its own:
//! softstop itself, run as `softstop __resolve HOST PORT`, which prints one address a line.

use std::ffi::OsString;
use std::io::Write;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

/// More addresses than this are not tried.
const MOST: usize = 8;

/// The helper's whole life.
#[must_use]
pub fn print(host: &str, port: u16) -> u8 {
    match (host, port).to_socket_addrs() {
        Ok(addrs) => {
            let text: String = addrs.take(MOST).map(|a| format!("{a}\n")).collect();
            let _ = std::io::stdout().write_all(text.as_bytes());
            crate::exit::OK
        }
        Err(error) => {
            let _ = writeln!(std::io::stdout(), "{error}");
            crate::exit::FAILED
        }
    }
}

/// The command line of the helper.
pub(super) fn command(host: &str, port: u16) -> Vec<OsString> {
    vec![own_program().into(), "__resolve".into(), host.into(), port.to_string().into()]
}

/// softstop itself, for a helper.
pub(super) fn own_program() -> PathBuf {
    let own = std::env::current_exe().or_else(|_| {
        let name = std::env::args_os().next().map(PathBuf::from);
        name.ok_or_else(|| std::io::Error::from_raw_os_error(libc::ENOENT))
    });
    own.unwrap_or_else(|_| PathBuf::from("/softstop"))
}

/// The addresses in what the helper printed, at most eight; lines that are none are passed over.
pub fn parse(output: &str) -> Vec<SocketAddr> {
    output.lines().filter_map(|line| line.trim().parse().ok()).take(MOST).collect()
}
