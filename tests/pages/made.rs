//! Completions and manual pages as a package has them: nothing hidden is in them, everything else is; and bash completes by them.

use std::process::{Command, Stdio};

use clap_complete::Shell;
use softstop::cli::commands::{self, Known};
use softstop::cli::flags;

use crate::declared_made as made;

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("it is UTF-8")
}

#[test]
fn every_command_and_every_flag_is_completed_and_nothing_that_is_hidden() {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let script = text(made::completion(shell));
        let flag = |long: &str| if shell == Shell::Fish { format!("-l {long}") } else { format!("--{long}") };
        for command in commands::all() {
            assert_eq!(script.contains(command.name()), !command.is_hidden(), "{shell} {}", command.name());
            let flags = command.args().into_iter().filter(|flag| flag.place.is_none() && !command.is_hidden());
            flags.for_each(|known| assert!(script.contains(&flag(known.long)), "{shell} --{}", known.long));
        }
        let wrapper = flags::WRAPPER.iter().copied().filter(|flag| flag.place.is_none());
        wrapper.for_each(|known| assert!(script.contains(&flag(known.long)), "{shell} --{}", known.long));
    }
}

#[test]
fn there_is_a_manual_page_for_each_command_with_what_its_help_has() {
    let files = made::files();
    let page = |name: &str| {
        let path = format!("man/softstop{name}.1");
        let found = files.iter().find(|(known, _)| *known == path);
        text(found.unwrap_or_else(|| panic!("there is no {path}")).1.clone())
    };
    assert!(page("").contains(".SH ENVIRONMENT") && page("").contains("SOFTSTOP_GRACE"));
    let visible: Vec<Known> = commands::visible().collect();
    for command in &visible {
        let page = page(&format!("-{}", command.name()));
        for title in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "EXAMPLES", "SEE ALSO"] {
            let titles = [format!(".SH {title}\n"), format!(".SH \"{title}\"\n")];
            assert!(titles.iter().any(|title| page.contains(title)), "softstop-{}.1: {title}", command.name());
        }
        assert!(!page.contains("__"), "softstop-{}.1 has something hidden", command.name());
    }
    let pages = files.iter().filter(|(path, _)| path.starts_with("man/")).count();
    assert_eq!(pages, visible.len() + 1);
}

/// In a real bash, as readline would ask.
#[test]
#[allow(clippy::disallowed_methods, reason = "a test has no other waiter")]
fn bash_completes_commands_flags_and_words() {
    let complete = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let (current, before) = (words[words.len() - 1], words[words.len() - 2]);
        let script = format!(
            "{}\nCOMP_WORDS=({line})\n[ -n '{current}' ] || COMP_WORDS+=('')\nCOMP_CWORD={}\n_softstop softstop '{current}' '{before}'\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
            text(made::completion(Shell::Bash)),
            words.len() - 1,
        );
        let mut bash = Command::new("bash");
        let bash = bash.args(["--norc", "--noprofile", "-c", &script]).stdin(Stdio::null()).output();
        let bash = bash.expect("bash is on every machine that builds softstop");
        assert!(bash.status.success(), "{line}: {}", String::from_utf8_lossy(&bash.stderr));
        text(bash.stdout).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(complete("softstop stat"), ["status"]);
    assert_eq!(complete("softstop --stragglers-w"), ["--stragglers-wait"]);
    assert_eq!(complete("softstop run --onl"), ["--only"]);
    assert_eq!(complete("softstop manifest --kind st"), ["statefulset"]);
    assert!(!complete("softstop ").iter().any(|word| word.starts_with("__")));
}
