//! Processes that did not run as they should, before the stop or in it. Pure.

use std::collections::BTreeSet;

use super::{Facts, Found};

pub(super) fn daemon(facts: &Facts<'_>, found: &mut Found) {
    for event in facts.events("in_background") {
        let (process, command) = (event.text("process"), event.text("command"));
        let help = match event.text("instead") {
            "" => "keep it in the foreground, so that its end, its restarts and its stop are known".to_owned(),
            instead => format!("keep it in the foreground: {instead}"),
        };
        let text = format!(
            "{process} went into the background ({command}, pid {}): softstop saw its end, not the server's",
            event.count("pid")
        );
        found.error(process, text, help);
    }
}

pub(super) fn port_held(facts: &Facts<'_>, found: &mut Found) {
    let mut known = BTreeSet::new();
    for event in facts.events("last_output") {
        let process = event.text("process");
        let says = |line: &&str| {
            let line = line.to_ascii_lowercase();
            line.contains("address already in use") || line.contains("eaddrinuse")
        };
        if let Some(line) = event.list("lines").into_iter().find(says)
            && known.insert(process)
        {
            let text = format!("{process} could not have its port: {line:?}");
            let help = "an earlier process still holds it: one that went into the background, or a worker that outlived its master; [[socket]] holds a \
                        port over restarts";
            found.error(process, text, help);
        }
    }
    super::outside::socket_kept(facts, found);
}

pub(super) fn out_of_memory(facts: &Facts<'_>, found: &mut Found) {
    const HELP: &str = "raise the container's memory limit, or lower what the program takes";
    for event in facts.events("oom_killed") {
        let process = event.text("process");
        found.error(process, format!("{process} was killed by the kernel: out of memory"), HELP);
    }
    if let Some(event) = facts.events("oom_killed_others").last() {
        let text = format!(
            "the kernel has killed {} processes that softstop did not start itself: out of memory",
            event.count("count")
        );
        found.error("", text, HELP);
    }
}

pub(super) fn crash_loop(facts: &Facts<'_>, found: &mut Found) {
    let mut most: Vec<(&str, u64)> = Vec::new();
    for event in facts.events("started") {
        let (process, restarts) = (event.text("process"), event.count("restarts"));
        match most.iter_mut().find(|(name, _)| *name == process) {
            Some((_, known)) => *known = restarts.max(*known),
            None => most.push((process, restarts)),
        }
    }
    for (process, restarts) in most.into_iter().filter(|(_, restarts)| *restarts >= 5) {
        let text = format!("{process} was started again {restarts} times");
        found.warn(process, text, "its last output is in the report (last_output)");
    }
}
