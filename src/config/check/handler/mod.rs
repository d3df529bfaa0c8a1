//! What a task, hook, step or probe does. A handler is a file here, its keys and checks, and its lines in the list below. Pure.

pub mod exec;
mod grpc;
mod http;
mod signal;
mod tcp_socket;
mod wait_file;
mod wait_http;
mod wait_idle;
mod wait_process;

use std::ffi::OsString;
use std::time::Duration;

use self::signal::SignalOrTable;
use super::declare::{Declared, table};
use super::keys;
use super::kinds::{Kind, Limit, Sub};
use super::reader::{Field, Reader, Table};
use super::task::{Names, Site};
use crate::config::place::Place;
use crate::config::problem::Span;
use crate::signal::Signal;
use crate::sorted;
use exec::Command;
pub use grpc::GrpcCall;
use grpc::GrpcKeys;
use http::{GetKeys, PostKeys};
pub use http::{HttpCall, Method, Scheme, host_and_port, without_brackets};
use tcp_socket::TcpSocketKeys;
pub use wait_file::WaitFile;
use wait_file::WaitFileKeys;
use wait_http::WaitHttpKeys;
pub use wait_http::{Finite, Is, JsonValue, Metric, WaitHttp};
use wait_idle::WaitIdleKeys;
pub use wait_idle::{DEFAULT_QUIET, WaitIdle};
use wait_process::WaitProcessKeys;
pub use wait_process::{Found, Until};

