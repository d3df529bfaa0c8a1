//! Probes: whether they reach softstop's endpoints, and the right one (docs/endpoints.md; kubernetes-lifecycle.md, section 1).

use std::time::Duration;

use super::asking::{Asking, Endpoint, asking, by_kubelet, endpoint, no_such_port, nothing_answers, own, probes};
use super::{Found, prestop, said};
use crate::config::listen::Listen;
use crate::config::{Config, Control, Handler as Task, Probe as OwnProbe};
use crate::endpoint::Health;
use crate::pod::Case;
use crate::pod::tree::Node;
use crate::pod::view::{Handler, Role};

/// The ports that softstop itself asks its processes on: theirs.
fn theirs(case: &Case<'_>) -> Vec<u16> {
    let port = |probe: &OwnProbe| match &probe.handler {
        Task::Http(call) => Some(call.port),
        Task::Tcp { port, .. } => Some(*port),
        _ => None,
    };
    let probes = case.config().processes.iter().flat_map(|p| [&p.startup, &p.readiness, &p.liveness]);
    probes.filter_map(|probe| port(probe.as_ref()?)).collect()
}

pub fn port(case: &Case<'_>, found: &mut Found<'_>) {
    let container = case.container;
    for probe in container.probes() {
        let Handler::Http { port: Some(port), path, .. } = probe.handler else { continue };
        let Some(number) = container.port(port) else {
            found.error(
                port.mark(),
                no_such_port(container, port),
                match probe.kind {
                    Health::Live => "the kubelet cannot make the probe: nothing that hangs is ever noticed",
                    _ => "the kubelet cannot make the probe, which is no success: the container never becomes ready",
                },
                "name it under ports, or write its number",
            );
            continue;
        };
        if Some(number) == case.port() || theirs(case).contains(&number) {
            continue;
        }
        let meant = endpoint(path).is_some_and(|e| e != Endpoint::Always);
        let named = port.text() == Some("softstop") || number == 9180;
        let declared = container.ports().iter().any(|(_, p)| *p == Some(number));
        if meant && (named || (case.port().is_some() && !declared)) {
            let (sentence, help) = nothing_answers(case, path, number, || match &case.settings.file {
                Some(file) => format!("add [http] listen = \":{number}\" to {file}, or SOFTSTOP_HTTP={number}"),
                None => format!("add SOFTSTOP_HTTP={number}"),
            });
            found.error(port.mark(), sentence, effect(probe.kind), help);
        }
    }
}

/// The containers of a pod share its network.
pub fn port_taken(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(own) = case.port() else { return };
    for other in case.workload.pod.containers().iter().filter(|c| c.name != case.container.name) {
        let ports = other.node.list("ports");
        let port = |n: &Node<'_>| n.get("containerPort").and_then(|p| p.integer()) == Some(i64::from(own));
        if let Some(node) = ports.into_iter().find(port) {
            found.error(
                node.mark_at(&["containerPort"]),
                format!("container {} has port {own}, too, where softstop in {} listens", other.name, case.container.name),
                "the containers of a pod share its network: whichever comes second finds the port taken, and softstop ends with exit code 70",
                "give one of them another port: listen in [http], SOFTSTOP_HTTP",
            );
        }
    }
}

/// What a probe that never succeeds does.
fn effect(kind: Health) -> &'static str {
    match kind {
        Health::Startup => "the container is killed and restarted again and again before it has started",
        Health::Ready => "the pod never becomes ready: no traffic, and the rollout stops here",
        Health::Live => "the container is killed and restarted again and again while all is well",
    }
}

pub fn path(case: &Case<'_>, found: &mut Found<'_>) {
    for asking in asking(case) {
        let (path, kind) = (asking.shown, asking.probe.kind);
        let right = kind.path();
        if asking.by_program && case.config().control == Control::Off && case.port().is_none() {
            found.error(
                asking.mark.clone(),
                format!("`{path}` reaches nobody: the control socket is off, and softstop does not listen"),
                effect(kind),
                "leave [control] and SOFTSTOP_CONTROL out, or add SOFTSTOP_HTTP=9180",
            );
            continue;
        }
        match asking.endpoint {
            None => found.error(
                asking.mark.clone(),
                format!("softstop answers 404 on {path}"),
                effect(kind),
                asking.instead(right),
            ),
            Some(Endpoint::Always) => found.error(
                asking.mark.clone(),
                format!("{path} answers 200 whatever happens"),
                "the probe never fails: nothing that goes wrong is ever noticed",
                asking.instead(right),
            ),
            Some(_) => {
                if let Some(name) = unknown_check(case, path) {
                    found.error(
                        asking.mark.clone(),
                        format!("softstop has no check {name}: it answers 404 on {path}"),
                        effect(kind),
                        format!("name a process of the configuration, or {}", asking.instead(right)),
                    );
                }
            }
        }
    }
    connects_alone(case, found);
}

