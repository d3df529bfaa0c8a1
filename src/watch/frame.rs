//! What is shown: a status, its lines and where whoever watches is, as the lines of a terminal of some size. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use super::columns::{self, Look, Table};
use super::state::{Mode, State, is_down};
use super::usage::Usage;
use crate::control::table::{after_colon, age, headlines, list, notes, step, word};
use crate::order::Order;
use crate::picture::measure::{columns as wide, elide, shown, width};
use crate::picture::{Mark, MarkKind, Picture, Style};
use crate::record::Run;
use crate::text::plain;
use crate::time::Human;

/// The timeline has no room in less.
const NARROWEST: usize = 40;
/// Nor beside the table in fewer lines.
const TIMELINE: usize = 4;
/// Of what is said of the selected process.
const NOTES: usize = 5;

/// All that is shown.
pub struct View<'v> {
    pub status: &'v Value,
    /// The stop, from its request to now.
    pub stop: Option<&'v Run>,
    /// By pid.
    pub usage: &'v BTreeMap<i32, Usage>,
    /// Process, or hook, and line; the oldest first.
    pub lines: &'v VecDeque<(String, String)>,
    /// Why there are none.
    pub no_lines: Option<&'v str>,
    /// For so long softstop has not answered.
    pub silent: Option<Duration>,
    pub state: &'v State,
}

/// Of a terminal, in characters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size {
    pub rows: usize,
    pub columns: usize,
}

struct Page {
    lines: Vec<String>,
    width: usize,
    style: Style,
}

impl Page {
    /// `look`: as ECMA-48 has it; empty: as it is.
    fn line(&mut self, text: &str, look: &str) {
        let dots = if self.style.unicode { "…" } else { ".." };
        let dots = if self.width < 3 { "" } else { dots };
        let text = elide(&shown(&plain(text, ' '), self.style.unicode), self.width as f64, dots, wide);
        let coloured = self.style.colour && !look.is_empty();
        self.lines.push(if coloured { format!("\x1b[{look}m{text}\x1b[0m") } else { text });
    }

    fn left(&self, rows: usize) -> usize {
        rows.saturating_sub(self.lines.len())
    }
}

/// How many processes there are to a page of the table.
pub fn page(size: Size) -> usize {
    (size.rows / 2).saturating_sub(2).max(1)
}

/// No more lines than the terminal has rows, none wider than it is. `style`: its width is that of the size.
pub fn frame(view: &View<'_>, size: Size, style: Style) -> Vec<String> {
    let mut page = Page { lines: Vec::new(), width: size.columns, style };
    if size.rows == 0 || size.columns == 0 {
        return page.lines;
    }
    // The last one is the keys'.
    let rows = size.rows - 1;
    head(view, rows.max(1), &mut page);
    if page.left(rows) > 8 {
        page.line("", "");
    }
    let timeline = timeline(view, size, style);
    processes(view, rows, timeline.len(), &mut page);
    if !timeline.is_empty() && page.left(rows) >= TIMELINE {
        page.line("", "");
        let room = page.left(rows);
        page.lines.extend(timeline.into_iter().take(room));
    }
    last_lines(view, rows, &mut page);
    while page.lines.len() < rows {
        page.lines.push(String::new());
    }
    if size.rows > 1 {
        foot(view, &mut page);
    }
    page.lines
}

fn head(view: &View<'_>, rows: usize, page: &mut Page) {
    let lines = headlines(view.status);
    for (n, line) in lines.iter().enumerate().take(rows) {
        match view.silent {
            Some(silent) if n == 0 => page.line(&format!("no answer for {}; {line}", Human(silent)), "1;31"),
            _ if n + 1 == lines.len() && view.status["stop"].is_object() => {
                page.line(&stopping(&view.status["stop"]), "33")
            }
            _ => page.line(line, if n == 0 { "1" } else { "33" }),
        }
    }
}

/// Where the stop is: what matters most comes first, as the end of the line may not be seen.
fn stopping(stop: &Value) -> String {
    let step = step(stop, &after_colon(&stop["progress"]));
    format!(
        "stopping for {}, SIGKILL in {}: {}{step}; {}",
        age(&stop["elapsed_seconds"]),
        age(&stop["deadline_in_seconds"]),
        word(&stop["stage"]),
        word(&stop["cause"]),
    )
}

