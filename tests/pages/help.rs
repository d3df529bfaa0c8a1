//! What `--help` and `explain` say: word for word in `tests/help`, at 80 and at 50 columns (`BLESS=1` writes them anew); every example is one that
//! softstop accepts, every exit code one that it has.

use std::ffi::OsString;

use softstop::cli::commands::{self, Known};
use softstop::cli::{explain, help, reading};
use softstop::config::check::{explained, tables};
use softstop::exit;

use crate::declared::is_as_made;

fn visible() -> Vec<Known> {
    commands::visible().collect()
}

/// `text`: at a width.
fn golden(name: &str, text: impl Fn(usize) -> String) {
    let at = |width| format!("== at {width} columns\n\n{}", text(width));
    is_as_made(&format!("tests/help/{name}.txt"), &format!("{}\n{}", at(80), at(50)));
}

#[test]
fn help_is_word_for_word_as_it_was_read_and_found_good() {
    golden("softstop", help::all);
    for command in visible() {
        golden(command.name(), |width| help::of(command, width));
    }
    for topic in help::topics() {
        golden(&format!("help-{topic}"), |width| help::on(topic, width).expect("it is a topic"));
    }
    let kept = std::fs::read_dir("tests/help").expect("it is there").count();
    assert_eq!(kept, 2 + visible().len() + help::topics().len(), "tests/help has files of no command");
}

#[test]
fn a_key_is_explained_word_for_word() {
    let asked =
        ["process.readiness.period", "timeout", "http.prestop", "rlimits", "drain", "grace", "process.readiness.http"];
    golden("explained", |width| {
        let say = |key: &&str| {
            let said = explain::key(Some(key), width).unwrap_or_else(|said| said.text);
            format!("$ softstop explain {key}\n{said}\n")
        };
        asked.iter().map(say).collect()
    });
}

/// As a shell would split it: quotes are the only thing of a shell's in it, and what it is piped to or from.
fn words(example: &str) -> Vec<OsString> {
    let own = example
        .split('|')
        .map(str::trim)
        .find(|part| part.trim_start_matches('/').starts_with("softstop"))
        .expect("it is about softstop");
    let own = own.split(" > ").next().unwrap_or(own);
    let (mut all, mut quoted) = (vec![String::new()], false);
    for c in own.chars() {
        match (c, all.last_mut()) {
            ('\'', _) => quoted = !quoted,
            (' ', _) if !quoted => all.push(String::new()),
            (c, Some(word)) => word.push(c),
            (_, None) => {}
        }
    }
    all.into_iter().map(OsString::from).collect()
}

#[test]
fn every_command_has_examples_that_softstop_accepts() {
    let read = |example: &str, expected: &str| {
        let typed = words(example);
        if typed.get(1).is_some_and(|word| word == "as") {
            return;
        }
        match reading::read(&typed) {
            Ok(cli) => assert!(cli.command.is_some() || expected.is_empty(), "{example}"),
            Err(said) => assert_eq!((said.code, expected), (exit::OK, "help"), "{example}: {}", said.text),
        }
        assert!(expected.is_empty() || typed[1] == expected, "{example} is none of softstop {expected}");
    };
    for command in visible() {
        assert!(!command.examples().is_empty(), "softstop {} has no example", command.name());
        for (example, what) in command.examples() {
            read(example, command.name());
            assert!(what.starts_with(char::is_uppercase) && !what.ends_with(['.', ':']), "{example}: {what}");
        }
    }
    for (example, _) in help::EXAMPLES {
        let of_command =
            visible().into_iter().find(|command| example.starts_with(&format!("softstop {}", command.name())));
        read(example, of_command.map_or("", Known::name));
    }
}

#[test]
fn every_exit_code_of_a_command_is_one_that_softstop_has() {
    let known = |code: &str| exit::TABLE.iter().any(|(row, _)| *row == code) || code == "0-255";
    for command in visible() {
        let codes: Vec<&str> = command.exits().iter().map(|(code, _)| *code).collect();
        assert!(codes.iter().all(|code| known(code)), "softstop {}: {codes:?}", command.name());
        let said = |code: u8| codes.contains(&code.to_string().as_str());
        assert!((said(exit::OK) || codes.contains(&"0-255")) && said(exit::USAGE), "softstop {}", command.name());
    }
    assert!(help::EXITS.iter().all(|(code, _)| known(code)));
}

/// By its whole path, by its end, as it stands in a file.
#[cfg(feature = "explain")]
#[test]
fn every_key_is_explained_with_its_meaning_and_a_table_with_its_keys() {
    let top = explain::key(None, 80).expect("the top level is there");
    for row in tables()[0].rows() {
        assert!(
            top.contains(&format!("\n  {} ", row.name)) || top.contains(&format!("\n  {}\n", row.name)),
            "{}",
            row.name
        );
    }
    for table in tables() {
        for row in table.rows() {
            let said = explain::key(Some(row.name), 100).unwrap_or_else(|said| panic!("{}: {}", row.name, said.text));
            let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
            let meaning = explained::meaning(row);
            let first: String = meaning.chars().take_while(|c| !"[`*.:".contains(*c)).collect();
            let first: Vec<&str> = first.split_whitespace().take(3).collect();
            // Of two the one whose whole path it is.
            let other = said.contains("There are also:");
            assert!(said.contains(&first.join(" ")) || other, "{}: {said}", row.name);
        }
    }
    for written in ["process.readiness", "[process.readiness]", "[[process.readiness]]", "readiness"] {
        let said = explain::key(Some(written), 80).unwrap_or_else(|said| panic!("{written}: {}", said.text));
        assert!(said.starts_with("process.readiness\n") && said.contains("failure_threshold"), "{said}");
    }
}

#[cfg(feature = "explain")]
#[test]
fn a_misspelt_key_says_the_nearest() {
    let said = |key: &str| explain::key(Some(key), 80).expect_err("there is no such").text;
    for (key, near) in [
        ("process.readiness.http", "process.readiness.http_get"),
        ("process.readines.period", "process.readiness.period"),
        ("gracee", "grace"),
        ("terminationGracePeriodSeconds", "grace"),
        ("faliure_threshold", "failure_threshold"),
        ("process.working-dir", "process.working_dir"),
    ] {
        assert!(said(key).ends_with(&format!("did you mean {near}?\n")), "{key}: {}", said(key));
    }
    assert!(
        said("process.readiness.zzzzz").contains("in process.readiness are exec, "),
        "{}",
        said("process.readiness.zzzzz")
    );
    assert!(said("\u{1b}[31m.zzzzzzzz").starts_with("error: there is no key "));
}
