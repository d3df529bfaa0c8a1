//! The fuzzers' words for configurations.

use std::collections::BTreeSet;

use softstop::config::check::declare::Shape;
use softstop::config::check::tables;

use super::values;

/// What stands between keys, variables, and keys that are none.
const BESIDES: &[&str] = &[
    " = \"",
    " = [",
    " = {",
    "\"\"\"",
    "'''",
    "${HOST}",
    "${N:-1}",
    "${",
    "$$",
    "_seconds",
    "inf",
    "0x10",
    "1979-05-27",
    "zzz",
    "gracee",
    "grpc",
    "scheme",
    "cmd",
    "depends_on",
    "services",
    "processes",
    "healthcheck",
    "stop_signal",
    "working_directory",
];

/// fuzz/dict/config.dict.
pub fn dictionary() -> String {
    let mut words: BTreeSet<String> = BESIDES.iter().map(|word| (*word).to_owned()).collect();
    for table in tables() {
        let title = table.section.title;
        if title.starts_with('[') {
            words.insert(format!("{title}\n"));
        }
        for row in table.rows() {
            words.insert(row.name.to_owned());
            words.extend(values(row));
            if let Shape::Table(_) | Shape::Tables(_) = row.shape {
                words.extend(header(title, row.name, matches!(row.shape, Shape::Tables(_))));
            }
        }
    }
    let quoted = |word: &String| {
        let bytes = word.bytes().map(|b| match b {
            b'"' | b'\\' | 0..=31 | 127.. => format!("\\x{b:02x}"),
            _ => char::from(b).to_string(),
        });
        format!("\"{}\"\n", bytes.collect::<String>())
    };
    words.iter().map(quoted).collect()
}

fn header(title: &str, key: &str, several: bool) -> Option<String> {
    let above = match title {
        "the top level" => String::new(),
        _ => format!("{}.", title.strip_prefix('[')?.trim_matches(['[', ']'])),
    };
    Some(if several { format!("[[{above}{key}]]\n") } else { format!("[{above}{key}]\n") })
}
