//! The kernel's answers over sock_diag (sock_diag(7)).

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

use super::{Query, Socket, TcpState};
use crate::facts::Flow;

/// What of a dump is read at once: the kernel writes no longer answers than this.
pub(super) const ANSWER: usize = 32 * 1024;
const HEADER: usize = 16;
/// `struct inet_diag_msg`.
const MESSAGE: usize = 72;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const INET_DIAG_REQ_BYTECODE: u16 = 1;
/// Attributes of an answer (linux/inet_diag.h).
const INET_DIAG_INFO: u16 = 2;
const INET_DIAG_CGROUP_ID: u16 = 21;
/// A timer of this kind is TIME_WAIT's.
const TIMER_TIME_WAIT: u8 = 3;
/// Operations of `struct inet_diag_bc_op` (linux/inet_diag.h). The newer one for "equal" is not needed.
const BC_JMP: u8 = 1;
const BC_S_GE: u8 = 2;
const BC_S_LE: u8 = 3;

pub(super) struct Diag {
    socket: OwnedFd,
    /// `None`: all of it has come.
    request: Option<Request>,
    /// Some answer has come that was no refusal.
    pub answered: bool,
}

impl Diag {
    pub fn ask(query: &Query) -> io::Result<Diag> {
        let socket = open(SockFlag::SOCK_NONBLOCK)?;
        let mut diag = Diag { socket, request: None, answered: false };
        diag.ask_on(Some(Request::first()), query)?;
        Ok(diag)
    }

    fn ask_on(&mut self, request: Option<Request>, query: &Query) -> io::Result<()> {
        self.request = request;
        if let Some(request) = request {
            send(self.socket.as_raw_fd(), &request.bytes(query), MsgFlags::MSG_DONTWAIT)?;
        }
        Ok(())
    }

    pub fn piece(&mut self, query: &Query) -> io::Result<Option<Vec<Socket>>> {
        let Some(request) = self.request else { return Ok(None) };
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
            self.ask_on(request.next(), query)?;
        }
        Ok(Some(answer.sockets))
    }
}

/// `flags`: beside close-on-exec.
pub(super) fn open(flags: SockFlag) -> nix::Result<OwnedFd> {
    socket(AddressFamily::Netlink, SockType::Raw, flags | SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkSockDiag)
}

/// A walk is one request for each family.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    family: u8,
}

impl Request {
    pub fn first() -> Request {
        Request { family: family_number(libc::AF_INET) }
    }

    pub fn next(self) -> Option<Request> {
        let last = family_number(libc::AF_INET6);
        (self.family != last).then_some(Request { family: last })
    }

    pub fn bytes(self, query: &Query) -> Vec<u8> {
        request(self.family, query)
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
    let more = if query.flow { 1 << (INET_DIAG_INFO - 1) } else { 0 };
    bytes.extend([family, family_number(libc::IPPROTO_TCP), more, 0]);
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
pub fn parse_messages(bytes: &[u8]) -> io::Result<Answer> {
    let mut answer = Answer::default();
    for message in messages(bytes) {
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "a damaged answer of sock_diag");
        let (kind, body) = message.ok_or_else(damaged)?;
        match kind {
            libc::NLMSG_ERROR | libc::NLMSG_DONE if body.len() >= 4 && u32_at(body, 0) != 0 => {
                // Negative, as inside the kernel.
                let errno = 0u32.wrapping_sub(u32_at(body, 0)).cast_signed();
                return Err(io::Error::from_raw_os_error(errno));
            }
            libc::NLMSG_ERROR | libc::NLMSG_DONE => answer.over = true,
            kind if kind == libc::c_int::from(SOCK_DIAG_BY_FAMILY) => answer.sockets.extend(parse_message(body)),
            _ => {}
        }
    }
    Ok(answer)
}

/// `struct nlmsghdr` and what follows it, one after the other: kind and body. `None`, and nothing after it, for what is none. Async-signal-safe.
pub(super) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Option<(libc::c_int, &[u8])>> {
    std::iter::from_fn(move || {
        let [a, b, c, d, kind, more, ..] = *bytes else { return None };
        let length = usize::try_from(u32::from_ne_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        let message = bytes.get(HEADER..length).map(|body| (u16::from_ne_bytes([kind, more]).into(), body));
        let rest = message.and_then(|_| bytes.get(length.next_multiple_of(4)..));
        bytes = rest.unwrap_or_default();
        Some(message)
    })
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
    let mut socket = Socket {
        state: TcpState(body[1]),
        local: SocketAddr::new(address(8)?, port(4)),
        peer: SocketAddr::new(address(24)?, port(6)),
        inode: u32_at(body, 68).into(),
        unread: u32_at(body, 56),
        // One that listens has its limit there.
        unsent: if TcpState(body[1]) == TcpState::LISTEN { 0 } else { u32_at(body, 60) },
        remains: (body[2] == TIMER_TIME_WAIT).then(|| millis(u32_at(body, 52))),
        cgroup: None,
        flow: None,
    };
    for (kind, value) in attributes(body.get(MESSAGE..).unwrap_or_default()) {
        match kind {
            INET_DIAG_INFO => socket.flow = parse_info(value),
            INET_DIAG_CGROUP_ID => socket.cgroup = value.try_into().ok().map(u64::from_ne_bytes),
            _ => {}
        }
    }
    Some(socket)
}

/// `struct nlattr`, one after the other.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    const HEAD: usize = 4;
    std::iter::from_fn(move || {
        let [a, b, c, d, ..] = *bytes else { return None };
        let (length, kind) = (usize::from(u16::from_ne_bytes([a, b])), u16::from_ne_bytes([c, d]));
        let value = bytes.get(HEAD..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// `struct tcp_info`, of which an older kernel has less.
fn parse_info(bytes: &[u8]) -> Option<Flow> {
    const SENT: usize = 44;
    const RECEIVED: usize = 52;
    const HEARD: usize = 56;
    // Segments with data: Linux 4.6 and later.
    const DATA_IN: usize = 152;
    const DATA_OUT: usize = 156;
    let at = |at: usize| (bytes.len() >= at + 4).then(|| millis(u32_at(bytes, at)));
    let (mut sent, received) = (at(SENT)?, at(RECEIVED)?);
    // Where nothing was sent yet the kernel has the connection's own age, which is the first request's where that came with it.
    if bytes.len() >= DATA_OUT + 4 && u32_at(bytes, DATA_IN) > 0 && u32_at(bytes, DATA_OUT) == 0 {
        sent = sent.max(received + millis(1));
    }
    Some(Flow { sent, received, heard: at(HEARD)? })
}

fn millis(n: u32) -> Duration {
    Duration::from_millis(n.into())
}

/// 0 beyond the end.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
    word.map_or(0, u32::from_ne_bytes)
}
