//! What `--help` says, of softstop, of a command, of a topic: made of the declarations, as wide as the terminal. Pure.

use super::commands::{self, Known};
use super::declare::{Flag, Place, Takes};
use super::flags;
use super::layout::{aligned, columns, command_line, hanging, indented, longest, paragraph};
use super::topics;
use crate::endpoint;

/// Where there is no terminal.
pub const WIDTH: usize = 80;
/// A longer line is no better to read.
const WIDEST: usize = 100;
/// A narrower one has no room for a sentence.
const NARROWEST: usize = 40;

pub const ABOUT: &str = "The first process in a container: starts what it runs, answers the orchestrator's probes, and ends everything inside \
    the grace budget, in order, with a report of what happened.";

pub const EXAMPLES: &[(&str, &str)] = &[
    ("softstop -- nginx -g 'daemon off;'", "As an entrypoint, in place of tini"),
    (
        "softstop --grace 30s --drain auto --http 9180 --readiness http://localhost:8080/ -- /app",
        "The same with probes, and a drain before the stop",
    ),
    ("softstop run softstop.toml", "Several processes, hooks, probes, an ordered drain"),
    ("softstop check softstop.toml", "Every mistake in a configuration, with line, column and fix"),
    ("softstop check --pod deployment.yaml", "Where a Kubernetes manifest and the configuration disagree"),
    ("softstop plan softstop.toml", "How it starts, and what its stop may take, drawn"),
    ("softstop report report.json", "What happened at a stop, drawn, and what would help"),
    ("softstop drill --load http://localhost:8080/", "How it stops under load, and what to change"),
    ("softstop drain", "In a preStop hook: drain, then return"),
    ("softstop probe ready", "As Docker's HEALTHCHECK: exit code 0 or 1"),
    ("softstop as tini -s -- /app", "As tini, dumb-init or catatonit, also by link"),
];

const VALUES: &str = "Durations have a unit: 500ms, 30s, 1m30s. Signals are names or numbers: SIGTERM, TERM, 15.";

pub const EXITS: &[(&str, &str)] = &[
    ("0-255", "the main process's own; 128+n when signal n ended it"),
    ("64", "wrong command line"),
    ("70", "softstop's own failure"),
    ("78", "wrong configuration"),
    ("126", "the program is not executable"),
    ("127", "the program was not found"),
];

/// A width that text can be laid out in.
pub(super) fn fits(width: usize) -> usize {
    width.clamp(NARROWEST, WIDEST)
}

pub fn version() -> String {
    concat!("softstop ", env!("CARGO_PKG_VERSION"), "\n").to_owned()
}

/// softstop's own.
pub fn all(width: usize) -> String {
    let width = fits(width);
    let usage = "Usage: softstop [FLAGS] -- CMD...\n       softstop COMMAND [FLAGS]\n       softstop as tini [ARGS]\n";
    let commands: Vec<_> =
        commands::visible().map(|command| (command.name().to_owned(), said(command.help()))).collect();
    [
        paragraph(ABOUT, width),
        usage.to_owned(),
        section("Commands", &columns(&commands, width)),
        flags_of(flags::WRAPPER, true, width),
        paragraph(VALUES, width),
        examples(EXAMPLES, width),
        exits(EXITS, width),
        paragraph(&format!("More: softstop help COMMAND; softstop help {}.", topics().join(", ")), width),
    ]
    .join("\n")
}

/// A command's.
pub fn of(command: Known, width: usize) -> String {
    let width = fits(width);
    let mut parts = vec![
        paragraph(&said(command.help()), width),
        hanging("Usage: ", &typed(command, " [FLAGS]"), width),
        flags_of(&command.args(), false, width),
    ];
    if !command.examples().is_empty() {
        parts.push(examples(command.examples(), width));
    }
    if !command.exits().is_empty() {
        parts.push(exits(command.exits(), width));
    }
    parts.join("\n")
}

/// What `softstop help` says of a command or a topic; `None`: there is no such.
pub fn on(word: &str, width: usize) -> Option<String> {
    if let Some(command) = commands::visible().find(|command| command.name() == word) {
        return Some(of(command, width));
    }
    let topic = topics::ALL.iter().find(|topic| topic.name == word)?;
    Some((topic.text)(fits(width)))
}

