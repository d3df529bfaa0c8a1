//! Rows of the table for what `softstop drill` has seen from outside: by its clients, and of the softstop that it has started. Pure.

use std::time::Duration;

use super::{Facts, Found, whole_seconds};
use crate::record::Failed;
use crate::text::several;
use crate::time::Human;

pub(super) const NEVER_READY: &str = "never-ready";

pub(super) fn never_ready(facts: &Facts<'_>, found: &mut Found) {
    if let Some(why) = facts.run.observed.never_ready.as_ref().filter(|_| !found.has("daemon")) {
        let help = "its lines above say more; --ready-timeout gives it longer";
        found.error("", format!("it was stopped before it was ready: {why}"), help);
    }
}

pub(super) fn ended(facts: &Facts<'_>, found: &mut Found) {
    if let Some(how) = facts.run.observed.ended.as_ref().filter(|_| !found.has("daemon")) {
        let cause = facts.run.cause.as_ref().map_or_else(String::new, |cause| format!(" ({cause})"));
        let help = "its last lines say why; a drill needs something that runs until it is stopped";
        found.error("", format!("it ended{how} before the stop was requested{cause}"), help);
    }
}

pub(super) fn crash(facts: &Facts<'_>, found: &mut Found) {
    if let Some(process) = &facts.run.observed.not_again {
        let help = "restart = \"on_failure\" for it; its last lines say why it does not start";
        found.error(process, format!("{process}: after its crash it was not ready again"), help);
    }
}

pub(super) fn left(facts: &Facts<'_>, found: &mut Found) {
    let left = &facts.run.observed.left;
    if !left.is_empty() {
        let text = format!("still there after softstop's end: {}", left.join(", "));
        found.error("", text, "that is a fault of softstop's: report it, please");
    }
}

/// The second half of `port-held`: requests were taken by nobody, as what was left behind has the listening socket.
pub(super) fn socket_kept(facts: &Facts<'_>, found: &mut Found) {
    let seen = &facts.run.observed;
    let count = seen.unanswered.count + seen.cut.count;
    let whose = facts.kills.iter().find(|kill| kill.stragglers).map(|kill| format!("what {} left", kill.process));
    let which = facts.stragglers_killed().map(|event| event.list("which").join(", ")).find(|which| !which.is_empty());
    let killed = whose.is_some() || facts.stragglers_killed().next().is_some();
    if count > 0 && killed {
        let which = which.or(whose).unwrap_or_else(|| "what was left behind".to_owned());
        let text = format!(
            "{count} requests were taken and never answered after the server had ended: {which} still holds its port"
        );
        let help = "have the server close its listening socket in what it starts (close-on-exec), or end that with it: signal_to = \"group\"";
        found.error("", text, help);
    }
}

/// `12 requests, 0.3s to 2.0s after the stop request,`.
fn between(failed: &Failed) -> String {
    let requests = several(failed.count, "request", "requests");
    format!("{requests}, {} to {} after the stop request,", Human(failed.first), Human(failed.last))
}

/// Something else is why requests failed.
fn explained(found: &Found) -> bool {
    [NEVER_READY, "ended", "daemon", "crash", "port-held", "readiness"].iter().any(|rule| found.has(rule))
}

/// The second half of `drain-short`.
pub(super) fn refused(facts: &Facts<'_>, found: &mut Found) {
    let seen = &facts.run.observed;
    if seen.refused.count == 0 || explained(found) {
        return;
    }
    // One that goes on for so long has been seen to go on no longer.
    let least = seen.lag.unwrap_or(seen.refused.last + Duration::from_secs(1));
    let secs = whole_seconds(least);
    let help = format!(
        "drain for longer than load balancers need to notice: [[drain]] wait_idle = {{ ports = \"auto\", minimum = \"{secs}s\" }} (wrapper: \
         --drain auto --drain-sleep {secs}s)"
    );
    found.error("", format!("{} were refused: clients did not know of the stop yet", between(&seen.refused)), help);
}

pub(super) fn cut_off(facts: &Facts<'_>, found: &mut Found) {
    let seen = &facts.run.observed;
    if seen.cut.count > 0 && !explained(found) {
        let text = format!("{} were cut off: they had been taken, and got no whole answer", between(&seen.cut));
        let help = "have the server finish what it has taken before it ends, or wait for it: [[drain]] wait_idle (wrapper: --drain auto); with \
                    signal_to = \"group\" its workers get the signal, too: leave that out";
        found.error("", text, help);
    }
}

pub(super) fn server_errors(facts: &Facts<'_>, found: &mut Found) {
    let errors = &facts.run.observed.errors;
    if errors.count > 0 && !found.has("readiness") {
        let help = "answer requests as ever until the last one: that it stops is said by /readyz alone";
        found.error("", format!("{} were answered with 5xx", between(errors)), help);
    }
}

pub(super) fn no_answer(facts: &Facts<'_>, found: &mut Found) {
    let unanswered = &facts.run.observed.unanswered;
    if unanswered.count > 0 && !explained(found) {
        let help = "is the server stuck, or --patience too short for what it does?";
        found.error("", format!("{} got no answer", between(unanswered)), help);
    }
}
