//! A file that is no TOML at all: what it looks like, said once instead of once a line. Pure.

use super::declare::Declared;
use super::process::ProcessKeys;
use super::settings::TopKeys;
use super::values::command_as_array;
use crate::config::problem::Span;

/// So many lines tell what a file is.
const LINES: usize = 200;
/// What the first lines of every configuration may be.
const EXAMPLE: &str =
    "write grace = \"30s\" where YAML has grace: 30s, and [[process]] with name = \"web\" below it where it has a list";

/// What a text that is not TOML looks like.
pub struct Other {
    /// Its first line that says something.
    pub span: Span,
    pub sentence: &'static str,
    pub help: String,
}

/// `None`: it looks like TOML with mistakes in it, or like nothing in particular.
pub fn recognise(text: &str) -> Option<Other> {
    let lines: Vec<&str> = text.lines().filter(says_something).take(LINES).collect();
    let first = lines.first()?;
    let found = json(first).or_else(|| ini(&lines)).or_else(|| yaml(text, &lines));
    let (sentence, help) = found?;
    let start = first.as_ptr() as usize - text.as_ptr() as usize;
    Some(Other { span: start..start + first.len(), sentence, help })
}

/// It has a Procfile's lines, and nothing else.
pub fn is_procfile(text: &str) -> bool {
    let lines: Vec<&str> = text.lines().filter(says_something).take(LINES).collect();
    let other = |line: &&str| line.starts_with("apiVersion:");
    is_yaml(&lines) && services(&lines).is_some() && !lines.iter().any(other)
}

fn says_something(line: &&str) -> bool {
    let line = line.trim_start_matches('\u{feff}').trim();
    !line.is_empty() && !line.starts_with(['#', ';']) && line != "---"
}

fn json(first: &str) -> Option<(&'static str, String)> {
    let json = first.trim_start_matches('\u{feff}').trim_start().starts_with('{');
    let help =
        "write grace = \"30s\" where JSON has \"grace\": \"30s\", and [[process]] where it has an array of objects";
    json.then(|| ("this looks like JSON; a configuration is TOML", help.to_owned()))
}

fn ini(lines: &[&str]) -> Option<(&'static str, String)> {
    let program = lines.iter().find_map(|line| line.strip_prefix("[program:")?.trim_end().strip_suffix(']'));
    if let Some(name) = program {
        let command = lines.iter().find_map(|line| line.strip_prefix("command")?.trim_start().strip_prefix('='));
        let command = command.map_or("[\"program\", \"argument\"]".to_owned(), |text| command_as_array(text.trim()));
        let help = format!("write [[process]], and below it name = {name:?} and command = {command}");
        return Some(("this looks like a configuration of supervisord", help));
    }
    let command = lines.iter().find_map(|line| line.strip_prefix("ExecStart="))?;
    let help =
        format!("write [[process]], and below it name = \"main\" and command = {}", command_as_array(command.trim()));
    Some(("this looks like a unit of systemd", help))
}

/// The key and the value of `key: value` or `- key: value`.
fn pair(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start();
    let line = line.strip_prefix("- ").map_or(line, str::trim_start);
    let (key, value) = line.split_once(':')?;
    let key = key.trim_matches(['"', '\'']);
    let word = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
    (word && (value.is_empty() || value.starts_with([' ', '\t', '\r']))).then_some((key, value.trim()))
}

fn is_pair(line: &&&str) -> bool {
    pair(line).is_some() || line.trim_start().starts_with("- ")
}

fn is_yaml(lines: &[&str]) -> bool {
    let yaml = lines.iter().filter(is_pair).count();
    let is_toml = |line: &&&str| !is_pair(line) && (line.contains('=') || line.trim_start().starts_with('['));
    let toml = lines.iter().filter(is_toml).count();
    lines.first().filter(is_pair).is_some() && yaml > toml
}

/// The names and commands of a Procfile.
fn services<'t>(lines: &[&'t str]) -> Option<Vec<(&'t str, &'t str)>> {
    let commands = lines.iter().map(|line| {
        pair(line).filter(|(key, value)| {
            let ours = TopKeys::SECTION.keys.contains(key) || ProcessKeys::SECTION.keys.contains(key);
            !line.starts_with([' ', '\t', '-'])
                && !ours
                && value.starts_with(|c: char| c.is_alphanumeric() || "./$".contains(c))
        })
    });
    let all = commands.collect::<Option<Vec<_>>>()?;
    all.iter().any(|(_, value)| value.contains(' ')).then_some(all)
}

fn yaml(text: &str, lines: &[&str]) -> Option<(&'static str, String)> {
    if !is_yaml(lines) {
        return None;
    }
    let at_start =
        |key: &str| text.lines().any(|line| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':')));
    if at_start("apiVersion") && at_start("kind") {
        let help = "softstop check --pod FILE holds a manifest against a configuration; softstop manifest prints one";
        return Some(("this is a Kubernetes manifest, no configuration of softstop", help.to_owned()));
    }
    if at_start("services") {
        let help =
            "write a [[process]] for each service that is to run in this container; https://toml.io has the rules";
        return Some(("this looks like YAML, a Compose file; a configuration is TOML", help.to_owned()));
    }
    match services(lines) {
        Some(all) => {
            let (name, command) = all.first()?;
            let command = command_as_array(command);
            let help = format!(
                "name it Procfile, or say that it is one: softstop run -f FILE; or write [[process]], and below it name = {name:?} and command = {command}"
            );
            Some(("this looks like a Procfile, and is named as TOML", help))
        }
        None => Some(("this looks like YAML; a configuration is TOML", EXAMPLE.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_formats_are_called_by_their_names() {
        for (text, name) in [
            ("grace: 30s\nprocess:\n  - name: web\n    command: [\"x\"]\n", "YAML;"),
            ("# mine\n---\nprocess:\n- name: web\n  command:\n    - x\n", "YAML;"),
            ("apiVersion: v1\nkind: Pod\nspec: {}\n", "Kubernetes manifest"),
            ("services:\n  web:\n    image: x\n", "Compose"),
            ("web: node server.js\nworker: node w.js\n", "Procfile"),
            ("{\n  \"grace\": \"30s\"\n}\n", "JSON"),
            ("[program:web]\ncommand=/bin/x -a\nautostart=true\n", "supervisord"),
            ("[Unit]\nDescription=x\n[Service]\nExecStart=/bin/x -a\n", "systemd"),
        ] {
            let other = recognise(text).unwrap_or_else(|| panic!("{text}"));
            assert!(other.sentence.contains(name), "{text}: {}", other.sentence);
            assert!(!text[other.span].starts_with('#'));
        }
        assert!(recognise("web: node server.js").unwrap().help.ends_with("command = [\"node\", \"server.js\"]"));
        assert!(is_procfile("# ours\nweb: node server.js\nworker: ./w\n"));
        for text in [
            "services: a b\n  web: x y\n",
            "apiVersion: v1 x\nkind: Pod\n",
            "grace: 30s x\n",
            "{a: b c}",
            "a = 1\nb: c d",
            "",
        ] {
            assert!(!is_procfile(text), "{text}");
        }
        assert!(recognise("[program:a]\ncommand = /x -a\n").unwrap().help.contains("[\"/x\", \"-a\"]"));
    }

    #[test]
    fn toml_with_mistakes_is_toml() {
        for text in [
            "",
            "#\n",
            "grace = \"30s\"\nx: y\n",
            "[[process]\nname = 'a'\n",
            "x\n",
            "[a]\nb: c\n",
            "a = 'b: c'",
            "url = http://x",
        ] {
            assert!(recognise(text).is_none(), "{text}");
        }
    }
}
