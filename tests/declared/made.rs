//! Shell completions and manual pages, made of the declared commands: `examples/pages.rs` writes them, `tests/pages/made.rs` tries them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use softstop::cli::commands::{self, Known};
use softstop::cli::declare::Flag;
use softstop::cli::{flags, help};

use super::grammar;

/// Where each lies in a tarball, which `scripts/deb` takes apart, and its text.
pub fn files() -> Vec<(String, Vec<u8>)> {
    let shells = [
        (Shell::Bash, "completions/softstop.bash"),
        (Shell::Zsh, "completions/_softstop"),
        (Shell::Fish, "completions/softstop.fish"),
    ];
    let shells = shells.map(|(shell, path)| (path.to_owned(), completion(shell)));
    let pages = std::iter::once(None).chain(commands::visible().map(Some));
    let pages = pages.map(|of| (format!("man/{}.1", name(of)), page(of)));
    shells.into_iter().chain(pages).collect()
}

pub fn completion(shell: Shell) -> Vec<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut grammar::without_program(), "softstop", &mut text);
    text
}

/// softstop, or softstop-run.
fn name(of: Option<Known>) -> String {
    of.map_or_else(|| "softstop".to_owned(), |command| format!("softstop-{}", command.name()))
}

/// A manual page, of softstop itself or of a command.
pub fn page(of: Option<Known>) -> Vec<u8> {
    let grammar: Command = match of {
        None => grammar::grammar(),
        Some(command) => grammar::of(command).bin_name(format!("softstop {}", command.name())),
    };
    let man =
        Man::new(grammar.display_name(name(of)).version(env!("CARGO_PKG_VERSION")).disable_version_flag(of.is_some()));
    let man = man
        .date(date())
        .title(name(of).to_uppercase())
        .manual("softstop")
        .source(concat!("softstop ", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    let made = write(&man, of.is_none(), &mut text);
    made.expect("memory can be written to");
    let (flags, examples, exits) = match of {
        None => (flags::WRAPPER.to_vec(), help::EXAMPLES, help::EXITS),
        Some(command) => (command.args(), command.examples(), command.exits()),
    };
    text.extend(environment(&flags).into_bytes());
    text.extend(section("EXIT STATUS", exits.iter().map(|(code, when)| (bold(code), plain(when)))).into_bytes());
    let typed = |(typed, what): &(&str, &str)| (plain(&format!("{what}:")), format!(".EX\n{}\n.EE", plain(typed)));
    text.extend(section("EXAMPLES", examples.iter().map(typed)).into_bytes());
    let also = match of {
        None => "docs/ of its sources, and softstop help.".to_owned(),
        Some(_) => "softstop(1)".to_owned(),
    };
    text.extend(format!(".SH SEE ALSO\n{}\n", plain(&also)).into_bytes());
    text
}

/// Of the sources where a package says so, as reproducible builds do; else today.
fn date() -> String {
    let seconds = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse().ok());
    let at = seconds.map_or_else(SystemTime::now, |seconds| UNIX_EPOCH + Duration::from_secs(seconds));
    humantime::format_rfc3339_seconds(at).to_string().chars().take(10).collect()
}

/// What clap knows of it.
fn write(man: &Man, commands: bool, text: &mut Vec<u8>) -> std::io::Result<()> {
    man.render_title(text)?;
    man.render_name_section(text)?;
    man.render_synopsis_section(text)?;
    man.render_description_section(text)?;
    man.render_options_section(text)?;
    if commands { man.render_subcommands_section(text) } else { Ok(()) }
}

fn environment(flags: &[&'static Flag]) -> String {
    let with = flags.iter().filter(|flag| !flag.variable.is_empty());
    let rows = with.map(|flag| (bold(flag.variable), plain(&format!("Stands for --{}.", flag.long))));
    section("ENVIRONMENT", rows)
}

/// Terms, each with what it is below it; nothing where there are none.
fn section(title: &str, rows: impl Iterator<Item = (String, String)>) -> String {
    let rows: String = rows.map(|(term, text)| format!(".TP\n{term}\n{text}\n")).collect();
    if rows.is_empty() { rows } else { format!(".SH {title}\n{rows}") }
}

fn bold(text: &str) -> String {
    format!("\\fB{}\\fR", plain(text))
}

/// As troff prints it: a dash is a dash, a line that begins with a dot or an apostrophe is text.
fn plain(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}
