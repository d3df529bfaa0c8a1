//! What `softstop help` knows besides the commands. Pure.

use super::commands::ConfigFile;
use super::declare::{Flag, Takes};
use super::flags;
use super::help::{said, section};
use super::layout::{columns, paragraph};
use super::reader::args;
use crate::exit;
use crate::variables;

pub struct Topic {
    pub name: &'static str,
    pub text: fn(usize) -> String,
}

pub const ALL: &[Topic] = &[
    Topic { name: "exit-codes", text: exit_codes },
    Topic { name: "signals", text: signals },
    Topic { name: "variables", text: self::variables },
];

fn exit_codes(width: usize) -> String {
    let row = |(code, when): &(&str, &str)| ((*code).to_owned(), when.replace('`', ""));
    let more = "Of softstop check 78 means that something is wrong, 1 that there are warnings (--strict). An order exits with 0 when it is done \
        and with 1 when it was refused; softstop probe with 0 or 1. -e 143=0 remaps the main process's code. Whose code it was stands in \
        the last line of the log.";
    [section("Exit codes", &columns(&exit::TABLE.iter().map(row).collect::<Vec<_>>(), width)), paragraph(more, width)]
        .join("\n")
}

const SIGNALS: &[(&str, &str)] = &[
    (
        "TERM, INT",
        "ask for the stop; a further one changes nothing. In a terminal the second Ctrl-C ends the drain, the third kills",
    ),
    (
        "QUIT",
        "from outside the container asks for the stop, unless the program answers it with a dump (a JVM); from inside it is passed on",
    ),
    (
        "HUP, USR1, ...",
        "every other one is passed on to the main process; under softstop run only if that would not end it",
    ),
    ("KILL, STOP", "cannot be caught; from inside its PID namespace they do not reach PID 1"),
];

fn signals(width: usize) -> String {
    let row = |(name, does): &(&str, &str)| ((*name).to_owned(), (*does).to_owned());
    let more = [
        "--stop-on TERM,SIGRTMIN+3 (stop_on) says which ask for the stop, and no others do. --rewrite HUP:0 sends the process another one in \
            its place, or none. --signal-to group (-g) sends them to its whole process group.",
        "The process is stopped by the signal that softstop got, or by a ladder: -s QUIT:20s,TERM:3s; SIGKILL follows its last wait, and at the \
            end of the grace whatever still lives has it.",
        "Names are SIGTERM, TERM, term or 15, and SIGRTMIN+3. softstop signal NAME SIG sends one to a process.",
    ];
    let more = more.map(|text| paragraph(text, width));
    [
        section("What each does to softstop", &columns(&SIGNALS.iter().map(row).collect::<Vec<_>>(), width)),
        more.join("\n"),
    ]
    .join("\n")
}

fn variables(width: usize) -> String {
    let all = [args::<ConfigFile>(), flags::WRAPPER.to_vec()].concat();
    let row = |flag: &&'static Flag| {
        let value = if flag.takes == Takes::Nothing { String::new() } else { format!("\u{a0}{}", flag.value) };
        (flag.variable.to_owned(), format!("--{}{value}: {}", flag.long, said(flag.help)))
    };
    let read: Vec<_> = all.iter().filter(|flag| !flag.variable.is_empty()).map(row).collect();
    let set: Vec<_> = variables::ALL.iter().map(|(name, what)| ((*name).to_owned(), (*what).to_owned())).collect();
    let rule = "A flag wins over its variable, with softstop run both over the file. A variable that is set and empty counts as not set.";
    [
        paragraph(rule, width),
        section("Read", &columns(&read, width)),
        section("Set for what softstop runs", &columns(&set, width)),
    ]
    .join("\n")
}
