//! `startup`, `readiness` and `liveness`: the kubelet's probes. Pure.

use std::net::IpAddr;
use std::time::Duration;

use super::reader::{Field, Reader};
use super::{handler, keys, values};
use crate::config::problem::Span;
use crate::config::{Handler, Probe};

/// A probe; the port it asks, when that is on this host, goes to `probed`.
pub fn probe(reader: &mut Reader<'_>, field: &Field<'_>, probed: &mut Vec<(u16, Span)>) -> Option<Probe> {
    let table = reader.table(
        field,
        &keys::PROBE,
        &format!("write `[process.{}]` and below it http_get = {{ port = 8080 }}", field.name),
    )?;
    let handler = handler::one_handler(reader, &table, keys::PROBE_HANDLERS, None);
    let mut p = Probe::new(handler.clone().unwrap_or(Handler::Sleep(Duration::ZERO)));
    p.initial_delay =
        table.get("initial_delay").and_then(|f| reader.duration(&f, values::PAUSE)).unwrap_or(p.initial_delay);
    p.period = table.get("period").and_then(|f| reader.duration(&f, values::ROUND)).unwrap_or(p.period);
    p.timeout = table.get("timeout").and_then(|f| reader.duration(&f, values::LIMIT)).unwrap_or(p.timeout);
    let threshold = |reader: &mut Reader<'_>, key: &str| {
        let field = table.get(key)?;
        reader.integer(&field, 1..=1_000_000, "write a number such as 3").and_then(|n| u32::try_from(n).ok())
    };
    p.failure_threshold = threshold(reader, "failure_threshold").unwrap_or(p.failure_threshold);
    p.success_threshold = threshold(reader, "success_threshold").unwrap_or(p.success_threshold);
    if let Some(f) = table.get("success_threshold").filter(|_| field.name != "readiness" && p.success_threshold != 1) {
        reader.error(
            &f.span(),
            format!("`success_threshold` must be 1 for {}", field.name),
            "leave it out, as Kubernetes has it; only readiness may ask for more",
        );
    }
    p.handler = handler?;
    let (host, port) = match &p.handler {
        Handler::Http(call) => (call.host.as_str(), call.port),
        Handler::Tcp { host, port } => (host.as_str(), *port),
        _ => return Some(p),
    };
    let own = |ip: IpAddr| ip.to_canonical().is_loopback() || ip.is_unspecified();
    if host == "localhost" || host.parse().is_ok_and(own) {
        probed.push((port, field.span()));
    }
    Some(p)
}