/// The check that a path names below its endpoint, where there is none of that name.
fn unknown_check<'p>(case: &Case<'_>, path: &'p str) -> Option<&'p str> {
    let (_, name) = path.trim_start_matches('/').split(['?', '#']).next()?.split_once('/')?;
    let is_known = matches!(name, "init" | "shutdown" | "")
        || name.contains('%')
        || case.config().processes.iter().any(|p| p.name == name);
    (!is_known).then_some(name)
}

/// Who only connects learns that softstop runs, which says nothing of what it runs.
fn connects_alone(case: &Case<'_>, found: &mut Found<'_>) {
    for (container, probe) in probes(case) {
        let Handler::Tcp(node) = probe.handler else { continue };
        let Some(port) = node.get("port").and_then(|p| container.port(p)).filter(|p| Some(*p) == case.port()) else {
            continue;
        };
        found.error(
            node.mark(),
            format!("a tcpSocket probe of softstop's port {port} succeeds as long as softstop runs"),
            "the probe never fails: nothing that goes wrong is ever noticed, and no drain is",
            format!("write httpGet: {{ path: {}, port: {port} }}", probe.kind.path()),
        );
    }
}

/// The kubelet asks the pod's address.
pub fn address(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(http) = case.config().http.as_ref() else { return };
    if !http.listen.is_loopback() {
        return ipv4_alone(case, http.listen, found);
    }
    for Asking { probe, .. } in by_kubelet(case) {
        let Handler::Http { node, .. } = &probe.handler else { continue };
        let on_node = case.workload.pod.has("hostNetwork") && node.get("host").is_some();
        if !on_node {
            found.error(
                probe.node.mark(),
                format!("softstop listens on {} alone, and the kubelet asks the pod's address", http.listen),
                effect(probe.kind),
                listen_everywhere(case, http.listen),
            );
        }
    }
}

/// Which family the cluster's pods have first, the manifest does not say; a Service of IPv6 gives it away.
fn ipv4_alone(case: &Case<'_>, listen: Listen, found: &mut Found<'_>) {
    let of_ipv6 =
        |s: &Node<'_>| s.at(&["spec", "ipFamilies"]).and_then(|f| f.elements().next()?.text()) == Some("IPv6");
    if !listen.is_ipv4_alone() || !case.services().any(|s| of_ipv6(&s)) {
        return;
    }
    if let Some(Asking { probe, .. }) = by_kubelet(case).next() {
        found.warn(
            probe.node.mark(),
            format!("softstop listens on {listen}, IPv4 alone, and a Service of these pods is of IPv6"),
            "the kubelet asks the pod's first address: where that is one of IPv6, every probe is refused",
            listen_everywhere(case, listen),
        );
    }
}

fn listen_everywhere(case: &Case<'_>, listen: Listen) -> String {
    let port = listen.port();
    match &case.settings.file {
        Some(file) => format!("write listen = \"{}\" in {file}, or SOFTSTOP_HTTP={port}", Listen::everywhere(port)),
        None => format!("write SOFTSTOP_HTTP={port}"),
    }
}

/// kubernetes-lifecycle.md, section 1, item 19.
pub fn host(case: &Case<'_>, found: &mut Found<'_>) {
    if case.workload.pod.has("hostNetwork") {
        return;
    }
    for probe in case.container.probes() {
        let Handler::Http { node, .. } = &probe.handler else { continue };
        let Some(host) = node.get("host") else { continue };
        if host.text().is_some_and(prestop::is_loopback) {
            found.error(
                host.mark(),
                format!("host: {} is the node, not the pod", host.text().unwrap_or_default()),
                effect(probe.kind),
                "remove host: the kubelet asks the pod's address then",
            );
        }
    }
}

pub fn scheme(case: &Case<'_>, found: &mut Found<'_>) {
    for Asking { probe, .. } in by_kubelet(case) {
        let Handler::Http { node, .. } = &probe.handler else { continue };
        if let Some(scheme) = node.get("scheme").filter(|s| s.text() == Some("HTTPS")) {
            found.error(scheme.mark(), "softstop's endpoints speak no TLS", effect(probe.kind), "remove scheme: HTTPS");
        }
    }
}

pub fn timeout(case: &Case<'_>, found: &mut Found<'_>) {
    for probe in case.container.probes() {
        if matches!(probe.handler, Handler::Exec(_)) && probe.timeout() <= Duration::from_secs(1) {
            found.warn(
                probe.node.mark_at(&["timeoutSeconds"]),
                format!("an exec {} has one second", probe.name()),
                "starting a process in a container takes that long on a busy node: a node under load kills and unreadies what is well",
                "write timeoutSeconds: 5, or make it httpGet to softstop's endpoints",
            );
        }
        if probe.timeout() > probe.period() {
            found.warn(
                probe.node.mark_at(&["timeoutSeconds"]),
                format!(
                    "a {} has {} for an answer, and is due every {}",
                    probe.name(),
                    said(probe.timeout()),
                    said(probe.period())
                ),
                "what hangs is noticed later than the period says: one probe waits for the one before it",
                format!("write timeoutSeconds: {}", probe.period().as_secs()),
            );
        }
    }
}

