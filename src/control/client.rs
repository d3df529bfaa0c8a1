//! The other end: `softstop status`, `drain`, `stop` and the rest. An ordinary program that blocks: it supervises nothing.

mod exchange;
mod logs;

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::geteuid;

use super::address::{self, listening, meant};
use super::protocol::{self, Reply, Request, StatusRequest};
use super::socket::{Address, connect_now, namespace};
use super::table;
use crate::config::Control;
use crate::exit;
use crate::json;
use crate::sys::{ids, tree};
use crate::text;
pub use exchange::Exchange;
pub use logs::{Shown, logs};

pub const SOMETHING_ELSE: &str = "the instance answered something else";
/// To get a place in the queue of a busy softstop, and to have an answer that needs no waiting.
const SOON: Duration = Duration::from_secs(5);
/// For one of several to say which it is.
const FIRST: Duration = Duration::from_secs(1);
/// So many are asked.
const MOST_ASKED: usize = 16;
/// The longest line of an answer; a status grows with the configuration.
const MAX_ANSWER: u64 = 16 * 1024 * 1024;

/// What stands in the way: a line, and the exit code it amounts to.
#[derive(Debug)]
pub struct Failure {
    pub code: u8,
    pub text: String,
}

impl Failure {
    /// On standard error; the exit code. `note` is added where nobody is there.
    pub fn say(self, note: Option<&str>) -> u8 {
        let Failure { code, text } = self;
        let _ = writeln!(io::stderr(), "softstop: error: {text}{}", noted(code, note));
        code
    }
}

/// Of a reply that is not what was asked for; `other`: what is said of one that nobody expects.
pub fn no_answer(reply: Reply, other: &str) -> Failure {
    match reply {
        Reply::Refused(text) => Failure { code: exit::FAILED, text },
        Reply::Denied(text) => Failure { code: exit::NO_PERMISSION, text },
        Reply::Malformed(why) => unavailable(format!("the instance does not understand: {why}")),
        _ => unavailable(other),
    }
}

fn unavailable(text: impl Into<String>) -> Failure {
    Failure { code: exit::UNAVAILABLE, text: text.into() }
}

/// Which running softstop is meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Meant {
    pub control: Control,
    /// The configuration that it was started with, absolute: of several that are found, which.
    pub config: Option<PathBuf>,
    /// That configuration was asked for, and does not only lie beside who asks.
    pub named: bool,
}

/// Ask the softstop that is meant, show what it says; the exit code. `note` is added when nobody is there.
#[must_use]
pub fn ask(meant: &Meant, request: &Request, json: bool, note: Option<&str>) -> u8 {
    let told = find(meant).and_then(|place| connect(&place, SOON)).and_then(|s| converse(s, request, SOON));
    let failure = match told {
        Ok(Reply::Status(status)) if json => return print(&format!("{status}\n")),
        Ok(Reply::Status(status)) => return print(&table::render(&json::parse(status.as_bytes()).unwrap_or_default())),
        Ok(Reply::Done(text)) => return print(&format!("{text}\n")),
        Ok(other) => no_answer(other, "the instance ended before it answered"),
        Err(failure) => failure,
    };
    failure.say(note)
}

/// What is added where nobody is there.
fn noted(code: u8, note: Option<&str>) -> String {
    note.filter(|_| code == exit::UNAVAILABLE).map_or_else(String::new, |note| format!(" ({note})"))
}

/// What the softstop that is meant says of itself: a [`crate::status::Status`] as JSON. Takes `patience` at the longest.
///
/// # Errors
/// One line: nobody is there, this user may not ask, or the answer did not come in time.
pub fn status(meant: &Meant, patience: Duration) -> Result<String, String> {
    let limit = Instant::now() + patience;
    let told = find(meant).and_then(|place| connect(&place, patience)).and_then(|stream| {
        // No time at all would mean no limit.
        let left = limit.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        converse(stream, &Request::Status(StatusRequest::default()), left)
    });
    match told {
        Ok(Reply::Status(status)) => Ok(status),
        Ok(Reply::Malformed(why)) => Err(why),
        Ok(other) => Err(no_answer(other, SOMETHING_ELSE).text),
        Err(failure) => Err(failure.text),
    }
}

