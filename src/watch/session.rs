//! The loop: keys, signals and answers as they come, none of them waited for.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::Value;

use super::changes::changes;
use super::frame::{View, frame, page, stop_picture};
use super::keys::{Decoder, Key};
use super::screen::Screen;
use super::state::{Effect, State};
use super::usage::{Sample, Usage};
use crate::control::client::{Exchange, Failure, Meant, Place, SOMETHING_ELSE, find, no_answer};
use crate::control::protocol::{LogsRequest, Reply, Request, StatusRequest};
use crate::control::table;
use crate::exit;
use crate::json;
use crate::order::Order;
use crate::picture::Style;
use crate::record::Run;
use crate::signal::Signal;
use crate::sys::process;
use crate::sys::procfs;
use crate::sys::signals::{Early, Signals};
use crate::sys::terminal::terminal;

/// What ends it.
const ENDS: [Signal; 4] = [Signal::TERM, Signal::HUP, Signal::INT, Signal::QUIT];
/// For the first answer; and one that takes longer is asked for again.
const PATIENCE: Duration = Duration::from_secs(5);
/// A softstop that takes no connection for so long is gone: its queue is not that long.
const GONE: Duration = Duration::from_secs(3);
/// So many of the last lines are kept, and asked for of each process at the beginning.
const LINES: usize = 500;
const LINES_BEFORE: u64 = 50;
/// Of one line, in characters: none is shown that is longer.
const LINE: usize = 2000;
/// Orders that may be under way at once.
const ORDERS: usize = 8;
/// A key that comes as several bytes comes whole within this.
const KEY: Duration = Duration::from_millis(50);
/// So long an answer to an order is shown.
const MESSAGE: Duration = Duration::from_secs(6);

/// Watches the softstop that is meant until it ends, or whoever watches has enough; the exit code. `note` is added when nobody is there.
#[must_use]
pub fn watch(meant: &Meant, interval: Duration, style: Style, note: Option<&str>, early: Early) -> u8 {
    let begin = || -> Result<(Watched, Signals), Failure> {
        let place = find(meant)?;
        let failed = |e| Failure { code: exit::INTERNAL, text: format!("cannot receive signals: {e}") };
        let signals = early.receive().map_err(failed)?;
        Ok((Watched::begin(place)?, signals))
    };
    match begin() {
        Err(failure) => failure.say(note),
        Ok((watched, signals)) => match drawable().then(Screen::take) {
            Some(Ok(screen)) => Session::new(watched, signals, interval, style).on(screen),
            // It is none after all, or takes no orders.
            Some(Err(_)) | None => Session::new(watched, signals, interval, style).by_lines(),
        },
    }
}

