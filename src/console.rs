//! What is said before there is a log, or instead of one.

use std::io::{IsTerminal, Write};
use std::path::Path;

use softstop::config::problem::{Problem, Problems};
use softstop::exit;
use softstop::output::sink::colour_wanted;
use softstop::picture::{Picture, Style};
use softstop::sys::terminal;

pub(crate) fn usage_error(why: &str) -> u8 {
    say(&in_usage(why));
    exit::USAGE
}

pub(crate) fn in_usage(why: &str) -> String {
    format!("error: {why}\n\nFor more information, try 'softstop --help'.")
}

/// Of what a softstop of images cannot do. The exit code.
#[cfg(not(feature = "yaml"))]
pub(crate) fn without_yaml(what: &str) -> u8 {
    say(&format!("error: this softstop was built without YAML; build it with --features yaml for {what}"));
    exit::USAGE
}

/// Of a configuration that is none: everything that is wrong with it. The exit code.
pub(crate) fn refused(problems: &Problems) -> u8 {
    say(&problems.to_string());
    exit::CONFIG
}

/// What can be lived with in a configuration.
pub(crate) fn warn(warnings: &[Problem]) {
    warnings.iter().for_each(|warning| say(warning.to_string().trim_end()));
}

/// To standard error; if nobody can read it there is nobody to tell.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

pub(crate) fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// How a picture is drawn on standard output: as wide as the terminal, or `$COLUMNS`; in box characters, unless the locale says that it has
/// none; in colours on a terminal alone, where nobody has turned them off.
pub(crate) fn style() -> Style {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let columns = variable("COLUMNS").and_then(|columns| columns.parse().ok());
    let width = columns.or_else(terminal::columns).unwrap_or(Style::PLAIN.width);
    // In a container there is often none, and the terminal is another machine's.
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(variable);
    let unicode = locale.is_none_or(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    });
    let [no_color, term] = ["NO_COLOR", "TERM"].map(std::env::var_os);
    let colour = std::io::stdout().is_terminal() && colour_wanted(no_color.as_deref(), term.as_deref());
    Style { width, unicode, colour }
}

/// Writes the picture as SVG; `-` is standard output.
///
/// # Errors
/// The exit code, when that has been said.
pub(crate) fn draw(path: &Path, picture: &Picture) -> Result<(), u8> {
    if path == Path::new("-") {
        print(&picture.svg());
        return Ok(());
    }
    std::fs::write(path, picture.svg()).map_err(|error| {
        say(&format!("softstop: error: cannot write the picture to {}: {error}", path.display()));
        exit::FAILED
    })
}
