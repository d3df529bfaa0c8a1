//! `[sidecar]`: what softstop beside a main container needs of the pod (docs/sidecar.md).

use super::{Found, prestop, said};
use crate::pod::Case;
use crate::pod::view::{Container, Role};

fn sidecar<'a>(case: &'a Case<'_>) -> Option<&'a crate::config::Sidecar> {
    case.config().sidecar.as_ref()
}

pub fn follow(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(follow) = sidecar(case).and_then(|s| s.follow.as_ref()) else { return };
    let pod = case.workload.pod;
    if pod.has("shareProcessNamespace") || pod.has("hostPID") {
        return;
    }
    let within = follow.waits[0].timeout.unwrap_or_default();
    found.error(
        case.at(pod.0.get("shareProcessNamespace")),
        format!("softstop follows {}, and sees no process of another container", follow.command),
        format!("after {} (appear_within) it counts as ended: softstop stops, and the main container goes on without it", said(within)),
        "add shareProcessNamespace: true to the pod's spec, or make it a native sidecar (an init container with restartPolicy: Always) \
         and leave follow out",
    );
}

/// A hook of any kind may be what somebody has thought of: only what has none gets SIGTERM at once for certain.
pub fn hook(case: &Case<'_>, found: &mut Found<'_>) {
    if sidecar(case).is_none() || case.config().drain.is_empty() || case.workload.is_job() {
        return;
    }
    let beside = |c: &Container<'_>| c.role == Role::Main && c.name != case.container.name;
    let mains: Vec<_> = case.workload.pod.containers().into_iter().filter(beside).collect();
    let Some(main) = mains.first().filter(|_| mains.iter().all(|c| c.hook("preStop").is_none())) else { return };
    let hook = format!("add {} to it", prestop::hook(case.port().unwrap_or(9180)));
    let help = if prestop::guard(case).is_some() { hook } else { format!("{hook}, and {}", prestop::enable(case)) };
    found.warn(
        main.node.mark_at(&["name"]),
        format!("nothing holds SIGTERM back from container {} until its sidecar's drain steps are done", main.name),
        "it stops serving at once, while load balancers still send: the drain waits for what is already ending",
        help,
    );
}
