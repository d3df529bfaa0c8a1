//! The control socket's server: on the one thread, everybody bounded. It asks the kernel who is there, reads one request,
//! hands orders to the loop and passes their answers back. What an order means is not its business.
//!
//! A newcomer always gets in, as with the probe endpoints: who has not sent its request yet makes room, oldest first. Who waits
//! for an answer keeps its place; there are a few of those. Strangers are sent away before they are read from.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{AbortHandle, yield_now};
use tokio::time::{sleep, timeout};

use super::logs;
use super::pending::{Asking, PendingRequests};
use super::protocol::{self, MAX_REQUEST, Reply, Request, StatusRequest};
use super::rejections::Rejections;
use crate::lifecycle::event::Client;
use crate::output::kept::{Follower, Keeper};
use crate::sys::{ids, procfs};
use crate::tasks;

/// Connections that have not sent their request; one more closes the oldest.
const READING: usize = 8;
/// Orders that may wait for their answers at once; one more is refused.
pub const WAITING: usize = 16;
/// To send a request, from the accept on.
const REQUEST: Duration = Duration::from_secs(2);
/// To take a line of an answer.
const WRITE: Duration = Duration::from_secs(2);
/// For a client to leave after its answer: as PID 1 softstop takes with it who has not.
pub(super) const LEAVE: Duration = Duration::from_millis(500);
/// How often a client that has closed its sending side is looked for. A full close is seen with it, at once.
const LOOK: Duration = Duration::from_millis(250);
/// What a client may send behind its request, and is not read: a second line feed.
const TRAILING: usize = 64;
/// Pause after an accept that failed for lack of a descriptor.
const BACK_OFF: Duration = Duration::from_millis(250);

type StatusOf = Box<dyn Fn(bool) -> String>;

/// What the server needs to know.
pub struct ControlState {
    /// Besides root.
    owner: u32,
    /// Anybody in the network namespace can connect.
    open_to_all: bool,
    /// As JSON; with the timeline of the stop, if it says so.
    status: StatusOf,
    waiting: Rc<PendingRequests>,
    keeper: Rc<Keeper>,
    rejections: Rejections,
}

impl ControlState {
    pub fn new(
        owner: u32,
        open_to_all: bool,
        status: StatusOf,
        waiting: Rc<PendingRequests>,
        keeper: Rc<Keeper>,
    ) -> Rc<ControlState> {
        Rc::new(ControlState { owner, open_to_all, status, waiting, keeper, rejections: Rejections::default() })
    }

    /// Who it is, or why they may not ask.
    fn admit(&self, stream: &UnixStream) -> Result<Client, String> {
        let peer = stream.peer_cred().map_err(|e| format!("the kernel does not say who you are: {e}"))?;
        let (uid, pid) = (peer.uid(), peer.pid().unwrap_or(0));
        if uid != self.owner && uid != 0 {
            let root = if self.owner == 0 { "" } else { " and root" };
            return Err(format!("commands are accepted from uid {}{root} alone, not from uid {uid}", self.owner));
        }
        if !ids::runs_as(pid, uid) {
            return Err(format!(
                "commands are accepted from known users alone: uid {uid} stands for everybody without a mapping in this user namespace"
            ));
        }
        // Root of another container in the pod, or of a container in the host's network (CVE-2020-15257), is not our root.
        if self.open_to_all && (pid == 0 || procfs::is_in_namespace_below(pid)) {
            return Err("an abstract address accepts commands from its own PID namespace alone".to_string());
        }
        Ok(Client::Local { uid, pid })
    }

    fn reject(&self, stream: &UnixStream, why: &str) {
        // It fits into an empty socket; if not, they see the connection closed.
        let _ = stream.try_write(Reply::Denied(why.to_string()).line().as_bytes());
        self.rejections.tell("control", why);
    }
}

/// Serves for ever. Needs a tokio runtime with I/O and time, and a `LocalSet` around it.
pub async fn serve(listener: UnixListener, state: Rc<ControlState>) {
    let mut oldest_first: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let accepted = listener.accept().await;
        match accepted.map(|(stream, _)| (state.admit(&stream), stream)) {
            Ok((Ok(by), stream)) => {
                oldest_first.retain(|c| !c.is_finished());
                while oldest_first.len() >= READING {
                    oldest_first.pop_front().inspect(AbortHandle::abort);
                }
                oldest_first.push_back(tasks::spawn(read(stream, by, Rc::clone(&state))).abort_handle());
            }
            Ok((Err(why), stream)) => state.reject(&stream, &why),
            // EMFILE and the like: trying again at once would spin, as the listener stays readable.
            Err(error) => {
                tracing::debug!("control: a client cannot be accepted: {error}");
                oldest_first.pop_front().inspect(AbortHandle::abort);
                sleep(BACK_OFF).await;
            }
        }
        // A flood of connects must not keep the connections at hand, or the loop, from their turn.
        yield_now().await;
    }
}

