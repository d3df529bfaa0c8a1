//! What `softstop::picture` draws, as text and SVG, against the files of tests/pictures; `BLESS=1 cargo test --test pages pictures::` writes
//! them anew. Look at them before you commit: an SVG with a browser, in light and dark.

use std::fmt::Write as _;
use std::time::Duration;

use softstop::picture::{Bar, Kind, Mark, MarkKind, Picture, Remark, Row, Style, Weight};

use crate::declared::{is_as_made, marked, text};
use crate::schema::Checker;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn row(depth: usize, label: &str, bars: &[(Kind, u64, u64)], says: &str) -> Row {
    let bars = bars.iter().map(|(kind, from, until)| Bar { kind: *kind, from: MS(*from), until: MS(*until) });
    Row { label: label.into(), depth, bars: bars.collect(), says: says.into(), ..Row::default() }
}

fn mark(at: u64, kind: MarkKind, label: &str) -> Mark {
    Mark { at: MS(at), kind, label: label.into() }
}

fn remark(weight: Weight, text: &str, help: &str) -> Remark {
    Remark { weight, text: text.into(), help: help.into() }
}

/// What can be.
fn planned() -> Picture {
    use Kind::{Least, Most, Reserve};
    Picture {
        title: "softstop plan: examples/softstop.toml".into(),
        subtitle: "30s of grace, the last 1s of it for SIGKILL".into(),
        end: MS(30_000),
        rows: vec![
            Row::heading("drain"),
            row(1, "let the load balancers notice", &[(Least, 0, 5000)], "5.0s"),
            row(
                1,
                "flush the queue",
                &[(Least, 5000, 5000), (Most, 5000, 11_000), (Reserve, 9000, 11_000)],
                "0ms to 6.0s",
            ),
            Row::heading("processes"),
            row(1, "agent", &[(Least, 5000, 5000), (Most, 5000, 19_000)], "0ms to 8.0s"),
            row(2, "web", &[(Least, 5000, 5000), (Most, 5000, 27_000)], "0ms to 15.0s"),
            Row::heading("post_stop"),
            row(1, "ship the last logs", &[(Most, 5000, 29_000), (Reserve, 27_000, 29_000)], "0ms to 3.0s"),
        ],
        marks: vec![
            mark(0, MarkKind::Event, "stop request"),
            mark(29_000, MarkKind::Deadline, "deadline 29.0s"),
            mark(30_000, MarkKind::Kill, "SIGKILL by the kubelet 30.0s"),
        ],
        remarks: vec![remark(
            Weight::Warning,
            "in the worst case web gets 9.2s of the 15.0s that its stop asks for",
            "grace = \"41s\" has room for all of it",
        )],
    }
}

/// What was, with a client's view of it.
fn measured() -> Picture {
    use Kind::{Cut, Done, Failed, Forced};
    let mut connections = row(0, "connections", &[], "at most 40");
    connections.curve = [(0, 40), (1200, 31), (2500, 12), (4000, 3), (6000, 0)].map(|(at, n)| (MS(at), n)).to_vec();
    let mut failed = row(0, "requests failed", &[], "3");
    failed.ticks = [2100, 2150, 7000].map(MS).to_vec();
    Picture {
        title: "softstop report: /tmp/report.json".into(),
        subtitle: "stopped in 9.5s of 10.0s (SIGTERM from outside the container); exit code 137".into(),
        end: MS(10_000),
        rows: vec![
            connections,
            failed,
            Row::heading("drain"),
            row(1, "tell the registry <eu-1> & \"eu-2\"", &[(Failed, 0, 300)], "300ms of 2.0s, failed"),
            row(1, "finish open connections", &[(Cut, 300, 5000)], "4.7s of 4.7s, cut short"),
            Row::heading("processes"),
            row(1, "web", &[(Forced, 5000, 8500)], "3.5s of 3.5s, SIGKILL"),
            row(1, "agent", &[(Done, 5000, 5015)], "15ms of 4.0s"),
        ],
        marks: vec![
            mark(0, MarkKind::Event, "stop request"),
            mark(9000, MarkKind::Deadline, "deadline 9.0s"),
            mark(9500, MarkKind::Event, "ended 9.5s"),
            mark(10_000, MarkKind::Kill, "end of the grace 10.0s"),
        ],
        remarks: vec![
            remark(
                Weight::Error,
                "web needed SIGKILL 3.5s after SIGTERM: it is started through a shell (sh), which waits for its child and passes no signal on",
                "write exec before the last command of the script",
            ),
            remark(Weight::Note, "one", ""),
        ],
    }
}

/// Sixty rows, with names of every length.
fn crowd() -> Picture {
    let rows = (0..60u64).map(|n| {
        let name = format!("worker-{n}{}", "-of-a-long-name".repeat(n as usize % 5));
        row((n % 3) as usize, &name, &[(Kind::Done, n * 100, n * 150 + 100)], "")
    });
    Picture { title: "sixty".into(), end: MS(10_000), rows: rows.collect(), ..Picture::default() }
}

/// One that is over at once, and one that has two hours.
fn lengths() -> [Picture; 2] {
    let of = |unit: u64| Picture {
        title: "length".into(),
        end: MS(unit * 100),
        rows: vec![row(0, "世界", &[(Kind::Done, 0, unit), (Kind::Cut, unit * 50, unit * 100)], "x")],
        marks: vec![
            mark(0, MarkKind::Event, "a"),
            mark(unit, MarkKind::Kill, "b"),
            mark(unit * 2, MarkKind::Deadline, "c"),
        ],
        ..Picture::default()
    };
    [of(1), of(72_000)]
}

