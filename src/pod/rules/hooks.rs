//! Hooks: what the kubelet does before SIGTERM and after the start (kubernetes-lifecycle.md, section 2).

use std::time::Duration;

use super::{DRAIN, Found, prestop, said};
use crate::config::Control;
use crate::pod::Case;
use crate::pod::launch::{is_shell, is_softstop, program};
use crate::pod::tree::Node;
use crate::pod::view::Handler;

enum PreStop<'a> {
    /// `softstop drain`: softstop hears of the stop at the kubelet's own beginning.
    Drain(Vec<&'a str>),
    Sleep(Duration),
    /// It fails, or is a GET to softstop's own port: answered, unless it is the one that drains, which softstop knows.
    AtOnce,
    Other,
}

fn pre_stop<'a>(case: &Case<'a>) -> Option<(Node<'a>, PreStop<'a>)> {
    let (node, handler) = case.container.hook("preStop")?;
    let is_drain = |words: &[&str]| matches!(words, [program, "drain", ..] if is_softstop(program));
    let hook = match handler {
        Handler::Sleep(time) => PreStop::Sleep(time),
        Handler::Exec(words) if is_drain(&words) => PreStop::Drain(words),
        Handler::Exec(words) => slept(&words).map_or(PreStop::Other, PreStop::Sleep),
        Handler::Http { port, .. } => {
            let own = port.and_then(|p| case.container.port(p));
            if own.is_some() && own == case.port() { PreStop::AtOnce } else { PreStop::Other }
        }
        Handler::Tcp(_) | Handler::Grpc | Handler::None => PreStop::AtOnce,
    };
    Some((node, hook))
}

/// `["sleep", "5"]`, `["sh", "-c", "sleep 5"]` and nothing else.
fn slept(words: &[&str]) -> Option<Duration> {
    let script: Vec<&str> = match words {
        [shell, "-c", script] if is_shell(shell) => script.split_whitespace().collect(),
        other => other.to_vec(),
    };
    match script.as_slice() {
        [sleep, time] if program(sleep) == "sleep" => {
            let seconds: f64 = time.trim_end_matches('s').parse().ok()?;
            Duration::try_from_secs_f64(seconds).ok()
        }
        _ => None,
    }
}

/// What the preStop hook takes of the pod's grace before softstop hears of the stop, as far as the manifest tells.
pub fn before_stop(case: &Case<'_>) -> Option<Duration> {
    match pre_stop(case) {
        // All hooks of a pod run at once: another container's may be the one that tells softstop.
        _ if is_exact(case) => Some(Duration::ZERO),
        Some((_, PreStop::Sleep(time))) => Some(time),
        Some((_, PreStop::Other)) => None,
        None | Some((_, PreStop::Drain(_) | PreStop::AtOnce)) => Some(Duration::ZERO),
    }
}

/// softstop's budget begins where the kubelet's does.
pub fn is_exact(case: &Case<'_>) -> bool {
    matches!(pre_stop(case), Some((_, PreStop::Drain(_)))) || prestop::is_called(case)
}

/// For sentences: what makes `softstop drain` the hook.
pub fn drain_hook(case: &Case<'_>) -> String {
    let binary = case.launch.program.unwrap_or("/softstop");
    format!("lifecycle: {{ {} }}", DRAIN.replace("/softstop", binary))
}

/// docs/stop/drain.md, "A grace that nobody knows"; kubernetes-observed.md: `--grace-period=1`, `--force`.
pub fn missing(case: &Case<'_>, found: &mut Found<'_>) {
    let config = case.config();
    // A sidecar's SIGTERM comes after the main containers' end, and its own rule asks for their hooks.
    if config.drain.is_empty() || config.sidecar.is_some() || is_exact(case) || case.container.hook("preStop").is_some()
    {
        return;
    }
    let help = match (config.control == Control::Off, prestop::guard(case)) {
        (_, Some((http, _))) => format!("add {}", prestop::hook(http.listen.port())),
        (false, None) => format!("add {}", drain_hook(case)),
        (true, None) => format!("let the control socket be, and add {}", drain_hook(case)),
    };
    found.warn(
        case.here(),
        "softstop drains, and no preStop hook shows it how long the pod's grace really is",
        "an eviction under pressure, --grace-period=1 and --force leave 2s from SIGTERM to SIGKILL: the drain goes on, and the \
         processes are killed without ever having been told to stop",
        help,
    );
}

pub fn sleep(case: &Case<'_>, found: &mut Found<'_>) {
    let Some((node, PreStop::Sleep(time))) = pre_stop(case) else { return };
    if is_exact(case) {
        return;
    }
    let pod = case.workload.pod.grace();
    let instead = match &case.settings.file {
        Some(file) => format!("a [[drain]] step with sleep = \"{}\" in {file}", said(time.min(pod / 4))),
        None => "SOFTSTOP_DRAIN=auto".to_owned(),
    };
    let help = format!("let softstop wait, with {instead}, and write {}", drain_hook(case));
    if time >= pod {
        found.error(
            node.mark(),
            format!("preStop sleeps {}, the whole of the pod's grace ({})", said(time), said(pod)),
            "SIGTERM comes when the grace is over, with two seconds to SIGKILL",
            help,
        );
    } else {
        found.warn(
            node.mark(),
            format!("preStop sleeps {} of the pod's grace before softstop hears of the stop", said(time)),
            "/readyz answers 200 meanwhile, nothing else is done in that time, and it is slept for a delete alone, not for other stops",
            help,
        );
    }
}

