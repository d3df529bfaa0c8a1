//! `${VAR}` and `${VAR:-default}` in the configuration's strings, `$$` for a dollar sign. Pure: the environment is passed in.
//!
//! Any other `$` stays as it is, so that `["sh", "-c", "echo $HOME"]` reaches the shell untouched. There is no nesting
//! and no further form of the shell's: a value that needs one is computed before softstop starts.

use std::borrow::Cow;

/// Why a string cannot be expanded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unexpandable {
    /// The text at fault, as it stands in the string.
    pub piece: String,
    pub sentence: String,
    pub help: String,
}

impl Unexpandable {
    fn new(piece: String, sentence: impl Into<String>, help: impl Into<String>) -> Unexpandable {
        Unexpandable { piece, sentence: sentence.into(), help: help.into() }
    }
}

/// What the variables of one configuration may amount to, in bytes: a short text that names a long variable again and again would
/// take all memory there is.
pub const MOST: usize = 4 * 1024 * 1024;
/// So many mistakes of one string are told.
const TOLD: usize = 100;

/// The text with its variables replaced. `room`: so many bytes may be put in for them; `None` once it was not enough.
///
/// # Errors
/// Every undefined variable and every form that is not understood, a hundred at most; the variable that there was no room for, once:
/// after that, what contains variables is refused without a word.
pub fn expand<'t>(
    text: &'t str,
    env: &dyn Fn(&str) -> Option<String>,
    room: &mut Option<usize>,
) -> Result<Cow<'t, str>, Vec<Unexpandable>> {
    if !text.contains('$') {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    let mut wrong = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$').filter(|_| wrong.len() < TOLD) {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(inside) = rest.strip_prefix('{') else {
            out.push('$');
            rest = rest.strip_prefix('$').unwrap_or(rest);
            continue;
        };
        let Some((inside, after)) = inside.split_once('}') else {
            wrong.push(unclosed(rest));
            break;
        };
        let Some(left) = *room else { return Err(wrong) };
        match reference(inside, env) {
            Ok(value) => {
                *room = left.checked_sub(value.len());
                if room.is_none() {
                    wrong.push(too_long(inside, value.len()));
                    break;
                }
                out.push_str(&value);
            }
            Err(problem) => wrong.push(problem),
        }
        rest = after;
    }
    out.push_str(rest);
    if wrong.is_empty() { Ok(Cow::Owned(out)) } else { Err(wrong) }
}

fn unclosed(rest: &str) -> Unexpandable {
    let help = "write `${NAME}`, or `$${` for a literal `${`";
    Unexpandable::new(format!("${rest}"), "`${` without its `}`", help)
}

fn too_long(inside: &str, length: usize) -> Unexpandable {
    let piece = format!("${{{inside}}}");
    let so = format!("with `{piece}`, {length} bytes long");
    let sentence = format!("{so}, the variables make more than {MOST} bytes of the configuration");
    let help = "leave long variables out: a program inherits them by itself, or put them into a file that it reads";
    Unexpandable::new(piece, sentence, help)
}

/// What is said of a variable that is needed and not there.
pub fn not_set(name: &str) -> String {
    format!("the environment variable `{name}` is not set")
}

/// What stands for `${inside}`.
fn reference(inside: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, Unexpandable> {
    let end = inside.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(inside.len());
    let (name, form) = inside.split_at(end);
    let piece = format!("${{{inside}}}");
    let default = match form.strip_prefix(":-") {
        // `${A:-${B}}` would end at the first brace and leave the second behind as text.
        Some(default) if default.contains("${") => None,
        Some(default) => Some(Some(default)),
        None if form.is_empty() => Some(None),
        None => None,
    };
    let Some(default) = default.filter(|_| !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit())) else {
        let write = "write `${NAME}` or `${NAME:-default}`";
        let help = format!("{write}; for a shell to see it, double the dollar sign: `${piece}`");
        return Err(Unexpandable::new(
            piece.clone(),
            format!("`{piece}` is not a variable that softstop expands"),
            help,
        ));
    };
    match (env(name), default) {
        (Some(value), None) => Ok(value),
        // As in a shell: `:-` also replaces an empty value.
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => {
            let default = format!("${{{name}:-default}}");
            let help = format!("set it, give a default as in `{default}`, or write `${piece}` for the text itself");
            Err(Unexpandable::new(piece, not_set(name), help))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("db".into()),
            "EMPTY" => Some(String::new()),
            "MONEY" => Some("${HOST}$$".into()),
            _ => None,
        }
    }

    fn plenty(text: &str) -> Result<Cow<'_, str>, Vec<Unexpandable>> {
        expand(text, &env, &mut Some(MOST))
    }

    #[test]
    fn what_variables_amount_to_is_bounded_and_said_once() {
        let mut room = Some(5);
        assert_eq!(expand("${HOST}-${EMPTY}${HOST}", &env, &mut room).unwrap(), "db-db");
        assert_eq!(expand("${NOPE:-x}", &env, &mut room).unwrap(), "x");
        assert_eq!(expand("${EMPTY}", &env, &mut room).unwrap(), "");
        let wrong = expand("a${HOST}${HOST}", &env, &mut room).unwrap_err();
        assert_eq!(wrong.len(), 1);
        assert!(wrong[0].sentence.contains("`${HOST}`, 2 bytes long"), "{}", wrong[0].sentence);
        assert_eq!(expand("${HOST}", &env, &mut room), Err(Vec::new()), "said already");
        assert_eq!(expand("$$5", &env, &mut room).unwrap(), "$5");
        assert_eq!(plenty(&"${NOPE}".repeat(10_000)).unwrap_err().len(), TOLD);
    }

    #[test]
    fn variables_defaults_and_dollar_signs() {
        for (text, expanded) in [
            ("plain", "plain"),
            ("${HOST}:${PORT:-5432}", "db:5432"),
            ("${EMPTY}|${EMPTY:-none}|${NOPE:-}", "|none|"),
            ("$$HOST $HOME $1 $", "$HOST $HOME $1 $"),
            ("$${HOST} $$$$", "${HOST} $$"),
            ("${HOST:-a:-b}${NOPE:-http://x/?a=b}", "dbhttp://x/?a=b"),
            ("é${HOST}é", "édbé"),
        ] {
            assert_eq!(plenty(text).unwrap(), expanded, "{text}");
        }
    }

    #[test]
    fn values_are_not_expanded_again() {
        assert_eq!(plenty("${MONEY}").unwrap(), "${HOST}$$");
    }

    #[test]
    fn every_mistake_is_named() {
        let wrong = plenty("${NOPE} ${} ${1} ${A:?x} ${A:-${B}} ${open").unwrap_err();
        let pieces: Vec<&str> = wrong.iter().map(|w| w.piece.as_str()).collect();
        assert_eq!(pieces, ["${NOPE}", "${}", "${1}", "${A:?x}", "${A:-${B}", "${open"]);
        assert!(wrong[0].sentence.contains("`NOPE` is not set"));
    }
}
