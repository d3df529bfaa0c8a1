//! The pages against the program: every flag and variable is documented and none is invented, --help fits a terminal, every link
//! leads somewhere, every configuration in a page is one that softstop accepts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use softstop::cli::commands::{self, Known};
use softstop::cli::declare::Flag;
use softstop::cli::{flags, help};
use softstop::config::check::read;
use softstop::exit;

use crate::declared::{is_as_made, markdown, marked, pages_of, text};

/// Written by `cargo bench --bench compare`.
const GENERATED: &str = "docs/performance.md";

/// README and its like, docs/ and examples/, by their paths from the root.
pub fn pages() -> Vec<(String, String)> {
    let top = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"].map(|path| (path.to_owned(), text(path)));
    let pages: Vec<_> = top.into_iter().chain(markdown("docs")).chain(markdown("examples")).collect();
    assert!(pages.len() >= 12, "{pages:?}");
    pages
}

/// docs/command-line.md and the pages behind it, one behind the other.
fn command_line() -> String {
    pages_of("command-line").into_iter().map(|(_, text)| text).collect()
}

/// Those that users see.
fn commands() -> Vec<Known> {
    commands::visible().collect()
}

/// Of the wrapper and of every command.
fn all_flags() -> Vec<&'static Flag> {
    let all = commands().into_iter().flat_map(Known::args).chain(flags::WRAPPER.iter().copied());
    all.filter(|flag| flag.place.is_none()).collect()
}

/// Words in backquotes that begin with `start`, in the first `columns` columns of the page's tables.
fn named_in_tables(text: &str, start: &str, columns: usize) -> BTreeSet<String> {
    let rows = text.lines().filter(|l| l.starts_with("| `"));
    let cells = rows.flat_map(|row| row.split('|').skip(1).take(columns));
    let words = cells.flat_map(|cell| cell.split([' ', '`', ','])).filter(|word| word.starts_with(start));
    words.map(str::to_owned).collect()
}

#[test]
fn every_flag_is_documented_and_none_is_invented() {
    let text = command_line();
    let long: BTreeSet<String> = all_flags().iter().map(|flag| format!("--{}", flag.long)).collect();
    assert!(long.len() >= 20, "{long:?}");
    assert_eq!(named_in_tables(&text, "--", 1), long);
    for flag in all_flags() {
        let row = |line: &&str| line.starts_with("| `");
        let named = |line: &&str| line.split('|').nth(1).unwrap().contains(&format!("`--{}", flag.long));
        // Commands may have a flag of the same name each.
        let is_its = |row: &&str| {
            let short = flag.short.is_none_or(|short| row.starts_with(&format!("| `-{short}`")));
            let variable = flag.variable;
            short
                && if variable.is_empty() {
                    !row.contains("`SOFTSTOP_")
                } else {
                    row.contains(&format!("`{variable}`"))
                }
        };
        let rows: Vec<&str> = text.lines().filter(row).filter(named).collect();
        assert!(rows.iter().any(is_its), "--{}: its short form or variable: {rows:#?}", flag.long);
    }
}

#[test]
fn every_variable_is_documented_and_none_is_invented() {
    let variables = all_flags().into_iter().map(|flag| flag.variable.to_owned());
    let variables: BTreeSet<String> = variables.filter(|name| !name.is_empty()).collect();
    let text = command_line();
    assert_eq!(named_in_tables(&text, "SOFTSTOP_", 2), variables);
    // What hooks are told, and how the tests are run.
    let others = [
        "REASON",
        "REMAINING_MS",
        "EXIT_CODE",
        "EXIT_SIGNAL",
        "PROCESS",
        "INSTANCE",
        "INSTANCE_HTTP",
        "GARCE",
        "ROUNDS",
        "SCENARIOS",
        "SEED",
        "FROM",
        "",
    ];
    for (path, text) in pages() {
        for word in text.split(|c: char| !(c.is_ascii_uppercase() || c == '_')).filter(|w| w.starts_with("SOFTSTOP_")) {
            let known = variables.contains(word) || others.contains(&word.trim_start_matches("SOFTSTOP_"));
            assert!(known, "{path}: there is no {word}");
        }
    }
}

/// Whoever adds a program documents it; the message of a failure is the table.
#[test]
fn every_program_with_signals_of_its_own_is_documented() {
    let row = |p: &softstop::programs::Program| {
        let dumps = p.dumps_on.map(|s| s.to_string()).unwrap_or_default();
        let term = p.upon_term.unwrap_or("ends it gracefully");
        format!("| {} | {} | {term} | {dumps} |\n", p.names.join(", "), p.stop).replace("|  |", "| |")
    };
    let own = softstop::programs::all().filter(|program| program.has_signals_of_its_own());
    let table: String = own.map(row).collect();
    assert!(text("docs/signals.md").contains(&table), "docs/signals.md should have:\n{table}");
}