fn print(text: &str) -> u8 {
    match io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => exit::INTERNAL,
        _ => exit::OK,
    }
}

/// Where the softstop that is meant listens; for its own address the pid that has to: one that takes its place later is another.
pub struct Place {
    address: Address,
    pid: Option<i32>,
}

/// Takes a moment where several run here.
///
/// # Errors
/// None is there, or nobody can tell which is meant.
pub fn find(meant: &Meant) -> Result<Place, Failure> {
    match &meant.control {
        Control::Path(path) => Ok(Place { address: Address::Path(path.clone()), pid: None }),
        Control::Abstract(name) => Ok(Place { address: Address::Abstract(name.clone()), pid: None }),
        Control::Off => {
            Err(unavailable("the control socket is off, by --control, SOFTSTOP_CONTROL or [control] socket"))
        }
        Control::Own => find_own(meant),
    }
}

fn find_own(wanted: &Meant) -> Result<Place, Failure> {
    let namespace = namespace();
    let instances = match fs::read("/proc/net/unix") {
        Ok(table) => listening(&String::from_utf8_lossy(&table), namespace),
        // Nothing can be listed: the container's init it is.
        Err(_) => vec![1],
    };
    let place = |pid| Place { address: Address::Abstract(address::name(namespace, pid)), pid: Some(pid) };
    if instances.is_empty() {
        return Err(unavailable(
            "no softstop with a control socket runs in this PID namespace; where it has one of its own, name it with --control",
        ));
    }
    let config_of = |pid: i32| configuration(&place(pid));
    let is_ours = |pid: i32| is_of(geteuid().as_raw(), pid);
    match choose(wanted, instances, &tree::ancestors(), &is_ours, &config_of) {
        Ok(pid) => Ok(place(pid)),
        Err(left) if left.is_empty() => Err(Failure {
            code: exit::NO_PERMISSION,
            text: "every softstop here belongs to another user; run this as that user or as root".to_string(),
        }),
        Err(left) => {
            let named = |pid: &i32| {
                let config = config_of(*pid).map_or_else(String::new, |file| format!(" ({})", text::one_line(&file)));
                format!("{}{config}", place(*pid).address)
            };
            let list: Vec<String> = left.iter().take(MOST_ASKED).map(named).collect();
            let how = "name one by its configuration (-c FILE), or";
            let text = format!("several softstops run here; {how} --control {}", list.join(" or --control "));
            Err(Failure { code: exit::USAGE, text })
        }
    }
}

/// Which of them is meant. `Err`: those among which nobody can tell, and none where all are others'.
fn choose(
    wanted: &Meant,
    mut instances: Vec<i32>,
    ancestors: &[i32],
    is_ours: &dyn Fn(i32) -> bool,
    config_of: &dyn Fn(i32) -> Option<String>,
) -> Result<i32, Vec<i32>> {
    if wanted.named
        && instances.len() > 1
        && let Some(pid) = started_with(wanted, &instances, config_of)
    {
        return Ok(pid);
    }
    if let Some(pid) = meant(&instances, ancestors) {
        return Ok(pid);
    }
    // On a machine of many users one's own are meant.
    instances.retain(|pid| is_ours(*pid));
    meant(&instances, ancestors).or_else(|| started_with(wanted, &instances, config_of)).ok_or(instances)
}

/// Of this user; to root all are.
fn is_of(user: u32, pid: i32) -> bool {
    user == 0 || fs::metadata(format!("/proc/{pid}")).is_ok_and(|m| m.uid() == user) && ids::runs_as(pid, user)
}

