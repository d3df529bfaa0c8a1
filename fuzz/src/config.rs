//! A configuration's bytes: read, planned and lived; or refused with a place inside the text and a fix (I11).

use softstop::config::check;
use softstop::config::problem::{Problem, Severity};

use super::life::live;

pub fn target(data: &[u8]) {
    let shown = String::from_utf8_lossy(data);
    let read = check::decode(data, "fuzz.toml").and_then(|text| check::read(text, "fuzz.toml", &super::variable));
    match read {
        Ok((config, warnings)) => {
            for warning in &warnings {
                assert_eq!(warning.severity, Severity::Warning);
                check_problem(warning, &shown);
            }
            live(config);
        }
        Err(problems) => {
            assert!(problems.errors() > 0, "refused without an error");
            problems.list.iter().for_each(|problem| check_problem(problem, &shown));
            printable(&problems.to_string());
        }
    }
}

fn check_problem(problem: &Problem, text: &str) {
    super::assert_one_line(&problem.sentence);
    assert!(!problem.help.trim().is_empty(), "no fix: {problem}");
    assert!(!problem.places.is_empty(), "no place: {problem}");
    for place in &problem.places {
        match &place.position {
            Some(position) => super::assert_inside(text, position),
            // What is missing has no place.
            None => assert!(problem.sentence == "there is no process to run", "no line and column: {problem}"),
        }
    }
    printable(&problem.to_string());
}

/// Whatever the file holds, its errors end up in logs and terminals.
fn printable(message: &str) {
    let moves = |c: char| c.is_control() && c != '\n';
    assert!(!message.contains(moves), "a control character in {message:?}");
}