pub fn unknown(case: &Case<'_>, found: &mut Found<'_>) {
    if let Some((node, PreStop::Other)) = pre_stop(case)
        && !is_exact(case)
    {
        found.warn(
            node.mark(),
            "preStop takes an unknown time of the pod's grace before softstop hears of the stop",
            "softstop counts its grace from SIGTERM: what the hook took is missing at the end, where SIGKILL comes",
            format!(
                "make it a [[drain]] step (exec, http_get), where it is inside softstop's budget, and write {}",
                drain_hook(case)
            ),
        );
    }
}

/// `softstop drain` must find the running softstop: docs/control.md, "Where the socket is".
pub fn drain(case: &Case<'_>, found: &mut Found<'_>) {
    let Some((node, PreStop::Drain(words))) = pre_stop(case) else { return };
    let mark = node.mark_at(&["exec", "command"]);
    let fails =
        "the hook fails (event FailedPreStopHook, exit code 69), SIGTERM follows at once: the drain begins there";
    if case.config().control == Control::Off {
        found.error(
            mark,
            "preStop asks softstop to drain, and its control socket is off",
            fails,
            "leave [control] and SOFTSTOP_CONTROL out, or remove preStop: SIGTERM begins the same drain",
        );
        return;
    }
    let (env, path) = (&case.launch.env, case.settings.path.as_deref());
    let named = words.iter().any(|w| w.starts_with("--control") || w.starts_with("--config") || w.starts_with("-c"));
    let found_unaided = path.is_none_or(|p| p == super::super::DEFAULT_CONFIG)
        || env.values.contains_key("SOFTSTOP_CONFIG")
        || env.values.contains_key("SOFTSTOP_CONTROL");
    let by_flag = case.launch.args.as_ref().is_some_and(|a| a.iter().any(|w| w.starts_with("--control")));
    if case.config().control != Control::Own && !named && (by_flag || !found_unaided) {
        found.error(
            mark.clone(),
            "`softstop drain` does not find the control socket: it is named in the arguments of the container alone",
            fails,
            "set SOFTSTOP_CONTROL (or SOFTSTOP_CONFIG) as a variable of the container instead: hooks get it, too",
        );
    }
    if let Some(binary) = case.launch.program.filter(|binary| Some(binary) != words.first()) {
        found.warn(
            mark,
            format!("preStop runs {}, the container {binary}", words.first().copied().unwrap_or_default()),
            "where there is no such file the hook fails, and SIGTERM follows at once",
            format!("write command: [\"{binary}\", \"drain\"]"),
        );
    }
}

/// Images that are known to have no shell, but for their `debug` and `-dev` variants.
fn has_no_shell(image: &str) -> bool {
    let known = ["distroless/", "cgr.dev/chainguard/"].iter().any(|word| image.contains(word));
    known && !image.contains("debug") && !image.contains("-dev")
}

pub fn shell(case: &Case<'_>, found: &mut Found<'_>) {
    let image = case.container.node.text_of("image").unwrap_or_default();
    if !has_no_shell(image) {
        return;
    }
    let hooks = ["preStop", "postStart"].into_iter().filter_map(|name| case.container.hook(name));
    let probes = case.container.probes().map(|p| (p.node, p.handler));
    for (node, handler) in hooks.chain(probes) {
        let Handler::Exec(words) = handler else { continue };
        let Some(first) = words.first().filter(|w| is_shell(w) || ["sleep", "curl", "wget"].contains(&program(w)))
        else {
            continue;
        };
        found.error(
            node.mark_at(&["exec", "command"]),
            format!("the image {image} has no {first}"),
            "the exec fails each time: a hook does nothing, a probe is never a success",
            "write httpGet, or use the binary that is there: command: [\"/softstop\", …]",
        );
    }
}

/// kubernetes-lifecycle.md, section 0: the API takes it, the kubelet has no such handler.
pub fn tcp(case: &Case<'_>, found: &mut Found<'_>) {
    for name in ["preStop", "postStart"] {
        if let Some((_, Handler::Tcp(node))) = case.container.hook(name) {
            found.error(
                node.mark(),
                format!("the kubelet has no tcpSocket handler for {name}"),
                if name == "postStart" {
                    "the container is killed right after its start"
                } else {
                    "the hook fails each time"
                },
                "remove it",
            );
        }
    }
}

/// kubernetes-observed.md, "An early SIGTERM is real"; kubernetes-lifecycle.md, section 2, items 6 to 10.
pub fn post_start(case: &Case<'_>, found: &mut Found<'_>) {
    match case.container.hook("postStart") {
        Some((node, Handler::Http { .. })) => found.error(
            node.mark(),
            "postStart asks by HTTP some 5 ms after the start, once and without a retry",
            "nothing listens by then: the hook fails, the container is stopped and restarted, and so on",
            "remove it; a startupProbe waits, a [[process.post_start]] task does what is to be done",
        ),
        Some((node, Handler::Exec(words))) if !words.is_empty() => found.warn(
            node.mark(),
            "postStart runs beside the start, in no order with it, and holds up everything else of the pod",
            "until it returns there is no probe, no next container, and no delete: a hook that hangs makes a pod that cannot be deleted",
            "make it an [[init]] or a [[process.post_start]] task: in order, with a timeout, in the log",
        ),
        _ => {}
    }
}