/// `below`: so many lines are to be shown after it, if there is room.
fn processes(view: &View<'_>, rows: usize, below: usize, page: &mut Page) {
    let all = list(&view.status["processes"]);
    let left = page.left(rows);
    if left < 2 || all.is_empty() {
        return;
    }
    let least = left.min(4);
    let room = left - if below > 0 && left > least + TIMELINE { (below + 1).min(left - least) } else { 0 };
    let most = (room * 3 / 5).max(least);
    let count = all.len().min(most - 1).max(1);
    let selected = view.state.index(all);
    let first = (selected + 1).saturating_sub(count);
    let names = match count < all.len() {
        true => format!("NAME {}-{}/{}", first + 1, first + count, all.len()),
        false => "NAME".to_owned(),
    };
    let visible = &all[first..first + count];
    let Table { head, rows: table } =
        columns::table(visible, view.usage, &names, selected - first, page.width, page.style.unicode);
    page.line(&head, "1");
    for (n, (row, look)) in table.iter().enumerate() {
        let look = match look {
            Look::Well => "",
            Look::Unready => "33",
            Look::Failed => "31",
            Look::Idle => "2",
        };
        match (n == selected - first, look) {
            (true, "") => page.line(row, "7"),
            (true, look) => page.line(row, &format!("{look};7")),
            (false, look) => page.line(row, look),
        }
    }
    let said = notes(&all[selected]).into_iter().chain(columns::probes_in_words(&all[selected]));
    for note in said.take(NOTES.min(room.saturating_sub(count + 1))) {
        page.line(&format!("  {}: {note}", word(&all[selected]["name"])), "36");
    }
}

/// The stop as far as it has come, against its deadline.
fn timeline(view: &View<'_>, size: Size, style: Style) -> Vec<String> {
    let Some(stop) = view.stop.filter(|_| size.columns >= NARROWEST) else { return Vec::new() };
    let text = stop_picture(stop, Style { width: size.columns, ..style });
    text.lines().skip_while(|line| line.is_empty()).map(str::to_owned).collect()
}

/// The stop as `softstop report` draws it, with the present moment marked while it goes on.
pub fn stop_picture(stop: &Run, style: Style) -> String {
    let mut marks = stop.marks();
    if let Some(now) = stop.seen.filter(|_| stop.end.is_none()) {
        marks.push(Mark::new(now, MarkKind::Event, "now"));
    }
    let end = stop.grace.unwrap_or_default().max(stop.seen.unwrap_or_default());
    Picture { end, rows: stop.rows(), marks, ..Picture::default() }.text(style)
}

fn last_lines(view: &View<'_>, rows: usize, page: &mut Page) {
    let room = page.left(rows);
    if room < 2 {
        return;
    }
    let all = list(&view.status["processes"]);
    let one = all.get(view.state.index(all)).filter(|_| view.state.own_lines).map(|p| word(&p["name"]));
    let title = one.as_ref().map_or_else(|| " last lines ".to_owned(), |name| format!(" last lines of {name} "));
    let rule = if page.style.unicode { '─' } else { '-' };
    let rest = page.width.saturating_sub(2 + width(&title, wide) as usize);
    let line: String = [rule; 2].into_iter().chain(title.chars()).chain(std::iter::repeat_n(rule, rest)).collect();
    page.line(&line, "2");
    if let Some(why) = view.no_lines {
        page.line(why, "2");
        return;
    }
    let of_it = |source: &str| one.as_ref().is_none_or(|name| belongs(source, name));
    let shown: Vec<&(String, String)> =
        view.lines.iter().rev().filter(|(name, _)| of_it(name)).take(room - 1).collect();
    let names = shown.iter().map(|(name, _)| width(&plain(name, ' '), wide) as usize).max().unwrap_or(0);
    let names = names.min(page.width / 4);
    for (name, line) in shown.into_iter().rev() {
        let name = elide(&plain(name, ' '), names as f64, "", wide);
        let pad = names.saturating_sub(width(&name, wide) as usize);
        page.line(&format!("{name}{:pad$} | {}", "", without_escapes(line)), "");
    }
}

