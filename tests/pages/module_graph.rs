//! The graph of the modules as the sources have it: who names whom, by `crate::…`, `softstop::…` (the binary's way) or as many `super::`
//! as lead to the root, in a path or in a group of a `use`. What is built for tests alone is left out.
//!
//! The binary's root is the module `main`: it names whatever it declares, and is named by who takes anything but a module from the root.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Of a module at the root to one that it names: where.
pub type Edges = BTreeMap<(String, String), String>;

pub fn sources(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let Ok(entries) = std::fs::read_dir(path) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.flatten().flat_map(|e| sources(&e.path())).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "rs"));
    files.sort();
    files
}

pub fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// `src/sys/spawn/mod.rs` is `["sys", "spawn"]`. `lib.rs` is nobody: it names all.
pub fn module_of(file: &Path) -> Vec<String> {
    let path = file.strip_prefix(src()).unwrap().with_extension("");
    let mut module: Vec<String> = path.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    module.pop_if(|last| ["mod", "lib"].contains(&last.as_str()));
    module
}

/// The modules at the root.
pub fn modules() -> BTreeSet<String> {
    sources(&src()).iter().filter_map(|file| module_of(file).into_iter().next()).collect()
}

pub fn edges() -> Edges {
    let (modules, main) = (modules(), src().join("main.rs"));
    let declared = declared(&std::fs::read_to_string(&main).unwrap());
    let mut edges: Edges = declared.iter().map(|to| (("main".to_owned(), to.clone()), "main.rs".to_owned())).collect();
    for file in sources(&src()) {
        let module = module_of(&file);
        // Declared behind `#[cfg(test)]`.
        if module.iter().any(|part| part == "tests") {
            continue;
        }
        let Some(top) = module.first() else { continue };
        for (line, mut name) in named_at_root(&std::fs::read_to_string(&file).unwrap(), module.len()) {
            if !modules.contains(&name) && declared.contains(top) {
                name = "main".to_owned();
            }
            let at = || format!("{}:{line}", file.strip_prefix(src()).unwrap().display());
            if name != *top {
                edges.entry((top.clone(), name)).or_insert_with(at);
            }
        }
    }
    edges
}

/// The modules that a root declares.
fn declared(text: &str) -> Vec<String> {
    let tokens = without_tests(tokens(text));
    let declares = |three: &&[(usize, String)]| three[0].1 == "mod" && three[2].1 == ";";
    tokens.windows(3).filter(declares).map(|three| three[1].1.clone()).collect()
}

/// One circle, if there is any: each names the next, and the last the first.
pub fn circle(edges: &BTreeSet<(&str, &str)>) -> Option<Vec<String>> {
    let mut left = edges.clone();
    // Who names nobody that is left, or is named by none, is in no circle.
    loop {
        let (from, to): (BTreeSet<&str>, BTreeSet<&str>) = left.iter().copied().unzip();
        let before = left.len();
        left.retain(|(a, b)| to.contains(a) && from.contains(b));
        if left.len() == before {
            break;
        }
    }
    let mut way = vec![left.first()?.0];
    loop {
        let next = left.iter().find(|(from, _)| Some(from) == way.last())?.1;
        if let Some(at) = way.iter().position(|seen| *seen == next) {
            return Some(way[at..].iter().map(|name| (*name).to_owned()).collect());
        }
        way.push(next);
    }
}

/// What a text names at the root of the crate, with the lines. `depth`: of its module below the root.
pub fn named_at_root(text: &str, depth: usize) -> Vec<(usize, String)> {
    let tokens = without_tests(tokens(text));
    let is = |at: usize, what: &str| tokens.get(at).is_some_and(|(_, t)| t == what);
    let (mut found, mut open, mut inline) = (Vec::new(), 0, Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        let mut end = at;
        match tokens[at].1.as_str() {
            "{" => open += 1,
            "}" => {
                inline.pop_if(|opened| *opened == open);
                open -= 1;
            }
            "mod" if is(at + 2, "{") => inline.push(open + 1),
            "crate" | "softstop" if is(at + 1, "::") => end = at + 2,
            "super" if !(at > 0 && is(at - 1, "::")) => {
                let mut supers = 0;
                while is(end, "super") && is(end + 1, "::") {
                    (end, supers) = (end + 2, supers + 1);
                }
                // Not as far as the root.
                if supers < depth + inline.len() {
                    end = at;
                }
            }
            _ => {}
        }
        if end > at {
            found.extend(first_names(&tokens, end));
        }
        at = end.max(at + 1);
    }
    found
}

/// The first names of the path, or of each path in the group, that begins here. A macro's name is no module.
fn first_names(tokens: &[(usize, String)], at: usize) -> Vec<(usize, String)> {
    let is = |at: usize, what: &str| tokens.get(at).is_some_and(|(_, t)| t == what);
    let mut names = Vec::new();
    if !is(at, "{") {
        return tokens.get(at).filter(|_| !is(at + 1, "!")).cloned().into_iter().collect();
    }
    let (mut open, mut at) = (0, at);
    loop {
        match tokens.get(at).map(|(_, token)| token.as_str()) {
            Some("{") => open += 1,
            Some("}") if open == 1 => return names,
            Some("}") => open -= 1,
            None => return names,
            _ => {}
        }
        if open == 1 && (is(at, "{") || is(at, ",")) && !is(at + 1, "}") {
            names.extend(tokens.get(at + 1).cloned());
        }
        at += 1;
    }
}

