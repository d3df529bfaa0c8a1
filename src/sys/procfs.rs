//! What /proc says about a process: for the account before a SIGKILL, and whether it catches a signal. Every fact may be
//! missing (no /proc, hidepid, a sandboxed kernel, a process that is gone); none is waited for.
//!
//! Of other processes only `stat`, `status`, `wchan`, `fd`, `task`, `children` and `ns` are read. The kernel answers these from
//! its own tables. `cmdline`, `environ`, `maps` and `smaps`, `stack` and `mem` read the process's memory or need a lock (`mmap_lock`,
//! `exec_update_lock`) that a process which is stuck in the kernel may hold for ever: whoever reads them hangs with it. A test in
//! `tests/pages/layering.rs` holds all of the sources against this list. For the same reason a link in `fd` or `ns` is read and never followed.
//! `stack` alone is read all the same, by a process of its own that can be given up: `sys::spawn::stack`.
//!
//! What reads a text is a pure function apart from what fetches it: [`parse_stat`], [`status_mask`], [`socket_inode`]. They are public
//! for `fuzz/`, because a process chooses its own name and more in those texts.

use std::fmt;
use std::fs::{self, DirEntry, File};
use std::io::{self, Read};
use std::time::Duration;

use super::mask::SignalSet;
use crate::facts::Disposition;
use crate::signal::Signal;

/// What a process is doing at the moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Snapshot {
    pub comm: Option<String>,
    /// The kernel's letter: R running, S sleeping, D uninterruptible, T stopped, t traced, Z zombie.
    pub state: Option<char>,
    /// The kernel function it sleeps in.
    pub wchan: Option<String>,
    pub threads: Option<u32>,
}

/// Inspects a process; it costs next to nothing. Empty when /proc shows nothing of it. A closer look is `sys::victim`'s.
pub fn snapshot(pid: i32) -> Snapshot {
    if check_namespace().is_err() {
        return Snapshot::default();
    }
    let stat = read_stat(pid).ok();
    let wchan = read_small(&format!("/proc/{pid}/wchan")).ok();
    Snapshot {
        comm: stat.as_ref().map(|stat| stat.comm.clone()),
        state: stat.as_ref().map(|stat| stat.state),
        wchan: wchan.and_then(|text| super::victim::wait_channel(&text)),
        threads: stat.as_ref().map(|stat| stat.threads),
    }
}

/// `state: D, wchan: nfs_wait, threads: 12`; what is not known is left out.
impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = [
            self.state.map(|state| format!("state: {state}")),
            self.wchan.as_ref().map(|wchan| format!("wchan: {wchan}")),
            self.threads.map(|n| format!("threads: {n}")),
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
    status_mask(&read_status(pid).ok()?, "SigCgt:").map(|caught| caught.contains(signal))
}

/// What a signal is to the process. `None` when /proc does not say.
pub fn disposition(pid: i32, signal: Signal) -> Option<Disposition> {
    check_namespace().ok()?;
    let status = read_status(pid).ok()?;
    let has = |field: &str| status_mask(&status, field).map(|mask| mask.contains(signal));
    Some(match (has("SigCgt:")?, has("SigIgn:")?, has("SigBlk:")?) {
        (_, true, _) => Disposition::Ignored,
        (_, _, true) => Disposition::Blocked,
        (true, ..) => Disposition::Caught,
        _ => Disposition::Default,
    })
}

/// What a process needs, and which signals it has arranged for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Needs {
    /// In memory, in bytes, what it shares with others included; 0 of a zombie.
    pub resident: u64,
    pub caught: SignalSet,
    pub ignored: SignalSet,
    pub blocked: SignalSet,
    /// Its number in its own PID namespace.
    pub inner_pid: i32,
}

/// `None` when /proc does not say, or the process is gone.
pub fn needs(pid: i32) -> Option<Needs> {
    let status = read_status(pid).ok()?;
    let mask = |name: &str| status_mask(&status, name).unwrap_or_default();
    let kib = status_field(&status, "VmRSS:").and_then(|mut words| words.next()?.parse::<u64>().ok());
    let inner = status_field(&status, "NSpid:").and_then(|words| words.last()?.parse().ok());
    Some(Needs {
        resident: kib.unwrap_or(0).saturating_mul(1024),
        caught: mask("SigCgt:"),
        ignored: mask("SigIgn:"),
        blocked: mask("SigBlk:"),
        inner_pid: inner.unwrap_or(pid),
    })
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
pub fn status_mask(status: &str, field: &str) -> Option<SignalSet> {
    u64::from_str_radix(status_field(status, field)?.next()?, 16).ok().map(SignalSet::from_bits)
}

/// The words behind `field`.
fn status_field<'s>(status: &'s str, field: &str) -> Option<impl Iterator<Item = &'s str> + use<'s>> {
    status.lines().find_map(|line| line.strip_prefix(field)).map(str::split_ascii_whitespace)
}

