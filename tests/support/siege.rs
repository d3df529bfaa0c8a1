//! softstop as PID 1 with its probe port under attack: well-behaved probes, the load that the attack puts on it, and a stop in
//! the middle of it all.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Launch, ROOM, Running, SOON, http, namespaces, processes, starvation};

/// docs/endpoints.md, "Limits": what all clients together can make softstop take. Beyond the 64 places are those whose request is being
/// answered in this very turn, which make no room, and those that have just made room and are about to be closed.
const DESCRIPTORS: usize = 64 + 8;
const PRIVATE_KB: u64 = 2 * 1024;

/// The kubelet's default `timeoutSeconds`.
pub const TIMEOUT: Duration = Duration::from_secs(1);
const PROBES: usize = 60;
const GRACE: Duration = Duration::from_secs(6);
const DRAIN: &str = "1s";
/// What the child exits with when it is told to stop.
const CODE: i32 = 7;

/// One siege or crowd at a time: two would each measure the other, and wait for each other's locks in the kernel.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One crowd at a time that has a part of a processor at most: beside it the machine has room for what is [`alone`].
pub fn limited() -> MutexGuard<'static, ()> {
    static LIMITED: Mutex<()> = Mutex::new(());
    LIMITED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Attacks in as many threads as asked for, each again and again until it is over; the attack looks at the flag at least
/// every second. Everything that is promised is checked on the way.
pub fn survives(threads: usize, attack: impl Fn(SocketAddr, &AtomicBool) + Sync) {
    survives_through(&[], threads, attack);
}

/// The same for a softstop that is started by way of `launcher`.
pub fn survives_through(launcher: &[&str], threads: usize, attack: impl Fn(SocketAddr, &AtomicBool) + Sync) {
    needs!(namespaces());
    let _alone = alone();
    let addr: SocketAddr = ([127, 0, 0, 1], http::free_port()).into();
    let flags = ["--grace", "6s", "--drain-sleep", DRAIN, "--http", &addr.to_string()];
    let mut running = Launch::child(&flags, &["exit-on:TERM:7", "say:up", "wait"]).through(launcher).up();
    running.wait_until("ready", |_| http::status_of(addr.port(), "/readyz") == Some(200));
    let calm = Load::of(running.pid());
    let over = AtomicBool::new(false);
    let asked = std::thread::scope(|scope| {
        // Also when an assertion below fails: the attackers must end.
        let _over = Over(&over);
        for _ in 0..threads {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    attack(addr, &over);
                }
            });
        }
        let worst = probe_under_attack(addr, &running);
        println!("calm {calm:?}, worst {worst:?}");
        calm.bounds(worst, running.was_starved());
        stop_under_attack(addr, &mut running)
    });
    let ended = running.wait(GRACE + SOON);
    ended.expect_in_time(asked, GRACE, "");
    ended.expect_code(CODE).expect_not("SIGKILL:").expect_not("panicked");
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What softstop takes at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub private_kb: u64,
    pub descriptors: usize,
}

impl Load {
    pub fn of(pid: i32) -> Load {
        Load { private_kb: processes::anonymous_kb(pid), descriptors: processes::descriptors(pid) }
    }

    fn max(self, other: Load) -> Load {
        Load { private_kb: self.private_kb.max(other.private_kb), descriptors: self.descriptors.max(other.descriptors) }
    }

    /// `worst` is no more than the documented bounds above this. Whoever was `starved` has more in its hands for a moment, which it accepts and
    /// closes in one turn.
    #[track_caller]
    pub fn bounds(self, worst: Load, starved: bool) {
        let most = if starved { DESCRIPTORS * 2 } else { DESCRIPTORS };
        assert!(worst.descriptors <= self.descriptors + most, "descriptors: {self:?}, then {worst:?}");
        assert!(worst.private_kb <= self.private_kb + PRIVATE_KB, "private memory: {self:?}, then {worst:?}");
    }
}

/// Probes as the kubelet does, and the most that softstop took meanwhile. It counts a probe as failed after a second, and a
/// container as not ready after three in a row; here, one in ten may be late: on a busy machine a probe that has connected and has
/// not asked yet can be pushed out by 64 newer connections. Of the second, what softstop or this thread waited for a processor is not
/// softstop's.
#[track_caller]
pub fn probe_under_attack(addr: SocketAddr, running: &Running) -> Load {
    let mut worst = Load::of(running.pid());
    let mut took = Vec::new();
    for _ in 0..PROBES {
        let starved = || starvation::of(running.pid()) + starvation::own();
        let (began, before) = (Instant::now(), starved());
        let status = probe(addr, SOON);
        assert!(status.is_none_or(|s| s == 200), "answered {status:?}");
        let spent = began.elapsed().saturating_sub(starved().saturating_sub(before));
        took.push(if status.is_some() { spent } else { Duration::MAX });
        worst = worst.max(Load::of(running.pid()));
        std::thread::sleep(Duration::from_millis(30));
    }
    took.sort_unstable();
    let late = took.iter().filter(|t| **t > TIMEOUT).count();
    println!("probes: median {:?}, worst {:?}, {late} of {PROBES} late", took[took.len() / 2], took[took.len() - 1]);
    assert!(late <= PROBES / 10, "{late} of {PROBES} probes took over a second: {took:?}");
    worst
}

/// SIGTERM; from then on readiness is 503 (I2), until softstop is gone. Gives back how old it was when asked.
#[track_caller]
fn stop_under_attack(addr: SocketAddr, running: &mut Running) -> Duration {
    let before = running.delayed();
    running.term();
    let (age, asked) = (running.age(), Instant::now());
    running.wait_for("softstop: stopping: ");
    let mut unready = 0;
    while running.code().is_none() && asked.elapsed() < GRACE + ROOM {
        match probe(addr, TIMEOUT) {
            Some(503) => unready += 1,
            Some(status) => panic!("I2: {status} after the stop request"),
            None => {}
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    // Who could not run for most of it has not asked.
    let stalled = running.delayed_since(before) > Duration::from_millis(500);
    assert!(unready > 0 || stalled, "no probe was answered during the drain");
    age
}

/// The status of `/readyz`; `None` without a whole answer within `limit`.
fn probe(addr: SocketAddr, limit: Duration) -> Option<u16> {
    let until = Instant::now() + limit;
    let left = || until.checked_duration_since(Instant::now()).filter(|d| !d.is_zero());
    let mut stream = TcpStream::connect_timeout(&addr, left()?).ok()?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        stream.set_read_timeout(Some(left()?)).ok()?;
        match stream.read(&mut chunk).ok()? {
            0 => break,
            n => answer.extend_from_slice(&chunk[..n]),
        }
    }
    let text = String::from_utf8(answer).ok()?;
    text.strip_prefix("HTTP/1.1 ")?.split(' ').next()?.parse().ok()
}