/// The one of them that was started with the configuration that is wanted; `None`: none, or several.
fn started_with(wanted: &Meant, instances: &[i32], config_of: &dyn Fn(i32) -> Option<String>) -> Option<i32> {
    let file = wanted.config.as_ref()?;
    // A mounted ConfigMap is a symbolic link that changes: the name counts, too.
    let real = fs::canonicalize(file).ok();
    let same = |other: &str| file == Path::new(other) || real.is_some() && fs::canonicalize(other).ok() == real;
    let mut found = instances.iter().copied().take(MOST_ASKED).filter(|pid| config_of(*pid).is_some_and(|c| same(&c)));
    found.next().filter(|_| found.next().is_none())
}

/// What a running softstop was started with, if it says so.
fn configuration(place: &Place) -> Option<String> {
    let stream = connect(place, FIRST).ok()?;
    let request = Request::Status(StatusRequest::default());
    let Ok(Reply::Status(status)) = converse(stream, &request, FIRST) else { return None };
    let status = json::parse(status.as_bytes()).ok()?;
    status["config"].as_str().map(str::to_owned)
}

fn connect(place: &Place, patience: Duration) -> Result<UnixStream, Failure> {
    let address = &place.address;
    let limit = Instant::now() + patience;
    let stream = loop {
        match connect_now(address) {
            Err(e) if e.raw_os_error() == Some(libc::EAGAIN) && Instant::now() < limit => {
                std::thread::sleep(Duration::from_millis(20));
            }
            connected => break connected.map_err(|e| cannot_connect(address, patience, &e))?,
        }
    };
    // Whoever has taken the address must not be believed: a false "drained" would end a preStop hook at once.
    let listener = getsockopt(&stream, PeerCredentials).map_err(|e| unavailable(format!("{address}: {e}")))?;
    let own = geteuid().as_raw();
    let trusted = own == 0 || [0, own].contains(&listener.uid()) && ids::runs_as(listener.pid(), listener.uid());
    if !trusted || place.pid.is_some_and(|pid| pid != listener.pid()) {
        let text =
            format!("{address} is held by pid {} of uid {}, which is not softstop", listener.pid(), listener.uid());
        return Err(Failure { code: exit::NO_PERMISSION, text });
    }
    Ok(stream)
}

fn cannot_connect(address: &Address, patience: Duration, error: &io::Error) -> Failure {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR) => unavailable(format!(
            "nobody is there: {address} does not exist; is softstop running, with this as its [control] socket?"
        )),
        Some(libc::ECONNREFUSED) => unavailable(format!("nobody listens at {address}; is softstop running?")),
        Some(libc::EACCES | libc::EPERM) => Failure {
            code: exit::NO_PERMISSION,
            text: format!(
                "no permission to connect to {address}: run this as the user that softstop runs as, or as root"
            ),
        },
        Some(libc::EAGAIN) => {
            unavailable(format!("softstop at {address} takes no connection for {:.1} s", patience.as_secs_f64()))
        }
        _ => unavailable(format!("cannot connect to {address}: {error}")),
    }
}

fn converse(stream: UnixStream, request: &Request, patience: Duration) -> Result<Reply, Failure> {
    let told = ask_over(&stream, request, patience);
    // Closed by the end of this process and not before: softstop, being PID 1, takes with it who is still there, and so
    // waits for that.
    std::mem::forget(stream);
    told
}

