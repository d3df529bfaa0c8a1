//! A Kubernetes manifest's bytes: read within bounds and held against what softstop would make of it; every finding has a place
//! inside the text, a reason and a fix, and nothing in it moves a cursor. A line `#! run` in front says that a configuration is at hand.

use softstop::cli::pod::{Found, interpret, options};
use softstop::config::problem::Place;
use softstop::config::sources::Sources;
use softstop::pod::check;
use softstop::pod::finding::Finding;

const CONFIG: &str = "grace = '30s'\n[http]\nlisten = ':9180'\n[control]\nsocket = '/run/s'\n[[process]]\nname = 'web'\ncommand = ['web']\nuser = 'web'\n";

pub fn target(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let run = text.starts_with("#! run");
    let sources = Sources::of("softstop.toml", CONFIG);
    let found = run.then_some(Found { sources: &sources, named: true });
    let options = options(None, run);
    match check(&text, "fuzz.yaml", &options, &|start| interpret(start, found.as_ref())) {
        Ok(report) => {
            let told = report.errors() > 0 || !report.unread.is_empty();
            assert!(!report.checked.is_empty() || told, "nothing was checked and nobody told");
            report.findings.iter().for_each(|f| check_finding(f, &text));
            super::assert_one_line(&report.summary("fuzz.yaml"));
            serde_json::from_str::<serde_json::Value>(&report.json("fuzz.yaml")).expect("JSON");
        }
        Err(problem) => {
            super::assert_one_line(&problem.sentence);
            problem.places.iter().for_each(|place| inside(place, &text));
        }
    }
}

fn check_finding(finding: &Finding, text: &str) {
    super::assert_one_line(&finding.problem.sentence);
    assert!(!finding.problem.help.trim().is_empty(), "no fix: {finding}");
    // A configuration's problems have their places in it.
    for place in finding.problem.places.iter().filter(|p| p.file == "fuzz.yaml") {
        inside(place, text);
    }
    let said = finding.to_string();
    assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "a control character in {said:?}");
}

fn inside(place: &Place, text: &str) {
    place.position.iter().for_each(|position| super::assert_inside(text, position));
}
