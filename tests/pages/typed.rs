//! What the pages say to type: every command line of softstop's in them is read as softstop reads it, whether it stands in a block, in a
//! sentence or in a Dockerfile.

use std::ffi::OsString;

use softstop::cli::reading;

use crate::docs::pages;

/// The words of a shell's simple commands, without redirections: enough of a shell for what pages have. `None` for what stands for
/// anything ("…") or is put in by the shell (`$(`).
fn commands(line: &str) -> Option<Vec<Vec<String>>> {
    let (mut all, mut words, mut word) = (Vec::new(), Vec::new(), None::<String>);
    let (mut quote, mut redirected) = (None, false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('…', _) | ('`', _) => return None,
            ('.', None) if chars.peek() == Some(&'.') => return None,
            ('$', None | Some('"')) if chars.peek() == Some(&'(') => return None,
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (_, Some(open)) if c == open => quote = None,
            ('\\', None) => word.get_or_insert_default().extend(chars.next()),
            ('#', None) if word.is_none() => break,
            (' ' | '|' | '&' | ';' | '<' | '>', None) => {
                if let Some(word) = word.take().filter(|_| !std::mem::take(&mut redirected)) {
                    words.push(word);
                }
                match c {
                    ' ' => {}
                    '<' | '>' => redirected = true,
                    _ => all.push(std::mem::take(&mut words)),
                }
            }
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word.filter(|_| !redirected));
    all.push(words);
    Some(all)
}

/// What is behind softstop's name, at the beginning or behind two dashes (`kubectl exec POD -- /softstop status`).
fn of_softstop(words: &[String]) -> Option<&[String]> {
    let is_it =
        |word: &String| matches!(word.as_str(), "softstop" | "/softstop" | "./softstop" | "target/release/softstop");
    let first = words.iter().position(|word| word != "sudo" && !word.contains('='))?;
    let behind_dashes = words.iter().position(|word| word == "--").map(|dashes| dashes + 1);
    let at = [Some(first), behind_dashes].into_iter().flatten().find(|at| words.get(*at).is_some_and(is_it))?;
    Some(&words[at + 1..])
}

/// `ENTRYPOINT` and `CMD` of a Dockerfile, one behind the other, when softstop is the first.
fn entrypoint(block: &str) -> Option<Vec<String>> {
    let array = |word: &str| {
        let line = block.lines().rev().find_map(|line| line.strip_prefix(word))?;
        serde_json::from_str::<Vec<String>>(line.split('#').next()?.trim()).ok()
    };
    let (first, more) = (array("ENTRYPOINT ")?, array("CMD ").unwrap_or_default());
    let mut words = [first, more].concat();
    if words.last().is_some_and(|last| last == "--") {
        words.push("/app/server".to_owned());
    }
    of_softstop(&words).map(<[String]>::to_vec)
}

/// In a sentence: neither a form with names for what is to be put in, nor the typing error that one is about.
fn is_whole(code: &str) -> bool {
    let stands_for = |word: &str| word.len() > 2 && word.chars().all(|c| c.is_ascii_uppercase() || c == '…');
    let form = code.contains('[') || code.split(' ').any(stands_for);
    code.starts_with("softstop ") && !form && code != "softstop strat"
}

/// Each command line with what is behind softstop's name.
fn typed(page: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    let mut note = |line: &str| {
        for words in commands(line).into_iter().flatten() {
            found.extend(of_softstop(&words).map(|args| (line.to_owned(), args.to_vec())));
        }
    };
    let parts: Vec<&str> = page.split("\n```").collect();
    for (n, part) in parts.iter().enumerate() {
        let part = part.replace("\\\n", " ");
        let (language, block) = part.split_once('\n').unwrap_or((&part, ""));
        match language {
            _ if n % 2 == 0 => part.split('`').skip(1).step_by(2).filter(|code| is_whole(code)).for_each(&mut note),
            "sh" => block.lines().for_each(&mut note),
            "console" => block.lines().filter_map(|line| line.strip_prefix("$ ")).for_each(&mut note),
            _ => {}
        }
    }
    let files = parts.iter().skip(1).step_by(2).filter_map(|part| part.strip_prefix("dockerfile\n"));
    found.extend(files.filter_map(|file| Some((file.to_owned(), entrypoint(file)?))));
    found
}

#[test]
fn every_command_line_in_a_page_is_one_that_softstop_reads() {
    let (mut read, mut refused) = (0, Vec::new());
    // What is typed there is wrong on purpose.
    for (path, text) in pages().into_iter().filter(|(path, _)| !path.starts_with("docs/reliability/")) {
        for (line, args) in typed(&text) {
            // Under another program's name it has that one's options; what the version answers is no command line.
            if args.first().is_some_and(|word| word == "as" || word.starts_with(|c: char| c.is_ascii_digit())) {
                continue;
            }
            let words: Vec<OsString> = ["softstop".into()].into_iter().chain(args.iter().map(OsString::from)).collect();
            match reading::read_with(&words, &|_| None) {
                // A sentence may name a command without what goes with it.
                Err(said) if said.code != softstop::exit::OK && !said.text.contains(" needs ") => {
                    refused.push(format!("{path}: {line}\n  {}", said.text.lines().next().unwrap_or_default()));
                }
                _ => read += 1,
            }
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    assert!(read >= 100, "{read} command lines");
}
