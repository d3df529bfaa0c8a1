//! What runs the pods, and what stands before them (kubernetes-lifecycle.md, sections 3.3, 3.8 and 4).

use super::{Found, said};
use crate::endpoint::Health;
use crate::pod::Case;
use crate::pod::tree::Node;
use crate::pod::view::{Container, Role};

pub fn restart_policy(case: &Case<'_>, found: &mut Found<'_>) {
    let workload = case.workload;
    let node = workload.pod.0.get("restartPolicy");
    let policy = node.and_then(|n| n.text()).unwrap_or("Always");
    let (wrong, right) = if workload.is_job() {
        (policy == "Always", "Never (or OnFailure)")
    } else {
        (workload.is_service() && policy != "Always", "Always")
    };
    if wrong {
        found.error(
            case.at(node),
            format!("restartPolicy: {policy} does not go with a {}", workload.kind),
            "the API server refuses the manifest",
            format!("write restartPolicy: {right}"),
        );
    }
}

/// Whether the Job ignores pods that a disruption ended.
fn ignores_disruption(spec: Node<'_>) -> bool {
    let ignores = |rule: &Node<'_>| {
        rule.has("action", "Ignore") && rule.entry_of("onPodConditions", "type", "DisruptionTarget").is_some()
    };
    spec.get("podFailurePolicy").is_some_and(|policy| policy.list("rules").iter().any(ignores))
}

pub fn job_interrupted(case: &Case<'_>, found: &mut Found<'_>) {
    let workload = case.workload;
    if workload.is_job() && case.container.role == Role::Main && !ignores_disruption(workload.spec) {
        found.warn(
            case.at(workload.spec.get("backoffLimit")),
            "a pod that is evicted, or whose node is drained, counts as a failure of the Job",
            "its exit code is not 0 (143 for a program that SIGTERM ended): a few node drains use up backoffLimit, and the Job has failed",
            "add podFailurePolicy: { rules: [{ action: Ignore, onPodConditions: [{ type: DisruptionTarget }] }] } with restartPolicy: Never",
        );
    }
}

pub fn job_success(case: &Case<'_>, found: &mut Found<'_>) {
    if case.workload.is_job() && case.container.role == Role::Main && case.config().exit_codes.map.get(&143) == Some(&0)
    {
        found.error(
            case.here(),
            "a Job's pod that was interrupted exits with 0: exit code 143 is mapped to it",
            "an evicted pod counts as a success: the Job is complete, its work is not done",
            "remove 143 = 0 from [exit_codes] (-e 143, SOFTSTOP_EXIT_CODE_MAP), and let the podFailurePolicy ignore the disruption",
        );
    }
}

pub fn job_sidecar(case: &Case<'_>, found: &mut Found<'_>) {
    if !case.workload.is_job() || case.container.role != Role::Main {
        return;
    }
    let native = "make it a sidecar: an init container with restartPolicy: Always is stopped when the main containers have ended";
    let main = |c: &&Container<'_>| c.role == Role::Main;
    let several = case.workload.pod.containers().iter().filter(main).count() > 1;
    let policy = case.workload.pod.0.get("restartPolicy");
    match &case.config().sidecar {
        None if several => found.warn(
            case.here(),
            "a Job is done when all of its containers have ended",
            "as long as this one runs beside the others the Job never completes",
            native,
        ),
        Some(sidecar) if sidecar.follow.is_none() => found.error(
            case.here(),
            "a Job is done when all of its containers have ended, and softstop with [sidecar] stays until it is told to stop",
            "the Job never completes",
            format!("{native}; or write follow = \"PROGRAM\" below [sidecar], with shareProcessNamespace: true"),
        ),
        Some(_) if policy.is_some_and(|p| p.text() == Some("OnFailure")) => found.warn(
            case.at(policy),
            "restartPolicy: OnFailure starts a main container that failed again, but not the sidecar that has followed it to its end",
            "the second attempt runs without its sidecar",
            format!("write restartPolicy: Never, or {native}"),
        ),
        None | Some(_) => {}
    }
}

pub fn recreate(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(node) = case.workload.spec.at(&["strategy", "type"]).filter(|n| n.text() == Some("Recreate")) else {
        return;
    };
    found.warn(
        node.mark(),
        "strategy Recreate stops every pod before the first new one starts",
        format!("each rollout is an outage of up to {} of stop and the whole start", said(case.config().grace)),
        "write type: RollingUpdate, unless two of these pods cannot be there at once",
    );
}

/// A number of pods, or a part of them; `rest`: so many hundredths of one are added, as Kubernetes rounds what it is down (0) or up (99).
fn pods(node: Node<'_>, replicas: i64, rest: i64) -> Option<i64> {
    match node.text()?.strip_suffix('%') {
        Some(percent) => Some(percent.parse::<i64>().ok()?.checked_mul(replicas)?.checked_add(rest)? / 100),
        None => node.integer(),
    }
}