/// A process may have called itself something that is no text.
fn read_status(pid: i32) -> io::Result<String> {
    let bytes = read_small(&format!("/proc/{pid}/status"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// One line of `/proc/<pid>/stat`, as far as we need it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stat {
    pub pid: i32,
    pub comm: String,
    pub state: char,
    pub ppid: i32,
    pub pgid: i32,
    pub session: i32,
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
    let own = fs::read_link("/proc/self").map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(error.kind(), "there is no /proc: mount one for this container"),
        _ => error,
    })?;
    if own.to_str().and_then(|pid| pid.parse().ok()) == Some(super::process::own_pid()) {
        return Ok(());
    }
    Err(io::Error::other("/proc shows another pid namespace: mount one for this container"))
}

/// The processes that /proc shows: those of the PID namespace.
///
/// # Errors
/// When there is no /proc, or it shows another PID namespace.
pub(super) fn pids() -> io::Result<impl Iterator<Item = i32>> {
    check_namespace()?;
    numbers("/proc")
}

/// Those names in a directory of /proc that are numbers, read as they are asked for.
pub(super) fn numbers(directory: &str) -> io::Result<impl Iterator<Item = i32> + use<>> {
    Ok(fs::read_dir(directory)?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()))
}

/// Whether a process lives in a PID namespace below ours, or cannot be seen although /proc can. False without /proc.
pub fn is_in_namespace_below(pid: i32) -> bool {
    if check_namespace().is_err() {
        return false;
    }
    let Ok(status) = read_status(pid) else { return true };
    status_field(&status, "NSpid:").is_some_and(|pids| pids.count() > 1)
}

/// The text of a small file of /proc; empty where it cannot be had.
pub(super) fn read_text(path: &str) -> String {
    String::from_utf8_lossy(&read_small(path).unwrap_or_default()).into_owned()
}

/// A small file of /proc, in four system calls where `fs::read` needs six: a walk reads two for each of a thousand processes.
///
/// # Errors
/// As open and read have it.
pub(super) fn read_small(path: &str) -> io::Result<Vec<u8>> {
    read_until(path, |_| false)
}

/// One that the kernel writes as one record (`/proc/PID/stat`, a counter of a control group): a read that is not filled has all of it.
///
/// # Errors
/// As open and read have it.
pub(super) fn read_record(path: &str) -> io::Result<Vec<u8>> {
    read_until(path, |room| room > 0)
}