/// There is a terminal to draw on and to type at, and it is ours.
fn drawable() -> bool {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let ours = terminal().is_none_or(|terminal| terminal.is_ours());
    !dumb && ours && io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// How it was over.
enum Over {
    /// It has ended, and said so.
    Ended,
    Gone(Failure),
}

/// What is known of the softstop that is watched, and what it is being asked.
struct Watched {
    place: Place,
    status: Value,
    stop: Option<Run>,
    lines: VecDeque<(String, String)>,
    no_lines: Option<String>,
    /// An older one does not know of a timeline.
    timeline: bool,
    /// With when it was begun.
    asking: Option<(Instant, Exchange)>,
    answered: Instant,
    reading: Option<Exchange>,
    /// Its last status. It waits with its own end until that is read: as PID 1 it takes this process with it.
    end: Option<Exchange>,
    orders: Vec<Exchange>,
    usage: BTreeMap<i32, Usage>,
    sample: Sample,
    /// Its processes have the same numbers here.
    same_namespace: bool,
    began: Instant,
    over: Option<Over>,
}

impl Watched {
    /// With its first status.
    fn begin(place: Place) -> Result<Watched, Failure> {
        let now = Instant::now();
        let mut watched = Watched {
            place,
            status: Value::Null,
            stop: None,
            lines: VecDeque::new(),
            no_lines: None,
            timeline: true,
            asking: None,
            answered: now,
            reading: None,
            end: None,
            orders: Vec::new(),
            usage: BTreeMap::new(),
            sample: Sample::default(),
            same_namespace: false,
            began: now,
            over: None,
        };
        watched.first()?;
        let ask = |request| watched.place.ask(&request, PATIENCE);
        let end = ask(Request::Status(StatusRequest { timeline: true, at_end: true })).ok();
        let logs = LogsRequest { process: None, lines: Some(LINES_BEFORE), follow: true };
        let reading = ask(Request::Logs(logs)).ok();
        (watched.end, watched.reading) = (end, reading);
        watched.look();
        Ok(watched)
    }

    fn first(&mut self) -> Result<(), Failure> {
        let until = Instant::now() + PATIENCE;
        loop {
            let request = Request::Status(StatusRequest { timeline: self.timeline, at_end: false });
            let mut exchange = self.place.ask(&request, PATIENCE)?;
            let softstop = exchange.softstop();
            self.same_namespace = softstop > 0 && !procfs::is_in_namespace_below(softstop);
            match one(&mut exchange, until)? {
                Reply::Malformed(_) if std::mem::take(&mut self.timeline) => {}
                reply => return self.take(reply),
            }
        }
    }

    fn take(&mut self, reply: Reply) -> Result<(), Failure> {
        match reply {
            Reply::Status(text) => {
                self.answered = Instant::now();
                self.status = json::parse(text.as_bytes()).unwrap_or_default();
                let report = self.status.get_mut("stop_report").map(Value::take);
                let run = report.and_then(|report| Run::read(report.to_string().as_bytes()).ok());
                let elapsed = self.status["stop"]["elapsed_seconds"].as_f64();
                let seen = elapsed.and_then(|secs| Duration::try_from_secs_f64(secs).ok());
                self.stop = run.map(|run| Run { seen, ..run });
                Ok(())
            }
            other => Err(no_answer(other, SOMETHING_ELSE)),
        }
    }

    /// Asks for the next status, unless an answer is still to come.
    fn ask(&mut self) {
        if self.asking.as_ref().is_some_and(|(begun, _)| begun.elapsed() < PATIENCE) {
            return;
        }
        let request = Request::Status(StatusRequest { timeline: self.timeline, at_end: false });
        match self.place.ask(&request, Duration::ZERO) {
            Ok(exchange) => self.asking = Some((Instant::now(), exchange)),
            Err(failure) if self.answered.elapsed() > GONE => self.over = Some(Over::Gone(failure)),
            Err(_) => {}
        }
    }

    /// What its processes take.
    fn look(&mut self) {
        if self.same_namespace {
            let sample = Sample::take(&self.status, self.began.elapsed());
            self.usage = sample.since(&self.sample);
            self.sample = sample;
        }
    }

    fn give(&mut self, order: Order, state: &mut State) {
        if self.orders.len() >= ORDERS {
            return state.say(format!("{ORDERS} orders are under way: wait for one of them"), true);
        }
        match self.place.ask(&Request::Order(order), Duration::ZERO) {
            Ok(exchange) => self.orders.push(exchange),
            Err(failure) => state.say(failure.text, true),
        }
    }

    fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let asking = self.asking.iter().map(|(_, exchange)| exchange);
        asking.chain(&self.reading).chain(&self.end).chain(&self.orders).map(AsFd::as_fd)
    }

    /// Whatever has come.
    fn receive(&mut self, state: &mut State) {
        self.receive_status();
        self.receive_lines();
        for mut exchange in std::mem::take(&mut self.orders) {
            if goes_on(&mut exchange, state) {
                self.orders.push(exchange);
            }
        }
        let Some(end) = &mut self.end else { return };
        match end.receive() {
            Ok(replies) => match replies.into_iter().next_back() {
                Some(status @ Reply::Status(_)) => {
                    let _told = self.take(status);
                    self.over = Some(Over::Ended);
                }
                Some(Reply::Progress(_)) | None => {}
                // Too many wait for it already, or it is an older one.
                Some(_) => self.end = None,
            },
            Err(failure) => self.over = Some(Over::Gone(failure)),
        }
    }

    fn receive_status(&mut self) {
        let Some((_, exchange)) = &mut self.asking else { return };
        match exchange.receive().map(|replies| replies.into_iter().next_back()) {
            Ok(None) => {}
            Ok(Some(reply)) => {
                self.asking = None;
                if let Err(failure) = self.take(reply) {
                    self.over = Some(Over::Gone(failure));
                } else {
                    self.look();
                }
            }
            // It is asked again, and whether it is gone shows then.
            Err(_) => self.asking = None,
        }
    }

    fn receive_lines(&mut self) {
        let Some(exchange) = &mut self.reading else { return };
        let Ok(replies) = exchange.receive() else {
            self.reading = None;
            return;
        };
        for reply in replies {
            match reply {
                Reply::Line(line) => {
                    self.lines.push_back((line.process, line.line.chars().take(LINE).collect()));
                }
                Reply::Missed { process, lines } => {
                    self.lines.push_back((process, format!("({lines} lines came too fast)")));
                }
                Reply::Refused(why) => {
                    (self.reading, self.no_lines) = (None, Some(why));
                    return;
                }
                Reply::Progress(_) => {}
                // No line follows. It is kept, so that softstop waits until this has given its terminal back.
                _ => {}
            }
        }
        let more = self.lines.len().saturating_sub(LINES);
        self.lines.drain(..more);
    }

    fn silent(&self) -> Option<Duration> {
        Some(self.answered.elapsed()).filter(|silent| self.asking.is_some() && *silent > GONE)
    }
}