pub fn all_at_once(case: &Case<'_>, found: &mut Found<'_>) {
    let workload = case.workload;
    if workload.kind != "Deployment" {
        return;
    }
    let rolling = |key| workload.spec.at(&["strategy", "rollingUpdate", key]);
    let (Some(unavailable), replicas) = (rolling("maxUnavailable"), workload.replicas()) else { return };
    let at_once = pods(unavailable, replicas, 0);
    let surge = rolling("maxSurge").map(|n| (n, n.text() == Some("0") || n.text() == Some("0%")));
    if at_once == Some(0) && surge.is_some_and(|(_, zero)| zero) {
        found.error(
            unavailable.mark(),
            "maxUnavailable and maxSurge are both 0",
            "the API server refuses the manifest: no pod could ever be replaced",
            "write maxSurge: 1",
        );
    } else if at_once.is_some_and(|n| n >= replicas) && replicas > 0 {
        found.warn(
            unavailable.mark(),
            format!("a rolling update may stop all {replicas} pods at once"),
            "while they drain nothing is ready: the Service has no endpoints but those that are going",
            "write maxUnavailable: 0 and maxSurge: 1",
        );
    }
}

pub fn progress_deadline(case: &Case<'_>, found: &mut Found<'_>) {
    let workload = case.workload;
    if workload.kind != "Deployment" {
        return;
    }
    let seconds = |key| workload.spec.get(key).and_then(|n| n.integer());
    let (deadline, ready) =
        (seconds("progressDeadlineSeconds").unwrap_or(600), seconds("minReadySeconds").unwrap_or(0));
    let at = |key| case.at(workload.spec.get(key));
    if ready >= deadline {
        found.error(
            at("minReadySeconds"),
            format!("minReadySeconds ({ready}) is not less than progressDeadlineSeconds ({deadline})"),
            "the API server refuses the manifest: every rollout would count as failed",
            format!("write progressDeadlineSeconds: {}", ready.saturating_add(600)),
        );
        return;
    }
    let Some(startup) = case.container.probe(Health::Startup) else { return };
    let start = i64::try_from(startup.patience().as_secs()).unwrap_or(i64::MAX);
    if start.saturating_add(ready) >= deadline {
        found.warn(
            at("progressDeadlineSeconds"),
            format!("a pod may take {start}s to start, and the rollout counts as failed after {deadline}s"),
            "a rollout over slow pods is reported as failed, and rolled back by tools that watch it, while all is well",
            format!("write progressDeadlineSeconds: {}", start.saturating_add(ready).saturating_add(60)),
        );
    }
}

pub fn parallel(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(node) = case.workload.spec.get("podManagementPolicy").filter(|n| n.text() == Some("Parallel")) else {
        return;
    };
    if case.workload.kind == "StatefulSet" && case.workload.replicas() > 1 {
        found.warn(
            node.mark(),
            "podManagementPolicy: Parallel stops all pods of a scale-down at once",
            "members that hand their work to one another have nobody to hand it to; a rolling update is one by one all the same",
            format!("write OrderedReady, or say that it is meant: annotation {}: parallel", crate::pod::ALLOW),
        );
    }
}

pub fn service_port(case: &Case<'_>, found: &mut Found<'_>) {
    let containers = case.workload.pod.containers();
    for port in case.services().filter_map(|s| s.get("spec")).flat_map(|s| s.list("ports")) {
        let Some(target) = port.get("targetPort").or(port.get("port")) else { continue };
        let Some(number) = containers.iter().find_map(|c| c.port(target)) else {
            found.error(
                target.mark(),
                format!(
                    "no container of {} has a port named {}",
                    case.workload.title(),
                    target.text().unwrap_or_default()
                ),
                "the Service has no endpoints for this port: every connection to it is refused",
                "name the port under a container's ports, or write its number",
            );
            continue;
        };
        // A monitoring Service of its own has it by name.
        if Some(number) == case.port() && !port.has("name", "metrics") {
            found.warn(
                target.mark(),
                format!("the Service publishes softstop's own port {number}"),
                "whoever reaches the Service sees the state of every pod behind it, and gets 404 for everything else",
                "write the program's port; for Prometheus name the port metrics",
            );
        }
    }
}

/// kubernetes-lifecycle.md, section 3.3, item 11.
pub fn not_ready_addresses(case: &Case<'_>, found: &mut Found<'_>) {
    for service in case.services() {
        let Some(node) = service.true_at(&["spec", "publishNotReadyAddresses"]) else { continue };
        // A headless one is for the members of a StatefulSet to find each other.
        if !service.get("spec").is_some_and(|spec| spec.has("clusterIP", "None")) {
            found.warn(
                node.mark(),
                "the Service sends traffic to pods that are not ready",
                "no drain takes a pod out of it: connections come until the container is gone",
                "remove publishNotReadyAddresses, or make it a headless Service (clusterIP: None) beside the one for clients",
            );
        }
    }
}

pub fn disruption_budget(case: &Case<'_>, found: &mut Found<'_>) {
    let (workload, replicas) = (case.workload, case.workload.replicas());
    if !workload.is_service() || workload.kind == "DaemonSet" {
        return;
    }
    for budget in &case.objects.budgets {
        if !workload.is_selected_by(budget.at(&["spec", "selector", "matchLabels"])) {
            continue;
        }
        let spec = |key| budget.at(&["spec", key]);
        let least = |node| pods(node, replicas, 99);
        let blocking = match (spec("minAvailable"), spec("maxUnavailable")) {
            (Some(node), _) => least(node).filter(|n| *n >= replicas).map(|_| node),
            (None, Some(node)) => least(node).filter(|n| *n == 0).map(|_| node),
            (None, None) => None,
        };
        if let Some(node) = blocking {
            found.warn(
                node.mark(),
                format!("this budget lets none of the {replicas} pods be evicted"),
                "kubectl drain waits for ever; whoever loses patience deletes the pods, or the node under them, without a graceful stop",
                "write maxUnavailable: 1, with at least 2 replicas",
            );
        }
    }
}
