//! A service mesh's proxy beside softstop, as labels and annotations of the pod show it. It gets its SIGTERM when softstop does, and stands
//! between softstop and whoever calls.
//!
//! What istio does: pilot-agent, and istio's issues 34855 and 30857 (probes and HTTP hooks go through it); linkerd:
//! linkerd.io/2/tasks/graceful-shutdown. What a namespace's label has injected, no manifest shows.

use std::time::Duration;

use super::{Found, longest_drain, prestop, said, whole_seconds};
use crate::pod::Case;
use crate::pod::tree::Node;
use crate::pod::view::Role;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mesh {
    Istio,
    Linkerd,
}

/// Istio's proxy ends so long after its SIGTERM (`terminationDrainDuration`).
const ISTIOS_DRAIN: Duration = Duration::from_secs(5);
/// How long requests may still be under way when the drain is over.
const ROOM: u64 = 5;

impl Mesh {
    /// The pod's mesh, and what shows it.
    fn of<'a>(case: &Case<'a>) -> Option<(Mesh, Node<'a>)> {
        let notes: Vec<(&str, Node<'a>)> = [case.workload.annotations(), case.workload.labels()]
            .into_iter()
            .flatten()
            .flat_map(|n| n.pairs())
            .collect();
        let switch = |key: &str| notes.iter().find(|(name, _)| *name == key).map(|(_, node)| *node);
        let begins = |starts: &[&str]| {
            let names_it = |name: &str| starts.iter().any(|start| name.starts_with(start));
            notes.iter().find(|(name, _)| names_it(name)).map(|(_, node)| *node)
        };
        for (mesh, key, off, others) in [
            (
                Mesh::Istio,
                "sidecar.istio.io/inject",
                "false",
                &["sidecar.istio.io/", "proxy.istio.io/", "traffic.sidecar.istio.io/"][..],
            ),
            (
                Mesh::Linkerd,
                "linkerd.io/inject",
                "disabled",
                &[
                    "config.linkerd.io/",
                    "config.alpha.linkerd.io/",
                    "config.beta.linkerd.io/",
                    "linkerd.io/proxy-version",
                ],
            ),
        ] {
            let found = match switch(key) {
                Some(node) if node.text() == Some(off) => None,
                Some(node) => Some(node),
                None => begins(others),
            };
            if let Some(node) = found {
                return Some((mesh, node));
            }
        }
        None
    }

    fn name(self) -> &'static str {
        match self {
            Mesh::Istio => "istio",
            Mesh::Linkerd => "linkerd",
        }
    }

    /// The annotation that makes the proxy a native sidecar, which ends after the main containers.
    fn native(self) -> &'static str {
        match self {
            Mesh::Istio => "sidecar.istio.io/nativeSidecar",
            Mesh::Linkerd => "config.beta.linkerd.io/proxy-enable-native-sidecar",
        }
    }
}

fn annotation<'a>(case: &Case<'a>, key: &str) -> Option<&'a str> {
    case.workload.annotations()?.get(key)?.text()
}

fn is_native(case: &Case<'_>, mesh: Mesh) -> bool {
    let injected = |name: &str| matches!(name, "istio-proxy" | "linkerd-proxy");
    annotation(case, mesh.native()) == Some("true")
        || annotation(case, "config.alpha.linkerd.io/proxy-enable-native-sidecar") == Some("true")
        || case.workload.pod.containers().iter().any(|c| injected(c.name) && c.role == Role::Sidecar)
}

/// How long the proxy goes on after the stop request, as far as annotations say; `None`: as long as there are connections.
fn goes_on(case: &Case<'_>, mesh: Mesh) -> Option<Duration> {
    match mesh {
        Mesh::Istio => {
            let config = annotation(case, "proxy.istio.io/config").unwrap_or_default();
            if config.contains("EXIT_ON_ZERO_ACTIVE_CONNECTIONS") {
                return None;
            }
            // YAML or JSON inside of a string.
            let behind = config.split_once("terminationDrainDuration").map(|(_, rest)| rest);
            let value = behind.map(|rest| rest.trim_start_matches(['"', '\'', ':', ' ']));
            let value = value.and_then(|v| v.split(|c: char| !c.is_ascii_alphanumeric() && c != '.').next());
            Some(value.and_then(|v| humantime::parse_duration(v).ok()).unwrap_or(ISTIOS_DRAIN))
        }
        Mesh::Linkerd => {
            let value = annotation(case, "config.alpha.linkerd.io/proxy-wait-before-exit-seconds");
            Some(Duration::from_secs(value.and_then(|v| v.parse().ok()).unwrap_or(0)))
        }
    }
}

pub fn drain(case: &Case<'_>, found: &mut Found<'_>) {
    let Some((mesh, node)) = Mesh::of(case) else { return };
    let drain = longest_drain(case.config());
    let Some(proxy) = goes_on(case, mesh).filter(|proxy| *proxy < drain && !is_native(case, mesh)) else { return };
    let why = match mesh {
        Mesh::Istio => {
            "both get SIGTERM at the same time: requests that still come or are under way fail at the proxy, and so do the program's own calls"
        }
        Mesh::Linkerd => {
            "both get SIGTERM at the same time: the proxy refuses new requests from then on, those of the program itself, too"
        }
    };
    let enough = whole_seconds(drain).saturating_add(ROOM);
    let longer = match mesh {
        Mesh::Istio => format!("proxy.istio.io/config: '{{ \"terminationDrainDuration\": \"{enough}s\" }}'"),
        Mesh::Linkerd => format!("config.alpha.linkerd.io/proxy-wait-before-exit-seconds: \"{enough}\""),
    };
    found.warn(
        node.mark(),
        format!(
            "{}'s proxy goes on for {} after the stop request, softstop's drain for {}",
            mesh.name(),
            said(proxy),
            said(drain)
        ),
        why,
        format!(
            "annotate the pod with {}: \"true\", where the cluster has native sidecars, or with {longer}",
            mesh.native()
        ),
    );
}

/// The kubelet's GET /prestop goes through the proxy.
pub fn hook(case: &Case<'_>, found: &mut Found<'_>) {
    let (Some((mesh, _)), Some((_, guard))) = (Mesh::of(case), prestop::guard(case)) else { return };
    if guard.from.is_empty() || guard.from.iter().any(|network| network.is_loopback()) {
        return;
    }
    let excluded = match mesh {
        Mesh::Istio => "traffic.sidecar.istio.io/excludeInboundPorts",
        Mesh::Linkerd => "config.linkerd.io/skip-inbound-ports",
    };
    let port = case.port().unwrap_or_default().to_string();
    let list = annotation(case, excluded).unwrap_or_default();
    let passes_by = list.split(',').any(|p| p.trim() == port || p.trim() == "*");
    let rewrites = mesh == Mesh::Istio && annotation(case, "sidecar.istio.io/rewriteAppHTTPProbers") != Some("false");
    let Some(at) = prestop::called_at(case).filter(|_| !passes_by || rewrites) else { return };
    let also = if rewrites { ", sidecar.istio.io/rewriteAppHTTPProbers: \"false\"" } else { "" };
    found.warn(
        at,
        format!("in a mesh GET /prestop comes from {}'s proxy inside the pod, and `from` names the kubelet's network", mesh.name()),
        "softstop answers 403, which the kubelet takes for a success: SIGTERM follows at once",
        format!(
            "write preStop: {{ exec: {{ command: [\"/softstop\", \"drain\"] }} }}, guard /prestop by a token, or annotate the pod with {excluded}: \"{port}\"{also}"
        ),
    );
}