/// Waits for one answer.
fn one(exchange: &mut Exchange, until: Instant) -> Result<Reply, Failure> {
    loop {
        if let Some(reply) = exchange.receive()?.into_iter().next_back() {
            return Ok(reply);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let text = format!("softstop does not answer for {:.1} s", PATIENCE.as_secs_f64());
            return Err(Failure { code: exit::UNAVAILABLE, text });
        }
        let mut fds = [PollFd::new(exchange.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut fds, timeout(left));
    }
}

/// Rounded up: a wait of less than a millisecond is no reason to spin.
fn timeout(left: Duration) -> PollTimeout {
    PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
}

/// What has come of an order is said; `false`: that was all.
fn goes_on(exchange: &mut Exchange, state: &mut State) -> bool {
    let last = match exchange.receive() {
        Ok(replies) => replies.into_iter().find_map(|reply| match reply {
            Reply::Progress(text) => {
                state.say(text, false);
                None
            }
            Reply::Done(text) => Some((text, false)),
            Reply::Refused(why) | Reply::Denied(why) | Reply::Malformed(why) => Some((why, true)),
            Reply::Status(_) | Reply::Line(_) | Reply::Missed { .. } => None,
        }),
        Err(failure) => Some((failure.text, true)),
    };
    let goes_on = last.is_none();
    last.into_iter().for_each(|(text, failed)| state.say(text, failed));
    goes_on
}

struct Session {
    watched: Watched,
    signals: Signals,
    interval: Duration,
    style: Style,
    state: State,
    next: Instant,
    /// When what was said is forgotten.
    forget: Option<Instant>,
}

impl Session {
    fn new(watched: Watched, signals: Signals, interval: Duration, style: Style) -> Session {
        let next = Instant::now() + interval;
        Session { watched, signals, interval, style, state: State::default(), next, forget: None }
    }

    /// Draws until it is over; the exit code.
    fn on(mut self, mut screen: Screen) -> u8 {
        let mut decoder = Decoder::default();
        loop {
            self.draw(&mut screen);
            let open = decoder.is_open();
            let [typed, signalled] = self.wait(Some(&screen), open.then_some(KEY));
            screen.flush();
            let mut keys = match (typed, open) {
                (true, _) => match read_keys() {
                    Some(bytes) => decoder.feed(&bytes),
                    // Nobody is there any more.
                    None => return exit::for_signal(libc::SIGHUP),
                },
                (false, true) => decoder.nothing_follows().into_iter().collect(),
                (false, false) => Vec::new(),
            };
            if signalled {
                for received in self.signals.drain() {
                    match received.signal {
                        signal if ENDS.contains(&signal) => return exit::for_signal(signal.number()),
                        Signal::TSTP => keys.push(Key::CtrlZ),
                        Signal::CONT => screen.again(),
                        Signal::WINCH => screen.repaint(),
                        _ => {}
                    }
                }
            }
            for key in keys {
                if let Some(code) = self.follow(key, &mut screen) {
                    return code;
                }
            }
            self.go_on();
            if let Some(over) = self.watched.over.take() {
                screen.leave();
                return self.last(over);
            }
        }
    }

    fn draw(&mut self, screen: &mut Screen) {
        let watched = &self.watched;
        let view = View {
            status: &watched.status,
            stop: watched.stop.as_ref(),
            usage: &watched.usage,
            lines: &watched.lines,
            no_lines: watched.no_lines.as_deref(),
            silent: watched.silent(),
            state: &self.state,
        };
        let size = Screen::size();
        screen.draw(frame(&view, size, self.style), size);
    }

    /// The exit code, when that is to be all.
    fn follow(&mut self, key: Key, screen: &mut Screen) -> Option<u8> {
        match self.state.on_key(key, &self.watched.status, page(Screen::size())) {
            Effect::Show => {}
            Effect::Repaint => screen.repaint(),
            Effect::Give(order) => {
                self.watched.give(order, &mut self.state);
                // What comes of it is shown soon.
                self.next = self.next.min(Instant::now() + self.interval / 4);
            }
            Effect::Suspend => {
                screen.leave();
                let _stopped = process::stop_self();
                screen.again();
            }
            Effect::Leave => return Some(exit::OK),
            Effect::Interrupt => return Some(exit::for_signal(libc::SIGINT)),
        }
        None
    }

    /// A line for each change until it is over; the exit code.
    fn by_lines(mut self) -> u8 {
        if !write(&table::render(&self.watched.status)) {
            return exit::OK;
        }
        loop {
            let before = self.watched.status.clone();
            let [_, signalled] = self.wait(None, None);
            if signalled {
                let received = self.signals.drain().into_iter().find(|received| ENDS.contains(&received.signal));
                if let Some(received) = received {
                    return exit::for_signal(received.signal.number());
                }
            }
            self.go_on();
            let changed: String =
                changes(&before, &self.watched.status).iter().map(|line| format!("{line}\n")).collect();
            if !changed.is_empty() && !write(&changed) {
                return exit::OK;
            }
            if let Some(over) = self.watched.over.take() {
                return self.last(over);
            }
        }
    }

    fn go_on(&mut self) {
        let said = self.state.message.clone();
        self.watched.receive(&mut self.state);
        let now = Instant::now();
        if self.state.message != said || self.forget.is_none() {
            self.forget = self.state.message.as_ref().map(|_| now + MESSAGE);
        }
        if self.forget.is_some_and(|at| at <= now) {
            (self.forget, self.state.message) = (None, None);
        }
        if now >= self.next {
            self.watched.ask();
            self.next = now + self.interval;
        }
    }

    /// Until something has come or is due; whether something was typed, and whether a signal has come.
    fn wait(&self, screen: Option<&Screen>, most: Option<Duration>) -> [bool; 2] {
        let now = Instant::now();
        let due = [Some(self.next), self.forget, most.map(|most| now + most)].into_iter().flatten().min();
        let left = due.map_or(self.interval, |at| at.saturating_duration_since(now));
        let stdin = io::stdin();
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        if screen.is_some() {
            fds.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
        }
        let typed = fds.len() - 1;
        let waits_for = screen.and_then(Screen::waits_for);
        fds.extend(waits_for.map(|fd| PollFd::new(fd, PollFlags::POLLOUT)));
        fds.extend(self.watched.descriptors().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        if poll(&mut fds, timeout(left)).is_err() {
            return [false; 2];
        }
        let has = |n: usize| fds[n].any().unwrap_or(true);
        [typed > 0 && has(typed), has(0)]
    }

    /// What is to be said once it is over, and the exit code.
    fn last(self, over: Over) -> u8 {
        let Session { watched, style, .. } = self;
        let code = match over {
            Over::Ended => {
                let picture = watched.stop.as_ref().map_or_else(String::new, |stop| {
                    let style = Style { width: Screen::size().columns, ..style };
                    format!("{}\n{}", stop.headline(), stop_picture(stop, style))
                });
                write(&picture);
                exit::OK
            }
            Over::Gone(failure) => failure.say(None),
        };
        // Closed by the end of this process, for which softstop waits.
        std::mem::forget(watched);
        code
    }
}

/// `None`: there will be no more.
fn read_keys() -> Option<Vec<u8>> {
    let mut bytes = [0; 1024];
    // Past the buffer of std's, of which no descriptor tells.
    match nix::unistd::read(io::stdin(), &mut bytes) {
        Ok(0) => None,
        Ok(read) => Some(bytes[..read].to_vec()),
        Err(nix::Error::EINTR | nix::Error::EAGAIN) => Some(Vec::new()),
        Err(_) => None,
    }
}

/// `false`: nobody reads it.
fn write(text: &str) -> bool {
    io::stdout().write_all(text.as_bytes()).is_ok()
}
