//! `startup`, `readiness` and `liveness`: the kubelet's probes. Pure.

use std::net::IpAddr;
use std::time::Duration;

use super::declare::{Key, table};
use super::handler::{Handler, ProbeHandlers, one_handler};
use super::kinds::{Int, Limit, Pause, Round, Sub};
use super::process::Probed;
use super::reader::Reader;

/// A kubelet's probe with the kubelet's fields and defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    pub handler: Handler,
    pub initial_delay: Duration,
    pub period: Duration,
    pub timeout: Duration,
    pub success_threshold: u32,
    pub failure_threshold: u32,
}

impl Probe {
    pub fn new(handler: Handler) -> Probe {
        Probe {
            handler,
            initial_delay: ProbeKeys::initial_delay,
            period: ProbeKeys::period,
            timeout: ProbeKeys::timeout,
            success_threshold: ProbeKeys::success_threshold,
            failure_threshold: ProbeKeys::failure_threshold,
        }
    }
}

table! {
    pub struct ProbeKeys in "a probe" from [ProbeHandlers<'static>] one of (ProbeHandlers::SECTION.keys) {
        /// Pause before the first attempt.
        initial_delay: Pause = Duration::ZERO;
        /// From one attempt to the next. Until their first success startup and readiness are
        /// [tried in between](configuration/probes.md#until-the-first-success), too.
        period: Round = Duration::from_secs(10);
        /// For one attempt.
        timeout: Limit = Duration::from_secs(1);
        /// Successes in a row until it counts as well. More than 1 for readiness alone.
        success_threshold: Threshold { help: THRESHOLD, examples: &["1"] } = 1;
        /// Failures in a row until it counts as ill.
        failure_threshold: Threshold { help: THRESHOLD, examples: &["1", "30"] } = 3;
    }
}

type Threshold = Int<1, 1_000_000>;
const THRESHOLD: &str = "write a number such as 3";

/// A probe; the port it asks, when that is on this host, goes to `probed`.
pub fn probe(
    reader: &mut Reader<'_>,
    key: &Key<'_, Sub<ProbeKeys<'static>>>,
    probed: &mut Vec<Probed>,
) -> Option<Box<Probe>> {
    let (keys, field) = (key.open(reader)?, key.field.as_ref()?);
    let handler = one_handler::<ProbeHandlers<'_>>(reader, &keys.table, None);
    let default = Probe::new(handler.clone().unwrap_or(Handler::Sleep(Duration::ZERO)));
    let p = Box::new(Probe {
        initial_delay: keys.initial_delay.read(reader).unwrap_or(default.initial_delay),
        period: keys.period.read(reader).unwrap_or(default.period),
        timeout: keys.timeout.read(reader).unwrap_or(default.timeout),
        failure_threshold: keys.failure_threshold.read(reader).unwrap_or(default.failure_threshold),
        success_threshold: keys.success_threshold.read(reader).unwrap_or(default.success_threshold),
        handler: default.handler,
    });
    if let (true, Some(span)) = (field.name != "readiness" && p.success_threshold != 1, keys.success_threshold.span()) {
        let sentence = format!("`success_threshold` must be 1 for {}", field.name);
        reader.error(&span, sentence, "leave it out, as Kubernetes has it; only readiness may ask for more");
    }
    handler?;
    let (host, port) = match &p.handler {
        Handler::Http(call) => (call.host.as_str(), call.port),
        Handler::Grpc(call) => (call.host.as_str(), call.port),
        Handler::Tcp { host, port } => (host.as_str(), *port),
        _ => return Some(p),
    };
    let own = |ip: IpAddr| ip.to_canonical().is_loopback() || ip.is_unspecified();
    if host == "localhost" || host.parse().is_ok_and(own) {
        let by_connection = matches!(p.handler, Handler::Tcp { .. });
        probed.push(Probed { port, span: field.span(), by_connection });
    }
    Some(p)
}
