//! The TCP sockets of softstop's own network namespace, IPv4 and IPv6: asked of the kernel by sock_diag, which filters by state and
//! port before anything is copied; read from `/proc/net/tcp` and `tcp6` where that is refused (gVisor and seccomp profiles do, and
//! kernels without the module).
//!
//! A table can hold a hundred thousand of them, most in TIME_WAIT. So a [`Walk`] gives them piece by piece, a fraction of a millisecond
//! each, and whoever walks lets others have their turn in between; [`list`] takes what it gets within its limits.
//!
//! Neither way waits: the kernel writes a dump into its answer when it is read. What reads a text or an answer is a pure function,
//! public for `fuzz/`: [`parse_line`] and [`parse_messages`].

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

/// A connection's state by the kernel's number (include/net/tcp_states.h).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TcpState(pub u8);

impl TcpState {
    pub const ESTABLISHED: TcpState = TcpState(1);
    pub const SYN_SENT: TcpState = TcpState(2);
    pub const SYN_RECV: TcpState = TcpState(3);
    pub const FIN_WAIT1: TcpState = TcpState(4);
    pub const FIN_WAIT2: TcpState = TcpState(5);
    pub const TIME_WAIT: TcpState = TcpState(6);
    pub const CLOSE: TcpState = TcpState(7);
    pub const CLOSE_WAIT: TcpState = TcpState(8);
    pub const LAST_ACK: TcpState = TcpState(9);
    pub const LISTEN: TcpState = TcpState(10);
    pub const CLOSING: TcpState = TcpState(11);

    /// Its bit in [`Query::states`].
    pub const fn bit(self) -> u32 {
        // Nothing has a higher number than 12, and what has none has no bit.
        if self.0 < 32 { 1 << self.0 } else { 0 }
    }
}

impl fmt::Display for TcpState {
    /// As `ss` has it: `established`, `close_wait`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            TcpState::ESTABLISHED => "established",
            TcpState::SYN_SENT => "syn_sent",
            TcpState::SYN_RECV => "syn_recv",
            TcpState::FIN_WAIT1 => "fin_wait1",
            TcpState::FIN_WAIT2 => "fin_wait2",
            TcpState::TIME_WAIT => "time_wait",
            TcpState::CLOSE => "close",
            TcpState::CLOSE_WAIT => "close_wait",
            TcpState::LAST_ACK => "last_ack",
            TcpState::LISTEN => "listen",
            TcpState::CLOSING => "closing",
            TcpState(other) => return write!(f, "state {other}"),
        })
    }
}

/// One TCP socket. Addresses of IPv4 that an IPv6 socket holds (`::ffff:10.0.0.7`) are given as IPv4.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Socket {
    pub state: TcpState,
    pub local: SocketAddr,
    pub peer: SocketAddr,
    /// As in a link of `/proc/<pid>/fd`; 0 for one that no process holds: not accepted yet, or closed already.
    pub inode: u64,
}

/// Which sockets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query {
    /// The bits of the states ([`TcpState::bit`]).
    pub states: u32,
    /// Local ports; empty: every one.
    pub ports: Vec<u16>,
}

impl Query {
    fn wants(&self, socket: &Socket) -> bool {
        self.states & socket.state.bit() != 0 && (self.ports.is_empty() || self.ports.contains(&socket.local.port()))
    }
}

/// What [`list`] has found.
#[derive(Clone, Debug)]
pub struct Listing {
    pub sockets: Vec<Socket>,
    /// False: there are more than was asked for, or it took too long.
    pub complete: bool,
}

