//! The drawing for a terminal or a log: as wide as that is, in box characters or ASCII, with colours or without. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use super::measure::{columns, elide, shown, width, wrap};
use super::{Kind, MarkKind, Picture, Row, Weight, axis};
use crate::sorted;
use crate::text::one_line;

/// Narrower than this there is nothing to be seen; a reader that is narrower breaks the lines.
const LEAST: usize = 40;
/// Wider than this nothing is gained.
const MOST: usize = 200;
/// Columns of the drawing itself, at the least, when words stand beside it.
const PLOT: usize = 24;

/// Where it is drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Style {
    /// Columns; drawn within 40 to 200.
    pub width: usize,
    /// Box characters; else ASCII alone.
    pub unicode: bool,
    pub colour: bool,
}

impl Style {
    /// For a file or a pipe.
    pub const PLAIN: Style = Style { width: 100, unicode: true, colour: false };
}

/// A character of the drawing, and its colour (ECMA-48, 0: none).
#[derive(Clone, Copy, PartialEq, Eq)]
struct Cell(char, u8);

const EMPTY: Cell = Cell(' ', 0);

/// The columns, from left to right.
struct Layout {
    label: usize,
    plot: usize,
    /// 0: what a row says stands on a line of its own.
    says: usize,
}

impl Picture {
    /// Ends with a newline.
    pub fn text(&self, style: Style) -> String {
        let width = style.width.clamp(LEAST, MOST);
        let layout = self.layout(width);
        let mut out = Out { text: String::new(), style };
        for line in [&self.title, &self.subtitle].into_iter().filter(|line| !line.is_empty()) {
            out.wrapped("", &out.safe(line), width, if *line == self.title { 1 } else { 0 });
        }
        out.text.push('\n');
        self.mark_labels(&layout, &mut out);
        for row in &self.rows {
            self.row(row, &layout, width, &mut out);
        }
        self.axis(&layout, &mut out);
        self.legend(width, &mut out);
        for remark in self.remarks.iter().filter(|remark| !remark.text.is_empty()) {
            let colour = match remark.weight {
                Weight::Error => 31,
                Weight::Warning => 33,
                Weight::Note => 36,
            };
            out.text.push('\n');
            out.wrapped(&format!("{}: ", remark.weight.name()), &out.safe(&remark.text), width, colour);
            if !remark.help.is_empty() {
                out.wrapped("  help: ", &out.safe(&remark.help), width, 0);
            }
        }
        out.text
    }

    fn layout(&self, width: usize) -> Layout {
        let longest = |of: &dyn Fn(&Row) -> usize| self.rows.iter().map(of).max().unwrap_or(0);
        let label = longest(&|row| 2 * row.depth + columns_of(&row.label)).clamp(4, (width * 2 / 5).min(40));
        let says = longest(&|row| columns_of(&row.says));
        let beside = label + 1 + PLOT + 2 + says <= width;
        let says = if beside { says } else { 0 };
        let gap = if says > 0 { 2 } else { 0 };
        Layout { label, plot: width - label - 1 - gap - says, says }
    }

    /// Above the drawing, each over its instant, on as many lines as they need.
    fn mark_labels(&self, layout: &Layout, out: &mut Out) {
        let mut lines: Vec<Vec<Cell>> = Vec::new();
        let mut marks: Vec<_> = self.marks.iter().collect();
        sorted::by_key(&mut marks, |mark| mark.at);
        for mark in marks {
            let label = elide(&out.safe(&mark.label), layout.plot as f64, out.dots(), columns);
            let length = columns_of(&label);
            let at = self.column(mark.at, layout.plot);
            let from = at.saturating_sub(length / 2).min(layout.plot - length);
            let around = from.saturating_sub(1)..(from + length + 1).min(layout.plot);
            let free = |line: &Vec<Cell>| line[around.clone()].iter().all(|cell| *cell == EMPTY);
            let line = lines.iter().position(free).unwrap_or_else(|| {
                lines.push(vec![EMPTY; layout.plot]);
                lines.len() - 1
            });
            let mut column = from;
            for c in label.chars() {
                let Some(cell) = lines[line].get_mut(column) else { break };
                *cell = Cell(c, mark_look(mark.kind, out.style.unicode).1);
                // A wide character takes the next one's place, too.
                if columns(c) > 1.0
                    && let Some(cell) = lines[line].get_mut(column + 1)
                {
                    *cell = Cell('\0', 0);
                }
                column += columns(c) as usize;
            }
        }
        for line in lines {
            out.line("", layout, &line, "");
        }
    }