/// Keys of a task of which there is one, and the function that reads it.
macro_rules! handlers {
    ($($(#[doc = $doc:literal])+ $key:ident: $kind:ty { $($part:ident: $value:expr),* $(,)? } => $read:path;)+) => {
        table! {
            #[allow(dead_code, reason = "read by name")]
            pub struct Handlers in "a handler" {
                $($(#[doc = $doc])+ $key: $kind { $($part: $value),* };)+
            }
        }

        fn handler(reader: &mut Reader<'_>, field: &Field<'_>, site: Option<&Site<'_>>) -> Option<Handler> {
            match field.name {
                $(stringify!($key) => $read(reader, field, site),)+
                _ => None,
            }
        }
    };
}

handlers! {
    /// Runs a program; success is exit code 0.
    exec: Command {} => exec::read;
    /// Success is a status from 200 to 399.
    http_get: Sub<GetKeys<'static>> {} => http::get;
    /// The same, with a body.
    http_post: Sub<PostKeys<'static>> {} => http::post;
    /// Success is an accepted connection, closed at once.
    tcp_socket: Sub<TcpSocketKeys<'static>> {} => tcp_socket::read;
    /// [Asks](configuration/handlers.md#grpc) a gRPC server's health service; success is SERVING.
    grpc: Sub<GrpcKeys<'static>> {} => grpc::read;
    /// Waits.
    sleep: Limit { examples: &["\"1s\"", "\"2s\""] } => sleep;
    /// Sends a signal: in a process's hook, to that process; elsewhere `{ process = "web", signal = "SIGUSR1" }`, which is not possible in
    /// `init` and `post_stop`, where no process runs.
    signal: SignalOrTable {} => signal::read;
    /// [Waits](configuration/waits.md#wait_idle) until the connections on a port are over and no new ones come. Not in `init` and `post_start`.
    wait_idle: Sub<WaitIdleKeys<'static>> {} => wait_idle::read;
    /// [Waits](configuration/waits.md#wait_http) until an answer has a status, a value in its JSON, a sum of Prometheus samples.
    wait_http: Sub<WaitHttpKeys<'static>> {} => wait_http::read;
    /// [Waits](configuration/waits.md#wait_file) until a file is there, is gone, or has a text in it.
    wait_file: Sub<WaitFileKeys<'static>> {} => wait_file::read;
    /// [Waits](configuration/waits.md#wait_process) for a process.
    wait_process: Sub<WaitProcessKeys<'static>> {} => wait_process::read;
}

/// What a task, hook, step or probe does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handler {
    /// Run a program to its end; success is exit code 0. Never empty.
    Exec(Vec<OsString>),
    /// Success is 200 to 399, as the kubelet's probes count it.
    Http(HttpCall),
    /// Success is SERVING.
    Grpc(GrpcCall),
    /// Success is an accepted connection, closed at once.
    Tcp {
        host: String,
        port: u16,
    },
    Sleep(Duration),
    /// A signal to a process (index into `Config::processes`).
    Signal {
        process: usize,
        signal: Signal,
    },
    /// A signal to the processes of that name, whoever started them.
    SignalCommand {
        command: String,
        signal: Signal,
    },
    WaitIdle(WaitIdle),
    WaitHttp(WaitHttp),
    WaitFile(WaitFile),
    /// For a process (index into `Config::processes`).
    WaitProcess {
        process: usize,
        until: Until,
    },
    /// For the processes of that name, whoever started them.
    WaitCommand {
        command: String,
        until: Found,
    },
}

impl Handler {
    /// The process that it is about, by its number.
    pub fn process_mut(&mut self) -> Option<&mut usize> {
        match self {
            Handler::Signal { process, .. } | Handler::WaitProcess { process, .. } => Some(process),
            _ => None,
        }
    }

    /// It goes on until something holds; an attempt that fails is made again until the time is up.
    pub fn waits(&self) -> bool {
        match self {
            Handler::WaitIdle(_)
            | Handler::WaitHttp(_)
            | Handler::WaitFile(_)
            | Handler::WaitProcess { .. }
            | Handler::WaitCommand { .. } => true,
            Handler::Exec(_)
            | Handler::Http(_)
            | Handler::Grpc(_)
            | Handler::Tcp { .. }
            | Handler::Sleep(_)
            | Handler::Signal { .. }
            | Handler::SignalCommand { .. } => false,
        }
    }
}

table! {
    /// Those that can answer "is it well?".
    #[allow(dead_code, reason = "read by name")]
    pub struct ProbeHandlers in "a handler of a probe" {
        /// Well, when the program ends with 0.
        exec: Command;
        /// Well, when the answer's status is 200 to 399.
        http_get: Sub<GetKeys<'static>>;
        /// Well, when the connection is accepted.
        tcp_socket: Sub<TcpSocketKeys<'static>>;
        /// Well, when its [health service](configuration/handlers.md#grpc) answers SERVING.
        grpc: Sub<GrpcKeys<'static>>;
    }
}

fn sleep(reader: &mut Reader<'_>, field: &Field<'_>, _: Option<&Site<'_>>) -> Option<Handler> {
    Limit::read(reader, field, "").map(Handler::Sleep)
}

/// The one key of `H` that says what to do. `site` is a task's; probes have none.
pub fn one_handler<H: Declared>(
    reader: &mut Reader<'_>,
    table: &Table<'_>,
    site: Option<&Site<'_>>,
) -> Option<Handler> {
    let allowed = H::SECTION.keys;
    let mut present = table.present(allowed);
    if present.len() > 1 {
        sorted::by_key(&mut present, |f| f.key.start);
        let named: Vec<&str> = present.iter().map(|f| f.name).collect();
        let places = present.iter().map(|f| reader.source.place(&f.key, "")).collect();
        let more = match site.map(|s| s.place) {
            Some(Place::Init | Place::PostStart(())) => "; for both, write two tasks",
            Some(Place::Drain | Place::PostStop) => "; for both, write two steps, or `parallel = [ { ... }, { ... } ]`",
            _ => "",
        };
        let sentence = format!("{} in one table: which is it to do", keys::list(&named));
        reader.error_at(places, sentence, format!("keep one{more}"));
    }
    let mut handlers: Vec<Option<Handler>> = present.iter().map(|f| handler(reader, f, site)).collect();
    if handlers.is_empty() {
        let (what, example) = match site.map(|site| site.place.has_steps()) {
            None => ("the probe", "http_get = { port = 8080, path = \"/healthz\" }"),
            Some(true) => ("the step", "exec = [\"/app/hook\"]"),
            Some(false) => ("the task", "exec = [\"/app/hook\"]"),
        };
        let help = format!("add one of {}, such as {example}", keys::list(allowed));
        reader.missing(table, allowed, format!("{what} does not say what to do"), help);
    }
    handlers.pop().flatten().filter(|_| handlers.is_empty())
}

/// Two keys of which one is too many; both are shown.
pub fn beside(reader: &mut Reader<'_>, one: &Field<'_>, other: &Field<'_>, why: &str, help: &str) {
    reader.error_beside(&one.key, (&other.key, ""), format!("`{}` beside `{}`{why}", one.name, other.name), help);
}

/// The index of a process by its name.
pub fn process(reader: &mut Reader<'_>, span: &Span, name: &str, names: &Names) -> Option<usize> {
    let index = names.index.get(name).copied();
    // Behind a syntax error, or a name that was refused, the process may well be there.
    if index.is_some() || reader.is_broken() || reader.has_enough() || names.list.iter().any(Option::is_none) {
        return index;
    }
    let known: Vec<&str> = names.list.iter().flatten().map(String::as_str).take(100).collect();
    let none = "there is no process yet: add a `[[process]]`";
    reader.no_such(span, ("process", "processes"), name, &known, none);
    None
}
