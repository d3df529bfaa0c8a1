//! What only a shell would understand, in a command that no shell runs. Pure.

use super::reader::{Field, Reader};
use super::values::for_a_shell;
use crate::programs::file_name;

/// They read such words themselves, or hand them to something that does.
const READ_THEM: &[&str] = &[
    "[", "ash", "awk", "bash", "busybox", "dash", "env", "envsubst", "expr", "find", "gawk", "gosu", "jq", "ksh",
    "mawk", "mysql", "nice", "node", "perl", "php", "psql", "python", "python3", "ruby", "runuser", "sed", "setpriv",
    "sh", "ssh", "su", "su-exec", "sudo", "test", "timeout", "xargs", "zsh",
];
const OPERATORS: &[&str] = &["&&", "||", "|", ">", ">>", "<", "2>&1", "&>", "2>", "&"];
/// A shell's own commands: no files.
const BUILTINS: &[(&str, &str)] = &[
    ("cd", "write working_dir = \"/app\" and the program alone"),
    ("export", "write env = { NAME = \"value\" } and the program alone"),
    ("source", "write env = { NAME = \"value\" } and the program alone"),
    (".", "write env = { NAME = \"value\" } and the program alone"),
    ("exec", "leave it out: nothing stands between softstop and the program"),
    ("ulimit", "the program gets the limits that softstop was started with: set them where the container is started"),
    ("umask", "the program gets the umask that softstop was started with"),
];

/// Whether a text is a shell's command line rather than the name of a program.
pub fn is_command_line(text: &str) -> bool {
    let joined = ["&&", "||", " | ", "; ", " > ", " >> ", " < ", "2>", "$(", "`"];
    text.contains(char::is_whitespace)
        && (joined.iter().any(|part| text.contains(part)) || text.split_whitespace().any(|w| variable(w).is_some()))
}

/// Warns of words that are handed to the program as they stand, which can hardly be meant.
pub fn check(reader: &mut Reader<'_>, name: &str, elements: &[Field<'_>], words: &[Option<String>]) {
    let (Some(program), Some(first)) = (words.first().and_then(Option::as_deref), elements.first()) else { return };
    if let Some((_, help)) = BUILTINS.iter().find(|(builtin, _)| *builtin == program) {
        reader.warn(&first.span(), format!("`{program}` is a shell's own command, no program"), *help);
        return;
    }
    if let Some((variable, value)) = assignment(program) {
        let help = format!("write env = {{ {variable} = {value:?} }}, and the program as the first element");
        reader.warn(&first.span(), format!("`{program}` sets a variable in a shell only"), help);
        return;
    }
    let few = if READ_THEM.contains(&file_name(program)) { 1 } else { usize::MAX };
    let all = || elements.iter().zip(words).filter_map(|(element, word)| Some((element, word.as_deref()?))).take(few);
    if let Some((element, operator)) = all().skip(1).find(|(_, word)| OPERATORS.contains(word)) {
        let line = words.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" ");
        let sentence = format!("`{operator}` is handed over as an argument: no shell runs this");
        reader.warn(&element.span(), sentence, format!("write {name} = {}", for_a_shell(&line)));
    } else if let Some((element, variable)) =
        all().find_map(|(element, _)| Some((element, variable(element.value.get_ref().as_str()?)?)))
    {
        let help = format!("write ${{{variable}}}: softstop puts in what is written so, from its own environment");
        reader.warn(&element.span(), format!("`${variable}` is handed over as it stands: no shell runs this"), help);
    } else if let Some((element, _)) = all().find(|(_, word)| word.starts_with("~/")) {
        let sentence = "`~` is handed over as it stands: no shell runs this";
        reader.warn(&element.span(), sentence, "write the directory, or ${HOME}");
    }
}

/// `$NAME` at the beginning, in capitals as variables of the environment are: the name.
fn variable(word: &str) -> Option<&str> {
    let rest = word.strip_prefix('$')?;
    let end = rest.find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')).unwrap_or(rest.len());
    let (name, behind) = rest.split_at(end);
    (name.starts_with(|c: char| c.is_ascii_uppercase()) && !behind.starts_with(|c: char| c.is_ascii_lowercase()))
        .then_some(name)
}

/// `NAME=value`.
fn assignment(program: &str) -> Option<(&str, &str)> {
    let (name, value) = program.split_once('=')?;
    let valid = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.starts_with(|c: char| c.is_ascii_alphabetic());
    valid.then_some((name, value))
}