/// The sockets that `query` is about, at most so many and for at most so long (to the end of a piece, which takes a millisecond on
/// a machine with a large table).
///
/// # Errors
/// Neither sock_diag nor /proc/net shows them: both errors, in one line.
pub fn list(query: &Query, most: usize, limit: Duration) -> io::Result<Listing> {
    let began = Instant::now();
    let mut walk = Walk::begin(query);
    let mut sockets = Vec::new();
    while let Some(piece) = walk.piece()? {
        sockets.extend(piece);
        if sockets.len() > most || began.elapsed() >= limit {
            sockets.truncate(most);
            return Ok(Listing { sockets, complete: false });
        }
    }
    Ok(Listing { sockets, complete: true })
}

/// One walk over the tables.
pub struct Walk {
    query: Query,
    source: Source,
}

enum Source {
    Diag(Diag),
    Proc(Proc),
    Over,
}

/// sock_diag was refused: a sandbox does not change its mind.
static REFUSED: AtomicBool = AtomicBool::new(false);

impl Walk {
    pub fn begin(query: &Query) -> Walk {
        if REFUSED.load(Ordering::Relaxed) {
            return Walk::by_proc(query);
        }
        match Diag::ask(query) {
            Ok(diag) => Walk { query: query.clone(), source: Source::Diag(diag) },
            Err(error) => {
                refused(&error);
                Walk::by_proc(query)
            }
        }
    }

    fn by_proc(query: &Query) -> Walk {
        Walk { query: query.clone(), source: Source::Proc(Proc::default()) }
    }

    /// The next few hundred; `None` at the end. One piece may be empty.
    ///
    /// # Errors
    /// They cannot be seen, or not to the end: look again later.
    pub fn piece(&mut self) -> io::Result<Option<Vec<Socket>>> {
        let piece = match &mut self.source {
            Source::Diag(diag) => match diag.piece(&self.query) {
                Err(error) if !diag.answered => {
                    refused(&error);
                    self.source = Source::Proc(Proc::default());
                    return self.piece();
                }
                piece => piece,
            },
            Source::Proc(proc) => proc.piece(),
            Source::Over => return Ok(None),
        };
        let Some(mut sockets) = piece? else {
            self.source = Source::Over;
            return Ok(None);
        };
        // sock_diag has filtered already; a compatible kernel that takes no filter has not.
        sockets.retain(|s| self.query.wants(s));
        Ok(Some(sockets))
    }
}

fn refused(error: &io::Error) {
    // Not what may pass: no descriptor or memory to be had.
    if !matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS | libc::EAGAIN))
    {
        REFUSED.store(true, Ordering::Relaxed);
    }
}

// === sock_diag ===

/// What of a dump is read at once: the kernel writes no longer answers than this.
const ANSWER: usize = 32 * 1024;
const HEADER: usize = 16;
/// `struct inet_diag_msg`.
const MESSAGE: usize = 72;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const INET_DIAG_REQ_BYTECODE: u16 = 1;
/// Operations of `struct inet_diag_bc_op` (linux/inet_diag.h). The newer one for "equal" is not needed.
const BC_JMP: u8 = 1;
const BC_S_GE: u8 = 2;
const BC_S_LE: u8 = 3;

struct Diag {
    socket: OwnedFd,
    family: u8,
    /// Some answer has come that was no refusal.
    answered: bool,
}

impl Diag {
    fn ask(query: &Query) -> io::Result<Diag> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkSockDiag)?;
        let diag = Diag { socket, family: family_number(libc::AF_INET), answered: false };
        diag.request(query)?;
        Ok(diag)
    }

    fn request(&self, query: &Query) -> io::Result<()> {
        send(self.socket.as_raw_fd(), &request(self.family, query), MsgFlags::MSG_DONTWAIT)?;
        Ok(())
    }

    fn piece(&mut self, query: &Query) -> io::Result<Option<Vec<Socket>>> {
        let mut buffer = vec![0; ANSWER];
        let n = loop {
            match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Err(nix::errno::Errno::EINTR) => {}
                result => break result?,
            }
        };
        let answer = parse_messages(buffer.get(..n).unwrap_or_default())?;
        self.answered = true;
        if answer.over {
            if self.family == family_number(libc::AF_INET6) {
                return Ok(if answer.sockets.is_empty() { None } else { Some(answer.sockets) });
            }
            self.family = family_number(libc::AF_INET6);
            self.request(query)?;
        }
        Ok(Some(answer.sockets))
    }
}

