//! The harness for tests on other kernels, with cgroup version 2 alone: Debian's cloud kernels under qemu, without KVM, so that it is the
//! same everywhere. A machine has a serial console and nothing else: no disk, no network. Its root file system is made here of
//! busybox, unshare, the static softstop that ships and the scripts.
//!
//! - [`on`] boots each kernel once for all situations: `guest.sh` is its first program and plays `situations/*.sh` one after the other, and a
//!   test looks at what was printed in its own.
//! - [`Machine`] is one with softstop as its first program, driven through the console.
//!
//! `tests/vm/kernels` fetches the kernels. `SOFTSTOP_VM_ONLY=NAME` plays one situation, for whoever writes it.

mod archive;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};

pub use archive::Archive;

use crate::podman::{find, static_binaries};
use crate::support::{Beside, libraries, skip};

/// A boot takes three seconds on a quiet machine, all situations thirty.
const BOOT: Duration = Duration::from_secs(60);
const ALL: Duration = Duration::from_secs(400);

pub const KERNELS: [&str; 2] = ["6.1", "6.12"];

const QEMU: &str = "qemu-system-x86_64";

/// Whether machines can be booted here; the reason is printed when not.
pub fn able() -> bool {
    let why = || {
        if !cfg!(target_arch = "x86_64") {
            return Some("the machines are x86-64, and so must be the softstop that runs in them".to_owned());
        }
        for (program, package) in [
            (QEMU, "qemu-system-x86"),
            ("busybox", "busybox-static"),
            ("unshare", "util-linux"),
            ("setpriv", "util-linux"),
        ] {
            if find(program).is_none() {
                return Some(format!("{program} is not installed (apt-get install --no-install-recommends {package})"));
            }
        }
        if !libraries(&find("busybox").expect("just found")).is_empty() {
            return Some("busybox is not static (apt-get install busybox-static)".to_owned());
        }
        let missing = KERNELS.iter().map(|k| vmlinuz(k)).find(|file| !file.is_file())?;
        Some(format!("there is no kernel {}: run tests/vm/kernels", missing.display()))
    };
    static WHY: OnceLock<Option<String>> = OnceLock::new();
    let why = WHY.get_or_init(why);
    if let Some(why) = why {
        skip(why);
    }
    why.is_none()
}

fn vmlinuz(kernel: &str) -> PathBuf {
    let folder = std::env::var_os("SOFTSTOP_VM_KERNELS").unwrap_or_else(|| "target/vm".into());
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(format!("vmlinuz-{kernel}"))
}

/// Busybox and softstop in `/bin`, a console, empty folders to mount things in.
pub fn root() -> Archive {
    let mut root = Archive::default();
    for folder in ["proc", "sys", "dev", "tmp", "etc", "run"] {
        root.folder(folder);
    }
    root.devices();
    root.copy("bin/busybox", &find("busybox").expect("checked by able()"));
    root.copy("bin/softstop", &static_binaries().0);
    root
}

// === situations ===

/// What one kernel printed in one situation.
pub struct Seen {
    pub kernel: &'static str,
    situation: String,
    text: String,
}

/// `situations/NAME.sh` as it went on each of the kernels; nothing where no machine can be booted.
#[track_caller]
pub fn on(kernels: &[&'static str], situation: &str) -> Vec<Seen> {
    if !able() {
        return Vec::new();
    }
    let booted: Vec<_> = std::thread::scope(|scope| {
        let boots: Vec<_> = kernels.iter().map(|kernel| (*kernel, scope.spawn(|| played(kernel)))).collect();
        boots.into_iter().map(|(kernel, boot)| (kernel, boot.join().expect("a boot does not panic"))).collect()
    });
    let seen = booted.into_iter().map(|(kernel, console)| {
        let (begin, end) = (format!("vm: begin {situation}\n"), format!("vm: end {situation}, exit code "));
        let found = console.split_once(&begin).and_then(|(_, rest)| rest.split_once(&end));
        let (text, rest) = found.unwrap_or_else(|| panic!("{kernel}: {situation} was not played:\n{console}"));
        assert!(rest.starts_with("0\n"), "{kernel}: {situation}: exit code {}:\n{text}", rest.lines().next().unwrap());
        Seen { kernel, situation: situation.to_owned(), text: text.to_owned() }
    });
    seen.collect()
}

/// All that the machine printed, booted once.
fn played(kernel: &'static str) -> &'static str {
    static BOOTED: [OnceLock<String>; KERNELS.len()] = [OnceLock::new(), OnceLock::new()];
    let place = KERNELS.iter().position(|k| *k == kernel).expect("one of KERNELS");
    BOOTED[place].get_or_init(|| {
        let mut root = root();
        // Busybox's have fewer options.
        for program in ["unshare", "setpriv"] {
            root.program(&format!("files/{program}"), &find(program).expect("checked by able()"));
        }
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vm");
        root.copy("init", &own.join("guest.sh"));
        let only = std::env::var("SOFTSTOP_VM_ONLY").ok();
        for entry in std::fs::read_dir(own.join("situations")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().and_then(|n| n.to_str()).expect("a name").to_owned();
            if only.as_ref().is_none_or(|only| *only == name) {
                root.copy(&format!("situations/{name}"), &path);
            }
        }
        let mut machine = Machine::boot(kernel, 256, root, "");
        machine.off(ALL);
        machine.printed()
    })
}

impl Seen {
    #[track_caller]
    pub fn expect(&self, text: &str) -> &Seen {
        assert!(self.text.contains(text), "{}: {}: no {text:?} in:\n{}", self.kernel, self.situation, self.text);
        self
    }

    #[track_caller]
    pub fn expect_not(&self, text: &str) -> &Seen {
        assert!(!self.text.contains(text), "{}: {}: {text:?} in:\n{}", self.kernel, self.situation, self.text);
        self
    }

    pub fn says(&self, text: &str) -> bool {
        self.text.contains(text)
    }

    /// What was printed between the two.
    #[track_caller]
    pub fn between(&self, begin: &str, end: &str) -> Seen {
        let part = self.text.split_once(begin).and_then(|(_, rest)| rest.split_once(end));
        let (text, _) = part.unwrap_or_else(|| panic!("no {begin:?} to {end:?} in:\n{}", self.text));
        Seen { kernel: self.kernel, situation: self.situation.clone(), text: text.to_owned() }
    }

    /// The number that the script printed on a line `NAME: NUMBER`.
    #[track_caller]
    pub fn number(&self, name: &str) -> u64 {
        let line = self.text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": ")?.trim().parse().ok());
        line.unwrap_or_else(|| panic!("{}: {}: no line {name:?} in:\n{}", self.kernel, self.situation, self.text))
    }
}