fn presets() -> String {
    let step = |step: &softstop::programs::Step| match step.percent {
        Some(percent) => format!("{} {percent} %", step.signal),
        None => step.signal.to_string(),
    };
    let cell = |text: &str| if text.is_empty() { " |".to_owned() } else { format!(" {text} |") };
    let row = |program: &softstop::programs::Program| {
        let preset = program.preset.as_ref()?;
        let words: Vec<String> = preset.words.iter().map(|word| format!("`\"{word}\"`")).collect();
        let ladder: Vec<String> = preset.ladder.iter().map(step).collect();
        let needs = preset.needs.as_ref().map(|needs| format!("Needs `{}`: {}", needs.text, needs.write));
        let more: Vec<&str> = needs.as_deref().into_iter().chain([preset.trap]).filter(|t| !t.is_empty()).collect();
        let cells = [words.join(", "), program.names.join(", "), ladder.join(", then "), preset.why.to_owned()];
        let cells: String = cells.iter().map(|text| cell(text)).collect();
        Some(format!("|{cells}{}{}\n", cell(&more.join(". ")), cell(preset.source)))
    };
    let rows: String = softstop::programs::all().filter_map(row).collect();
    format!("| `stop =` | programs | signals | why | what to know | documented in |\n|---|---|---|---|---|---|\n{rows}")
}

fn foreground() -> String {
    let row = |program: &softstop::programs::Program| {
        let softstop::programs::Foreground { arguments, by, in_file, background } = program.foreground;
        let quoted = |text: &str| if text.is_empty() { " |".to_owned() } else { format!(" `{text}` |") };
        let away: Vec<String> = background.iter().map(|word| format!("`{word}`")).collect();
        let away = if away.is_empty() { " |".to_owned() } else { format!(" {} |", away.join(", ")) };
        let run = if by.is_empty() { " nothing is needed |".to_owned() } else { quoted(arguments) };
        let known = !by.is_empty() || !background.is_empty();
        known.then(|| format!("| {} |{run}{}{away}\n", program.names.join(", "), quoted(in_file)))
    };
    let rows: String = softstop::programs::all().filter_map(row).collect();
    format!("| program | run it with | or in its configuration | not with |\n|---|---|---|---|\n{rows}")
}

#[test]
fn the_page_of_programs_is_made_of_their_table() {
    let page = text("docs/programs.md");
    let made = marked(&page, "<!-- presets", |_| presets());
    is_as_made("docs/programs.md", &marked(&made, "<!-- foreground", |_| foreground()));
}

/// `shown`: what a user would see of it.
fn helps(width: usize) -> Vec<(String, String)> {
    let of_commands = commands().into_iter().map(|command| (command.name().to_owned(), help::of(command, width)));
    let topics = help::topics().into_iter().map(|topic| (topic.to_owned(), help::on(topic, width).unwrap()));
    std::iter::once((String::new(), help::all(width))).chain(of_commands).chain(topics).collect()
}

/// But for words that are longer: an address, a list of paths.
#[test]
fn help_fits_a_terminal_of_any_width() {
    for width in [0, 40, 50, 64, 80, 100, 1000] {
        let fits = width.clamp(40, 100);
        for (name, text) in helps(width) {
            for line in text.lines() {
                let room = fits - line.chars().take_while(|c| *c == ' ').count();
                let longest = line.split(' ').map(|word| word.chars().count()).max().unwrap_or(0);
                let long = line.chars().count();
                assert!(long <= fits || longest * 2 > room, "softstop help {name} at {width}: {long}: {line}");
                assert_eq!(line.trim_end(), line, "softstop help {name}");
            }
        }
    }
}

#[test]
fn softstops_own_exit_codes_are_in_the_table() {
    let all =
        [exit::OK, exit::FAILED, exit::USAGE, exit::UNREAD, exit::UNAVAILABLE, exit::INTERNAL, exit::NO_PERMISSION];
    for code in all.into_iter().chain([exit::CONFIG, exit::NOT_EXECUTABLE, exit::NOT_FOUND]) {
        assert!(exit::TABLE.iter().any(|(row, _)| *row == code.to_string()), "{code}");
    }
}

#[test]
fn the_page_of_exit_codes_is_made_of_their_table() {
    let rows = || exit::TABLE.iter().map(|(code, when)| format!("| {code} | {when} |\n")).collect::<String>();
    let made =
        marked(&text("docs/exit-codes.md"), "<!-- exit codes", |_| format!("| code | when |\n|---|---|\n{}", rows()));
    is_as_made("docs/exit-codes.md", &made);
}

/// As GitHub makes them from headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = outside_blocks(text).filter(|l| l.starts_with('#'));
    let keep = |c: &char| c.is_alphanumeric() || "-_ ".contains(*c);
    headings
        .map(|h| {
            h.trim_start_matches('#').trim().to_lowercase().chars().filter(keep).collect::<String>().replace(' ', "-")
        })
        .collect()
}