fn family_number(family: libc::c_int) -> u8 {
    u8::try_from(family).unwrap_or_default()
}

/// `nlmsghdr`, `inet_diag_req_v2` and the filter by port.
fn request(family: u8, query: &Query) -> Vec<u8> {
    const REQUEST: usize = 56;
    let filter = port_filter(&query.ports);
    let attribute = if filter.is_empty() { 0 } else { 4 + filter.len() };
    let mut bytes = Vec::with_capacity(HEADER + REQUEST + attribute);
    let flags = libc::NLM_F_REQUEST | libc::NLM_F_DUMP;
    bytes.extend(u32::try_from(HEADER + REQUEST + attribute).unwrap_or_default().to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(u16::try_from(flags).unwrap_or_default().to_ne_bytes());
    // Sequence number and sender, which the kernel fills in.
    bytes.extend([0; 8]);
    bytes.extend([family, family_number(libc::IPPROTO_TCP), 0, 0]);
    bytes.extend(query.states.to_ne_bytes());
    // The address of one socket: any.
    bytes.resize(HEADER + REQUEST, 0);
    if !filter.is_empty() {
        bytes.extend(u16::try_from(attribute).unwrap_or_default().to_ne_bytes());
        bytes.extend(INET_DIAG_REQ_BYTECODE.to_ne_bytes());
        bytes.extend(filter);
    }
    bytes
}

/// The kernel's little program for "the local port is one of these": for each at least it, at most it, and a jump to the end, which
/// accepts; who falls through the last comparison jumps four bytes beyond the end, which refuses.
fn port_filter(ports: &[u16]) -> Vec<u8> {
    const EACH: usize = 20;
    const COMPARISON: usize = 8;
    let mut program = Vec::new();
    let Some(last) = ports.len().checked_sub(1) else { return program };
    // The last needs no jump.
    let length = ports.len() * EACH - 4;
    let mut operation = |code: u8, yes: u8, no: usize| {
        program.extend([code, yes]);
        program.extend(u16::try_from(no).unwrap_or(u16::MAX).to_ne_bytes());
    };
    for (i, port) in ports.iter().enumerate() {
        let left = length - i * EACH;
        let next = if i == last { left + 4 } else { EACH };
        for (code, no) in [(BC_S_GE, next), (BC_S_LE, next - COMPARISON)] {
            operation(code, 8, no);
            operation(0, 0, usize::from(*port));
        }
        if i != last {
            operation(BC_JMP, 4, left - 2 * COMPARISON);
        }
    }
    program
}

/// A piece of a dump.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Answer {
    pub sockets: Vec<Socket>,
    /// It was the last piece.
    pub over: bool,
}