    fn row(&self, row: &Row, layout: &Layout, width: usize, out: &mut Out) {
        let mut cells = vec![EMPTY; layout.plot];
        for mark in &self.marks {
            let (c, colour) = mark_look(mark.kind, out.style.unicode);
            cells[self.column(mark.at, layout.plot)] = Cell(c, colour);
        }
        for bar in &row.bars {
            let (c, colour) = look(bar.kind, out.style.unicode);
            let from = self.column(bar.from, layout.plot);
            let until = self.place(bar.until, layout.plot as f64).ceil() as usize;
            cells[from..until.clamp(from + 1, layout.plot)].fill(Cell(c, colour));
        }
        self.curve(row, &mut cells, out.style.unicode);
        for at in &row.ticks {
            cells[self.column(*at, layout.plot)] = Cell(if out.style.unicode { '✗' } else { 'X' }, 31);
        }
        let indent = 2 * row.depth;
        let label = elide(&out.safe(&row.label), layout.label.saturating_sub(indent) as f64, out.dots(), columns);
        let says = out.safe(&row.says);
        let heading = row.bars.is_empty() && row.curve.is_empty() && row.ticks.is_empty() && row.says.is_empty();
        let label = format!("{:indent$}{label}", "");
        out.line(&label, layout, &cells, if layout.says > 0 { &says } else { "" });
        if layout.says == 0 && !says.is_empty() && !heading {
            out.wrapped(&format!("{:indent$}  ", ""), &says, width, 0);
        }
    }

    fn curve(&self, row: &Row, cells: &mut [Cell], unicode: bool) {
        let Some(highest) = row.curve.iter().map(|(_, value)| *value).max().filter(|most| *most > 0) else { return };
        let levels: Vec<char> = if unicode { "▁▂▃▄▅▆▇█" } else { "_.:-=+*#" }.chars().collect();
        let length = cells.len();
        let mut points = row.curve.iter().peekable();
        let mut value = None;
        for (n, cell) in cells.iter_mut().enumerate() {
            // The highest within the cell: a short peak shows.
            let mut highest_here = value;
            while let Some((_, next)) = points.next_if(|(at, _)| self.column(*at, length) <= n) {
                value = Some(*next);
                highest_here = highest_here.max(value);
            }
            if let Some(here) = highest_here {
                let level = u128::from(here) * (levels.len() as u128 - 1) / u128::from(highest);
                *cell = Cell(levels[usize::try_from(level).unwrap_or(0)], 36);
            }
        }
    }

    fn axis(&self, layout: &Layout, out: &mut Out) {
        let (begin, rule, tick) = if out.style.unicode { ('└', '─', '┴') } else { ('+', '-', '+') };
        let mut line = vec![Cell(rule, 2); layout.plot];
        let mut names = vec![EMPTY; layout.plot];
        let mut free = 0;
        for at in axis::instants(self.span(), (layout.plot / 9).max(1)) {
            let column = self.column(at, layout.plot);
            line[column] = Cell(if column == 0 { begin } else { tick }, 2);
            let name = axis::name(at);
            let from = column.saturating_sub(if column == 0 { 0 } else { name.len() / 2 });
            let from = from.min(layout.plot.saturating_sub(name.len()));
            if from >= free {
                name.chars().zip(&mut names[from..]).for_each(|(c, cell)| *cell = Cell(c, 2));
                free = from + name.len() + 1;
            }
        }
        out.line("", layout, &line, "");
        out.line("", layout, &names, "");
    }