/// From the accept to the request; who then has to wait goes on in a task of its own.
async fn read(stream: UnixStream, by: Client, state: Rc<ControlState>) {
    let line = match timeout(REQUEST, read_line(&stream)).await {
        Ok(Ok(line)) => line,
        Ok(Err(_)) => return,
        Err(_) => {
            let text = format!("no request within {} s", REQUEST.as_secs());
            return say(&stream, Reply::Malformed(text)).await;
        }
    };
    match protocol::parse(&line) {
        Err(why) => say(&stream, Reply::Malformed(why)).await,
        Ok(Request::Status(StatusRequest { timeline, at_end: false })) => {
            tracing::debug!("control: status, asked for by {by}");
            let status = (state.status)(timeline);
            say(&stream, Reply::Status(status)).await;
        }
        Ok(Request::Status(StatusRequest { timeline, at_end: true })) => {
            tracing::debug!("control: the last status, asked for by {by}");
            match logs::follow_on(&state.keeper) {
                Ok(follower) => drop(tasks::spawn(at_the_end(stream, state, follower, timeline))),
                Err(why) => say(&stream, Reply::Refused(why)).await,
            }
        }
        Ok(Request::Logs(request)) => {
            tracing::debug!("control: logs, asked for by {by}");
            match logs::begin(&state.keeper, &request) {
                Ok(reader) => drop(tasks::spawn(logs::give(stream, Rc::clone(&state.keeper), reader))),
                Err(why) => say(&stream, Reply::Refused(why)).await,
            }
        }
        Ok(Request::Order(order)) => match state.waiting.enter(WAITING) {
            Some(place) => drop(tasks::spawn(give(stream, place.ask(order, by)))),
            None => {
                let text = format!("{WAITING} orders wait for their answers already; try again later");
                say(&stream, Reply::Refused(text)).await;
            }
        },
    }
}

/// The last status there is, to who waits for it, and time for them to leave.
async fn at_the_end(stream: UnixStream, state: Rc<ControlState>, follower: Follower, timeline: bool) {
    let mut trailing = 0;
    tokio::select! {
        () = follower.over() => {}
        () = gone(&stream, &mut trailing) => return,
    }
    say(&stream, Reply::Status((state.status)(timeline))).await;
    let _ = timeout(LEAVE, gone(&stream, &mut trailing)).await;
}

/// The first line, at most one byte more than a request may have. Ends also where the client stops sending.
async fn read_line(stream: &UnixStream) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut chunk = [0; 512];
    loop {
        stream.readable().await?;
        let n = match stream.try_read(&mut chunk) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => continue,
            read => read?,
        };
        let end = chunk[..n].iter().position(|b| *b == b'\n');
        line.extend_from_slice(&chunk[..end.unwrap_or(n)]);
        if end.is_some() || n == 0 || line.len() > MAX_REQUEST {
            return Ok(line);
        }
    }
}

/// One order, to its answer.
async fn give(stream: UnixStream, mut asking: Asking) {
    let mut trailing = 0;
    let answer = loop {
        tokio::select! {
            biased;
            line = asking.next() => match line {
                progress @ Reply::Progress(_) => {
                    if write(&stream, &progress.line()).await.is_err() {
                        return;
                    }
                }
                last => break last,
            },
            () = gone(&stream, &mut trailing) => return,
        }
    };
    say(&stream, answer).await;
    let _ = timeout(LEAVE, gone(&stream, &mut trailing)).await;
}

/// The last line.
pub(super) async fn say(stream: &UnixStream, reply: Reply) {
    if write(stream, &reply.line()).await.is_ok() {
        let _ = nix::sys::socket::shutdown(std::os::fd::AsRawFd::as_raw_fd(stream), nix::sys::socket::Shutdown::Write);
    }
}

