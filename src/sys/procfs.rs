//! What /proc says about a process: for the account before a SIGKILL, and whether it catches a signal. Every fact may be
//! missing (no /proc, hidepid, a sandboxed kernel, a process that is gone); none is waited for.
//!
//! Of other processes only `stat`, `status`, `wchan`, `fd`, `task`, `children` and `net` are read. The kernel answers these from
//! its own tables. `cmdline`, `environ`, `maps` and `smaps`, `stack` and `mem` read the process's memory or need a lock (`mmap_lock`,
//! `exec_update_lock`) that a process which is stuck in the kernel may hold for ever: whoever reads them hangs with it. A test in
//! `tests/layering.rs` holds all of the sources against this list. For the same reason a link in `fd` is read and never followed.
//!
//! What reads a text is a pure function apart from what fetches it: [`parse_stat`], [`status_mask`], [`socket_inode`],
//! [`established`]. They are public for `fuzz/`, because a process chooses its own name and more in those texts.

use std::collections::HashSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};

use crate::signal::Signal;

/// At most this much is looked at for one snapshot, so that a victim with a million connections costs 20 ms and not the
/// rest of the budget.
const MAX_FDS: usize = 4096;
const MAX_CONNECTIONS: usize = 4096;

/// What a process is doing at the moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Snapshot {
    pub comm: Option<String>,
    /// The kernel's letter: R running, S sleeping, D uninterruptible, T stopped, t traced, Z zombie.
    pub state: Option<char>,
    /// The kernel function it sleeps in.
    pub wchan: Option<String>,
    pub threads: Option<u32>,
    pub open_connections: Option<Connections>,
    pub children: Option<usize>,
}

/// Established TCP connections that a process holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Connections {
    pub count: usize,
    /// False: there was too much to look at all of it, so there may be more.
    pub complete: bool,
}

impl fmt::Display for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.complete { "" } else { " or more" };
        write!(f, "{}{more}", self.count)
    }
}

/// Looks at a process. Empty when /proc shows nothing of it.
pub fn snapshot(pid: i32) -> Snapshot {
    let brief = brief(pid);
    if brief == Snapshot::default() {
        return brief;
    }
    Snapshot {
        open_connections: open_connections(pid).ok(),
        children: super::tree::children(pid).ok().map(|children| children.len()),
        ..brief
    }
}

/// The part of a snapshot that costs next to nothing: no connections, no children.
pub fn brief(pid: i32) -> Snapshot {
    if check_namespace().is_err() {
        return Snapshot::default();
    }
    let stat = read_stat(pid).ok();
    let wchan = fs::read_to_string(format!("/proc/{pid}/wchan")).ok();
    Snapshot {
        comm: stat.as_ref().map(|stat| stat.comm.clone()),
        state: stat.as_ref().map(|stat| stat.state),
        wchan: wchan.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty() && text != "0"),
        threads: stat.as_ref().map(|stat| stat.threads),
        ..Snapshot::default()
    }
}

/// `state: D, wchan: nfs_wait, threads: 12, children: 2, open connections: 3`; what is not known is left out.
impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = [
            self.state.map(|state| format!("state: {state}")),
            self.wchan.as_ref().map(|wchan| format!("wchan: {wchan}")),
            self.threads.map(|n| format!("threads: {n}")),
            self.children.filter(|n| *n > 0).map(|n| format!("children: {n}")),
            self.open_connections.map(|n| format!("open connections: {n}")),
        ];
        let known: Vec<String> = facts.into_iter().flatten().collect();
        if known.is_empty() {
            f.write_str("nothing known: /proc does not show it")
        } else {
            f.write_str(&known.join(", "))
        }
    }
}

/// Whether the process has a handler for the signal. `None` when /proc does not say.
pub fn catches(pid: i32, signal: Signal) -> Option<bool> {
    check_namespace().ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let caught = super::mask::SignalSet::from_bits(status_mask(&status, "SigCgt:")?);
    Some(caught.contains(signal))
}

/// Whether a process that neither catches nor ignores the signal is ended by it. See signal(7).
pub fn default_is_fatal(signal: Signal) -> bool {
    const HARMLESS: [Signal; 8] = [
        Signal::CHLD,
        Signal::URG,
        Signal::WINCH,
        Signal::CONT,
        Signal::STOP,
        Signal::TSTP,
        Signal::TTIN,
        Signal::TTOU,
    ];
    !HARMLESS.contains(&signal)
}

