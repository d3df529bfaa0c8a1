//! `wait_idle`: until the connections on ports are over and no new ones come. Pure.

use std::time::Duration;

use super::super::declare::{Form, Shape, table};
use super::super::kinds::{Int, Kind, Pause, Port, kind};
use super::super::networks::Networks;
use super::super::reader::{Field, Reader};
use super::super::task::Site;
use super::super::values::Wrong;
use super::{Handler, beside};
use crate::config::network::Network;
use crate::config::place::Place;
use crate::sorted;

/// Ports of one `wait_idle`: the kernel compares each socket with each of them.
const MOST_PORTS: usize = 32;

/// Long enough to see that clients and load balancers have stopped coming, shorter than the pause between two probes of a kubelet
/// (10 s by default), which would otherwise count as arrivals.
pub const DEFAULT_QUIET: Duration = Duration::from_secs(2);
/// A client that is being served hears or says something within this time as a rule.
const DEFAULT_SILENT: Duration = Duration::from_secs(2);

/// `wait_idle`: until the connections of a service are idle and no new ones come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WaitIdle {
    /// Local ports; at least one, unless `listening`.
    pub ports: Vec<u16>,
    /// Also the ports that softstop's own processes listen on when the stop begins.
    pub listening: bool,
    /// So many may be left active.
    pub connections: u32,
    /// A connection on which nothing has been sent or received for so long, and no answer is due, is not active.
    pub silent: Duration,
    /// No new connection, and no request on one that is open, for so long.
    pub quiet: Duration,
    /// Never done earlier than this.
    pub minimum: Duration,
    /// Peers whose connections count for nothing.
    pub ignore: Vec<Network>,
    /// Somebody is expected to listen: not where every process has ended.
    pub served: bool,
}

impl WaitIdle {
    /// It takes so long however idle everything is.
    pub fn least(&self) -> Duration {
        self.minimum.max(self.quiet)
    }

    /// As it is when nothing but the ports is said.
    pub fn on(ports: Vec<u16>) -> WaitIdle {
        WaitIdle {
            ports,
            listening: false,
            connections: 0,
            silent: DEFAULT_SILENT,
            quiet: DEFAULT_QUIET,
            minimum: Duration::ZERO,
            ignore: Vec::new(),
            served: true,
        }
    }
}

table! {
    pub struct WaitIdleKeys in "wait_idle" one of (&["port", "ports"]) {
        port: Port { unset: "this or `ports` is required", examples: &["8080", "1", "65535", "\"${NONE:-80}\""] };
        /// Several, at most 32. `"auto"`: the TCP ports that softstop's own processes, their children and daemons
        /// [listen on](stop/drain.md#whatever-listens) when the stop begins.
        ports: Ports { words: "array of integers, or `\"auto\"`" };
        /// So many may be left active.
        connections: Int<0, 1_000_000> { help: "write how many may be left active, such as 0", examples: &["0", "3"] } = 0;
        /// An open connection on which nothing was sent or received for so long is not active any more, unless an answer is due. Longer for
        /// streams that pause longer (server-sent events, WebSockets with a heartbeat).
        silent: Pause = DEFAULT_SILENT;
        /// No new connection, and no request on an open one, for so long. Counted from the step's beginning at the earliest, and anew when
        /// connections could not be seen for a while.
        quiet: Pause = DEFAULT_QUIET;
        /// Never over before, whatever is seen.
        minimum: Pause = Duration::ZERO;
        /// Peers that do not count: [addresses, networks](configuration/waits.md#networks), `"loopback"`.
        ignore: Networks {
            unset: "none",
            help: "write ignore = [\"10.0.0.0/8\", \"loopback\"]",
            examples: &["[]", "[\"10.0.0.0/8\", \"loopback\", \"::1\"]", "\"::ffff:10.0.0.7,[fd00::7]\""],
        };
    }
}

