//! Text laid out for a terminal of some width: paragraphs, columns, command lines. Pure.

/// With less room than this for the second of two columns it stands below the first.
const ROOM: usize = 26;
/// As far in as this.
const BELOW: usize = 10;
/// The widest that the first column is.
const FIRST: usize = 26;
/// In front of what stands below a title.
const INDENT: usize = 2;

/// As a paragraph, a step further in.
pub fn indented(text: &str, width: usize) -> String {
    lines(text, width.saturating_sub(INDENT)).iter().map(|line| format!("{:INDENT$}{line}\n", "")).collect()
}

/// As a paragraph behind a title, below which nothing stands.
pub fn hanging(title: &str, text: &str, width: usize) -> String {
    let start = letters(title);
    let lines = lines(text, width.saturating_sub(start));
    format!("{title}{}\n", lines.join(&format!("\n{:start$}", "")))
}

/// Words in lines of no more than `width`, but for a word that is longer; each line ends. A no-break space holds words together.
pub fn paragraph(text: &str, width: usize) -> String {
    lines(text, width).iter().map(|line| format!("{line}\n")).collect()
}

fn lines(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    // How long the last of them is, in characters.
    let mut long = 0;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let letters = word.chars().count();
        if long > 0 && long + 1 + letters > width {
            lines.push(String::new());
            long = 0;
        }
        if let Some(line) = lines.last_mut() {
            if long > 0 {
                line.push(' ');
                long += 1;
            }
            line.extend(word.chars().map(|c| if c == '\u{a0}' { ' ' } else { c }));
            long += letters;
        }
    }
    lines
}

fn letters(text: &str) -> usize {
    text.chars().count()
}

/// Two columns, the second one wrapped; each line ends.
pub fn columns(rows: &[(String, String)], width: usize) -> String {
    aligned(rows, longest(rows), width)
}

/// How wide the first column has to be; what is longer than a third of a terminal has a line of its own.
pub fn longest(rows: &[(String, String)]) -> usize {
    rows.iter().map(|(first, _)| letters(first)).filter(|long| *long <= FIRST).max().unwrap_or(0)
}

/// As [`columns`], so that several of them have their second column in the same place.
pub fn aligned(rows: &[(String, String)], longest: usize, width: usize) -> String {
    let start = INDENT + longest.max(2) + 2;
    let beside = width >= start + ROOM;
    let start = if beside { start } else { BELOW };
    let mut all = String::new();
    for (first, second) in rows {
        let second = lines(second, width.saturating_sub(start));
        let mut left = format!("{:INDENT$}{first}", "");
        if !beside || letters(first) > longest {
            all += left.trim_end();
            all.push('\n');
            left.clear();
        }
        for line in &second {
            all += format!("{left:start$}{line}").trim_end();
            all.push('\n');
            left.clear();
        }
    }
    all
}

/// What can be typed, in lines of which all but the last go on behind a backslash; quoted words are not broken.
pub fn command_line(typed: &str, width: usize) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut quote = None;
    for part in typed.split(' ') {
        match words.last_mut().filter(|_| quote.is_some()) {
            Some(word) => *word = format!("{word} {part}"),
            None => words.push(part.to_owned()),
        }
        for letter in part.chars().filter(|letter| matches!(letter, '\'' | '"')) {
            quote = match quote {
                None => Some(letter),
                Some(open) if open == letter => None,
                open => open,
            };
        }
    }
    let glued: Vec<String> = words.iter().map(|word| word.replace(' ', "\u{a0}")).collect();
    let lines = lines(&glued.join(" "), width.saturating_sub(4 * INDENT));
    let last = lines.len().saturating_sub(1);
    let line = |(at, line): (usize, &String)| {
        let indent = if at == 0 { 2 * INDENT } else { 3 * INDENT };
        format!("{:indent$}{line}{}\n", "", if at < last { " \\" } else { "" })
    };
    lines.iter().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_wrapped_and_what_is_held_together_is_not() {
        assert_eq!(paragraph("a bc def", 4), "a bc\ndef\n");
        assert_eq!(paragraph("abcdef g\u{a0}h i", 3), "abcdef\ng h\ni\n");
        assert_eq!(paragraph("", 9), "\n");
    }

    #[test]
    fn columns_stand_beside_each_other_where_there_is_room() {
        let rows = [("-a".to_owned(), "what it does".to_owned()), ("x".repeat(30), "long".to_owned())];
        assert_eq!(columns(&rows, 60), format!("  -a  what it does\n  {}\n      long\n", "x".repeat(30)));
        assert_eq!(columns(&rows[..1], 31), "  -a\n          what it does\n");
    }

    #[test]
    fn a_long_command_line_goes_on_behind_a_backslash_but_not_within_quotes() {
        assert_eq!(command_line("softstop -- a", 40), "    softstop -- a\n");
        assert_eq!(command_line("softstop -- a 'b c d'", 24), "    softstop -- a \\\n      'b c d'\n");
    }
}