/// A signal mask in the text of `/proc/<pid>/status`; `field` with its colon: `SigCgt:`. `None` when it is not there or no
/// hexadecimal number.
pub fn status_mask(status: &str, field: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(field))?;
    u64::from_str_radix(value.trim(), 16).ok()
}

/// One line of `/proc/<pid>/stat`, as far as we need it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stat {
    pub pid: i32,
    pub comm: String,
    pub state: char,
    pub ppid: i32,
    pub pgid: i32,
    pub threads: u32,
    /// In clock ticks since boot: with the pid, the identity of a process.
    pub started: u64,
}

impl Stat {
    /// Not merely waiting to be reaped. A process whose first thread has ended shows Z while its other threads run on.
    pub fn lives(&self) -> bool {
        !matches!(self.state, 'Z' | 'X') || self.threads > 1
    }
}

/// # Errors
/// When /proc is not there or was mounted for another PID namespace, whose numbers mean other processes.
pub(super) fn check_namespace() -> io::Result<()> {
    let own = fs::read_link("/proc/self")?;
    if own.to_str().and_then(|pid| pid.parse().ok()) == Some(super::process::own_pid()) {
        return Ok(());
    }
    Err(io::Error::other("/proc shows another pid namespace: mount one for this container"))
}

/// Whether a process lives in a PID namespace below ours, or cannot be seen although /proc can. False without /proc.
pub fn is_in_namespace_below(pid: i32) -> bool {
    if check_namespace().is_err() {
        return false;
    }
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { return true };
    let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    pids.is_some_and(|pids| pids.split_ascii_whitespace().count() > 1)
}

/// A small file of /proc, in four system calls where `fs::read` needs six: a walk reads two for each of a thousand processes.
///
/// # Errors
/// As open and read have it.
pub(super) fn read_small(path: &str) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut bytes = vec![0; 1024];
    let mut len = 0;
    loop {
        match file.read(&mut bytes[len..]) {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
        if len == bytes.len() {
            bytes.resize(2 * len, 0);
        }
    }
    bytes.truncate(len);
    Ok(bytes)
}

pub(super) fn read_stat(pid: i32) -> io::Result<Stat> {
    let bytes = read_small(&format!("/proc/{pid}/stat"))?;
    parse_stat(&bytes).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unreadable /proc/<pid>/stat"))
}

/// The text of `/proc/<pid>/stat`; `None` when it is not one.
///
/// The name stands in parentheses and may itself hold anything, blanks, newlines and parentheses included: the last `)`
/// ends it.
pub fn parse_stat(bytes: &[u8]) -> Option<Stat> {
    let open = bytes.iter().position(|b| *b == b'(')?;
    let close = bytes.iter().rposition(|b| *b == b')')?;
    let pid = std::str::from_utf8(&bytes[..open]).ok()?.trim().parse().ok()?;
    let comm = String::from_utf8_lossy(bytes.get(open + 1..close)?).into_owned();
    let rest = std::str::from_utf8(&bytes[close + 1..]).ok()?;
    // The field after the name is the third in proc(5)'s count.
    let field = |n: usize| rest.split_ascii_whitespace().nth(n - 3);
    Some(Stat {
        pid,
        comm,
        state: field(3)?.chars().next()?,
        ppid: field(4)?.parse().ok()?,
        pgid: field(5)?.parse().ok()?,
        threads: field(20)?.parse().ok()?,
        started: field(22)?.parse().ok()?,
    })
}

fn open_connections(pid: i32) -> io::Result<Connections> {
    let mut sockets = HashSet::new();
    let mut complete = true;
    for (n, entry) in fs::read_dir(format!("/proc/{pid}/fd"))?.enumerate() {
        if n >= MAX_FDS {
            complete = false;
            break;
        }
        let link = entry.and_then(|entry| fs::read_link(entry.path()));
        sockets.extend(link.ok().and_then(|link| socket_inode(link.to_str()?)));
    }
    let mut count = 0;
    if sockets.is_empty() {
        return Ok(Connections { count, complete });
    }
    for table in ["tcp", "tcp6"] {
        // No tcp6 means a kernel without IPv6.
        let Ok(file) = File::open(format!("/proc/{pid}/net/{table}")) else {
            continue;
        };
        // The table is the whole network namespace's, and connections in TIME_WAIT fill it by the ten thousand.
        for (n, line) in BufReader::new(file).lines().skip(1).map_while(Result::ok).enumerate() {
            if n >= MAX_CONNECTIONS {
                complete = false;
                break;
            }
            count += usize::from(established(&line).is_some_and(|inode| sockets.contains(&inode)));
        }
    }
    Ok(Connections { count, complete })
}