pub fn topics() -> Vec<&'static str> {
    topics::ALL.iter().map(|topic| topic.name).collect()
}

/// How a command is typed, in short.
pub fn usage(command: Known) -> String {
    typed(command, "").replace('\u{a0}', " ")
}

fn typed(command: Known, flags: &str) -> String {
    let args = command.args();
    let word = |flag: &&Flag| {
        let value = if flag.takes == Takes::Several { format!("{}...", flag.value) } else { flag.value.to_owned() };
        Some(match flag.place? {
            Place::Optional => format!(" [{value}]"),
            Place::Required => format!(" {value}"),
            Place::Last => format!(" [--\u{a0}{value}]"),
            Place::LastRequired => format!(" --\u{a0}{value}"),
        })
    };
    let words: String = args.iter().filter(|flag| !flag.hidden).filter_map(word).collect();
    format!("softstop {}{flags}{words}", command.name())
}

pub(super) fn section(title: &str, text: &str) -> String {
    format!("{title}:\n{text}")
}

/// Arguments, then flags below their headings. `version`: that is asked for here, too.
fn flags_of(flags: &[&'static Flag], version: bool, width: usize) -> String {
    let (args, flags): (Vec<&Flag>, Vec<&Flag>) =
        flags.iter().filter(|flag| !flag.hidden).partition(|flag| flag.place.is_some());
    let mut parts: Vec<(&str, Vec<(String, String)>)> = Vec::new();
    if !args.is_empty() {
        parts.push(("Arguments", args.iter().map(|flag| (flag.value.to_owned(), described(flag))).collect()));
    }
    let mut headings: Vec<Option<&str>> = Vec::new();
    for flag in &flags {
        if !headings.contains(&flag.heading) {
            headings.push(flag.heading);
        }
    }
    // What has no heading of its own stands last, with what every command has.
    headings.retain(Option::is_some);
    headings.push(None);
    for heading in headings {
        let own = flags.iter().filter(|flag| flag.heading == heading);
        let mut rows: Vec<_> = own.map(|flag| (named(flag), described(flag))).collect();
        if heading.is_none() {
            rows.push(("-h, --help".to_owned(), "This help".to_owned()));
            rows.extend(version.then(|| ("-V, --version".to_owned(), "The version".to_owned())));
        }
        parts.push((heading.unwrap_or("Flags"), rows));
    }
    let first = parts.iter().map(|(_, rows)| longest(rows)).max().unwrap_or(0);
    let parts = parts.iter().map(|(title, rows)| section(title, &aligned(rows, first, width)));
    parts.collect::<Vec<_>>().join("\n")
}

/// `-s, --stop-signal LADDER`
fn named(flag: &Flag) -> String {
    let short = flag.short.map_or_else(|| "    ".to_owned(), |short| format!("-{short}, "));
    let value = if flag.takes == Takes::Nothing { String::new() } else { format!(" {}", flag.value) };
    format!("{short}--{}{value}", flag.long)
}

pub(super) fn described(flag: &Flag) -> String {
    // A bracket's first two words stay together.
    let variable = if flag.variable.is_empty() { String::new() } else { format!(" [env:\u{a0}{}]", flag.variable) };
    said(flag.help).replace("[default: ", "[default:\u{a0}") + &variable
}

/// A declaration's text in one line; `{endpoints}` are those that are served.
pub fn said(help: &str) -> String {
    let words: Vec<&str> = help.split_whitespace().collect();
    words.join(" ").replace("{endpoints}", &endpoint::served())
}

fn examples(all: &[(&str, &str)], width: usize) -> String {
    let one = |(typed, what): &(&str, &str)| indented(&format!("{what}:"), width) + &command_line(typed, width);
    section("Examples", &all.iter().map(one).collect::<Vec<_>>().concat())
}

fn exits(all: &[(&str, &str)], width: usize) -> String {
    let rows: Vec<_> = all.iter().map(|(code, when)| ((*code).to_owned(), (*when).to_owned())).collect();
    section("Exit codes", &columns(&rows, width))
}
