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

/// The text with its variables replaced.
///
/// # Errors
/// Every undefined variable and every form that is not understood.
pub fn expand<'t>(
    text: &'t str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Cow<'t, str>, Vec<Unexpandable>> {
    if !text.contains('$') {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    let mut wrong = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(inside) = rest.strip_prefix('{') {
            let Some(end) = inside.find('}') else {
                wrong.push(Unexpandable {
                    piece: format!("${{{inside}"),
                    sentence: "`${` without its `}`".into(),
                    help: "write `${NAME}`, or `$${` for a literal `${`".into(),
                });
                break;
            };
            match reference(&inside[..end], env) {
                Ok(value) => out.push_str(&value),
                Err(problem) => wrong.push(problem),
            }
            rest = &inside[end + 1..];
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    if wrong.is_empty() {
        Ok(Cow::Owned(out))
    } else {
        Err(wrong)
    }
}

/// What stands for `${inside}`.
fn reference(inside: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, Unexpandable> {
    let end = inside
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(inside.len());
    let (name, form) = inside.split_at(end);
    let piece = format!("${{{inside}}}");
    let default = match form.strip_prefix(":-") {
        // `${A:-${B}}` would end at the first brace and leave the second behind as text.
        Some(default) if default.contains("${") => None,
        Some(default) => Some(Some(default)),
        None if form.is_empty() => Some(None),
        None => None,
    };
    let Some(default) =
        default.filter(|_| !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()))
    else {
        return Err(Unexpandable {
            sentence: format!("`{piece}` is not a variable that softstop expands"),
            help: format!(
                "write `${{NAME}}` or `${{NAME:-default}}`; for a shell to see it, double the dollar sign: `${piece}`"
            ),
            piece,
        });
    };
    match (env(name), default) {
        (Some(value), None) => Ok(value),
        // As in a shell: `:-` also replaces an empty value.
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(Unexpandable {
            sentence: format!("the environment variable `{name}` is not set"),
            help: format!(
                "set it, give a default as in `${{{name}:-default}}`, or write `${piece}` for the text itself"
            ),
            piece,
        }),
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
            assert_eq!(expand(text, &env).unwrap(), expanded, "{text}");
        }
    }

    #[test]
    fn values_are_not_expanded_again() {
        assert_eq!(expand("${MONEY}", &env).unwrap(), "${HOST}$$");
    }

    #[test]
    fn every_mistake_is_named() {
        let wrong = expand("${NOPE} ${} ${1} ${A:?x} ${A:-${B}} ${open", &env).unwrap_err();
        let pieces: Vec<&str> = wrong.iter().map(|w| w.piece.as_str()).collect();
        assert_eq!(
            pieces,
            ["${NOPE}", "${}", "${1}", "${A:?x}", "${A:-${B}", "${open"]
        );
        assert!(wrong[0].sentence.contains("`NOPE` is not set"));
    }
}
