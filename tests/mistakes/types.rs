//! Of which TOML types a key's value may be, as docs/configuration.md has it; and values of every type, edges first of all.

use std::collections::HashMap;
use std::sync::OnceLock;

use softstop::config::check::keys::Section;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Type {
    String,
    Integer,
    Float,
    Boolean,
    Date,
    Array,
    Table,
}

/// A value of each type at its edges, and what people write by mistake.
pub const VALUES: &[(&str, Type)] = &[
    ("\"\"", Type::String),
    ("\" \"", Type::String),
    ("\"0\"", Type::String),
    ("\"-1\"", Type::String),
    ("\"8080\"", Type::String),
    ("\"70000\"", Type::String),
    ("\"0s\"", Type::String),
    ("\"1ms\"", Type::String),
    ("\"9ms\"", Type::String),
    ("\"10ms\"", Type::String),
    ("\"30s\"", Type::String),
    ("\"24h\"", Type::String),
    ("\"25h\"", Type::String),
    ("\"-5s\"", Type::String),
    ("\"5 parsecs\"", Type::String),
    ("\"99999999999999999999s\"", Type::String),
    ("\"SIGTERM\"", Type::String),
    ("\"SIGKILL\"", Type::String),
    ("\"SIGSTOP\"", Type::String),
    ("\"SIGNOPE\"", Type::String),
    ("\"always\"", Type::String),
    ("\"Always\"", Type::String),
    ("\"web\"", Type::String),
    ("\"nobody-knows\"", Type::String),
    ("\"/path\"", Type::String),
    ("\"a b\"", Type::String),
    ("\"http://x:80/\"", Type::String),
    ("\"0.0.0.0:9180\"", Type::String),
    ("\"::1:9180\"", Type::String),
    ("\"\\u0000\"", Type::String),
    ("\"\\u001b[2J\\n\"", Type::String),
    ("\"é日\"", Type::String),
    ("\"${HOST}\"", Type::String),
    ("\"${NONE}\"", Type::String),
    ("\"${NONE:-5}\"", Type::String),
    ("\"${open\"", Type::String),
    ("'''\nx'''", Type::String),
    ("0", Type::Integer),
    ("-1", Type::Integer),
    ("1", Type::Integer),
    ("2", Type::Integer),
    ("8080", Type::Integer),
    ("65536", Type::Integer),
    ("1000001", Type::Integer),
    ("4294967295", Type::Integer),
    ("9223372036854775807", Type::Integer),
    ("0xffffffffffffffffff", Type::Integer),
    ("1.5", Type::Float),
    ("nan", Type::Float),
    ("-inf", Type::Float),
    ("true", Type::Boolean),
    ("false", Type::Boolean),
    ("2026-11-22", Type::Date),
    ("07:32:00", Type::Date),
    ("[]", Type::Array),
    ("[\"\"]", Type::Array),
    ("[\"x\"]", Type::Array),
    ("[\"x\", 1]", Type::Array),
    ("[\"a b\"]", Type::Array),
    ("[\"SIGTERM\", \"SIGTERM\"]", Type::Array),
    ("[\"SIGKILL\"]", Type::Array),
    ("[[]]", Type::Array),
    ("[{}]", Type::Array),
    ("[{ signal = \"HUP\" }, { signal = \"TERM\", wait = \"1s\" }]", Type::Array),
    ("[{ sleep = \"1s\" }]", Type::Array),
    ("{}", Type::Table),
    ("{ x = 1 }", Type::Table),
    ("{ web = \"ready\" }", Type::Table),
    ("{ port = 80 }", Type::Table),
    ("{ port = 0 }", Type::Table),
    ("{ signal = \"TERM\" }", Type::Table),
    ("{ process = \"web\", signal = \"KILL\" }", Type::Table),
    ("{ exec = [\"x\"] }", Type::Table),
    ("{ A = \"b\\n\" }", Type::Table),
    ("{ initial = \"1m\", max = \"1s\" }", Type::Table),
];

/// Whether the documentation lets the key have a value of that type.
pub fn takes(section: &Section, key: &str, kind: Type) -> bool {
    static PAGE: OnceLock<HashMap<(String, String), Vec<Type>>> = OnceLock::new();
    let page = PAGE.get_or_init(|| documented(include_str!("../../docs/configuration.md")));
    let types = page.get(&(section.title.to_owned(), key.to_owned())).or_else(|| {
        // A step has the keys of a task, http_post those of http_get.
        let base = if section.title == "a step" { "a task" } else { "http_get" };
        page.get(&(base.to_owned(), key.to_owned()))
    });
    types
        .unwrap_or_else(|| panic!("docs/configuration.md does not say the type of `{key}` in {}", section.title))
        .contains(&kind)
}

fn documented(page: &str) -> HashMap<(String, String), Vec<Type>> {
    let mut found = HashMap::new();
    let mut title = String::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("<!-- keys: ") {
            title = rest.trim_end_matches(" -->").to_owned();
        } else if let Some(rest) = line.strip_prefix("| `") {
            let columns: Vec<&str> = rest.split(" | ").collect();
            let key = columns[0].trim_end_matches('`').to_owned();
            found.entry((title.clone(), key)).or_insert_with(|| types(columns[1], line));
        }
    }
    found
}

fn types(column: &str, line: &str) -> Vec<Type> {
    let mut types = Vec::new();
    let mut words = column.to_owned();
    for of in ["tables", "strings", "signals", "tasks", "integers"] {
        words = words.replace(&format!("array of {of}"), "array").replace(&format!("table of {of}"), "table");
    }
    let has = |list: &[&str]| list.iter().any(|w| words.contains(w));
    if has(&["duration", "string", "signal", "path", "word", "address", "\"", "name"]) {
        types.push(Type::String);
    }
    if has(&["integer"]) || line.contains("and `9180` mean") {
        types.push(Type::Integer);
    }
    if has(&["number"]) {
        types.extend([Type::Integer, Type::Float]);
    }
    for (word, kind) in [("boolean", Type::Boolean), ("array", Type::Array), ("table", Type::Table)] {
        if has(&[word]) {
            types.push(kind);
        }
    }
    types
}
