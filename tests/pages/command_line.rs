//! docs/command-line.md, docs/control.md, docs/endpoints.md and the fuzzers' words against the declared flags, commands, orders and endpoints: the
//! tables are made of them.

use std::collections::BTreeSet;

use softstop::cli::commands::{
    AsProcfile, Checking, ConfigFile, Fields, Injecting, Json, Local, Only, Printing, Probing,
};
use softstop::cli::declare::{Group, Takes};
use softstop::cli::{Common, Own, grammar};
use softstop::endpoint;
use softstop::order::Order;

use crate::declared::{is_as_made, marked};

const PAGE: &str = "docs/command-line.md";
const HEAD: &str = "| flag | variable | default | |\n|---|---|---|---|\n";

/// What stands below `<!-- flags: TITLE -->`.
fn flags(title: &str) -> String {
    match title {
        "configuration file" => rows::<ConfigFile>() + &rows::<AsProcfile>(),
        "run" => rows::<Only>() + &rows::<Local>(),
        "wrapper and run" => rows::<Common>(),
        "wrapper" => rows::<Own>(),
        "orders" => rows::<Json>() + &rows::<Fields>(),
        "check and manifest" => rows::<Checking>() + &rows::<Printing>(),
        "inject" => rows::<Injecting>(),
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
        let name = |arg: &clap::Arg| arg.get_value_names().map_or("", |names| names[0].as_str()).to_owned();
        args.map(|arg| if arg.is_required_set() { format!(" {}", name(arg)) } else { format!(" [{}]", name(arg)) })
            .collect::<String>()
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

fn endpoints() -> String {
    let cell = |text: &str| if text.is_empty() { " |".to_owned() } else { format!(" {text} |") };
    let lines = endpoint::ALL.iter().zip(endpoint::PAGE);
    let lines = lines.map(|(e, line)| format!("| `{}` |{}{}\n", e.path, cell(line.fine), cell(line.not)));
    format!("| path | 200 | 503 |\n|---|---|---|\n{}", lines.collect::<String>())
}

#[test]
fn the_table_of_endpoints_is_made_of_their_declarations() {
    let page = std::fs::read_to_string("docs/endpoints.md").expect("it is there");
    assert!(page.contains("<!-- endpoints -->"));
    is_as_made("docs/endpoints.md", &marked(&page, "<!-- endpoints", |_| endpoints()));
}

#[test]
fn every_endpoint_is_among_the_words_of_the_fuzzers() {
    let besides = [
        "GET ",
        "HEAD ",
        "POST ",
        " HTTP/1.1\r\n",
        " HTTP/1.0\r\n",
        "Host: x\r\n",
        "\r\n\r\n",
        "Content-Length: ",
        "Transfer-Encoding: chunked\r\n",
        "Connection: close\r\n",
        "Connection: keep-alive\r\n",
        "Expect: 100-continue\r\n",
        "Upgrade: h2c\r\n",
        "?verbose",
        "&exclude=",
        "%2f",
        "HTTP/2.0",
        "0\r\n\r\n",
        "http://x/",
    ];
    let words = besides.into_iter().chain(endpoint::ALL.iter().map(|e| e.path));
    let line = |word: &str| format!("\"{}\"\n", word.replace('\r', "\\x0d").replace('\n', "\\x0a"));
    is_as_made("fuzz/dict/http_request.dict", &words.map(line).collect::<String>());
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
