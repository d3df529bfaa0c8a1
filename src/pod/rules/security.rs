//! What the container may do, against what softstop is to do in it (kubernetes-lifecycle.md, section 5, items 11 to 15).

use std::path::Path;

use super::Found;
use crate::config::{CapabilitySet, Config};
use crate::pod::Case;
use crate::pod::launch::program;
use crate::pod::tree::Node;

/// Writable in every container, as the runtime mounts it.
const ALWAYS_WRITABLE: [&str; 2] = ["/dev/shm", "/dev/termination-log"];

pub fn read_only_root(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(node) = case.container.security(case.workload.pod, "readOnlyRootFilesystem").filter(|n| n.is_true())
    else {
        return;
    };
    let (socket, report) = (case.config().control.path(), case.config().report.as_deref());
    let files = [
        (
            socket,
            "the control socket",
            "softstop goes on without one: no status, and a preStop hook `softstop drain` fails",
        ),
        (report, "the report", "it is not written: the account of the stop is lost"),
    ];
    for (path, what, why) in files {
        let Some(path) = path.and_then(Path::to_str) else { continue };
        let always = ALWAYS_WRITABLE.iter().any(|dir| path.starts_with(dir));
        let writable = always || case.container.mount(path).is_some_and(|(_, writable)| writable);
        if !writable {
            let folder = Path::new(path).parent().and_then(Path::to_str).unwrap_or("/");
            found.error(
                node.mark(),
                format!("the root file system is read-only, and {what} is to be at {path}"),
                why,
                format!("mount an emptyDir at {folder}, or leave the path out"),
            );
        }
    }
}

/// Only root with these capabilities can run a process as another user and signal it.
pub fn user(case: &Case<'_>, found: &mut Found<'_>) {
    let launches = case.config().launches();
    let Some((name, launch)) = launches.into_iter().find(|(_, launch)| launch.identity.is_another()) else { return };
    let user = launch.identity.user.as_deref().unwrap_or_default();
    if let Some(node) = not_root(case) {
        if node.text() != Some(user) || user.is_empty() {
            found.error(
                node.mark(),
                format!("softstop does not run as root here, and is to run {name} as another user ({user})"),
                "the process cannot be started: exit code 126, CrashLoopBackOff",
                "remove user and group from the configuration, or let the container run as root with SETUID, SETGID and KILL",
            );
        }
        return;
    }
    let has = of_root(case);
    let lacking: Vec<&str> =
        ["SETUID", "SETGID", "KILL"].into_iter().filter(|name| has.and(set(&[name])).is_empty()).collect();
    if let (false, Some(node)) = (lacking.is_empty(), capabilities(case, "drop")) {
        found.error(
            node.mark(),
            format!("softstop is to run {name} as {user} without the capabilities {}", lacking.join(", ")),
            "without SETUID and SETGID the process cannot be started (exit code 126); without KILL no signal reaches it, the stop signal neither",
            format!("write capabilities: {{ drop: [ALL], add: [{}] }}, or remove user from the configuration", lacking.join(", ")),
        );
    }
}

/// What says that softstop does not run as root.
fn not_root<'y>(case: &Case<'y>) -> Option<Node<'y>> {
    let (container, pod) = (case.container, case.workload.pod);
    let run_as = container.security(pod, "runAsUser").filter(|n| n.integer() != Some(0));
    run_as.or_else(|| container.security(pod, "runAsNonRoot").filter(|n| n.is_true()))
}

/// Root's in a container, unless the pod says otherwise.
const DEFAULT_CAPABILITIES: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

fn set(names: &[&str]) -> CapabilitySet {
    names.iter().filter_map(|name| CapabilitySet::named(name)).fold(CapabilitySet::default(), CapabilitySet::with)
}

fn capabilities<'y>(case: &Case<'y>, key: &str) -> Option<Node<'y>> {
    case.container.node.at(&["securityContext", "capabilities", key])
}

/// What root has in the container.
fn of_root(case: &Case<'_>) -> CapabilitySet {
    let listed = |key| set(&capabilities(case, key).map(|n| n.texts()).unwrap_or_default());
    set(DEFAULT_CAPABILITIES).without(listed("drop")).with(listed("add"))
}