/// The messages of one answer of sock_diag.
///
/// # Errors
/// The error that the kernel answers with; InvalidData for what is no answer.
pub fn parse_messages(mut bytes: &[u8]) -> io::Result<Answer> {
    let mut answer = Answer::default();
    while bytes.len() >= HEADER {
        let length = usize::try_from(u32_at(bytes, 0)).unwrap_or(usize::MAX);
        if length < HEADER || length > bytes.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a damaged answer of sock_diag"));
        }
        let body = &bytes[HEADER..length];
        match libc::c_int::from(u16::from_ne_bytes([bytes[4], bytes[5]])) {
            libc::NLMSG_ERROR | libc::NLMSG_DONE if body.len() >= 4 && u32_at(body, 0) != 0 => {
                // Negative, as inside the kernel.
                let errno = 0u32.wrapping_sub(u32_at(body, 0)).cast_signed();
                return Err(io::Error::from_raw_os_error(errno));
            }
            libc::NLMSG_ERROR | libc::NLMSG_DONE => answer.over = true,
            kind if kind == libc::c_int::from(SOCK_DIAG_BY_FAMILY) => answer.sockets.extend(parse_message(body)),
            _ => {}
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(answer)
}

/// `struct inet_diag_msg`.
fn parse_message(body: &[u8]) -> Option<Socket> {
    if body.len() < MESSAGE {
        return None;
    }
    let port = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
    let address = |at: usize| {
        let octets: [u8; 16] = body[at..at + 16].try_into().ok()?;
        match libc::c_int::from(body[0]) {
            libc::AF_INET => Some(IpAddr::from([octets[0], octets[1], octets[2], octets[3]])),
            libc::AF_INET6 => Some(Ipv6Addr::from(octets).to_canonical()),
            _ => None,
        }
    };
    Some(Socket {
        state: TcpState(body[1]),
        local: SocketAddr::new(address(8)?, port(4)),
        peer: SocketAddr::new(address(24)?, port(6)),
        inode: u32_at(body, 68).into(),
    })
}

/// 0 beyond the end.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
    word.map_or(0, u32::from_ne_bytes)
}

// === /proc/net ===

const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
/// Of a table so much is read at once: two hundred lines.
const CHUNK: usize = 32 * 1024;

#[derive(Default)]
struct Proc {
    file: Option<File>,
    /// How many of [`TABLES`] have been opened.
    opened: usize,
    /// A line that goes on in the next chunk.
    rest: Vec<u8>,
}

impl Proc {
    fn piece(&mut self) -> io::Result<Option<Vec<Socket>>> {
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
    let state = hex(fields.next()?, 2)?;
    let inode = fields.nth(5)?.parse().ok()?;
    Some(Socket { state: TcpState(u8::try_from(state).ok()?), local, peer, inode })
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    const OPEN: u32 = TcpState::ESTABLISHED.bit() | TcpState::LISTEN.bit();

    fn all(mut walk: Walk) -> HashSet<Socket> {
        let mut found = HashSet::new();
        while let Some(piece) = walk.piece().unwrap() {
            found.extend(piece);
        }
        found
    }

    #[test]
    fn both_ways_show_the_same() {
        let mut kept = Vec::new();
        let mut ports = Vec::new();
        for bind in ["127.0.0.1:0", "[::1]:0", "[::]:0"] {
            let listener = TcpListener::bind(bind).unwrap();
            let port = listener.local_addr().unwrap().port();
            // The last one is asked by IPv4.
            let to = if bind == "[::1]:0" { format!("[::1]:{port}") } else { format!("127.0.0.1:{port}") };
            let client = TcpStream::connect(to).unwrap();
            kept.push((listener.accept().unwrap().0, client, listener));
            ports.push(port);
        }
        let query = Query { states: OPEN, ports: ports.clone() };
        // Others on this machine may have these port numbers on other loopback addresses.
        let ours = |walk: Walk| {
            let ends = |s: &Socket| {
                kept.iter().any(|(server, _, listener)| {
                    let (local, listens) = (server.local_addr().unwrap(), listener.local_addr().unwrap());
                    s.local == SocketAddr::new(local.ip().to_canonical(), local.port()) || s.local == listens
                })
            };
            all(walk).into_iter().filter(ends).collect::<HashSet<Socket>>()
        };
        let (diag, proc) = (ours(Walk::begin(&query)), ours(Walk::by_proc(&query)));
        assert_eq!(diag, proc);
        assert!(!REFUSED.load(Ordering::Relaxed), "sock_diag is refused here");
        assert_eq!(diag.len(), 6, "a listener and a connection for each: {diag:?}");
        for (server, client, _) in &kept {
            let (local, peer) = (server.local_addr().unwrap(), client.local_addr().unwrap());
            let is = |s: &&Socket| s.peer.port() == peer.port() && s.local.port() == local.port();
            let found = diag.iter().find(is).unwrap();
            assert_eq!(found.state, TcpState::ESTABLISHED);
            assert_eq!(found.local.ip(), local.ip().to_canonical());
            assert!(found.inode > 0);
        }
        let one = Query { states: TcpState::ESTABLISHED.bit(), ports: vec![ports[1]] };
        assert_eq!(ours(Walk::begin(&one)).len(), 1);
        assert!(list(&query, 100, Duration::from_secs(10)).unwrap().sockets.len() >= 6);
        let some = list(&query, 2, Duration::from_secs(10)).unwrap();
        assert!(some.sockets.len() == 2 && !some.complete, "{some:?}");
        let none = Query { states: OPEN, ports: vec![1] };
        assert!(list(&none, 100, Duration::from_secs(10)).unwrap().complete);
    }

    #[test]
    fn the_kernel_filters_by_any_number_of_ports() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let kinds = [TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap()];
        for count in [1, 2, 3, 32] {
            for at in 0..count {
                let mut ports: Vec<u16> = (1..=count).collect();
                ports[usize::from(at)] = port;
                let query = Query { states: OPEN, ports };
                let mut diag = Diag::ask(&query).unwrap();
                let mut found = Vec::new();
                while let Some(piece) = diag.piece(&query).unwrap() {
                    found.extend(piece);
                }
                // Not filtered again: it is the kernel's work alone.
                assert!(found.iter().all(|s| query.ports.contains(&s.local.port())), "{found:?}");
                let ours = found.iter().filter(|s| s.local == listener.local_addr().unwrap()).count();
                assert_eq!(ours, 1, "{at} of {count}: {found:?}");
            }
        }
        drop(kinds);
    }