/// Its own lines, and those of its hooks.
fn belongs(source: &str, process: &str) -> bool {
    source.strip_prefix(process).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

/// Keys, a question, or an answer.
fn foot(view: &View<'_>, page: &mut Page) {
    let state = view.state;
    match (&state.message, &state.mode) {
        (message, Mode::Signal { process, typed }) => {
            let wrong = message.as_ref().map_or_else(String::new, |message| format!("  ({})", message.text));
            let cursor = if page.style.unicode { "▏" } else { "_" };
            let keys = if wrong.is_empty() { "  (HUP, USR1, 15; Enter: send, Esc: no)" } else { "" };
            page.line(&format!("signal to {process}: {typed}{cursor}{keys}{wrong}"), "1");
        }
        (_, Mode::Confirm(order)) => {
            let what = match order {
                Order::Drain { .. } => "drain everything, the stop begins with it".to_owned(),
                Order::Stop { process: None, .. } => "stop everything".to_owned(),
                Order::Stop { process: Some(process), .. } => format!("stop {process}, and hold it down"),
                order => order.to_string().trim_start_matches("softstop ").to_owned(),
            };
            page.line(&format!("{what}? y: yes; any other key: no"), "1;33");
        }
        (Some(message), Mode::Browse) => page.line(&message.text, if message.failed { "1;31" } else { "1;32" }),
        (None, Mode::Browse) => {
            let all = list(&view.status["processes"]);
            let down = all.get(state.index(all)).is_some_and(is_down);
            page.line(&keys(down, state.own_lines, page.width, page.style.unicode), "2");
        }
    }
}

/// As many as there is room for.
fn keys(down: bool, own_lines: bool, room: usize, unicode: bool) -> String {
    let select = if unicode { "↑↓ select" } else { "j/k select" };
    let stop = if down { "s start" } else { "s stop" };
    let lines = if own_lines { "l all lines" } else { "l lines" };
    // With the order in which they are left out.
    let all = [
        (select, 7),
        ("r restart", 2),
        (stop, 3),
        ("x signal", 5),
        (lines, 6),
        ("D drain all", 4),
        ("S stop all", 1),
        ("q quit", 0),
    ];
    let text = |least: usize| {
        let kept: Vec<&str> = all.iter().filter(|(_, rank)| *rank < least).map(|(key, _)| *key).collect();
        kept.join("  ")
    };
    (1..=all.len()).rev().map(text).find(|text| width(text, wide) as usize <= room).unwrap_or_else(|| text(1))
}

/// Colours and other orders to a terminal in a program's line: what they are made of is no text.
pub fn without_escapes(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\x1b' {
            text.push(c);
            continue;
        }
        match chars.next_if(|c| ['[', ']', '(', ')'].contains(c)) {
            // Up to the letter that ends it.
            Some('[') => {
                while chars.next_if(|c| ('\x20'..'\x40').contains(c)).is_some() {}
                let _letter = chars.next_if(|c| ('\x40'..'\x7f').contains(c));
            }
            // Up to BEL or ST.
            Some(']') => while chars.next().is_some_and(|c| !['\x07', '\\'].contains(&c)) {},
            Some(_) => drop(chars.next()),
            None => {}
        }
    }
    text
}

/// What a terminal is sent to show these lines in place of those before: each is put where it belongs, so that nothing scrolls, and what is left
/// of a longer one is erased.
pub fn paint(lines: &[String], size: Size) -> String {
    let mut text = String::new();
    for (n, line) in lines.iter().enumerate() {
        let _ = write!(text, "\x1b[{};1H{line}", n + 1);
        // Behind a line that fills its row some terminals would erase its last character.
        if visible(line) < size.columns {
            text.push_str("\x1b[K");
        }
    }
    text
}

/// How wide a line is, colours not counted.
pub fn visible(line: &str) -> usize {
    width(&without_escapes(line), wide) as usize
}