/// Without every item behind `#[cfg(test)]`.
fn without_tests(tokens: Vec<(usize, String)>) -> Vec<(usize, String)> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut rest = tokens.into_iter().peekable();
    while let Some(token) = rest.next() {
        kept.push(token);
        let marked = kept.len() >= MARK.len()
            && kept[kept.len() - MARK.len()..].iter().map(|(_, token)| token.as_str()).eq(MARK.iter().copied());
        if !marked {
            continue;
        }
        let mut open = 0;
        for (_, token) in rest.by_ref() {
            match token.as_str() {
                "{" | "(" | "[" => open += 1,
                "}" | ")" | "]" => open -= 1,
                _ => {}
            }
            if open == 0 && [";", "}"].contains(&token.as_str()) {
                break;
            }
        }
    }
    kept
}

/// Names, `::` and single characters, with their lines; no comments, no texts.
fn tokens(text: &str) -> Vec<(usize, String)> {
    let chars: Vec<char> = text.chars().collect();
    let is = |at: usize, what: &str| what.chars().enumerate().all(|(n, c)| chars.get(at + n) == Some(&c));
    let name = |c: &char| c.is_alphanumeric() || *c == '_';
    let (mut tokens, mut line, mut at) = (Vec::new(), 1, 0);
    while at < chars.len() {
        let from = at;
        let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
        if is(at, "//") {
            at += chars[at..].iter().take_while(|c| **c != '\n').count();
        } else if is(at, "/*") {
            at = (at + 2..chars.len()).find(|at| is(*at, "*/")).unwrap_or(chars.len()) + 2;
        } else if chars[at] == 'r' && chars.get(at + 1 + hashes) == Some(&'"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let begin = at + 2 + hashes;
            at = (begin..chars.len()).find(|at| is(*at, &end)).unwrap_or(chars.len()) + end.len();
        } else if chars[at] == '"' {
            at += 1;
            while at < chars.len() && chars[at] != '"' {
                at += if chars[at] == '\\' { 2 } else { 1 };
            }
            at += 1;
        } else if is(at, "'\\") {
            at = (at + 3..chars.len()).find(|at| chars[*at] == '\'').unwrap_or(chars.len()) + 1;
        } else if chars[at] == '\'' && chars.get(at + 2) == Some(&'\'') {
            at += 3;
        } else if name(&chars[at]) {
            at += chars[at..].iter().take_while(|c| name(c)).count();
            // The prefix of a text of bytes.
            if !(chars.get(at) == Some(&'"') && at - from == 1) {
                tokens.push((line, chars[from..at].iter().collect()));
            }
        } else if is(at, "::") {
            at += 2;
            tokens.push((line, "::".to_owned()));
        } else {
            at += 1;
            if !chars[from].is_whitespace() {
                tokens.push((line, chars[from].to_string()));
            }
        }
        line += chars[from..at.min(chars.len())].iter().filter(|c| **c == '\n').count();
    }
    tokens
}

#[test]
fn names_at_the_root_are_found_however_they_are_written() {
    let named = |text: &str| -> Vec<String> { named_at_root(text, 2).into_iter().map(|(_, name)| name).collect() };
    assert_eq!(named("use crate::a::b;"), ["a"]);
    assert_eq!(named("use crate::{a::{b, c}, d, e as f,\n};"), ["a", "d", "e"]);
    assert_eq!(named("fn x() -> crate::a::B { softstop::c::d() }"), ["a", "c"]);
    assert_eq!(
        named("use super::a; use super::super::b; use super::{c}; use super::super::{d, e::F};"),
        ["b", "d", "e"]
    );
    assert_eq!(
        named("mod inner { use super::super::a; use super::super::super::b; } use super::super::c;"),
        ["b", "c"]
    );
    assert_eq!(
        named("// crate::a\n/* crate::b */ \"crate::c\" b\"crate::d\" r#\"\"crate::e\"#; '\"'; '\\''; 'x'; crate::f"),
        ["f"]
    );
    assert_eq!(
        named("#[cfg(test)]\nmod t { use crate::a; }\n#[cfg(test)]\nmod u;\nuse crate::b; softstop::entry!(x);"),
        ["b"]
    );
    assert_eq!(named_at_root("\n\"\n\"\nuse crate::{\na,\nb};", 1), [(5, "a".to_owned()), (6, "b".to_owned())]);
}

#[test]
fn a_circle_is_found_and_nothing_else_is_one() {
    let circle = |edges: &[(&'static str, &'static str)]| circle(&edges.iter().copied().collect());
    assert_eq!(circle(&[("a", "b"), ("b", "c"), ("a", "c"), ("c", "d")]), None);
    assert_eq!(circle(&[("a", "b"), ("b", "c"), ("c", "d"), ("d", "b"), ("c", "e")]).unwrap(), ["b", "c", "d"]);
    assert_eq!(circle(&[("a", "b"), ("b", "a")]).unwrap(), ["a", "b"]);
}
