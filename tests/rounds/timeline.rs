//! A round that failed, for a reader: what it was, and everything that happened in one line of time.

use std::fmt::Write as _;

use crate::check::Case;
use crate::journal::Did;
use crate::model::Scenario;
use crate::play::Observed;
use crate::sys::{MS, Time};

/// More of them say no more.
const LINES: usize = 400;

pub fn tell(s: &Scenario, o: &Observed, wrong: &[String]) -> String {
    let mut t = format!("\nSOFTSTOP_ROUNDS=1 SOFTSTOP_SEED={}\n", s.seed);
    let how = if s.pid1 { "PID 1" } else { "a subreaper" };
    let place: Vec<String> = s.place.iter().map(ToString::to_string).collect();
    let _ = writeln!(t, "as {how}, unread: {}, traced: {}, place: {place:?}, acts: {:?}", s.unread, s.traced, s.acts);
    wrong.iter().take(12).for_each(|what| t += &format!("* {what}\n"));
    let _ = writeln!(t, "--- configuration\n{}", o.config.trim_end());
    let case = Case::new(s, o);
    let from = o.sent.or(case.t0_between().map(|(t0, _)| t0)).unwrap_or(o.born);
    let zero = case.zero;
    let _ = writeln!(
        t,
        "--- timeline, in ms from the request (softstop's own account within {} ms)",
        (zero.1 - zero.0) / MS
    );
    let mut lines: Vec<(Time, String)> = vec![(o.ended, format!("ENDED with {}", o.code))];
    for record in &o.journal {
        let what = match &record.what {
            Did::Start(start) => format!("starts: {start:?}"),
            Did::Tick => continue,
            other => format!("{other:?}"),
        };
        lines.push((record.at, format!("  {} ({}) {what}", record.name, record.pid)));
    }
    lines.extend(o.done.iter().map(|done| (done.at, format!("ROUND: {}", done.text))));
    lines.extend(o.frozen.iter().map(|(_, to)| (*to, "ROUND: softstop may go on".to_owned())));
    let mut last = Some(0);
    for poll in &o.seen.polls {
        if poll.status != last {
            lines.push((poll.answered, format!("/readyz {:?}, asked {}", poll.status, ms(poll.asked - from))));
        }
        last = poll.status;
    }
    for e in case.events.iter().filter(|e| e.name != "finished") {
        lines.push((zero.0 + e.at, format!("SAID: {}", e.value)));
    }
    lines.sort_by_key(|(at, _)| *at);
    lines.iter().take(LINES).for_each(|(at, text)| t += &format!("{:>9} {text}\n", ms(at - from)));
    let _ = writeln!(t, "--- output\n{}{}", tail(&o.stdout), tail(&o.stderr));
    t
}

fn ms(at: Time) -> String {
    format!("{:.1}", at as f64 / 1e6)
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.contains("yyyyyyyy") && !line.contains("line ")).collect();
    lines[lines.len().saturating_sub(80)..].iter().map(|line| format!("{line}\n")).collect()
}