pub fn read(reader: &mut Reader<'_>, field: &Field<'_>, site: Option<&Site<'_>>) -> Option<Handler> {
    let place = site?.place;
    let instead = match place {
        Place::Init => Some("no process runs yet: to wait for a port, write `tcp_socket`"),
        Place::PostStart(()) => Some("a process that has just started is to get connections, not to lose them"),
        Place::PostExit(()) => Some("the process has ended, and its connections with it"),
        _ => None,
    };
    if let Some(why) = instead {
        let help = "write it as a `[[drain]]` step, or as the process's `pre_stop`";
        reader.error(&field.key, format!("`wait_idle` here: {why}"), help);
        return None;
    }
    let example = "write wait_idle = { port = 8080 }";
    no_other_socket(reader, field)?;
    let keys = reader.table::<WaitIdleKeys<'_>>(field, example)?;
    let ports = ports(reader, &keys, example);
    let connections = keys.connections.read_or(reader, WaitIdleKeys::connections);
    let silent = keys.silent.read_or(reader, WaitIdleKeys::silent);
    let quiet = keys.quiet.read_or(reader, WaitIdleKeys::quiet);
    let minimum = keys.minimum.read_or(reader, WaitIdleKeys::minimum);
    if let (Some(f), None, Some(1..)) = (&keys.connections.field, &keys.minimum.field, connections) {
        let why = "`connections` without `minimum`: while those that may stay are active nobody sees who still comes";
        reader.warn(&f.key, why, "add the time that load balancers take, such as minimum = \"5s\"");
    }
    let ignore = keys.ignore.read_or(reader, Vec::new());
    let connections = connections?;
    let ((ports, listening), silent, quiet, minimum, ignore) = (ports?, silent?, quiet?, minimum?, ignore?);
    let served = place != Place::PostStop;
    Some(Handler::WaitIdle(WaitIdle { ports, listening, connections, silent, quiet, minimum, ignore, served }))
}

/// What people write for sockets of other kinds, and why there is no such key.
fn no_other_socket(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<()> {
    const UDP: (&str, &str) = (
        "cannot see UDP: the kernel counts datagrams for all of a network namespace, not for a port, and nobody's end is known",
        "wait for what the server itself says, with `wait_http` and a metric, or `sleep` as long as load balancers take",
    );
    const UNIX: (&str, &str) = (
        "cannot see unix sockets: the kernel does not count who comes, nor tell when something was last sent",
        "wait for the TCP port of whoever passes requests on to it, or for what the server says itself, with `wait_http`",
    );
    let others =
        [("udp_port", UDP), ("udp_ports", UDP), ("udp", UDP), ("socket", UNIX), ("unix", UNIX), ("path", UNIX)];
    let Some(entries) = field.value.get_ref().as_table() else { return Some(()) };
    let found = entries.keys().find_map(|key| {
        let (_, why) = others.iter().find(|(name, _)| key.get_ref().as_ref() == *name)?;
        Some((key.span(), key.get_ref().to_string(), *why))
    });
    let Some((span, key, (why, help))) = found else { return Some(()) };
    reader.error(&span, format!("`{key}`: wait_idle {why}"), help);
    None
}

/// `port`, or `ports`; and whether those that are listened on are meant.
fn ports(reader: &mut Reader<'_>, keys: &WaitIdleKeys<'_>, example: &str) -> Option<(Vec<u16>, bool)> {
    match (&keys.port.field, &keys.ports.field) {
        (Some(_), None) => Some((vec![keys.port.read(reader)?], false)),
        (None, Some(_)) => keys.ports.read(reader),
        (Some(one), Some(several)) => {
            beside(reader, several, one, "", "write all of them in `ports`, and leave `port` out");
            None
        }
        (None, None) => {
            reader.missing(&keys.table, &["port", "ports"], "`port` is missing", example);
            None
        }
    }
}

kind! {
    /// Numbers, or `"auto"`.
    Ports: (Vec<u16>, bool) = read_ports, &Shape::Any(&[
        &Shape::Array(Port::SHAPE),
        &Shape::Text(Form { name: "string", pattern: "auto", examples: &["\"auto\""] }),
    ])
}

fn read_ports(reader: &mut Reader<'_>, field: &Field<'_>, _: &str) -> Option<(Vec<u16>, bool)> {
    let help = "write ports = [8080, 8443], or ports = \"auto\" for those that the processes listen on";
    if field.value.get_ref().is_str() {
        return reader.parsed(field, help, |text| match text {
            "auto" => Ok((Vec::new(), true)),
            _ => Err(Wrong::new(format!("`ports` is {text:?}"), help)),
        });
    }
    let elements = reader.elements(field, "an array of integers", help)?;
    if elements.is_empty() || elements.len() > MOST_PORTS {
        let sentence = format!("`ports` has {} elements", elements.len());
        reader.error(&field.span(), sentence, format!("write 1 to {MOST_PORTS} ports"));
        return None;
    }
    let read: Vec<Option<u16>> = elements.iter().map(|f| Port::read(reader, f, "")).collect();
    let mut ports: Vec<u16> = read.into_iter().collect::<Option<_>>()?;
    sorted::sort(&mut ports);
    ports.dedup();
    Some((ports, false))
}