/// The inode in what a socket's link in `/proc/<pid>/fd` says; `None` for any other file.
pub fn socket_inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// The inode of an established connection in a line of `/proc/<pid>/net/tcp`; `None` in any other state.
pub fn established(line: &str) -> Option<u64> {
    let mut fields = line.split_ascii_whitespace();
    let state = fields.nth(3)?;
    let inode = fields.nth(5)?;
    if state == "01" { inode.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAIL: &str = "S 7 100 100 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 12 0 98765 1000 10 18446744073709551615 1 1 0";

    #[test]
    fn a_name_may_hold_anything() {
        for comm in ["sleep", "a b", "a) R 1 (b", "", ")", "new\nline", "((("] {
            let stat = parse_stat(format!("42 ({comm}) {TAIL}").as_bytes()).unwrap();
            assert_eq!(stat.comm, comm);
            assert_eq!((stat.pid, stat.state, stat.ppid, stat.threads, stat.started), (42, 'S', 7, 12, 98765));
        }
        assert_eq!(parse_stat(&[b"42 (\xff\xfe) ", TAIL.as_bytes()].concat()).unwrap().ppid, 7);
    }

    #[test]
    fn damaged_lines_are_no_process() {
        for text in ["", "42", "42 (x", "42 x) S", ")(", "42 (x) S", "x (y) S 1 2"] {
            assert_eq!(parse_stat(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn a_zombie_leader_with_threads_lives() {
        let stat = |state: &str, threads: u32| {
            let tail = TAIL.replacen('S', state, 1).replacen(" 12 0", &format!(" {threads} 0"), 1);
            parse_stat(format!("1 (x) {tail}").as_bytes()).unwrap()
        };
        assert!(stat("S", 1).lives());
        assert!(stat("Z", 3).lives());
        assert!(!stat("Z", 1).lives());
        assert!(!stat("Z", 0).lives());
    }

    #[test]
    fn masks_are_read_from_status() {
        let status = "Name:\tx\nSigIgn:\t0000000000001000\nSigCgt:\t0000000000004001\n";
        assert_eq!(status_mask(status, "SigCgt:"), Some(0x4001));
        assert_eq!(status_mask(status, "SigBlk:"), None);
        assert_eq!(status_mask("SigCgt:\tzz\n", "SigCgt:"), None);
    }

    #[test]
    fn only_established_connections_count() {
        let line = |state: &str| {
            format!(
                "   0: 0100007F:1F90 0100007F:9C40 {state} 00000000:00000000 00:00000000 00000000     0        0 4711 1"
            )
        };
        assert_eq!(established(&line("01")), Some(4711));
        assert_eq!(established(&line("0A")), None);
        assert_eq!(established("garbage"), None);
        assert_eq!(socket_inode("socket:[4711]"), Some(4711));
        assert_eq!(socket_inode("pipe:[4711]"), None);
    }

    #[test]
    fn own_connections_are_counted() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let pairs: Vec<_> =
            (0..3).map(|_| (std::net::TcpStream::connect(address).unwrap(), listener.accept().unwrap())).collect();
        let found = open_connections(std::process::id() as i32).unwrap();
        // Other tests of this process may have connections of their own; a machine full of them hides ours, and says so.
        assert!(found.count >= 6 || !found.complete, "{found}");
        drop(pairs);
    }

    #[test]
    fn what_is_missing_is_left_out() {
        let full = Snapshot {
            comm: Some("web".into()),
            state: Some('D'),
            wchan: Some("nfs_wait".into()),
            threads: Some(12),
            open_connections: Some(Connections { count: 3, complete: true }),
            children: Some(0),
        };
        assert_eq!(full.to_string(), "state: D, wchan: nfs_wait, threads: 12, open connections: 3");
        assert_eq!(Snapshot { state: Some('T'), ..Snapshot::default() }.to_string(), "state: T");
        assert_eq!(Connections { count: 4096, complete: false }.to_string(), "4096 or more");
        assert_eq!(snapshot(i32::MAX).to_string(), "nothing known: /proc does not show it");
    }

    #[test]
    fn what_ends_a_process_by_default() {
        for signal in [Signal::HUP, Signal::USR1, Signal::PIPE, Signal::TERM, Signal::from_number(37).unwrap()] {
            assert!(default_is_fatal(signal));
        }
        for signal in [Signal::CHLD, Signal::WINCH, Signal::CONT, Signal::TSTP] {
            assert!(!default_is_fatal(signal));
        }
    }
}
