//! The budget: softstop's grace against the pod's (kubernetes-lifecycle.md, sections 3.1, 3.2 and 6).

use std::time::Duration;

use super::hooks::before_stop;
use super::{DRAIN, Found, prestop, said, whole_seconds};
use crate::config::problem::Span;
use crate::endpoint::Health;
use crate::pod::Case;
use crate::pod::view::Role;

/// From the stop signal to SIGKILL the kubelet never leaves less.
const FLOOR: Duration = Duration::from_secs(2);
/// Less than this between the two graces is taken for room that somebody left.
const ROOM: Duration = Duration::from_secs(5);

fn here(case: &Case<'_>) -> Span {
    case.at(case.workload.pod.stated_grace())
}

/// "the pod's grace (30s, the default)"
fn of_pod(case: &Case<'_>) -> String {
    let stated = case.workload.pod.stated_grace().is_some();
    format!("the pod's grace ({}{})", said(case.workload.pod.grace()), if stated { "" } else { ", the default" })
}

/// What the kubelet leaves from the moment softstop hears of the stop; `None` when the manifest does not tell.
pub fn left(case: &Case<'_>) -> Option<Duration> {
    before_stop(case).map(|before| case.workload.pod.grace().saturating_sub(before).max(FLOOR))
}

pub fn zero(case: &Case<'_>, found: &mut Found<'_>) {
    if case.workload.pod.grace().is_zero() {
        found.error(
            here(case),
            format!("{}: 0 leaves no time to stop in", case.workload.pod.grace_key()),
            "the pod is removed at once, as by a forced delete: SIGKILL two seconds after SIGTERM, and a new pod of its name may run beside it",
            format!("write {}: {}", case.workload.pod.grace_key(), whole_seconds(case.config().grace)),
        );
    }
}

/// Where it is easily put, and means nothing.
pub fn misplaced(case: &Case<'_>, found: &mut Found<'_>) {
    let workload = case.workload;
    let above = (!matches!(workload.kind, "Pod" | "fragment")).then_some(workload.spec);
    for node in [Some(case.container.node), above].into_iter().flatten() {
        if let Some(node) = node.get("terminationGracePeriodSeconds") {
            found.error(
                node.mark(),
                "terminationGracePeriodSeconds does not belong here",
                format!("the field is refused or passed over: {} counts", of_pod(case)),
                "put it beside `containers`, into the pod's spec",
            );
        }
    }
}

pub fn too_long(case: &Case<'_>, found: &mut Found<'_>) {
    let (pod, own) = (case.workload.pod.grace(), case.config().grace);
    let Some(left) = left(case).filter(|left| own > *left && !pod.is_zero()) else { return };
    let needed = whole_seconds(own) + whole_seconds(pod.saturating_sub(left));
    let sentence = if left < pod {
        format!(
            "softstop's grace ({}) is longer than what the preStop hook leaves of {}: {}",
            said(own),
            of_pod(case),
            said(left)
        )
    } else {
        format!("softstop's grace ({}) is longer than {}", said(own), of_pod(case))
    };
    found.error(
        here(case),
        sentence,
        format!(
            "the kubelet sends SIGKILL {} before softstop is done: processes are cut off, post_stop steps, report and termination \
             message are lost",
            said(own - left)
        ),
        format!(
            "write {}: {needed}, or {}",
            case.workload.pod.grace_key(),
            case.setting("grace", "SOFTSTOP_GRACE", &said(left))
        ),
    );
}

pub fn too_short(case: &Case<'_>, found: &mut Found<'_>) {
    let own = case.config().grace;
    let Some(left) = left(case).filter(|left| *left > own + ROOM) else { return };
    // A sidecar's turn comes after the main containers': what they take is not to be had.
    if case.is_sidecar() {
        return;
    }
    found.warn(
        here(case),
        format!("softstop's grace ({}) uses {} less than {}", said(own), said(left - own), of_pod(case)),
        "what is still running then gets SIGKILL from softstop although the kubelet would have waited",
        format!("write {}", case.setting("grace", "SOFTSTOP_GRACE", &said(left))),
    );
}

/// The grace is one of the few things that the downward API cannot say.
pub fn unknown(case: &Case<'_>, found: &mut Found<'_>) {
    let env = &case.launch.env;
    if let Some((None, node)) = env.values.get("SOFTSTOP_GRACE") {
        found.warn(
            node.mark(),
            "SOFTSTOP_GRACE comes from elsewhere, so that it cannot be held against the pod's grace",
            "when it is longer than terminationGracePeriodSeconds the stop ends with the kubelet's SIGKILL",
            format!("write its value: SOFTSTOP_GRACE, value: {}s", case.workload.pod.grace().as_secs()),
        );
    }
}

/// kubernetes-lifecycle.md, section 6, item 5.
pub fn sidecar(case: &Case<'_>, found: &mut Found<'_>) {
    if case.is_sidecar() && !super::hooks::is_exact(case) {
        found.warn(
            case.here(),
            "this sidecar hears of the stop when the main containers have ended, and not how much of the grace is left then",
            "its turn may come with two seconds left: what it still does then is cut off by SIGKILL",
            match case.config().http.as_ref().filter(|http| http.prestop.is_some()) {
                Some(http) => format!(
                    "add {} to it and the main containers, which tells it at the beginning",
                    prestop::hook(http.listen.port())
                ),
                None => format!("add lifecycle: {{ {DRAIN} }}, which tells it at the beginning"),
            },
        );
    }
}

pub fn of_probes(case: &Case<'_>, found: &mut Found<'_>) {
    for probe in case.container.probes() {
        let Some(node) = probe.node.get("terminationGracePeriodSeconds") else { continue };
        let stated = node.integer().and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        if probe.kind == Health::Ready {
            found.error(
                node.mark(),
                "a readinessProbe has no terminationGracePeriodSeconds",
                "the API server refuses the manifest",
                "remove it",
            );
        } else if Duration::from_secs(stated) < case.config().grace {
            found.warn(
                node.mark(),
                format!("a failed {} gives softstop {stated}s of its {}", probe.name(), said(case.config().grace)),
                "the container is restarted by SIGKILL in the middle of its stop",
                format!("write terminationGracePeriodSeconds: {}, or remove it", whole_seconds(case.config().grace)),
            );
        }
    }
}

/// kubernetes-lifecycle.md, section 3.3, item 14: there is no handshake between endpoints and the kubelet.
pub fn no_drain(case: &Case<'_>, found: &mut Found<'_>) {
    let hook = case.container.hook("preStop").is_some() && !super::hooks::is_exact(case);
    if case.serves() && case.container.role == Role::Main && case.config().drain.is_empty() && !hook {
        found.warn(
            case.here(),
            "nothing waits for the load balancers before the processes are told to stop",
            "endpoints leave them seconds after the delete: until then new connections come, and are refused",
            match &case.settings.file {
                Some(file) => format!(
                    "add a drain step to {file}: [[drain]] wait_idle = {{ ports = \"auto\", minimum = \"5s\" }}, and {}",
                    super::hooks::drain_hook(case)
                ),
                None => format!("add SOFTSTOP_DRAIN=auto, and {}", super::hooks::drain_hook(case)),
            },
        );
    }
}