pub fn liveness_on_readyz(case: &Case<'_>, found: &mut Found<'_>) {
    for asking in asking(case) {
        if asking.probe.kind == Health::Live
            && matches!(asking.endpoint, Some(Endpoint::Health(Health::Ready | Health::Startup)))
        {
            found.error(
                asking.mark.clone(),
                format!("the livenessProbe asks {}", asking.shown),
                "what is not ready is killed: during a drain, after `softstop unready`, while a database is away",
                asking.instead("/livez"),
            );
        }
    }
}

/// softstop's own /livez is 200 from its first moment: nothing is killed there for a slow start.
pub fn liveness_without_startup(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(probe) = case.container.probe(Health::Live) else { return };
    if own(case, Health::Live).is_some() || case.container.probe(Health::Startup).is_some() {
        return;
    }
    found.warn(
        probe.node.mark(),
        format!("a start that takes longer than {} is killed by the livenessProbe", said(probe.patience())),
        "on a busy node or with a long migration the container is restarted before it has started, again and again",
        add_startup(case, "a startupProbe with the same handler and a higher failureThreshold"),
    );
}

/// `other`: where softstop does not listen.
fn add_startup(case: &Case<'_>, other: &str) -> String {
    match case.port() {
        Some(port) => format!(
            "add startupProbe: {{ httpGet: {{ path: /startupz, port: {port} }}, periodSeconds: 1, failureThreshold: 60 }}"
        ),
        None => format!("add {other}"),
    }
}

pub fn startup_path(case: &Case<'_>, found: &mut Found<'_>) {
    for asking in asking(case) {
        if asking.probe.kind == Health::Startup && asking.endpoint == Some(Endpoint::Health(Health::Live)) {
            found.warn(
                asking.mark.clone(),
                format!("the startupProbe asks {}, which succeeds from the first moment", asking.shown),
                "it holds nothing back: a sidecar's main container starts before the init tasks are done",
                asking.instead("/startupz"),
            );
        }
    }
}

/// How long softstop itself gives the start: init tasks one after the other, then the slowest startup probe.
pub fn longest_start(config: &Config) -> Duration {
    let init: Duration = config.init.iter().filter_map(|t| t.timeout).sum();
    let window = |p: &OwnProbe| p.initial_delay.saturating_add(p.period.saturating_mul(p.failure_threshold));
    let startup = config.processes.iter().filter_map(|p| p.startup.as_deref()).map(window).max();
    init.saturating_add(startup.unwrap_or_default())
}

pub fn startup_too_short(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(Asking { probe, endpoint, .. }) = own(case, Health::Startup) else { return };
    // /readyz is 200 after /startupz.
    if !matches!(endpoint, Some(Endpoint::Health(Health::Startup | Health::Ready))) {
        return;
    }
    let (has, needs) = (probe.patience(), longest_start(case.config()));
    if has < needs {
        let period = probe.period().as_secs().max(1);
        let threshold = needs.as_secs().div_ceil(period);
        found.warn(
            probe.node.mark_at(&["failureThreshold"]),
            format!("the startupProbe gives the start {}, softstop's own settings {}", said(has), said(needs)),
            "the kubelet kills the container in the middle of init tasks and startup probes that softstop still waits for",
            format!("write failureThreshold: {threshold}"),
        );
    }
}

/// kubernetes-lifecycle.md, section 1, item 4.
pub fn init_container(case: &Case<'_>, found: &mut Found<'_>) {
    let container = case.container;
    if container.role != Role::Init {
        return;
    }
    if let Some(node) = container.probes().next().map(|p| p.node).or_else(|| container.node.get("lifecycle")) {
        found.error(
            node.mark(),
            "an init container has no probes and no hooks",
            "the API server refuses the manifest",
            "make it a sidecar: restartPolicy: Always in the init container",
        );
    } else if !case.config().processes.is_empty() && case.settings.file.is_some() {
        found.warn(
            case.here(),
            "softstop runs as an init container, which has to end before the pod starts",
            "when its processes go on, the main containers never start",
            "make it a sidecar: restartPolicy: Always in the init container",
        );
    }
}

pub fn sidecar_startup(case: &Case<'_>, found: &mut Found<'_>) {
    let config = case.config();
    let nothing_to_wait_for = config.sidecar.is_some() && config.init.is_empty() && config.processes.is_empty();
    if case.is_sidecar() && case.container.probe(Health::Startup).is_none() && !nothing_to_wait_for {
        found.warn(
            case.here(),
            "this sidecar has no startupProbe",
            "the main containers start as soon as its process does: init tasks and processes of the sidecar are not waited for",
            add_startup(case, "[http] to the configuration and a startupProbe on /startupz"),
        );
    }
}