    #[test]
    fn lines_of_proc_are_read() {
        let line = |local: &str, peer: &str| {
            format!(
                "   7: {local} {peer} 01 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0 20 4 30 10 -1"
            )
        };
        let socket = parse_line(&line("0100007F:1F90", "0700000A:A112")).unwrap();
        assert_eq!((socket.local, socket.peer), ("127.0.0.1:8080".parse().unwrap(), "10.0.0.7:41234".parse().unwrap()));
        assert_eq!((socket.state, socket.inode), (TcpState::ESTABLISHED, 4711));
        let mapped = "0000000000000000FFFF00000700000A:0050";
        let socket = parse_line(&line(mapped, "00000000000000000000000001000000:0001")).unwrap();
        assert_eq!((socket.local, socket.peer), ("10.0.0.7:80".parse().unwrap(), "[::1]:1".parse().unwrap()));
        for wrong in
            ["", "  sl  local_address rem_address   st tx_queue", "7 0100007F:1F90 0700000A:A112 01 0 0 0 0 0 1"]
        {
            assert_eq!(parse_line(wrong), None, "{wrong}");
        }
        for address in ["0100007F", "0100007F:1F9", "+100007F:1F90", "0100007F0100007F:0001", "é100007F:0001"] {
            assert_eq!(parse_line(&line(address, "0700000A:A112")), None, "{address}");
        }
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        let message = |kind: libc::c_int, body: &[u8]| {
            let mut bytes = (16 + body.len() as u32).to_ne_bytes().to_vec();
            bytes.extend((kind as u16).to_ne_bytes());
            bytes.extend([0; 10]);
            bytes.extend(body);
            bytes
        };
        let error = parse_messages(&message(libc::NLMSG_ERROR, &(-libc::ENOENT).to_ne_bytes())).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
        assert!(parse_messages(&message(libc::NLMSG_DONE, &0i32.to_ne_bytes())).unwrap().over);
        assert_eq!(parse_messages(&message(20, &[2; 40])).unwrap(), Answer::default(), "too short to be one");
        assert!(parse_messages(&[0xff; 64]).is_err());
        assert!(parse_messages(&[0; 64]).is_err());
        assert_eq!(parse_messages(&[]).unwrap(), Answer::default());
    }
}