async fn write(stream: &UnixStream, line: &str) -> io::Result<()> {
    timeout(WRITE, write_all(stream, line)).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// However slowly it is read.
pub(super) async fn write_all(stream: &UnixStream, text: &str) -> io::Result<()> {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        stream.writable().await?;
        match stream.try_write(rest) {
            Ok(n) => rest = &rest[n..],
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Until the client has gone. One that has closed its sending side alone (`nc -N`) still waits.
pub(super) async fn gone(stream: &UnixStream, trailing: &mut usize) {
    let mut chunk = [0; TRAILING];
    loop {
        if stream.readable().await.is_err() {
            return;
        }
        match stream.try_read(&mut chunk) {
            Ok(0) => break,
            Ok(n) if *trailing + n <= TRAILING => *trailing += n,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Ok(_) | Err(_) => return,
        }
    }
    while !hung_up(stream) {
        sleep(LOOK).await;
    }
}

/// Both directions are closed.
fn hung_up(stream: &UnixStream) -> bool {
    let mut fds = [PollFd::new(stream.as_fd(), PollFlags::empty())];
    let polled = poll(&mut fds, PollTimeout::ZERO);
    polled.is_err() || fds[0].revents().is_some_and(|r| r.intersects(PollFlags::POLLHUP | PollFlags::POLLERR))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_nobody_takes_is_given_up() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (stream, client) = UnixStream::pair().unwrap();
            // More than a socket holds.
            let written = timeout(10 * WRITE, write(&stream, &"x".repeat(8 << 20))).await;
            assert_eq!(written.unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
            drop(client);
        });
    }

    #[test]
    fn of_those_that_do_not_ask_the_oldest_makes_room_and_the_newest_is_answered() {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::net::{SocketAddr, UnixListener as Listener, UnixStream as Client};

        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        use crate::config::Config;

        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let name = format!("softstop-server-room-{}", std::process::id());
            let address = SocketAddr::from_abstract_name(name).unwrap();
            let listener = Listener::bind_addr(&address).unwrap();
            listener.set_nonblocking(true).unwrap();
            let waiting = PendingRequests::new(tokio::sync::mpsc::unbounded_channel().0);
            let uid = nix::unistd::geteuid().as_raw();
            let state = ControlState::new(
                uid,
                false,
                Box::new(|_| "{}".to_string()),
                waiting,
                Keeper::new(&Config::with_defaults()),
            );
            tasks::spawn(serve(UnixListener::from_std(listener).unwrap(), state));
            let connect = |_| {
                let client = Client::connect_addr(&address).unwrap();
                client.set_nonblocking(true).unwrap();
                UnixStream::from_std(client).unwrap()
            };
            let mut clients: Vec<UnixStream> = (0..=READING).map(connect).collect();
            let mut said = String::new();
            timeout(Duration::from_secs(60), clients[0].read_to_string(&mut said)).await.unwrap().unwrap();
            assert_eq!(said, "", "it was not pushed out, but told that it has used up its time");
            let newest = clients.last_mut().unwrap();
            newest.write_all(protocol::line(&Request::Status(StatusRequest::default())).as_bytes()).await.unwrap();
            timeout(Duration::from_secs(60), newest.read_to_string(&mut said)).await.unwrap().unwrap();
            assert_eq!(said, Reply::Status("{}".to_string()).line());
        });
    }

    #[test]
    fn the_last_status_is_said_at_the_end_and_the_end_waits_for_who_has_asked_for_it() {
        use std::os::unix::net::UnixStream as Client;

        use tokio::io::AsyncReadExt;
        use tokio::time::{Instant, timeout_at};

        use crate::config::Config;

        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let waits = |_| {
            tokio::task::LocalSet::new().block_on(&runtime, async {
                let keeper = Keeper::new(&Config::with_defaults());
                let (ours, theirs) = Client::pair().unwrap();
                ours.set_nonblocking(true).unwrap();
                theirs.set_nonblocking(true).unwrap();
                let waiting = PendingRequests::new(tokio::sync::mpsc::unbounded_channel().0);
                let status = Box::new(|timeline| format!("{{\"timeline\":{timeline}}}"));
                let state = ControlState::new(0, false, status, waiting, Rc::clone(&keeper));
                let follower = logs::follow_on(&keeper).unwrap();
                tasks::spawn(at_the_end(UnixStream::from_std(ours).unwrap(), state, follower, true));
                let mut client = UnixStream::from_std(theirs).unwrap();
                let mut said = [0; 200];
                let early = timeout(Duration::from_millis(20), client.read(&mut said)).await;
                assert!(early.is_err(), "said before the end: {early:?}");
                keeper.end();
                let read = timeout(Duration::from_secs(60), client.read(&mut said)).await.unwrap().unwrap();
                assert_eq!(said[..read], *Reply::Status("{\"timeline\":true}".into()).line().as_bytes());
                let soon = Instant::now() + Duration::from_millis(20);
                let waits = timeout_at(soon, keeper.everybody_left(soon + LEAVE)).await.is_err();
                drop(client);
                keeper.everybody_left(Instant::now() + Duration::from_secs(60)).await;
                waits
            })
        };
        // It waits for so long and no longer: a test that does not run meanwhile finds it gone.
        assert!((0..10).any(waits));
    }

    #[test]
    fn who_sends_on_behind_an_order_is_read_up_to_the_bound_and_then_given_up() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (stream, mut client) = std::os::unix::net::UnixStream::pair().unwrap();
            stream.set_nonblocking(true).unwrap();
            let stream = UnixStream::from_std(stream).unwrap();
            let mut trailing = 0;
            io::Write::write_all(&mut client, &[b'x'; TRAILING]).unwrap();
            while trailing < TRAILING {
                let waited = timeout(Duration::from_millis(10), gone(&stream, &mut trailing)).await;
                assert!(waited.is_err(), "given up after {trailing} bytes");
            }
            io::Write::write_all(&mut client, b"x").unwrap();
            timeout(Duration::from_secs(60), gone(&stream, &mut trailing)).await.unwrap();
        });
    }
}
