//! Readiness: whether the pod leaves the load balancers when softstop drains (kubernetes-lifecycle.md, section 6, item 9).

use std::time::Duration;

use super::asking::{Asking, Endpoint, asking, own};
use super::{Found, said};
use crate::config::{Config, Handler, ReadinessOnDrain, Step, Task};
use crate::endpoint::Health;
use crate::pod::Case;
use crate::pod::view::{Handler as Ask, Role};

/// "add readinessProbe …"
fn advice(case: &Case<'_>) -> String {
    match case.port() {
        Some(port) => format!("readinessProbe: {{ httpGet: {{ path: /readyz, port: {port} }}, periodSeconds: 2, failureThreshold: 1 }}"),
        None => "SOFTSTOP_HTTP=9180 and readinessProbe: { httpGet: { path: /readyz, port: 9180 }, periodSeconds: 2, failureThreshold: 1 }"
            .to_owned(),
    }
}

pub fn missing(case: &Case<'_>, found: &mut Found<'_>) {
    let main = case.container.role == Role::Main && case.workload.is_service();
    if main && case.container.probe(Health::Ready).is_none() {
        found.warn(
            case.here(),
            "there is no readinessProbe",
            "the pod gets traffic as soon as its process runs, a rollout goes on over pods that serve nothing, and no drain is ever seen",
            format!("add {}", advice(case)),
        );
    }
}

pub fn on_livez(case: &Case<'_>, found: &mut Found<'_>) {
    for asking in asking(case) {
        if asking.probe.kind == Health::Ready
            && matches!(asking.endpoint, Some(Endpoint::Health(Health::Live | Health::Startup)))
        {
            found.error(
                asking.mark.clone(),
                format!("the readinessProbe asks {}, which succeeds in a drain, too", asking.shown),
                "on a restart by the kubelet, `softstop unready` or a process that is not ready the pod stays in every load balancer",
                asking.instead("/readyz"),
            );
        }
    }
}

/// The program's own endpoint knows of no drain.
pub fn elsewhere(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(probe) = case.container.probe(Health::Ready) else { return };
    if own(case, Health::Ready).is_some() || case.container.role != Role::Main {
        return;
    }
    let port = match &probe.handler {
        Ask::Http { port: Some(port), .. } => Some(*port),
        Ask::Tcp(node) => node.get("port"),
        _ => None,
    };
    if let Some(port) = port {
        // One that reaches nothing has been said; so has an endpoint of softstop's behind a port that is none of its own.
        let number = case.container.port(port);
        if number.is_none() || number == Some(9180) || number == case.port() || port.text() == Some("softstop") {
            return;
        }
    }
    let softstop_asks = case.config().processes.iter().any(|p| p.readiness.is_some());
    let rest = if softstop_asks { "" } else { "; softstop asks the program: [process.readiness], SOFTSTOP_READINESS" };
    found.warn(
        probe.node.mark(),
        "the readinessProbe asks the program and not softstop",
        "it does not fail in the drain, nor after `softstop unready`: connections still come while softstop waits for them to go",
        format!("write {}{rest}", advice(case)),
    );
}

pub fn kept(case: &Case<'_>, found: &mut Found<'_>) {
    if case.config().readiness_on_drain != ReadinessOnDrain::Keep {
        return;
    }
    if let Some(asking) = asking(case).into_iter().find(|a| a.probe.kind == Health::Ready) {
        found.warn(
            asking.probe.node.mark(),
            "readiness never fails in the drain: readiness_on_drain = \"keep\"",
            "a deleted pod leaves the endpoints without it; one that is restarted by the kubelet, or drained by hand, gets traffic to the end",
            format!("write readiness_on_drain = \"fail\", or say that it is meant: annotation {}: readiness-kept", crate::pod::ALLOW),
        );
    }
}

pub fn slow(case: &Case<'_>, found: &mut Found<'_>) {
    let (drain, grace) = (longest_drain(case.config()), case.config().grace);
    let (until, what) = if drain.is_zero() { (grace, "whole grace") } else { (drain, "drain") };
    for Asking { probe, endpoint, .. } in asking(case) {
        let noticed = probe.noticed();
        if probe.kind != Health::Ready || endpoint != Some(Endpoint::Health(Health::Ready)) || noticed < until {
            continue;
        }
        let help = match probe.period() {
            period if period < until => "write failureThreshold: 1".to_owned(),
            _ if until > SHORTEST => "write periodSeconds: 1, failureThreshold: 1".to_owned(),
            _ => format!(
                "write periodSeconds: 1, failureThreshold: 1, and let the drain take longer: {}",
                case.setting("sleep", "SOFTSTOP_DRAIN_SLEEP", "5s")
            ),
        };
        found.warn(
            probe.node.mark_at(&["periodSeconds"]),
            format!(
                "the readinessProbe needs {} to notice the drain (periodSeconds {} × failureThreshold {}), softstop's {what} is {}",
                said(noticed),
                probe.period().as_secs(),
                probe.threshold(),
                said(until)
            ),
            "a restart by the kubelet or a drain by hand is over before the pod has left the load balancers",
            help,
        );
    }
}

/// Nothing is noticed sooner.
const SHORTEST: Duration = Duration::from_secs(1);

/// What the drain takes at the most: what waits, and programs, which may. What only asks or signals takes next to nothing.
pub fn longest_drain(config: &Config) -> Duration {
    let length = |task: &Task| match task.handler {
        Handler::Http(_) | Handler::Tcp { .. } | Handler::Signal { .. } | Handler::SignalCommand { .. } => {
            Duration::ZERO
        }
        Handler::Sleep(time) => task.timeout.map_or(time, |limit| limit.min(time)),
        _ => task.timeout.unwrap_or(config.grace),
    };
    let step = |step: &Step| step.tasks.iter().map(length).max().unwrap_or_default();
    config.drain.iter().map(step).fold(Duration::ZERO, Duration::saturating_add).min(config.grace)
}