/// Niceness, score and capabilities that softstop has to have the right to give or to take.
pub fn limits(case: &Case<'_>, found: &mut Found<'_>) {
    let root = not_root(case);
    // Of a user that is not root what the pod adds is in the bounding set alone.
    let bounding = of_root(case);
    let own = if root.is_some() { CapabilitySet::default() } else { bounding };
    let has = |name| !own.and(set(&[name])).is_empty();
    for (name, launch) in case.config().launches() {
        let limits = &launch.limits;
        let capabilities = limits.capabilities.unwrap_or_default();
        let given = if capabilities.add == CapabilitySet::ALL { CapabilitySet::default() } else { capabilities.add };
        let missing = given.without(own);
        let drops = !bounding.and(capabilities.drop.without(given)).is_empty();
        let lacking = [
            (limits.nice.is_some_and(|nice| nice < 0) && !has("SYS_NICE"), "nice", "SYS_NICE".to_owned()),
            (
                limits.oom_score_adj.is_some_and(|score| score < 0) && !has("SYS_RESOURCE"),
                "oom_score_adj",
                "SYS_RESOURCE".to_owned(),
            ),
            (!missing.is_empty(), "capabilities.add", missing.to_string()),
            (drops && !has("SETPCAP"), "capabilities.drop", "SETPCAP".to_owned()),
        ];
        let Some((_, key, takes)) = lacking.into_iter().find(|(lacks, ..)| *lacks) else { continue };
        let (who, instead) = match &root {
            Some(_) => {
                ("softstop does not run as root here", "let the container run as root, with user for the process")
            }
            None => ("softstop does not have that here", "give it to the container"),
        };
        let node = root.or_else(|| case.container.node.at(&["securityContext", "capabilities"]));
        found.error(
            case.at(node),
            format!("{key} of {name} takes {takes}, and {who}"),
            "it is not started: exit code 126, CrashLoopBackOff",
            format!("leave {key} out, or {instead}: capabilities: {{ add: [{takes}] }}"),
        );
        return;
    }
}

/// What a process is started by that changes the user on its own.
pub fn changes_user(config: &Config) -> Option<&str> {
    let mut programs = config.processes.iter().filter_map(|p| p.command.first().and_then(|c| c.to_str()));
    programs.find(|p| matches!(program(p), "su" | "sudo" | "doas"))
}

pub fn privilege_escalation(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(node) = case.container.node.at(&["securityContext", "allowPrivilegeEscalation"]).filter(|n| n.is_false())
    else {
        return;
    };
    if let Some(helper) = changes_user(case.config()) {
        found.error(
            node.mark(),
            format!("{helper} cannot change the user without privilege escalation"),
            "the process ends at once, or runs as the wrong user",
            "run the program itself, with user in the configuration or runAsUser in the pod",
        );
    }
}

pub fn termination_log(case: &Case<'_>, found: &mut Found<'_>) {
    let stated = case.container.node.get("terminationMessagePath");
    let pod = stated.and_then(|n| n.text()).filter(|p| !p.is_empty()).unwrap_or(crate::config::TERMINATION_LOG);
    let own = case.config().termination_log.as_deref().and_then(Path::to_str);
    if own.is_some_and(|own| own != pod) {
        let own = own.unwrap_or_default();
        found.warn(
            case.at(stated),
            format!("the kubelet reads the termination message from {pod}, softstop writes it to {own}"),
            "kubectl describe shows no result of the stop",
            format!(
                "write {}, or terminationMessagePath: {own}",
                case.setting("termination_log", "SOFTSTOP_TERMINATION_LOG", pod)
            ),
        );
    }
}

/// Two pods on one node, which a rolling update makes, want the same port of it.
pub fn host_network(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(node) = case.workload.pod.0.true_at(&["hostNetwork"]) else { return };
    let Some(port) = case.port() else { return };
    // With the port declared the scheduler keeps two such pods apart.
    if !case.container.ports().iter().any(|(_, p)| *p == Some(port)) {
        found.error(
            node.mark(),
            format!("softstop listens on port {port} of the node, and the scheduler does not know"),
            "a second pod on the same node, as a rolling update makes it, ends with exit code 70: the port is taken",
            format!("declare it: ports: [{{ name: softstop, containerPort: {port} }}]"),
        );
    }
}
