//! The TCP sockets of softstop's own network namespace, IPv4 and IPv6: asked of the kernel by sock_diag, which filters by state and
//! port before anything is copied; read from `/proc/net/tcp` and `tcp6` where that is refused (gVisor and seccomp profiles do, and
//! kernels without the module).
//!
//! A table can hold a hundred thousand of them, most in TIME_WAIT. So a [`Walk`] gives them piece by piece, a fraction of a millisecond
//! each, and whoever walks lets others have their turn in between; [`list`] takes what it gets within its limits.
//!
//! Neither way waits: the kernel writes a dump into its answer when it is read. What reads a text or an answer is a pure function,
//! public for `fuzz/`: [`parse_line`] and [`parse_messages`].
//!
//! What comes and goes between two walks is in none of them: [`ended`] tells of it.

mod diag;
pub mod ended;
pub mod relay;
mod table;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::facts::Flow;
use diag::Diag;
pub use diag::{Answer, parse_messages};
use table::Proc;
pub use table::parse_line;

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

    /// The bits of all of these.
    pub fn bits(states: &[TcpState]) -> u32 {
        states.iter().fold(0, |bits, state| bits | state.bit())
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
    /// Bytes that have come and that no process has read, the peer's end of the connection as one of them. Of one that listens: connections
    /// that wait to be accepted.
    pub unread: u32,
    /// Bytes, our end as one of them, that the peer has not acknowledged.
    pub unsent: u32,
    /// How much longer a timer runs, for one in TIME_WAIT.
    pub remains: Option<Duration>,
    /// The number of the control group that it was made in (version 2 of them; sock_diag of Linux 5.7 and later).
    pub cgroup: Option<u64>,
    /// As asked for, and where it can be had.
    pub flow: Option<Flow>,
}

/// Between the end of a connection and that of its TIME_WAIT.
pub const TIME_WAIT: Duration = Duration::from_secs(60);

/// Which sockets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query {
    /// The bits of the states ([`TcpState::bit`]).
    pub states: u32,
    /// Local ports; empty: every one.
    pub ports: Vec<u16>,
    /// With [`Socket::flow`], for which the kernel looks into each socket. Only sock_diag has it.
    pub flow: bool,
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

/// How many connections have been accepted in this network namespace, on whatever port. `None` where /proc does not say.
pub fn accepted() -> Option<u64> {
    passive_opens(&super::procfs::read_text("/proc/net/snmp"))
}

/// In the text of `/proc/net/snmp`: a line of names and one of numbers for each protocol.
fn passive_opens(text: &str) -> Option<u64> {
    let mut tcp = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let place = tcp.next()?.split(' ').position(|name| name == "PassiveOpens")?;
    tcp.next()?.split(' ').nth(place)?.parse().ok()
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_counter_of_accepted_connections_is_read() {
        let text = "Ip: Forwarding\nIp: 1\nTcp: RtoMin ActiveOpens PassiveOpens X\nTcp: 1 -1 77 3\n";
        assert_eq!(passive_opens(text), Some(77));
        assert_eq!(
            (passive_opens("Tcp: A\nTcp: 1\n"), passive_opens("Tcp: PassiveOpens\n"), passive_opens("")),
            (None, None, None)
        );
        let before = accepted().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        listener.accept().unwrap();
        assert!(accepted().unwrap() > before);
    }

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
        let query = Query { states: OPEN, ports: ports.clone(), flow: false };
        // Others on this machine may have these port numbers on other loopback addresses.
        let ours = |walk: Walk| {
            let ends = |s: &Socket| {
                kept.iter().any(|(server, _, listener)| {
                    let (local, listens) = (server.local_addr().unwrap(), listener.local_addr().unwrap());
                    s.local == SocketAddr::new(local.ip().to_canonical(), local.port()) || s.local == listens
                })
            };
            // /proc does not say the group.
            let all = all(walk).into_iter().filter(ends).map(|s| Socket { cgroup: None, ..s });
            all.collect::<HashSet<Socket>>()
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
        let one = Query { states: TcpState::ESTABLISHED.bit(), ports: vec![ports[1]], flow: false };
        assert_eq!(ours(Walk::begin(&one)).len(), 1);
        assert!(list(&query, 100, Duration::from_secs(10)).unwrap().sockets.len() >= 6);
        let some = list(&query, 2, Duration::from_secs(10)).unwrap();
        assert!(some.sockets.len() == 2 && !some.complete, "{some:?}");
        let none = Query { states: OPEN, ports: vec![1], flow: false };
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
                let query = Query { states: OPEN, ports, flow: false };
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
