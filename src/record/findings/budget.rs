//! The stop as a whole, and the time that it had. Pure.

use std::time::Duration;

use super::{Facts, Finding, Found};
use crate::record::Outcome;
use crate::sorted;
use crate::time::Human;

pub(super) fn no_end(facts: &Facts<'_>, found: &mut Found) {
    let run = facts.run;
    let at = run.observed.killed.or((run.end.is_none() && run.stop_began.is_some()).then(|| run.last()));
    let Some(at) = at else { return };
    let running = facts.slices.iter().filter(|slice| slice.outcome == Outcome::Open);
    let running: Vec<&str> = running.map(|slice| slice.name.as_str()).collect();
    let doing = if running.is_empty() { String::new() } else { format!(", during: {}", running.join(", ")) };
    let late = run.observed.killed.and(run.grace).filter(|grace| at >= *grace);
    if let Some(grace) = late {
        let text =
            format!("it was still there after the grace of {}, when a kubelet sends SIGKILL{doing}", Human(grace));
        let help = "look at the log: softstop itself is to be gone by then, so the machine did not let it run";
        return found.error("", text, help);
    }
    found.error(
        "",
        format!("softstop was killed before the end of the stop, {} after the request or later{doing}", Human(at)),
        "whoever runs the container waits for less than `grace`: terminationGracePeriodSeconds (less what a preStop hook takes before softstop \
         is told), `docker stop -t`, stop_grace_period; softstop check --pod FILE compares them. Or memory ran out: see the container's last state",
    );
}

pub(super) fn minimum_grace(facts: &Facts<'_>, found: &mut Found) {
    if facts.of_stop("stop_again").any(|event| event.text("effect") == "minimum_grace") {
        let text = "SIGTERM came while the preStop hook was still waited for: the pod's whole grace was used up by the drain, and two seconds were left";
        let help = "raise terminationGracePeriodSeconds to `grace`, or lower the timeouts of the drain";
        found.error("", text.to_owned(), help);
    }
}

pub(super) fn grace_small(facts: &Facts<'_>, found: &mut Found) {
    let late = facts.of_stop("out_of_time").map(|event| event.text("waiting_for")).filter(|who| !who.is_empty());
    let killed = facts.kills.iter().filter(|kill| kill.out_of_time).map(|kill| kill.process.as_str());
    let mut who: Vec<&str> = late.chain(killed).collect();
    sorted::sort(&mut who);
    who.dedup();
    // Of these it has been said what would help.
    who.retain(|who| {
        !["shell", "stuck", "wrong-signal", "slow-stop", "deaf"].iter().any(|rule| found.names(rule, who))
    });
    let over = facts.run.end.as_ref().is_some_and(|end| !end.within_grace);
    if who.is_empty() && !over {
        return;
    }
    let grace = facts.run.grace.unwrap_or_default();
    let text = match who.as_slice() {
        [] => format!("the stop took longer than the grace of {}", Human(grace)),
        who => format!("the grace of {} was over before {} had had its time", Human(grace), who.join(", ")),
    };
    let help = format!(
        "softstop plan shows what the configuration asks for; raise the grace ({}), or lower the waits and timeouts before",
        facts.longer_by(grace / 2)
    );
    found.error("", text, help);
}

pub(super) fn starved(facts: &Facts<'_>, found: &mut Found) {
    let lost: Duration = facts.of_stop("starved").filter_map(|event| event.secs("lost_seconds")).sum();
    if !lost.is_zero() {
        let text = format!("softstop itself got no processor time for {} during the stop", Human(lost));
        found.note(text, "raise the container's CPU limit or request: a stop needs processor time, too");
    }
}

pub(super) fn nearly_spent(facts: &Facts<'_>, found: &mut Found) {
    let (Some(end), Some(grace)) = (&facts.run.end, facts.run.grace) else { return };
    let left = grace.saturating_sub(end.took);
    if facts.run.stop_began.is_some() && left < grace / 10 && !found.list.iter().any(Finding::counts) {
        let text = format!("{} of the grace of {} were left", Human(left), Human(grace));
        found.note(text, format!("leave some room: {}", facts.longer_by(grace / 4)));
    }
}