    fn legend(&self, width: usize, out: &mut Out) {
        let kinds = self.kinds();
        if kinds.is_empty() {
            return;
        }
        out.text.push('\n');
        let mut used = 0;
        for kind in kinds {
            let (c, colour) = look(kind, out.style.unicode);
            let takes = 3 + kind.legend().len();
            if used > 0 && used + 2 + takes > width {
                out.text.push('\n');
                used = 0;
            }
            if used > 0 {
                out.text.push_str("  ");
                used += 2;
            }
            out.cells(&[Cell(c, colour), Cell(c, colour)]);
            let _ = write!(out.text, " {}", kind.legend());
            used += takes;
        }
        out.text.push('\n');
    }

    fn column(&self, at: Duration, plot: usize) -> usize {
        (self.place(at, plot as f64) as usize).min(plot - 1)
    }
}

/// As it is shown.
fn columns_of(text: &str) -> usize {
    width(&one_line(text), columns) as usize
}

fn look(kind: Kind, unicode: bool) -> (char, u8) {
    let (boxes, ascii, colour) = match kind {
        Kind::Least => ('█', '#', 34),
        Kind::Most => ('▒', '=', 33),
        Kind::Reserve => ('░', '.', 36),
        Kind::Done => ('█', '#', 32),
        Kind::Failed => ('▓', '%', 35),
        Kind::Cut => ('▒', '=', 33),
        Kind::Forced => ('╳', 'X', 31),
        Kind::Open => ('━', '~', 36),
    };
    (if unicode { boxes } else { ascii }, colour)
}

fn mark_look(kind: MarkKind, unicode: bool) -> (char, u8) {
    let (boxes, ascii, colour) = match kind {
        MarkKind::Event => ('│', '|', 2),
        MarkKind::Deadline => ('┊', ':', 33),
        MarkKind::Kill => ('┃', '!', 31),
    };
    (if unicode { boxes } else { ascii }, colour)
}

struct Out {
    text: String,
    style: Style,
}

impl Out {
    /// Names are the user's: none drives the terminal.
    fn safe(&self, text: &str) -> String {
        shown(text, self.style.unicode)
    }

    fn dots(&self) -> &'static str {
        if self.style.unicode { "…" } else { ".." }
    }

    fn line(&mut self, label: &str, layout: &Layout, cells: &[Cell], says: &str) {
        let used =
            if says.is_empty() { cells.iter().rposition(|c| *c != EMPTY).map_or(0, |n| n + 1) } else { cells.len() };
        self.text.push_str(label);
        if used > 0 {
            let pad = (layout.label + 1).saturating_sub(columns_of(label));
            let _ = write!(self.text, "{:pad$}", "");
            self.cells(&cells[..used]);
        }
        if !says.is_empty() {
            let _ = write!(self.text, "  {says}");
        }
        self.text.push('\n');
    }

    fn cells(&mut self, cells: &[Cell]) {
        let mut colour = 0;
        for Cell(c, its) in cells {
            if self.style.colour && *its != colour {
                let _ = match its {
                    0 => write!(self.text, "\x1b[0m"),
                    its => write!(self.text, "\x1b[0;{its}m"),
                };
                colour = *its;
            }
            if *c != '\0' {
                self.text.push(*c);
            }
        }
        if colour != 0 {
            self.text.push_str("\x1b[0m");
        }
    }

    /// In lines as wide as that, those after the first below where the first one's text begins.
    fn wrapped(&mut self, head: &str, text: &str, width: usize, colour: u8) {
        let indent = columns_of(head);
        for (n, line) in wrap(text, width.saturating_sub(indent).max(10) as f64, columns).iter().enumerate() {
            match (n, self.style.colour && colour != 0) {
                (0, true) if head.trim().is_empty() => {
                    let _ = writeln!(self.text, "{head}\x1b[{colour}m{line}\x1b[0m");
                }
                (0, true) => {
                    let _ = writeln!(self.text, "\x1b[{colour}m{head}\x1b[0m{line}");
                }
                (0, false) => {
                    let _ = writeln!(self.text, "{head}{line}");
                }
                _ => {
                    let _ = writeln!(self.text, "{:indent$}{line}", "");
                }
            }
        }
    }
}
