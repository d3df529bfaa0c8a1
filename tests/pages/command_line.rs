//! docs/command-line.md, docs/control.md and the fuzzers' words against the declared flags, commands and orders: the tables are made of them.

use std::collections::BTreeSet;

use softstop::cli::commands::{Checking, ConfigFile, Fields, Json, Printing, Probing};
use softstop::cli::declare::{Group, Takes};
use softstop::cli::{Common, Own, grammar};
use softstop::order::Order;

use crate::declared::{is_as_made, marked};

const PAGE: &str = "docs/command-line.md";
const HEAD: &str = "| flag | variable | default | |\n|---|---|---|---|\n";

/// What stands below `<!-- flags: TITLE -->`.
fn flags(title: &str) -> String {
    match title {
        "configuration file" => rows::<ConfigFile>(),
        "wrapper and run" => rows::<Common>(),
        "wrapper" => rows::<Own>(),
        "orders" => rows::<Json>() + &rows::<Fields>(),
        "check and manifest" => rows::<Checking>() + &rows::<Printing>(),
        "probe" => rows::<Probing>(),
        other => panic!("there is no group of flags {other:?}"),
    }
}

fn rows<G: Group>() -> String {
    let quoted = |text: &str| if text.is_empty() { String::new() } else { format!(" `{text}`") };
    let lines = G::ROWS.iter().zip(G::PAGE).filter(|(row, line)| row.flag.place.is_none() && !line.meaning.is_empty());
    lines
        .map(|(row, line)| {
            let flag = &row.flag;
            let short = flag.short.map(|short| format!(" `-{short}`,")).unwrap_or_default();
            let value = if flag.takes == Takes::Nothing { String::new() } else { format!(" {}", flag.value) };
            let default = if line.default.is_empty() { String::new() } else { format!(" {}", line.default) };
            let variable = quoted(flag.variable);
            format!("|{short} `--{}{value}` |{variable} |{default} | {} |\n", flag.long, line.meaning)
        })
        .collect()
}

fn commands() -> String {
    let mut all = grammar();
    all.build();
    let own = all.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help");
    let line = |command: &clap::Command| {
        let args = command.get_positionals().filter(|arg| !arg.is_hide_set() && !arg.is_last_set());
        let args = args.map(|arg| {
            let name = arg.get_value_names().map_or("", |names| names[0].as_str());
            if arg.is_required_set() { format!(" {name}") } else { format!(" [{name}]") }
        });
        let about = command.get_about().expect("every command says what it does").to_string().replace('\n', " ");
        format!("| `softstop {}{}` | {about} |\n", command.get_name(), args.collect::<String>())
    };
    format!("| command | |\n|---|---|\n{}", own.map(line).collect::<String>())
}

fn orders() -> String {
    let typed = |name: &str| {
        let all = grammar();
        let command = all.find_subcommand(name).expect("each order is a command");
        let args = command.get_positionals().filter(|arg| !arg.is_hide_set());
        args.map(|arg| format!(" {}", arg.get_value_names().map_or("", |names| names[0].as_str()))).collect::<String>()
    };
    let lines = Order::ALL.iter().zip(Order::PAGE);
    let lines = lines.map(|(order, line)| {
        format!("| `softstop {}{}` | {} | {} |\n", order.name, typed(order.name), line.does, line.answers)
    });
    format!("| order | does | answers |\n|---|---|---|\n{}", lines.collect::<String>())
}

#[test]
fn the_tables_of_flags_and_commands_are_made_of_their_declarations() {
    let page = std::fs::read_to_string(PAGE).expect("it is there");
    let made = marked(&page, "<!-- flags: ", |title| format!("{HEAD}{}", flags(title)));
    is_as_made(PAGE, &marked(&made, "<!-- commands", |_| commands()));
}

#[test]
fn the_table_of_orders_is_made_of_their_declarations() {
    let page = std::fs::read_to_string("docs/control.md").expect("it is there");
    assert!(page.contains("<!-- orders -->"));
    is_as_made("docs/control.md", &marked(&page, "<!-- orders", |_| orders()));
}

/// What a flag may have behind it, and what stands between arguments.
const BESIDES: &[&str] = &[
    "\n--\n",
    "8s",
    "500ms",
    "SIGTERM:5s",
    "TERM,INT",
    "143=0",
    "auto,8080",
    "token:0123456789abcdef",
    "token-file:/t",
    "http://h:1/",
    "tcp:1",
    "\nhelp\n",
    "--help",
    "--version",
    "ready",
];

#[test]
fn the_words_of_the_fuzzers_are_made_of_the_declared_flags_and_commands() {
    let mut all = grammar();
    all.build();
    let mut words: BTreeSet<String> = BESIDES.iter().map(|word| (*word).to_owned()).collect();
    for command in all.get_subcommands().chain([&all]) {
        if command.get_name() != "softstop" && !command.is_hide_set() {
            words.insert(format!("\n{}\n", command.get_name()));
        }
        for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
            words.extend(arg.get_long().map(|long| format!("--{long}")));
            let follows = if arg.get_action().takes_values() { "\n" } else { "" };
            words.extend(arg.get_short().map(|short| format!("-{short}{follows}")));
            words.extend(arg.get_possible_values().iter().map(|value| value.get_name().to_owned()));
        }
    }
    let line = |word: &String| format!("\"{}\"\n", word.replace('\\', "\\\\").replace('\n', "\\x0a"));
    is_as_made("fuzz/dict/command_line.dict", &words.iter().map(line).collect::<String>());
}
