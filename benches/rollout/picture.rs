//! The results drawn: failed requests by lag, and one rolling restart on a time axis. Plain SVG that follows the reader's light or dark.

use std::fmt::Write;
use std::time::{Duration, Instant};

use crate::Results;
use crate::inits::Row;
use crate::restart::Outcome;

const WIDTH: f64 = 900.0;
/// Where both charts begin and end, left of it their labels.
const LEFT: f64 = 170.0;
const RIGHT: f64 = WIDTH - 20.0;
/// The bars' chart, from its highest bar to its base line.
const TOP: f64 = 96.0;
const BASE: f64 = 300.0;
/// The timeline's first row and what each needs.
const ROWS: f64 = 396.0;
const ROW: f64 = 40.0;
/// The lag of the timeline: the largest of those measured up to this.
const SHOWN_LAG: Duration = Duration::from_secs(5);

const STYLE: &str = "
text { font: 12px system-ui, sans-serif; fill: #1f2328 } .small { font-size: 10px } .head { font-size: 15px; font-weight: 600 }
.axis { stroke: #8c959f } .grid { stroke: #8c959f; stroke-opacity: .3 } .fail { stroke: #cf222e; stroke-opacity: .7 }
.bare { fill: #8c959f } .tini { fill: #bf8700 } .dumb { fill: #bc4c00 } .s6 { fill: #8250df } .prestop { fill: #0969da }
.sleep { fill: #4ac26b } .idle { fill: #1a7f37 } .auto { fill: #0f5132 } .shutdown { fill-opacity: .45 } .known { stroke: #1f2328; stroke-width: 2 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .known { stroke: #e6edf3 } .fail { stroke: #ff7b72 }
.prestop { fill: #58a6ff } .s6 { fill: #a371f7 } .idle { fill: #3fb950 } .sleep { fill: #7ee2a8 } .auto { fill: #aff5b4 } .dumb { fill: #f0883e } .tini { fill: #d29922 } }
";

pub fn svg(results: &Results) -> String {
    let height = ROWS + ROW * results.rows.len() as f64 + 56.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"failed requests by lag, and one rolling restart\">\n<style>{STYLE}</style>\n"
    );
    legend(&mut out, &results.rows);
    bars(&mut out, results);
    timeline(&mut out, results);
    out.push_str("</svg>\n");
    out
}

fn text(out: &mut String, x: f64, y: f64, class: &str, anchor: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    put(out, &format!("<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\" text-anchor=\"{anchor}\">{words}</text>"));
}

fn line(out: &mut String, from: (f64, f64), to: (f64, f64), class: &str) {
    let ((x1, y1), (x2, y2)) = (from, to);
    put(out, &format!("<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" class=\"{class}\"/>"));
}

fn rect(out: &mut String, (x, y): (f64, f64), (width, height): (f64, f64), class: &str) {
    put(
        out,
        &format!("<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" class=\"{class}\"/>"),
    );
}

fn put(out: &mut String, element: &str) {
    writeln!(out, "{element}").expect("writing to a String cannot fail");
}

fn legend(out: &mut String, rows: &[Row]) {
    text(
        out,
        20.0,
        24.0,
        "head",
        "start",
        "Failed requests of a rolling restart, by how much later the load balancer knows",
    );
    let mut x = 20.0;
    let mut y = 48.0;
    for init in rows.iter().map(|row| &row.init) {
        let needs = 34.0 + 6.6 * init.name.len() as f64;
        if x + needs > RIGHT {
            (x, y) = (20.0, y + 18.0);
        }
        rect(out, (x, y - 10.0), (12.0, 12.0), init.class);
        text(out, x + 17.0, y, "", "start", &init.name);
        x += needs;
    }
}

/// All kinds of requests, per rolling restart.
fn failed(outcomes: &[Outcome]) -> f64 {
    let all: usize = outcomes.iter().flat_map(|o| o.tallies.iter().map(|t| t.failed.len())).sum();
    all as f64 / outcomes.len().max(1) as f64
}

fn bars(out: &mut String, results: &Results) {
    let all = results.outcomes.iter().flatten().map(|o| failed(o));
    let highest = all.fold(1.0, f64::max);
    let left = 60.0;
    let group = (RIGHT - left) / results.lags.len() as f64;
    let width = (group - 24.0) / results.rows.len() as f64;
    for part in [0.5, 1.0] {
        let y = BASE - (BASE - TOP) * part;
        line(out, (left, y), (RIGHT, y), "grid");
        text(out, left - 6.0, y + 4.0, "small", "end", &format!("{:.0}", highest * part));
    }
    for (l, lag) in results.lags.iter().enumerate() {
        let begin = left + group * l as f64 + 12.0;
        for (i, row) in results.rows.iter().enumerate() {
            let count = failed(&results.outcomes[i][l]);
            let high = (BASE - TOP) * count / highest;
            let x = begin + width * i as f64;
            rect(out, (x, BASE - high), (width - 2.0, high), row.init.class);
            let label = if count > 0.0 && count < 10.0 { format!("{count:.1}") } else { format!("{count:.0}") };
            text(out, x + width / 2.0 - 1.0, BASE - high - 4.0, "small", "middle", &label);
        }
        text(out, begin + group / 2.0 - 12.0, BASE + 18.0, "", "middle", &format!("lag {} s", lag.as_secs()));
    }
    line(out, (left, BASE), (RIGHT, BASE), "axis");
}

fn timeline(out: &mut String, results: &Results) {
    let l = results.lags.iter().rposition(|l| *l <= SHOWN_LAG).unwrap_or(0);
    let lag = results.lags[l];
    let Some(shown) = results.outcomes.iter().map(|by_lag| by_lag[l].first()).collect::<Option<Vec<_>>>() else {
        return;
    };
    let end_of = |o: &Outcome| o.stops.iter().map(|s| s.asked + s.ended.max(lag) - begin(o)).max().unwrap_or_default();
    let longest = shown.iter().map(|o| end_of(o)).max().unwrap_or_default().as_secs_f64() + 1.0;
    let x = |at: Duration| LEFT + (RIGHT - LEFT) * (at.as_secs_f64() / longest).min(1.0);
    let title = format!("One rolling restart of two instances, lag {} s", lag.as_secs());
    text(out, 20.0, ROWS - 44.0, "head", "start", &title);
    let key = "full colour: stop asked for, still serving · pale: the application shuts down · upright bar: the balancer knows · red: failed requests";
    text(out, 20.0, ROWS - 24.0, "small", "start", key);
    let foot = ROWS + ROW * results.rows.len() as f64;
    let step = if longest > 30.0 { 5 } else { 2 };
    for second in (0..).step_by(step).take_while(|s| (*s as f64) < longest) {
        let at = x(Duration::from_secs(second));
        line(out, (at, ROWS - 8.0), (at, foot), "grid");
        text(out, at, foot + 16.0, "small", "middle", &format!("{second} s"));
    }
    for (i, (row, outcome)) in results.rows.iter().zip(shown).enumerate() {
        let init = &row.init;
        let y = ROWS + ROW * i as f64;
        text(out, LEFT - 10.0, y + 14.0, "", "end", &init.name);
        for (number, stop) in outcome.stops.iter().enumerate() {
            let (lane, asked) = (y + 11.0 * number as f64, stop.asked - begin(outcome));
            let [from, told, ended] = [asked, asked + stop.told, asked + stop.ended].map(x);
            rect(out, (from, lane), (told - from, 9.0), init.class);
            rect(out, (told, lane), (ended - told, 9.0), &format!("{} shutdown", init.class));
            line(out, (x(asked + lag), lane - 1.0), (x(asked + lag), lane + 10.0), "known");
        }
        for (at, _) in outcome.tallies.iter().flat_map(|t| &t.failed) {
            let at = x(at.saturating_duration_since(begin(outcome)));
            line(out, (at, y + 23.0), (at, y + 32.0), "fail");
        }
    }
    line(out, (LEFT, foot), (RIGHT, foot), "axis");
    text(out, RIGHT, foot + 34.0, "small", "end", "since the first stop was asked for");
}

fn begin(outcome: &Outcome) -> Instant {
    outcome.stops[0].asked
}