/// `is_all`: whether there is no more when a read has left so much room.
fn read_until(path: &str, is_all: impl Fn(usize) -> bool) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut bytes = vec![0; 1024];
    let mut len = 0;
    loop {
        match file.read(&mut bytes[len..]) {
            Ok(0) => break,
            Ok(n) => {
                len += n;
                if is_all(bytes.len() - len) {
                    break;
                }
            }
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

/// The pid that was given last in this PID namespace. They are given in order, and begin again at 300 at the least.
pub(super) fn last_pid() -> Option<usize> {
    let load = read_record("/proc/loadavg").ok()?;
    str::from_utf8(&load).ok()?.split_ascii_whitespace().last()?.parse().ok()
}

/// A process, or a zombie that has not been reaped yet. `None` when /proc does not show it.
pub fn stat(pid: i32) -> Option<Stat> {
    check_namespace().ok()?;
    read_stat(pid).ok()
}

/// How much processor time it has taken, with its children that have ended and that it has waited for. `None`: it is gone, or cannot be seen.
pub fn processor_time(pid: i32) -> Option<Duration> {
    parse_processor_time(&read_record(&format!("/proc/{pid}/stat")).ok()?)
}

/// Out of the text of `/proc/<pid>/stat`.
pub fn parse_processor_time(stat: &[u8]) -> Option<Duration> {
    // USER_HZ: the same on every architecture that softstop is built for, whatever the kernel's own clock.
    const TICK: Duration = Duration::from_millis(10);
    let (_, rest) = split_at_name(stat)?;
    // utime, stime, cutime and cstime: 14 to 17 in proc(5)'s count, of which the one after the name is the third.
    let mut fields = rest.split_ascii_whitespace().skip(14 - 3);
    let mut sum = 0u64;
    for _ in 0..4 {
        sum = sum.saturating_add(fields.next()?.parse::<i64>().ok()?.max(0).unsigned_abs());
    }
    Some(TICK.saturating_mul(u32::try_from(sum).unwrap_or(u32::MAX)))
}

/// Whose child it is; `None`: it is gone, or cannot be seen.
pub fn parent_of(pid: i32) -> Option<i32> {
    read_stat(pid).ok().map(|stat| stat.ppid)
}

pub(super) fn read_stat(pid: i32) -> io::Result<Stat> {
    let bytes = read_record(&format!("/proc/{pid}/stat"))?;
    parse_stat(&bytes).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unreadable /proc/<pid>/stat"))
}

/// What stands in `/proc/<pid>/stat` up to the end of the process's name, and the rest. The name stands in parentheses and may itself hold
/// anything, blanks, newlines and parentheses included: the last `)` ends it.
fn split_at_name(stat: &[u8]) -> Option<(&[u8], &str)> {
    let close = stat.iter().rposition(|b| *b == b')')?;
    Some((&stat[..close], std::str::from_utf8(&stat[close + 1..]).ok()?))
}

/// The text of `/proc/<pid>/stat`; `None` when it is not one.
pub fn parse_stat(bytes: &[u8]) -> Option<Stat> {
    let (begin, rest) = split_at_name(bytes)?;
    let open = begin.iter().position(|b| *b == b'(')?;
    let pid = std::str::from_utf8(&begin[..open]).ok()?.trim().parse().ok()?;
    let comm = String::from_utf8_lossy(&begin[open + 1..]).into_owned();
    let mut fields = rest.split_ascii_whitespace();
    // Those that stand before it are passed over. The one after the name is the third in proc(5)'s count; the threads are the twentieth.
    let mut next = |before: usize| fields.nth(before);
    Some(Stat {
        pid,
        comm,
        state: next(0)?.chars().next()?,
        ppid: next(0)?.parse().ok()?,
        pgid: next(0)?.parse().ok()?,
        session: next(0)?.parse().ok()?,
        threads: next(13)?.parse().ok()?,
        started: next(1)?.parse().ok()?,
    })
}

/// The inode of the socket that an entry of `/proc/<pid>/fd` is; `None` for any other file.
pub(super) fn socket_of(entry: io::Result<DirEntry>) -> Option<u64> {
    socket_inode(fs::read_link(entry.ok()?.path()).ok()?.to_str()?)
}

/// The inode in what a socket's link in `/proc/<pid>/fd` says; `None` for any other file.
pub fn socket_inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
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
    fn processor_time_is_that_of_a_process_and_of_its_children_that_have_ended() {
        let tail = TAIL.replace(" 1 0 0 0 0 0 0 0 20 ", " 1 0 0 0 150 50 7 3 20 ");
        assert_eq!(parse_processor_time(format!("42 (a) b) {tail}").as_bytes()), Some(Duration::from_millis(2100)));
        assert_eq!(parse_processor_time(b"42 (x) S 7 100"), None);
        let endless = tail.replace(" 150 ", &format!(" {} ", i64::MAX));
        assert!(parse_processor_time(format!("1 (x) {endless}").as_bytes()).is_some());
        assert!(processor_time(super::super::process::own_pid()).is_some());
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
        assert_eq!(status_mask(status, "SigCgt:").map(SignalSet::bits), Some(0x4001));
        assert_eq!(status_mask(status, "SigBlk:"), None);
        assert_eq!(status_mask("SigCgt:\tzz\n", "SigCgt:"), None);
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a thread of a test's")]
    fn what_a_process_calls_itself_hides_nothing() {
        // The name is a thread's own.
        let named = std::thread::spawn(|| {
            nix::sys::prctl::set_name(c"\xff\xfe\xe9").unwrap();
            let thread = nix::unistd::gettid().as_raw();
            (catches(thread, Signal::HUP), disposition(thread, Signal::HUP), needs(thread))
        });
        let (caught, disposition, needs) = named.join().unwrap();
        assert_eq!((caught, disposition.is_some()), (Some(false), true));
        assert!(needs.is_some_and(|needs| needs.resident > 0));
    }

    #[test]
    fn a_socket_is_told_from_other_files() {
        assert_eq!(socket_inode("socket:[4711]"), Some(4711));
        assert_eq!(socket_inode("pipe:[4711]"), None);
    }

    #[test]
    fn the_last_pid_is_known() {
        assert!(last_pid().unwrap() > 1);
    }

    #[test]
    fn what_is_missing_is_left_out() {
        let full =
            Snapshot { comm: Some("web".into()), state: Some('D'), wchan: Some("nfs_wait".into()), threads: Some(12) };
        assert_eq!(full.to_string(), "state: D, wchan: nfs_wait, threads: 12");
        assert_eq!(Snapshot { state: Some('T'), ..Snapshot::default() }.to_string(), "state: T");
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
