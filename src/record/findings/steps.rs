//! The steps of the drain and of post_stop, and who knew that it drains. Pure.

use std::time::Duration;

use super::{Facts, Found};
use crate::record::{Outcome, Part, Slice};
use crate::time::Human;

const NEVER_BEGAN: &str = "never began: no time was left for it";

fn after(how: &str, step: &Slice) -> String {
    format!("{how} after {}", Human(step.took()))
}

/// The same of a wait, with what it still waited for.
fn waiting(how: &str, step: &Slice) -> String {
    let why = if step.reason.is_empty() { String::new() } else { format!(": {}", step.reason) };
    after(how, step) + &why
}

pub(super) fn drain_cut(facts: &Facts<'_>, found: &mut Found) {
    for step in facts.steps(Part::Drain) {
        let (how, help) = match step.outcome {
            Outcome::Cut => {
                let longer = facts.longer_by(step.took().max(Duration::from_secs(5)));
                let help =
                    format!("give the whole more time ({longer}), or this step a `timeout` that fits and a `reserve`");
                (waiting("was cut short", step), help)
            }
            Outcome::NoTime => {
                let help = "give it a `reserve`, which the steps before it cannot take, or lower their timeouts";
                (NEVER_BEGAN.to_owned(), help.to_owned())
            }
            _ => continue,
        };
        found.warn(&step.name, format!("drain step {:?} {how}", step.name), help);
    }
}

pub(super) fn drain_short(facts: &Facts<'_>, found: &mut Found) {
    for step in facts.steps(Part::Drain).filter(|step| step.outcome == Outcome::TimedOut) {
        let text = format!("drain step {:?} {}", step.name, waiting("gave up", step));
        let help = "raise its `timeout`, and `grace` with it; or have clients close: docs/stop/drain.md";
        found.warn(&step.name, text, help);
    }
    super::outside::refused(facts, found);
}

pub(super) fn slow_flush(facts: &Facts<'_>, found: &mut Found) {
    for step in facts.steps(Part::PostStop) {
        let (how, help) = match step.outcome {
            Outcome::Cut => {
                (after("was cut short", step), "give it a `reserve` as long as it takes, and `grace` room for that")
            }
            Outcome::TimedOut => (after("timed out", step), "raise its `timeout` and `reserve`"),
            Outcome::NoTime => (NEVER_BEGAN.to_owned(), "give it a `reserve`, which nothing before it can take"),
            _ => continue,
        };
        found.warn(&step.name, format!("post_stop step {:?} {how}", step.name), help);
    }
}

pub(super) fn step_failed(facts: &Facts<'_>, found: &mut Found) {
    for step in facts.slices.iter().filter(|slice| slice.outcome == Outcome::Failed) {
        let text = format!("step {:?} failed: {}", step.name, step.reason);
        found.warn(&step.name, text, "its own lines say why; on_failure = \"ignore\" where that is as it should be");
    }
}

pub(super) fn readiness(facts: &Facts<'_>, found: &mut Found) {
    let (seen, keeps) = (&facts.run.observed, facts.run.setup.keeps_ready);
    let drained = facts.steps(Part::Drain).next().is_some();
    let help = if keeps {
        "leave readiness_on_drain out, unless something else takes the instance out of the balancer"
    } else {
        "probe softstop's /readyz ([http] listen = \":9180\"), which turns 503 at the request, and not the program's own"
    };
    if let Some(at) = seen.ready_until {
        let text =
            format!("readiness was still a success {} after the stop request: load balancers go on sending", Human(at));
        found.error("", text, help);
    } else if keeps && drained && !seen.clients {
        let text = "readiness stayed during the drain (readiness_on_drain = \"keep\"): load balancers went on sending";
        found.warn("", text.to_owned(), help);
    }
}

pub(super) fn no_hook(facts: &Facts<'_>, found: &mut Found) {
    if facts.events("no_hook").next().is_some() {
        let text = "the drain began with SIGTERM: no preStop hook told softstop of the stop before".to_owned();
        let help = "add lifecycle: { preStop: { exec: { command: [\"/softstop\", \"drain\"] } } }, which softstop manifest prints";
        found.note(text, help);
    }
}
