//! How softstop is started: in front of it, instead of it, around it.

use super::Found;
use crate::pod::env::entry;
use crate::pod::launch::{Front, Room};
use crate::pod::tree::Node;
use crate::pod::{ALLOW, Case};
use crate::signal::Signal;

/// `command` replaces the image's ENTRYPOINT.
pub fn entrypoint(case: &Case<'_>, found: &mut Found<'_>) {
    if case.is_front(Front::Other) {
        found.error(
            case.launch.mark.clone(),
            "`command` replaces the image's ENTRYPOINT, and softstop is not in it",
            "softstop does not run: no drain, no probe endpoints, no order; the program is PID 1 and has to do all of that itself",
            "put the program into args and leave command out, or write command: [\"/softstop\", \"--\", …]",
        );
    }
}

pub fn shell_form(case: &Case<'_>, found: &mut Found<'_>) {
    let help = "write the command without a shell: command: [\"/softstop\", …]; or let the shell make room: sh -c 'exec /softstop …'";
    match case.launch.front {
        Front::Shell(Room::No) => found.error(
            case.launch.mark.clone(),
            "a shell is PID 1 in front of softstop",
            "SIGTERM goes to the shell, which does not pass it on: softstop hears of no stop, and everything gets SIGKILL when the \
             grace is over",
            help,
        ),
        Front::Shell(Room::Perhaps) => found.warn(
            case.launch.mark.clone(),
            "whether a shell is PID 1 in front of softstop depends on the shell",
            "bash and busybox make room for the last command of a script; Debian's and Ubuntu's sh (dash) stays and keeps SIGTERM: \
             softstop hears of no stop, and everything gets SIGKILL when the grace is over",
            help,
        ),
        _ => {}
    }
}

pub fn init_in_front(case: &Case<'_>, found: &mut Found<'_>) {
    if case.is_front(Front::Init) {
        found.warn(
            case.launch.mark.clone(),
            "another init runs in front of softstop",
            "softstop is not PID 1; when it ends, the init ends too and the kernel kills what is left; the init forwards SIGTERM and does nothing else",
            "leave it out: command: [\"/softstop\", …]",
        );
    }
}

/// A terminal is one stream for both outputs, and a peer that can hang.
pub fn terminal(case: &Case<'_>, found: &mut Found<'_>) {
    let node = |key| case.container.node.true_at(&[key]);
    if let Some(tty) = node("tty") {
        found.warn(
            tty.mark(),
            "the container has a terminal",
            "stdout and stderr become one stream with CR LF line ends in the container's log, and whoever attaches can type Ctrl-C, a stop request",
            "remove tty: true",
        );
    } else if let Some(stdin) = node("stdin") {
        found.warn(
            stdin.mark(),
            "the container's stdin is kept open",
            "a program that reads it waits for ever instead of seeing the end of its input",
            "remove stdin: true",
        );
    }
}

/// kubernetes-lifecycle.md, section 5, items 6 to 8.
pub fn shared_pids(case: &Case<'_>, found: &mut Found<'_>) {
    let pod = case.workload.pod;
    if let Some(node) = pod.0.true_at(&["hostPID"]) {
        found.warn(
            node.mark(),
            "the pod is in the node's PID namespace",
            "softstop is not PID 1: orphans of exec probes and hooks go to the node's init, and what daemonises outlives the container's own end",
            "remove hostPID: true",
        );
    }
    // With other containers it may be what the pod is for; alone it only takes PID 1 away.
    if pod.containers().len() == 1
        && let Some(node) = pod.0.true_at(&["shareProcessNamespace"])
    {
        found.warn(
            node.mark(),
            "the only container of the pod shares its PID namespace with nobody but the pause process",
            "softstop is not PID 1: orphans of exec probes and hooks go to the pause process, and no SIGKILL of the kernel's ends what softstop missed",
            "remove shareProcessNamespace: true",
        );
    }
}

/// `lifecycle.stopSignal` wins over the image's STOPSIGNAL (Kubernetes 1.33 and later).
pub fn stop_signal(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(node) = case.container.node.at(&["lifecycle", "stopSignal"]) else { return };
    if case.workload.pod.0.at(&["os", "name"]).is_none() {
        found.error(
            node.mark(),
            "stopSignal without `os.name` in the pod's spec",
            "the API server refuses such a pod: which signals there are depends on the operating system",
            "add os: { name: linux } to the spec",
        );
    }
    let Some(text) = node.text() else { return };
    match Signal::parse(text) {
        Ok(signal) if text == signal.to_string() => no_request(case, node, signal, found),
        parsed => found.error(
            node.mark(),
            format!("{text:?} is no signal to Kubernetes"),
            "the API server refuses such a pod",
            parsed.map_or_else(|why| why, |signal| format!("write {signal}")),
        ),
    }
}

/// The kubelet's stop signal, which is none to softstop.
fn no_request(case: &Case<'_>, node: Node<'_>, signal: Signal, found: &mut Found<'_>) {
    let config = case.config();
    let program = config.main().and_then(|main| config.processes[main].program());
    if config.stop_on.asks_from_outside(signal, program) {
        return;
    }
    let why = match program.filter(|p| p.dumps_on == Some(signal)) {
        Some(program) => format!(
            "the kubelet sends it for SIGTERM: {} writes a dump and goes on, and everything gets SIGKILL when the grace is over",
            program.name()
        ),
        None => "the kubelet sends it for SIGTERM: softstop passes it on and waits, and everything gets SIGKILL when the grace is over"
            .to_owned(),
    };
    found.error(
        node.mark(),
        format!("{signal} is no stop request to softstop"),
        why,
        format!(
            "remove stopSignal, or write stop_on = [\"SIGTERM\", \"{signal}\"] (SOFTSTOP_STOP_ON=SIGTERM,{signal})"
        ),
    );
}

/// A misspelt variable is another variable, and softstop goes on with its default.
pub fn unread_variable(case: &Case<'_>, found: &mut Found<'_>) {
    for (name, sentence, help) in &case.settings.unread {
        let entries = case.container.node.list("env").into_iter();
        let named = entries.filter_map(|n| n.get("name")).find(|n| n.text() == Some(name));
        let at = named.map_or_else(|| case.launch.mark.clone(), |n| n.mark());
        found.warn(
            at,
            sentence.clone(),
            "it is handed on to the program, and softstop goes on without it",
            help.clone(),
        );
    }
}

/// The image may set it, which no manifest shows; what is secret it should not.
pub fn unset_variable(case: &Case<'_>, found: &mut Found<'_>) {
    let file = case.settings.file.as_deref().unwrap_or_default();
    for name in &case.settings.unset {
        found.error(
            case.at(case.container.node.get("env")),
            format!("{file} refers to ${{{name}}}, and the container has no such variable"),
            "unless the image sets it, the container ends with exit code 78 at once and goes into CrashLoopBackOff",
            format!(
                "add to env: {}; where the image sets it (ENV), say so: annotation {ALLOW}: unset-variable",
                entry(name, if case.container.name.is_empty() { "web" } else { case.container.name }, None)
            ),
        );
    }
}