fn outside_blocks(text: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        !inside && !fence
    })
}

/// The page's links within the repository: as written, the file from the root, the anchor or nothing.
fn links(path: &str, text: &str) -> Vec<(String, String, String)> {
    let prose: String = outside_blocks(text).flat_map(|line| [line, "\n"]).collect();
    let written = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()).filter(|l| !l.contains("://"));
    let seen = |link: &str| {
        let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
        let mut target: Vec<&str> = path.split('/').collect();
        if !file.is_empty() {
            target.pop();
            for part in file.split('/') {
                match part {
                    ".." => drop(target.pop()),
                    _ => target.push(part),
                }
            }
        }
        (link.to_owned(), target.join("/"), anchor.to_owned())
    };
    written.map(seen).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut count = 0;
    for (path, text) in pages() {
        for (link, target, anchor) in links(&path, &text) {
            count += 1;
            let there = Path::new(env!("CARGO_MANIFEST_DIR")).join(&target);
            if !there.exists() {
                assert!(target.ends_with(GENERATED), "{path}: {link} is not there");
            } else if !anchor.is_empty() {
                let known = anchors(&std::fs::read_to_string(&there).unwrap());
                assert!(known.contains(&anchor), "{path}: {link} is not among {known:?}");
            }
        }
    }
    assert!(count >= 30, "{count} links");
}

/// docs/README.md has them by what people look for; who begins with README finds each.
#[test]
fn every_page_is_in_the_index_and_in_reach_from_readme() {
    let all: BTreeMap<String, String> = pages().into_iter().collect();
    let linked = |path: &str| -> BTreeSet<String> {
        links(path, all.get(path).map_or("", String::as_str)).into_iter().map(|(_, target, _)| target).collect()
    };
    let index = linked("docs/README.md");
    for path in all.keys().filter(|path| path.starts_with("docs/") && *path != "docs/README.md") {
        assert!(index.contains(path), "{path} is not in docs/README.md: add its row");
    }
    let (mut reached, mut next) = (BTreeSet::new(), vec!["README.md".to_owned()]);
    while let Some(path) = next.pop() {
        if reached.insert(path.clone()) {
            next.extend(linked(&path));
        }
    }
    let lost: Vec<&String> = all.keys().filter(|path| !reached.contains(*path)).collect();
    assert_eq!(lost, [""; 0], "no link leads there from README.md");
}

/// A link to a heading finds it: of two by one name GitHub calls the second something else.
#[test]
fn no_page_has_two_headings_of_one_name() {
    for (path, text) in markdown("docs") {
        let headings = outside_blocks(&text).filter(|line| line.starts_with('#')).count();
        assert_eq!(anchors(&text).len(), headings, "{path}: {:?}", anchors(&text));
    }
}

/// The blocks of a language, without their fences. "toml,fragment" is another language than "toml".
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|b| b.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn every_configuration_in_a_page_is_accepted() {
    let mut found = 0;
    for (path, text) in pages() {
        for block in blocks(&text, "toml") {
            let process =
                if block.contains("[[process]]") { "" } else { "\n[[process]]\nname = 'x'\ncommand = ['x']\n" };
            match read(&format!("{block}{process}"), &path, &|_| None) {
                Ok((_, warnings)) => assert_eq!(warnings, [], "{path}:\n{block}"),
                Err(problems) => panic!("{problems}\n{block}"),
            }
            found += 1;
        }
    }
    assert!(found >= 15, "{found} configurations");
}

/// The example in docs/stop/budget.md, worked out there by hand.
#[test]
fn the_worked_example_is_worked_out_right() {
    use softstop::plan::budget::{Budget, slice};
    use softstop::time::At;
    use std::time::Duration;

    let text = text("docs/stop/budget.md");
    let blocks = blocks(&text, "toml");
    let example = blocks.iter().find(|b| b.contains("leave the cluster")).unwrap();
    let (config, _) = read(example, "docs/stop/budget.md", &|_| None).unwrap_or_else(|p| panic!("{p}"));
    let budget = Budget::new(&config);
    assert_eq!((budget.stop, budget.after_stop()), (Duration::from_millis(4500), Duration::from_secs(3)));
    let deadline = budget.deadline(At::ZERO);
    let gets = |step: usize, at: u64, timeout: Option<u64>| {
        let room = slice(At::from_millis(at), deadline, budget.after_drain(step)).as_millis();
        timeout.map_or(room, |timeout| room.min(timeout.into()))
    };
    assert_eq!(gets(0, 0, Some(5000)), 5000);
    assert_eq!(gets(1, 5000, Some(20_000)), 14_500);
    assert_eq!(gets(2, 19_500, None), 2000);
    assert_eq!(gets(2, 6000, None), 15_500);
}
