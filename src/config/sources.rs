//! A configuration's text: its file, and those that it includes. Pure.

/// So many files are included at the most.
pub const MOST: usize = 256;

/// What is read, and then checked as one configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sources {
    /// The file's name, for messages.
    pub file: String,
    pub text: String,
    /// In the order in which they are read: as the patterns stand, and of one pattern by their names.
    pub included: Vec<Included>,
    /// What the `.env` beside it says, where it may be a Procfile and there is one.
    pub dotenv: Option<String>,
}

/// A file that is included.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Included {
    /// Which of `include` has found it.
    pub pattern: usize,
    /// Its name, for messages.
    pub file: String,
    /// `Err`: why it cannot be read, as the system has it.
    pub text: Result<String, String>,
}

impl Sources {
    /// A file that includes nothing, or whose included files nobody has read.
    pub fn of(file: &str, text: &str) -> Sources {
        Sources { file: file.to_owned(), text: text.to_owned(), included: Vec::new(), dotenv: None }
    }

    /// Of `patterns`, those that no file matches.
    pub fn unmatched<'p>(&self, patterns: &'p [String]) -> Vec<&'p str> {
        let found = |nth: usize| self.included.iter().any(|file| file.pattern == nth);
        let list = patterns.iter().enumerate().filter(|(nth, _)| !found(*nth));
        list.map(|(_, pattern)| pattern.as_str()).collect()
    }
}

/// The folder and the name of a pattern. `None`: it names no file.
pub fn parts(pattern: &str) -> Option<(&str, &str)> {
    let (folder, name) = match pattern.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some((folder, name)) => (folder, name),
        None => ("", pattern),
    };
    (!["", ".", ".."].contains(&name)).then_some((folder, name))
}

/// It may stand for several files, or for none.
pub fn is_wild(pattern: &str) -> bool {
    pattern.contains(['*', '?'])
}

/// `*` stands for any characters, `?` for one. As in a shell neither stands for the dot that a name begins with: a mounted ConfigMap has
/// `..data` beside its files.
pub fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    // Where the last `*` stands, and what of the name it has taken: only that one is ever made longer.
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => (p, n) = (p + 1, n + 1),
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    (p, n) = (at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("*.toml", "10-web.toml", true),
            ("*.toml", ".toml", false),
            ("*", "..data", false),
            (".*", "..data", true),
            ("*.toml", "web.toml~", false),
            ("web.toml", "web.toml", true),
            ("web.toml", "web.tomlx", false),
            ("?-*.toml", "1-é.toml", true),
            ("?", "é", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("**", "", true),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
        let (long, name) = ("*a".repeat(50) + "b", "a".repeat(250));
        assert!(!matches(&long, &name), "and takes no time");
    }

    #[test]
    fn a_pattern_is_a_folder_and_a_name() {
        for (pattern, expected) in [
            ("conf.d/*.toml", Some(("conf.d", "*.toml"))),
            ("*.toml", Some(("", "*.toml"))),
            ("/x.toml", Some(("/", "x.toml"))),
            ("../a/b", Some(("../a", "b"))),
            ("conf.d/", None),
            ("..", None),
            ("", None),
        ] {
            assert_eq!(parts(pattern), expected, "{pattern}");
        }
    }
}