/// Send the request, show progress, and give back the last line.
fn ask_over(mut stream: &UnixStream, request: &Request, patience: Duration) -> Result<Reply, Failure> {
    let waits = matches!(request, Request::Order(order) if order.waits());
    let lost = |e: io::Error| match e.kind() {
        io::ErrorKind::WouldBlock => {
            unavailable(format!("softstop does not answer for {:.1} s", patience.as_secs_f64()))
        }
        _ => unavailable(format!("the connection was lost: {e}")),
    };
    // Whoever waits for an order does so as long as it takes: softstop's own deadlines end it.
    stream.set_read_timeout((!waits).then_some(patience)).map_err(lost)?;
    stream.set_write_timeout(Some(patience)).map_err(lost)?;
    // Who is rejected has its answer already, and may not be able to send any more.
    let _ = stream.write_all(protocol::line(request).as_bytes());
    let mut lines = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        lines.by_ref().take(MAX_ANSWER).read_until(b'\n', &mut line).map_err(lost)?;
        if line.is_empty() {
            return Err(unavailable("softstop ended, or closed the connection, before it answered"));
        }
        match Reply::parse(&line).map_err(unavailable)? {
            Reply::Progress(text) => drop(writeln!(io::stderr(), "{text}")),
            last => return Ok(last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_of_a_connection_says_what_to_do() {
        for (errno, code, words) in [
            (libc::ENOENT, exit::UNAVAILABLE, "nobody is there: @x does not exist; "),
            (libc::ENOTDIR, exit::UNAVAILABLE, "nobody is there: @x does not exist; "),
            (libc::ECONNREFUSED, exit::UNAVAILABLE, "nobody listens at @x; "),
            (libc::EACCES, exit::NO_PERMISSION, "no permission to connect to @x: "),
            (libc::EPERM, exit::NO_PERMISSION, "no permission to connect to @x: "),
            (libc::EAGAIN, exit::UNAVAILABLE, "softstop at @x takes no connection for 2.5 s"),
            (libc::EMFILE, exit::UNAVAILABLE, "cannot connect to @x: Too many open files"),
        ] {
            let error = io::Error::from_raw_os_error(errno);
            let failure = cannot_connect(&Address::Abstract("x".into()), Duration::from_millis(2500), &error);
            assert!(failure.text.starts_with(words), "{}", failure.text);
            assert_eq!(failure.code, code, "{}", failure.text);
        }
    }

    #[test]
    fn of_several_the_one_that_was_started_with_the_configuration_is_meant() {
        let folder = std::env::temp_dir().join(format!("softstop-started-with-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let file = |name: &str| folder.join(name);
        fs::write(file("a.toml"), "").unwrap();
        fs::write(file("b.toml"), "").unwrap();
        std::os::unix::fs::symlink("a.toml", file("link.toml")).unwrap();
        let chosen = |config: Option<&str>, started: &[&str]| {
            let wanted = Meant { control: Control::Own, config: config.map(file), named: true };
            let pids: Vec<i32> = (10..).take(started.len()).collect();
            let config_of = |pid: i32| {
                let name = started[usize::try_from(pid - 10).unwrap()];
                (!name.is_empty()).then(|| file(name).display().to_string())
            };
            started_with(&wanted, &pids, &config_of)
        };
        assert_eq!(chosen(Some("a.toml"), &["b.toml", "a.toml"]), Some(11));
        assert_eq!(chosen(Some("a.toml"), &["", "link.toml"]), Some(11), "by another name");
        assert_eq!(chosen(Some("link.toml"), &["a.toml", "b.toml"]), Some(10));
        assert_eq!(chosen(Some("a.toml"), &["a.toml", "link.toml"]), None, "two of them");
        assert_eq!(chosen(Some("a.toml"), &["b.toml", ""]), None);
        assert_eq!(chosen(None, &["a.toml"]), None);
        // What is not there any more is known by its name alone.
        assert_eq!(chosen(Some("gone.toml"), &["gone-too.toml", "gone.toml"]), Some(11));
        assert_eq!(chosen(Some("gone.toml"), &["gone-too.toml"]), None);
        let many = [vec!["b.toml"; MOST_ASKED], vec!["a.toml"]].concat();
        assert_eq!(chosen(Some("a.toml"), &many), None, "so many are asked");
        assert_eq!(chosen(Some("a.toml"), &many[1..]), Some(10 + 15));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_nearest_is_meant_unless_a_configuration_was_asked_for() {
        let wanted = |named, config: &str| Meant { control: Control::Own, config: Some(config.into()), named };
        let config_of = |pid: i32| Some(format!("/nowhere/{pid}.toml"));
        let all = |_: i32| true;
        let chosen = |wanted: &Meant, instances: &[i32], ancestors: &[i32]| {
            choose(wanted, instances.to_vec(), ancestors, &all, &config_of)
        };
        assert_eq!(chosen(&wanted(true, "/nowhere/77.toml"), &[30, 77], &[30]), Ok(77));
        assert_eq!(chosen(&wanted(true, "/nowhere/5.toml"), &[30, 77], &[30]), Ok(30));
        assert_eq!(chosen(&wanted(false, "/nowhere/77.toml"), &[30, 77], &[30]), Ok(30), "it only lies here");
        assert_eq!(chosen(&wanted(false, "/nowhere/77.toml"), &[30, 77], &[]), Ok(77));
        assert_eq!(chosen(&wanted(true, "/nowhere/77.toml"), &[30], &[]), Ok(30), "there is no other");
        assert_eq!(chosen(&wanted(true, "/nowhere/5.toml"), &[30, 77], &[]), Err(vec![30, 77]));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "it is the test's own child")]
    fn among_those_of_many_users_ones_own_is_meant() {
        use std::os::unix::process::CommandExt;

        let nothing = Meant { control: Control::Own, config: None, named: false };
        let chosen = |ours: &[i32]| choose(&nothing, vec![30, 77, 90], &[], &|pid| ours.contains(&pid), &|_| None);
        assert_eq!(chosen(&[77]), Ok(77));
        assert_eq!(chosen(&[30, 77]), Err(vec![30, 77]));
        assert_eq!(chosen(&[]), Err(vec![]));
        let (user, itself) = (geteuid().as_raw(), crate::sys::process::own_pid());
        assert!(is_of(user, itself) && !is_of(user + 1, itself));
        assert!(is_of(0, i32::MAX), "to root all are");
        // Where that is permitted, and mapped.
        if let Ok(mut other) = std::process::Command::new("sleep").arg("1000").uid(4711).spawn() {
            let pid = other.id().cast_signed();
            let seen = [4711, 4712].map(|user| is_of(user, pid));
            let _ = other.kill();
            let _ = other.wait();
            assert_eq!(seen, [true, false]);
        }
    }

    #[test]
    fn a_note_is_added_where_nobody_is_there() {
        assert_eq!(noted(exit::UNAVAILABLE, Some("by SOFTSTOP_CONTROL")), " (by SOFTSTOP_CONTROL)");
        assert_eq!(noted(exit::NO_PERMISSION, Some("by SOFTSTOP_CONTROL")), "");
        assert_eq!(noted(exit::UNAVAILABLE, None), "");
    }

    #[test]
    fn where_the_queue_is_full_a_place_is_waited_for_as_long_as_may_be() {
        use std::os::linux::net::SocketAddrExt;

        use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};

        let name = format!("softstop-client-full-{}", std::process::id());
        let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
        bind(std::os::fd::AsRawFd::as_raw_fd(&socket), &UnixAddr::new_abstract(name.as_bytes()).unwrap()).unwrap();
        listen(&socket, Backlog::new(1).unwrap()).unwrap();
        let place = Place { address: Address::Abstract(name.clone()), pid: None };
        let waiting: Vec<UnixStream> = std::iter::from_fn(|| connect_now(&place.address).ok()).take(8).collect();
        let (patience, began) = (Duration::from_millis(200), Instant::now());
        let Err(failure) = connect(&place, patience) else { panic!("there was a place") };
        assert!(began.elapsed() >= patience, "{:?}", began.elapsed());
        assert!(failure.text.ends_with("takes no connection for 0.2 s"), "{}", failure.text);
        // Whoever comes while it waits finds a place once somebody has been accepted.
        let listener = std::os::unix::net::UnixListener::from(socket);
        assert_eq!(listener.local_addr().unwrap().as_abstract_name(), Some(name.as_bytes()));
        std::thread::scope(|scope| {
            let late = scope.spawn(|| connect(&place, Duration::from_secs(60)).is_ok());
            std::thread::sleep(Duration::from_millis(50));
            let _accepted: Vec<_> = (0..waiting.len()).map(|_| listener.accept().unwrap()).collect();
            assert!(late.join().unwrap());
        });
    }
}