// === machines ===

/// One that runs. Its end is the end of qemu, whose `-no-reboot` makes a panic one, too.
pub struct Machine {
    qemu: Beside,
    console: Arc<Console>,
    _place: Place,
}

#[derive(Default)]
struct Console {
    /// What was printed, and whether that is all.
    text: Mutex<(String, bool)>,
    more: Condvar,
}

impl Machine {
    /// `arguments` go to the kernel, and behind `--` to its first program, which is `/init`.
    pub fn boot(kernel: &str, mebibytes: u32, root: Archive, arguments: &str) -> Machine {
        let place = Place::take();
        let dir = crate::support::Dir::new();
        let initrd = dir.path("initrd");
        std::fs::write(&initrd, root.finish()).unwrap();
        let mut qemu = Command::new(QEMU);
        // The machine's time is counted by its instructions, four nanoseconds each, and what it sleeps is skipped: however busy this machine
        // is, a second in there has as much processor time, and a grace of ten seconds costs none. It takes one thread for all processors.
        qemu.args(["-accel", "tcg,thread=single", "-icount", "shift=2,sleep=off", "-cpu", "max", "-machine", "q35"]);
        qemu.args(["-nodefaults", "-no-user-config", "-no-reboot"]);
        qemu.args(["-display", "none", "-serial", "stdio"]);
        qemu.args(["-m", &mebibytes.to_string()]);
        qemu.arg("-kernel").arg(vmlinuz(kernel)).arg("-initrd").arg(&initrd);
        // Level 1: nothing but a panic stands between the lines of the programs.
        qemu.args(["-append", &format!("console=ttyS0 loglevel=1 panic=-1 {arguments}")]);
        qemu.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut qemu = qemu.spawn().unwrap_or_else(|e| panic!("{QEMU}: {e}"));
        let console = Arc::new(Console::default());
        let (mut from, to) = (qemu.stdout.take().expect("piped"), Arc::clone(&console));
        std::thread::spawn(move || {
            // qemu has read the file by the time it is gone.
            let _dir = dir;
            let mut bytes = [0; 4096];
            loop {
                let read = from.read(&mut bytes).unwrap_or(0);
                let mut text = to.text.lock().unwrap();
                text.0.push_str(&String::from_utf8_lossy(&bytes[..read]).replace('\r', ""));
                text.1 = read == 0;
                to.more.notify_all();
                if read == 0 {
                    return;
                }
            }
        });
        Machine { qemu: Beside(qemu), console, _place: place }
    }

    /// Waits until `text` has been printed.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) -> &mut Machine {
        let found = self.wait(BOOT, |printed| printed.0.contains(text));
        assert!(found, "never printed {text:?}:\n{}", self.printed());
        self
    }

    /// Types a line on the console.
    pub fn type_line(&mut self, line: &str) -> &mut Machine {
        let to = self.qemu.0.stdin.as_mut().expect("piped");
        to.write_all(format!("{line}\n").as_bytes()).expect("the machine reads its console");
        self
    }

    /// Waits for its end.
    #[track_caller]
    pub fn off(&mut self, limit: Duration) -> &mut Machine {
        let ended = self.wait(limit, |printed| printed.1);
        assert!(ended, "it runs after {limit:?}:\n{}", self.printed());
        self
    }

    pub fn printed(&self) -> String {
        self.console.text.lock().unwrap().0.clone()
    }

    fn wait(&self, limit: Duration, condition: impl Fn(&(String, bool)) -> bool) -> bool {
        let until = Instant::now() + limit;
        let mut text = self.console.text.lock().unwrap();
        while !condition(&text) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || text.1 {
                return condition(&text);
            }
            text = self.console.more.wait_timeout(text, left).unwrap().0;
        }
        true
    }
}

/// One of the two machines that may run at the same time: a third would make the others slow.
struct Place;

static TAKEN: (Mutex<u32>, Condvar) = (Mutex::new(0), Condvar::new());

impl Place {
    fn take() -> Place {
        let mut taken = TAKEN.1.wait_while(TAKEN.0.lock().unwrap(), |taken| *taken >= 2).unwrap();
        *taken += 1;
        Place
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *TAKEN.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) -= 1;
        TAKEN.1.notify_one();
    }
}