fn every_style(picture: &Picture) -> String {
    let styles = [(40, true, false), (80, true, false), (80, false, false), (200, true, false), (80, true, true)];
    let mut all = String::new();
    for (width, unicode, colour) in styles {
        let characters = if unicode { "box characters" } else { "ASCII" };
        let with = if colour { ", in colour" } else { "" };
        let text = picture.text(Style { width, unicode, colour }).replace('\x1b', "␛");
        let _ = writeln!(all, "=== {width} columns, {characters}{with}\n{text}");
    }
    all
}

#[test]
fn the_drawings_are_as_they_were_when_somebody_looked_at_them() {
    let [short, long] = lengths();
    for (name, picture) in [("planned", planned()), ("measured", measured()), ("short", short), ("long", long)] {
        is_as_made(&format!("tests/pictures/{name}.txt"), &every_style(&picture));
        is_as_made(&format!("tests/pictures/{name}.svg"), &picture.svg());
    }
    is_as_made("tests/pictures/crowd.txt", &crowd().text(Style::PLAIN));
    is_as_made("tests/pictures/crowd.svg", &crowd().svg());
}

/// `softstop plan FILE --svg -`.
fn plan_of(file: &str) -> Picture {
    let text = text(file);
    let (config, _) = softstop::config::check::read(&text, file, &|_| None).expect("an example is right");
    softstop::planned::Planned::new(config).picture(file, None, Vec::new())
}

/// Each by the command that its page says.
#[test]
fn the_pictures_of_the_pages_are_what_their_commands_draw() {
    for (file, picture) in
        [("examples/softstop.toml", "plan"), ("examples/recipes/nginx-php-fpm/softstop.toml", "readme")]
    {
        is_as_made(&format!("docs/pictures/{picture}.svg"), &plan_of(file).svg());
    }
    let file = "docs/pictures/report.json";
    let run = softstop::record::Run::read(&std::fs::read(file).expect("it is there")).expect("it is one");
    is_as_made("docs/pictures/report.svg", &run.picture(file).svg());
    for (page, command) in [
        ("docs/plan.md", "softstop plan examples/softstop.toml --svg docs/pictures/plan.svg"),
        ("README.md", "softstop plan examples/recipes/nginx-php-fpm/softstop.toml --svg docs/pictures/readme.svg"),
        ("docs/report.md", "softstop report docs/pictures/report.json --svg docs/pictures/report.svg"),
    ] {
        assert!(text(page).contains(command), "{page} does not say {command}");
    }
}

/// What `softstop report` can find, as its page lists it.
#[test]
fn the_table_of_findings_is_made_of_its_rules() {
    let page = text("docs/report.md");
    let rows = softstop::record::findings::RULES.iter();
    let rows: String = rows.map(|rule| format!("| `{}` | {} |\n", rule.name, rule.when)).collect();
    let table = format!("| | when |\n|---|---|\n{rows}");
    is_as_made("docs/report.md", &marked(&page, "<!-- findings", |_| table.clone()));
}

/// docs/report.schema.json takes every report of this repository, and knows every event.
#[test]
fn the_schema_of_reports_knows_every_event() {
    let schema: serde_json::Value = serde_json::from_str(&text("docs/report.schema.json")).expect("JSON");
    let known = schema.pointer("/properties/timeline/items/properties/event/enum").expect("the events");
    let known: Vec<&str> = known.as_array().expect("a list").iter().filter_map(|name| name.as_str()).collect();
    let source = text("src/report/mod.rs");
    let body = source.split("pub enum Note {").nth(1).expect("it is there").split("\n}\n").next().expect("its end");
    let variants = body.lines().filter_map(|line| {
        let name = line.strip_prefix("    ")?;
        let end = name.find([' ', '(', ',']).unwrap_or(name.len());
        name.starts_with(|c: char| c.is_ascii_uppercase()).then(|| &name[..end])
    });
    let snake = |name: &str| {
        let mut out = String::new();
        for (n, c) in name.chars().enumerate() {
            if c.is_uppercase() && n > 0 {
                out.push('_');
            }
            out.extend(c.to_lowercase());
        }
        out
    };
    let events: Vec<String> = variants.map(snake).collect();
    assert!(events.len() > 40 && events.contains(&"stop_began".to_owned()), "{events:?}");
    for event in &events {
        assert!(known.contains(&event.as_str()), "docs/report.schema.json does not know the event {event}");
    }
    assert_eq!(known.len(), events.len(), "it knows events that there are not: {known:?}\n{events:?}");
    let reasons = schema.pointer("/properties/reason/enum").and_then(|words| words.as_array()).expect("the reasons");
    // Nothing stops because it starts.
    let of_stops = softstop::facts::Reason::ALL.iter().filter(|reason| !["start", "restart"].contains(&reason.name()));
    assert!(of_stops.map(|reason| reason.name()).eq(reasons.iter().filter_map(|word| word.as_str())), "{reasons:?}");
    let report: serde_json::Value = serde_json::from_str(&text("docs/pictures/report.json")).expect("JSON");
    assert!(Checker::new(schema).holds_json(&report));
}
