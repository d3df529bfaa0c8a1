//! A service mesh's proxy beside softstop, as labels and annotations of the pod show it. It gets its SIGTERM when softstop does, and stands
//! between softstop and whoever calls.
//!
//! What istio does: pilot-agent, and istio's issues 34855 and 30857 (probes and HTTP hooks go through it); linkerd:
//! linkerd.io/2/tasks/graceful-shutdown. What a namespace's label has injected, no manifest shows.

use std::time::Duration;

use super::{DRAIN, Found, longest_drain, prestop, said, whole_seconds};
use crate::pod::Case;
use crate::pod::tree::Node;
use crate::pod::view::Role;

struct Mesh {
    name: &'static str,
    /// The annotation that has its proxy put in, and its value where it has none.
    switch: (&'static str, &'static str),
    /// How others of its annotations and labels begin.
    begins: &'static [&'static str],
    /// The annotation that makes the proxy a native sidecar, which ends after the main containers.
    native: &'static str,
    /// That of the ports which go past the proxy.
    excluded: &'static str,
    /// Probes and HTTP hooks go through it, unless an annotation says otherwise.
    rewrites: bool,
    /// What becomes of a drain that is longer than the proxy goes on.
    why: &'static str,
    /// How long it goes on after the stop request, as far as annotations say; `None`: as long as there are connections.
    goes_on: fn(&Case<'_>) -> Option<Duration>,
    /// The annotation with which it goes on for so many seconds.
    longer: fn(u64) -> String,
}

const MESHES: [Mesh; 2] = [
    Mesh {
        name: "istio",
        switch: ("sidecar.istio.io/inject", "false"),
        begins: &["sidecar.istio.io/", "proxy.istio.io/", "traffic.sidecar.istio.io/"],
        native: "sidecar.istio.io/nativeSidecar",
        excluded: "traffic.sidecar.istio.io/excludeInboundPorts",
        rewrites: true,
        why: "both get SIGTERM at the same time: requests that still come or are under way fail at the proxy, and so do the program's own calls",
        goes_on: |case| {
            let config = annotation(case, "proxy.istio.io/config").unwrap_or_default();
            if config.contains("EXIT_ON_ZERO_ACTIVE_CONNECTIONS") {
                return None;
            }
            // YAML or JSON inside of a string.
            let behind = config.split_once("terminationDrainDuration").map(|(_, rest)| rest);
            let value = behind.map(|rest| rest.trim_start_matches(['"', '\'', ':', ' ']));
            let value = value.and_then(|v| v.split(|c: char| !c.is_ascii_alphanumeric() && c != '.').next());
            Some(value.and_then(|v| humantime::parse_duration(v).ok()).unwrap_or(ISTIOS_DRAIN))
        },
        longer: |enough| format!("proxy.istio.io/config: '{{ \"terminationDrainDuration\": \"{enough}s\" }}'"),
    },
    Mesh {
        name: "linkerd",
        switch: ("linkerd.io/inject", "disabled"),
        begins: &[
            "config.linkerd.io/",
            "config.alpha.linkerd.io/",
            "config.beta.linkerd.io/",
            "linkerd.io/proxy-version",
        ],
        native: "config.beta.linkerd.io/proxy-enable-native-sidecar",
        excluded: "config.linkerd.io/skip-inbound-ports",
        rewrites: false,
        why: "both get SIGTERM at the same time: the proxy refuses new requests from then on, those of the program itself, too",
        goes_on: |case| {
            let value = annotation(case, "config.alpha.linkerd.io/proxy-wait-before-exit-seconds");
            Some(Duration::from_secs(value.and_then(|v| v.parse().ok()).unwrap_or(0)))
        },
        longer: |enough| format!("config.alpha.linkerd.io/proxy-wait-before-exit-seconds: \"{enough}\""),
    },
];

/// Istio's proxy ends so long after its SIGTERM (`terminationDrainDuration`).
const ISTIOS_DRAIN: Duration = Duration::from_secs(5);
/// How long requests may still be under way when the drain is over.
const ROOM: u64 = 5;

/// The pod's mesh, and what shows it.
fn mesh<'a>(case: &Case<'a>) -> Option<(&'static Mesh, Node<'a>)> {
    let notes = || [case.workload.annotations(), case.workload.labels()].into_iter().flatten().flat_map(|n| n.pairs());
    MESHES.iter().find_map(|mesh| {
        let (key, off) = mesh.switch;
        let node = match notes().find(|(name, _)| *name == key) {
            Some((_, switch)) => Some(switch).filter(|switch| switch.text() != Some(off)),
            None => notes().find(|(name, _)| mesh.begins.iter().any(|start| name.starts_with(start))).map(|(_, n)| n),
        };
        Some((mesh, node?))
    })
}

fn annotation<'a>(case: &Case<'a>, key: &str) -> Option<&'a str> {
    case.workload.annotations()?.get(key)?.text()
}

fn is_native(case: &Case<'_>, mesh: &Mesh) -> bool {
    let injected = |name: &str| matches!(name, "istio-proxy" | "linkerd-proxy");
    annotation(case, mesh.native) == Some("true")
        || annotation(case, "config.alpha.linkerd.io/proxy-enable-native-sidecar") == Some("true")
        || case.workload.pod.containers().iter().any(|c| injected(c.name) && c.role == Role::Sidecar)
}

pub fn drain(case: &Case<'_>, found: &mut Found<'_>) {
    let Some((mesh, node)) = mesh(case) else { return };
    let drain = longest_drain(case.config());
    let Some(proxy) = (mesh.goes_on)(case).filter(|proxy| *proxy < drain && !is_native(case, mesh)) else { return };
    let longer = (mesh.longer)(whole_seconds(drain).saturating_add(ROOM));
    found.warn(
        node.mark(),
        format!(
            "{}'s proxy goes on for {} after the stop request, softstop's drain for {}",
            mesh.name,
            said(proxy),
            said(drain)
        ),
        mesh.why,
        format!(
            "annotate the pod with {}: \"true\", where the cluster has native sidecars, or with {longer}",
            mesh.native
        ),
    );
}

/// The kubelet's GET /prestop goes through the proxy.
pub fn hook(case: &Case<'_>, found: &mut Found<'_>) {
    let (Some((mesh, _)), Some((_, guard))) = (mesh(case), prestop::guard(case)) else { return };
    if guard.from.is_empty() || guard.from.iter().any(|network| network.is_loopback()) {
        return;
    }
    let Mesh { name, excluded, rewrites, .. } = mesh;
    let port = case.port().unwrap_or_default().to_string();
    let list = annotation(case, excluded).unwrap_or_default();
    let passes_by = list.split(',').any(|p| p.trim() == port || p.trim() == "*");
    let rewrites = *rewrites && annotation(case, "sidecar.istio.io/rewriteAppHTTPProbers") != Some("false");
    let Some(at) = prestop::called_at(case).filter(|_| !passes_by || rewrites) else { return };
    let also = if rewrites { ", sidecar.istio.io/rewriteAppHTTPProbers: \"false\"" } else { "" };
    found.warn(
        at,
        format!(
            "in a mesh GET /prestop comes from {name}'s proxy inside the pod, and `from` names the kubelet's network"
        ),
        "softstop answers 403, which the kubelet takes for a success: SIGTERM follows at once",
        format!("write {DRAIN}, guard /prestop by a token, or annotate the pod with {excluded}: \"{port}\"{also}"),
    );
}
