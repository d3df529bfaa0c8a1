//! docs/command-line.md and the pages behind it, docs/control.md, docs/endpoints.md and the fuzzers' words against the declared flags, commands,
//! orders and endpoints: the tables are made of them.

use std::collections::BTreeSet;

use softstop::cli::commands::{
    self, AsProcfile, Checking, ConfigFile, Fields, Injecting, Json, Local, Logs, Planning, Printing, Probing,
    Reporting, Watching,
};
use softstop::cli::declare::{Flag, Form, Group, Place, Takes};
use softstop::cli::drilling::Drilling;
use softstop::cli::{Common, Own, flags as declared_flags, help};
use softstop::endpoint;
use softstop::http::metrics::declared as metrics;
use softstop::order::Order;

use crate::declared::{is_as_made, marked, pages_of, seen_from, text};

const HEAD: &str = "| flag | variable | default | |\n|---|---|---|---|\n";

/// What stands below `<!-- flags: TITLE -->`.
fn flags(title: &str) -> String {
    match title {
        "configuration file" => rows::<ConfigFile>() + &rows::<AsProcfile>(),
        "run" => rows::<Local>(),
        "wrapper and run" => rows::<Common>(),
        "wrapper" => rows::<Own>(),
        "logs" => rows::<Logs>(),
        "orders" => rows::<Json>() + &rows::<Watching>() + &rows::<Fields>(),
        "plan" => rows::<Planning>(),
        "report" => rows::<Reporting>(),
        "check and manifest" => rows::<Checking>() + &rows::<Printing>(),
        "drill" => rows::<Drilling>(),
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
    // What may stand behind the dashes is told above the table.
    let typed = |flag: &&'static Flag| match flag.place {
        Some(Place::Optional) => Some(format!(" [{}]", flag.value)),
        Some(Place::Required) => Some(format!(" {}", flag.value)),
        _ => None,
    };
    let line = |command: commands::Known| {
        let args: String = command.args().iter().filter_map(typed).collect();
        format!("| `softstop {}{args}` | {} |\n", command.name(), help::said(command.help()))
    };
    format!("| command | |\n|---|---|\n{}", commands::visible().map(line).collect::<String>())
}

fn examples() -> String {
    let line = |(typed, what): &(&str, &str)| format!("| {what} | `{}` |\n", typed.replace('|', "\\|"));
    let all = help::EXAMPLES.iter().chain(commands::visible().flat_map(|command| command.examples()));
    format!("| what for | what is typed |\n|---|---|\n{}", all.map(line).collect::<String>())
}

fn exits() -> String {
    let line = |command: commands::Known| {
        let codes = command.exits().iter().map(|(code, when)| format!("**{code}** {when}"));
        format!("| `{}` | {} |\n", command.name(), codes.collect::<Vec<_>>().join("; "))
    };
    format!("| command | exit codes |\n|---|---|\n{}", commands::visible().map(line).collect::<String>())
}

fn orders() -> String {
    let typed = |name: &str| help::usage(commands::find(name.as_ref()).expect("each order is a command"));
    let lines = Order::ALL.iter().zip(Order::PAGE);
    let lines = lines.map(|(order, line)| format!("| `{}` | {} | {} |\n", typed(order.name), line.does, line.answers));
    format!("| order | does | answers |\n|---|---|---|\n{}", lines.collect::<String>())
}

#[test]
fn the_tables_of_flags_and_commands_are_made_of_their_declarations() {
    let pages = pages_of("command-line");
    for mark in ["<!-- commands -->", "<!-- examples -->", "<!-- exit codes of commands -->"] {
        assert_eq!(pages.iter().filter(|(_, page)| page.contains(mark)).count(), 1, "one page has {mark}");
    }
    for (path, page) in pages {
        let made = marked(&page, "<!-- flags: ", |title| format!("{HEAD}{}", seen_from(&path, &flags(title))));
        let made = marked(&made, "<!-- commands", |_| commands());
        let made = marked(&made, "<!-- examples", |_| examples());
        is_as_made(&path, &marked(&made, "<!-- exit codes of commands", |_| exits()));
    }
}

#[test]
fn the_table_of_orders_is_made_of_their_declarations() {
    let page = text("docs/control.md");
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
    let page = text("docs/endpoints.md");
    assert!(page.contains("<!-- endpoints -->"));
    is_as_made("docs/endpoints.md", &marked(&page, "<!-- endpoints", |_| endpoints()));
}

#[test]
fn the_table_of_metrics_is_made_of_their_declarations() {
    let page = text("docs/monitoring.md");
    assert!(page.contains("<!-- metrics -->"));
    let labels =
        |row: &metrics::Row| row.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
    let line = |row: &metrics::Row| format!("| `{}` | {} | {} | {} |\n", row.name, row.kind, labels(row), row.help);
    let table = format!(
        "| metric | type | labels | |\n|---|---|---|---|\n{}",
        metrics::ALL.iter().map(line).collect::<String>()
    );
    is_as_made("docs/monitoring.md", &marked(&page, "<!-- metrics", |_| table.clone()));
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
    "--help",
    "--version",
    "-h",
    "-V",
    "ready",
];

#[test]
fn the_words_of_the_fuzzers_are_made_of_the_declared_flags_and_commands() {
    let mut words: BTreeSet<String> = BESIDES.iter().map(|word| (*word).to_owned()).collect();
    words.extend(commands::visible().map(|command| format!("\n{}\n", command.name())));
    for flag in commands::all().flat_map(commands::Known::args).chain(declared_flags::WRAPPER.iter().copied()) {
        if flag.place.is_none() {
            words.insert(format!("--{}", flag.long));
        }
        let follows = if flag.takes == Takes::Nothing { "" } else { "\n" };
        words.extend(flag.short.map(|short| format!("-{short}{follows}")));
        if let Form::Words(all) = flag.form {
            words.extend(all.iter().map(|word| (*word).to_owned()));
        }
    }
    let line = |word: &String| format!("\"{}\"\n", word.replace('\\', "\\\\").replace('\n', "\\x0a"));
    is_as_made("fuzz/dict/command_line.dict", &words.iter().map(line).collect::<String>());
}
