//! `/proc/net/tcp` and `tcp6`, where sock_diag is refused.

use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::{Socket, TcpState};

const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
/// Of a table so much is read at once: two hundred lines.
const CHUNK: usize = 32 * 1024;
/// A timer of this kind is TIME_WAIT's.
const TIMER_TIME_WAIT: &str = "03";
/// In milliseconds: userland's tick, a hundred in a second on every architecture.
const TICK: u64 = 10;

#[derive(Default)]
pub(super) struct Proc {
    file: Option<File>,
    /// How many of [`TABLES`] have been opened.
    opened: usize,
    /// A line that goes on in the next chunk.
    rest: Vec<u8>,
}

impl Proc {
    pub fn piece(&mut self) -> io::Result<Option<Vec<Socket>>> {
        let Some(file) = &mut self.file else {
            let Some(table) = TABLES.get(self.opened) else { return Ok(None) };
            match File::open(table) {
                Ok(file) => self.file = Some(file),
                // No tcp6 means a kernel without IPv6.
                Err(error) if self.opened > 0 && error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let text = format!("sock_diag is refused, and {table} cannot be opened: {error}");
                    return Err(io::Error::new(error.kind(), text));
                }
            }
            self.opened += 1;
            return Ok(Some(Vec::new()));
        };
        let mut chunk = vec![0; CHUNK];
        let n = match file.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Some(Vec::new())),
            result => result?,
        };
        self.rest.extend_from_slice(&chunk[..n]);
        if n == 0 {
            self.file = None;
        }
        // A table's lines are 150 bytes long and padded to it; what is none of them must not pile up.
        let whole = if n == 0 || self.rest.len() > 2 * CHUNK {
            self.rest.len()
        } else {
            self.rest.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1)
        };
        let lines: Vec<u8> = self.rest.drain(..whole).collect();
        Ok(Some(String::from_utf8_lossy(&lines).lines().filter_map(parse_line).collect()))
    }
}

/// The socket in a line of `/proc/net/tcp` or `tcp6`; `None` for the heading and for what is no such line.
pub fn parse_line(line: &str) -> Option<Socket> {
    let mut fields = line.split_ascii_whitespace();
    let number = fields.next()?;
    number.strip_suffix(':')?.parse::<u64>().ok()?;
    let local = parse_address(fields.next()?)?;
    let peer = parse_address(fields.next()?)?;
    let state = TcpState(u8::try_from(hex(fields.next()?, 2)?).ok()?);
    let (unsent, unread) = fields.next()?.split_once(':')?;
    let (timer, ticks) = fields.next()?.split_once(':')?;
    let remains =
        if timer == TIMER_TIME_WAIT { hex(ticks, 8).map(|n| Duration::from_millis(u64::from(n) * TICK)) } else { None };
    let inode = fields.nth(3)?.parse().ok()?;
    let (unsent, unread) = (hex(unsent, 8)?, hex(unread, 8)?);
    Some(Socket { state, local, peer, inode, unread, unsent, remains, cgroup: None, flow: None })
}

/// `0100007F:1F90`: the address in words of the machine's own order, the port as a number.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::try_from(hex(port, 4)?).ok()?;
    let ip = if address.len() == 8 {
        IpAddr::V4(Ipv4Addr::from(hex(address, 8)?.to_ne_bytes()))
    } else {
        let mut octets = [0; 16];
        for (i, word) in octets.chunks_exact_mut(4).enumerate() {
            word.copy_from_slice(&hex(address.get(8 * i..8 * i + 8)?, 8)?.to_ne_bytes());
        }
        if address.len() != 32 {
            return None;
        }
        Ipv6Addr::from(octets).to_canonical()
    };
    Some(SocketAddr::new(ip, port))
}

fn hex(text: &str, digits: usize) -> Option<u32> {
    let valid = text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit());
    if valid { u32::from_str_radix(text, 16).ok() } else { None }
}
