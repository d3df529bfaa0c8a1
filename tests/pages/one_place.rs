//! In how many files a thing stands that users know by name: one of each kind is added to a copy of the sources, which then builds without a
//! warning. One file declares it, and another one or two do what it says; what lists it (help, pages, schema, protocol, fuzzers' words) is made of
//! the declaration, which the tests beside this one compare. Whoever adds one edits the like: docs/architecture.md.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// In a file of src, what is put right behind which words; a file that is not there yet has no such words.
type Edits = &'static [(&'static str, &'static [[&'static str; 2]])];

const KEY: Edits = &[
    (
        "config/check/process.rs",
        &[
            ["pub struct Process {\n", "    pub rest: Option<Duration>,\n"],
            [
                "        name: ProcessName { required: true };\n",
                "        /// How long it rests.\n        rest: Limit { unset: \"none\" };\n",
            ],
            ["            max_restarts: None,\n", "            rest: None,\n"],
            ["    p.diagnose = keys.diagnose.read(reader);\n", "    p.rest = keys.rest.read(reader);\n"],
        ],
    ),
    // Whether a reload changes it is asked of every key.
    ("plan/reload.rs", &[["            at_once: autostart", " rest"]]),
];

const HANDLER: Edits = &[
    (
        "config/check/handler/beep.rs",
        &[[
            "",
            "//! `beep`: for so long. Pure.

use super::super::declare::table;
use super::super::kinds::Limit;
use super::super::reader::{Field, Reader};
use super::super::task::Site;
use super::Handler;

table! {
    pub struct BeepKeys in \"beep\" {
        /// How long.
        long: Limit { required: true };
    }
}

pub fn read(reader: &mut Reader<'_>, field: &Field<'_>, _: Option<&Site<'_>>) -> Option<Handler> {
    let example = \"write beep = { long = \\\"1s\\\" }\";
    let keys = reader.table::<BeepKeys<'_>>(field, example)?;
    keys.long.required(reader, &keys.table, example).map(Handler::Beep)
}
",
        ]],
    ),
    (
        "config/check/handler/mod.rs",
        &[
            ["pub mod exec;\n", "mod beep;\nuse beep::BeepKeys;\n"],
            ["handlers! {\n", "    /// Beeps.\n    beep: Sub<BeepKeys<'static>> {} => beep::read;\n"],
            ["pub enum Handler {\n", "    Beep(Duration),\n"],
            ["            Handler::Exec(_)\n", "            | Handler::Beep(_)\n"],
        ],
    ),
    (
        "runtime/hooks.rs",
        &[[
            "        let started = match plan.handler(what) {\n",
            "            Some(Handler::Beep(_)) => Err(Outcome::Ok),\n",
        ]],
    ),
];

const ORDER: Edits = &[
    (
        "order.rs",
        &[[
            "orders! {\n",
            "    /// Rest
    Rest = \"rest\" [
        examples: &[(\"softstop rest\", \"Rest\")],
    ] page {
        does: \"rests\",
        answers: \"at once\",
    };
",
        ]],
    ),
    (
        "lifecycle/requests.rs",
        &[["        let handled = match order {\n", "            Order::Rest => self.command_ready(),\n"]],
    ),
];

const FLAG: Edits = &[
    (
        "cli/flags.rs",
        &[[
            "    pub struct Common {\n",
            "        /// How long it rests [default: 0s]
        rest: Option<Duration> = duration { value: \"DURATION\", variable: \"SOFTSTOP_REST\", heading: Some(STOP) } page {
            default: \"`0s`\",
            meaning: \"How long it rests.\",
        };
",
        ]],
    ),
    (
        "cli/settings.rs",
        &[[
            "        config.kill_reserve = self.kill_reserve.unwrap_or(config.kill_reserve);\n",
            "        config.stop_reserve = self.rest.or(config.stop_reserve);\n",
        ]],
    ),
];

const ENDPOINT: Edits = &[
    (
        "endpoint.rs",
        &[
            ["pub enum Answers {\n", "    Rest,\n"],
            ["endpoints! {\n", "    \"/rest\" Answers::Rest, index: \"200 at rest\", fine: \"always\", not: \"\";\n"],
        ],
    ),
    (
        "http/endpoints.rs",
        &[["    match endpoint.answers {\n", "        Answers::Rest => Answer::text(200, \"at rest\"),\n"]],
    ),
];

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        std::fs::create_dir_all(to).unwrap();
        std::fs::read_dir(from).unwrap().map(Result::unwrap).for_each(|e| copy(&e.path(), &to.join(e.file_name())));
    } else {
        std::fs::copy(from, to).unwrap();
    }
}

/// The manifest of the library and the binary alone.
fn manifest(whole: &str) -> String {
    let others = ["[[", "[workspace]"];
    let sections = whole.split_inclusive("\n\n").filter(|s| {
        let code = s.lines().find(|line| !line.starts_with('#')).unwrap_or_default();
        code == "[[bin]]" || !others.iter().any(|other| code.starts_with(other))
    });
    sections.collect()
}

#[test]
#[allow(clippy::disallowed_methods, reason = "it waits for the compiler: it is no PID 1")]
fn what_is_added_is_declared_once_and_used_where_it_works() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tree = Path::new(env!("CARGO_TARGET_TMPDIR")).join("one more of each");
    let _ = std::fs::remove_dir_all(&tree);
    std::fs::create_dir_all(tree.join("docs")).unwrap();
    for part in ["src", "link", "build.rs", "Cargo.lock", "docs/softstop.schema.json"] {
        copy(&root.join(part), &tree.join(part));
    }
    let whole = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    std::fs::write(tree.join("Cargo.toml"), manifest(&whole)).unwrap();
    let all =
        [("a key", KEY), ("a handler", HANDLER), ("an order", ORDER), ("a flag", FLAG), ("an endpoint", ENDPOINT)];
    for (what, edits) in all {
        for (file, edits) in edits {
            let path = tree.join("src").join(file);
            let mut text = std::fs::read_to_string(&path).unwrap_or_default();
            for [behind, put] in *edits {
                assert!(text.is_empty() || text.matches(behind).count() == 1, "{what}: {file} has {behind:?} not once");
                let at = text.find(behind).unwrap_or_default() + behind.len();
                text.insert_str(at, put);
            }
            std::fs::write(path, text).unwrap();
        }
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // With the features of the static binary and what `explain` says of the keys.
    let said = Command::new(cargo)
        .args(["check", "--offline", "--quiet", "--bin", "softstop", "--no-default-features", "--features", "explain"])
        .current_dir(&tree)
        .env("CARGO_TARGET_DIR", target)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&said.stderr);
    assert!(said.is_empty(), "with one more of each:\n{said}");
    let files: BTreeMap<&str, usize> = all.iter().map(|(what, edits)| (*what, edits.len())).collect();
    assert_eq!(files, [("a flag", 2), ("a handler", 3), ("a key", 2), ("an endpoint", 2), ("an order", 2)].into());
}
