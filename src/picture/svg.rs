//! The drawing for a page: one SVG that follows the reader's light or dark, without a script, a font or a file of its own. Pure.
//!
//! It has a background of its own: a page may be dark while its reader's system is light. Columns are as wide as their words are in the
//! widest of the usual fonts, so that nothing overlaps.

use std::fmt::Write as _;
use std::time::Duration;

use super::measure::{elide, ems, width, wrap};
use super::{Bar, Kind, Mark, MarkKind, Picture, Row, Weight, axis};
use crate::sorted;
use crate::text::{one_line, xml};

const WIDTH: f64 = 900.0;
const EDGE: f64 = 18.0;
/// Font sizes.
const TITLE: f64 = 15.0;
const TEXT: f64 = 12.0;
const SMALL: f64 = 11.0;
/// From one line of text to the next.
const LINE: f64 = 17.0;
const ROW: f64 = 22.0;
const BAR: f64 = 12.0;
/// The columns beside the drawing are no wider.
const LABEL: f64 = 250.0;
const SAYS: f64 = 215.0;

const STYLE: &str = "
text { font: 12px system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #1f2328 }
.title { font-size: 15px; font-weight: 600 } .head { font-weight: 600 } .small { font-size: 11px } .muted { fill: #59636e }
.page { fill: #ffffff; stroke: #d1d9e0 } .grid { stroke: #d1d9e0 } .axis { stroke: #818b98 }
.event { stroke: #818b98 } .deadline { stroke: #9a6700; stroke-dasharray: 4 3 } .kill { stroke: #cf222e; stroke-width: 2 }
.deadline-text { fill: #9a6700 } .kill-text { fill: #cf222e } .event-text { fill: #59636e }
.least { fill: #0969da } .most { fill: #eac54f } .reserve { fill: none; stroke: #8250df; stroke-width: 1.5; stroke-dasharray: 3 2 }
.done { fill: #1a7f37 } .failed { fill: #8250df } .cut { fill: #d4a72c } .forced { fill: #cf222e }
.tick { stroke: #cf222e; stroke-width: 1.5 } .curve { fill: #0969da; fill-opacity: .3; stroke: #0969da }
.error-text { fill: #cf222e } .warning-text { fill: #9a6700 } .note-text { fill: #0969da }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc } .muted { fill: #9198a1 } .page { fill: #0d1117; stroke: #3d444d } .grid { stroke: #2a313c } .axis { stroke: #656c76 }
.event { stroke: #656c76 } .deadline { stroke: #d29922 } .kill { stroke: #f85149 }
.deadline-text { fill: #d29922 } .kill-text { fill: #f85149 } .event-text { fill: #9198a1 }
.least { fill: #4493f8 } .most { fill: #9e6a03 } .reserve { fill: none; stroke: #ab7df8 }
.done { fill: #3fb950 } .failed { fill: #ab7df8 } .cut { fill: #d29922 } .forced { fill: #f85149 }
.tick { stroke: #f85149 } .curve { fill: #4493f8; fill-opacity: .3; stroke: #4493f8 }
.error-text { fill: #f85149 } .warning-text { fill: #d29922 } .note-text { fill: #4493f8 }
}
";

/// Where the drawing itself begins and ends.
#[derive(Clone, Copy)]
struct Plot {
    left: f64,
    right: f64,
}

struct Page {
    body: String,
    /// Where the next line of it begins.
    y: f64,
}

impl Picture {
    /// A whole file.
    pub fn svg(&self) -> String {
        let longest = |of: &dyn Fn(&Row) -> f64| self.rows.iter().map(of).fold(0.0, f64::max);
        let label = longest(&|row| indent(row) + line_width(&row.label, TEXT, is_heading(row))).min(LABEL);
        let says = longest(&|row| line_width(&row.says, SMALL, false)).min(SAYS);
        let plot = Plot { left: EDGE + label + 12.0, right: WIDTH - EDGE - says - if says > 0.0 { 10.0 } else { 0.0 } };
        let mut page = Page { body: String::new(), y: EDGE };
        page.lines(&self.title, EDGE, TITLE, "title", WIDTH - 2.0 * EDGE);
        page.lines(&self.subtitle, EDGE, TEXT, "muted", WIDTH - 2.0 * EDGE);
        page.y += 6.0;
        self.labels_above(plot, &mut page);
        let (top, bottom) = (page.y, page.y + ROW * self.rows.len() as f64 + 4.0);
        self.grid(plot, top, bottom, &mut page);
        for (n, row) in self.rows.iter().enumerate() {
            self.bars_of(row, plot, top + ROW * n as f64, label, says, &mut page);
        }
        page.y = bottom + 22.0;
        self.keys(&mut page);
        self.remarks(&mut page);
        let height = page.y + EDGE - 6.0;
        let title = xml(&one_line(&self.title));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" aria-label=\"{title}\">\n\
             <style>{STYLE}</style>\n\
             <rect class=\"page\" x=\"0.5\" y=\"0.5\" width=\"{:.1}\" height=\"{:.1}\" rx=\"6\"/>\n{}</svg>\n",
            WIDTH - 1.0,
            height.round() - 1.0,
            page.body,
        )
    }

    fn x(&self, at: Duration, plot: Plot) -> f64 {
        plot.left + self.place(at, plot.right - plot.left)
    }

    /// Each above its instant, on as many lines as they need.
    fn labels_above(&self, plot: Plot, page: &mut Page) {
        let mut ends: Vec<f64> = Vec::new();
        let mut placed: Vec<(usize, f64, String, &Mark)> = Vec::new();
        let mut marks: Vec<&Mark> = self.marks.iter().collect();
        sorted::by_key(&mut marks, |mark| mark.at);
        for mark in marks {
            let label = elide(&one_line(&mark.label), (WIDTH - 2.0 * EDGE) / SMALL, "…", ems);
            let half = width(&label, ems) * SMALL / 2.0;
            let x = self.x(mark.at, plot).min(WIDTH - EDGE - half).max(EDGE + half);
            let level = ends.iter().position(|end| *end + 8.0 <= x - half).unwrap_or(ends.len());
            if level == ends.len() {
                ends.push(0.0);
            }
            ends[level] = x + half;
            placed.push((level, x, label, mark));
        }
        for (level, x, label, mark) in placed {
            let class = format!("small {}-text", mark_class(mark.kind));
            page.text(x, page.y + 12.0 + 15.0 * level as f64, &class, "middle", &label);
        }
        page.y += 15.0 * ends.len() as f64 + 8.0;
    }

    fn grid(&self, plot: Plot, top: f64, bottom: f64, page: &mut Page) {
        let most = ((plot.right - plot.left) / 62.0).max(1.0) as usize;
        let mut free = 0.0;
        for at in axis::instants(self.span(), most) {
            let (x, name) = (self.x(at, plot), axis::name(at));
            page.line((x, top), (x, bottom), "grid");
            let half = width(&name, ems) * SMALL / 2.0;
            // A wide one at the end stays on the page.
            let x = x.min(WIDTH - 2.0 - half);
            if x - half >= free {
                page.text(x, bottom + 15.0, "small muted", "middle", &name);
                free = x + half + 4.0;
            }
        }
        page.line((plot.left, bottom), (plot.right, bottom), "axis");
        for mark in &self.marks {
            let x = self.x(mark.at, plot);
            page.line((x, top - 4.0), (x, bottom), mark_class(mark.kind));
        }
    }

    fn bars_of(&self, row: &Row, plot: Plot, y: f64, label: f64, says: f64, page: &mut Page) {
        let (indent, heading) = (indent(row), is_heading(row));
        let words = elide(&one_line(&row.label), (label - indent) / size(TEXT, heading), "…", ems);
        page.text(EDGE + indent, y + 15.0, if heading { "head" } else { "" }, "start", &words);
        for bar in &row.bars {
            self.bar(*bar, plot, y + (ROW - BAR) / 2.0, page);
        }
        self.area(row, plot, y, page);
        for at in &row.ticks {
            let x = self.x(*at, plot);
            page.line((x, y + 3.0), (x, y + ROW - 3.0), "tick");
        }
        let words = elide(&one_line(&row.says), says / SMALL + 0.01, "…", ems);
        if !words.is_empty() {
            page.text(plot.right + 10.0, y + 15.0, "small muted", "start", &words);
        }
    }

    fn bar(&self, bar: Bar, plot: Plot, y: f64, page: &mut Page) {
        let (x, end) = (self.x(bar.from, plot), self.x(bar.until, plot));
        // What takes no time shows all the same, and nothing is drawn beyond the axis.
        let length = (end - x).max(2.0);
        let x = x.min(plot.right - 2.0);
        match bar.kind {
            Kind::Reserve => page.rect((x + 1.0, y - 2.0), ((length - 2.0).max(1.0), BAR + 4.0), "reserve"),
            kind => page.rect((x, y), (length, BAR), class(kind)),
        }
    }

    fn area(&self, row: &Row, plot: Plot, y: f64, page: &mut Page) {
        let Some(highest) = row.curve.iter().map(|(_, value)| *value).max().filter(|most| *most > 0) else { return };
        let base = y + ROW - 2.0;
        let level = |value: u64| base - (ROW - 5.0) * (value as f64 / highest as f64);
        let first = self.x(row.curve[0].0, plot);
        let mut path = format!("M{first:.1} {base:.1}");
        for (at, value) in &row.curve {
            let _ = write!(path, "H{:.1}V{:.1}", self.x(*at, plot), level(*value));
        }
        let _ = write!(path, "H{:.1}V{base:.1}Z", plot.right);
        let _ = writeln!(page.body, "<path class=\"curve\" d=\"{path}\"/>");
    }

    fn keys(&self, page: &mut Page) {
        let kinds = self.kinds();
        if kinds.is_empty() {
            return;
        }
        page.y += 8.0;
        let mut x = EDGE;
        for kind in kinds {
            let needs = 20.0 + width(kind.legend(), ems) * SMALL + 14.0;
            if x > EDGE && x + needs > WIDTH - EDGE {
                (x, page.y) = (EDGE, page.y + LINE);
            }
            let (inset, size) = if kind == Kind::Reserve { (1.0, (12.0, BAR - 2.0)) } else { (0.0, (14.0, BAR)) };
            page.rect((x + inset, page.y + inset), size, class(kind));
            page.text(x + 20.0, page.y + 10.0, "small", "start", kind.legend());
            x += needs;
        }
        page.y += BAR + 6.0;
    }

    fn remarks(&self, page: &mut Page) {
        for remark in self.remarks.iter().filter(|remark| !remark.text.is_empty()) {
            page.y += 8.0;
            let head = format!("{}:", remark.weight.name());
            let class = match remark.weight {
                Weight::Error => "head error-text",
                Weight::Warning => "head warning-text",
                Weight::Note => "head note-text",
            };
            page.text(EDGE, page.y + 12.0, class, "start", &head);
            let left = EDGE + 64.0;
            page.lines(&remark.text, left, TEXT, "", WIDTH - EDGE - left);
            page.lines(&remark.help, left, TEXT, "muted", WIDTH - EDGE - left);
        }
    }
}

fn indent(row: &Row) -> f64 {
    14.0 * row.depth as f64
}

fn is_heading(row: &Row) -> bool {
    // What a whole group holds may stand beside its name.
    let only_held = row.bars.iter().all(|bar| bar.kind == Kind::Reserve);
    row.depth == 0 && only_held && row.curve.is_empty() && row.ticks.is_empty()
}

/// Bold is wider.
fn size(font: f64, bold: bool) -> f64 {
    if bold { font * 1.08 } else { font }
}

fn line_width(text: &str, font: f64, bold: bool) -> f64 {
    width(&one_line(text), ems) * size(font, bold) + 0.1
}

fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Least => "least",
        Kind::Most => "most",
        Kind::Reserve => "reserve",
        Kind::Done => "done",
        Kind::Failed => "failed",
        Kind::Cut => "cut",
        Kind::Forced => "forced",
        // In the colour of what is planned, which no measured picture has.
        Kind::Open => "least",
    }
}

fn mark_class(kind: MarkKind) -> &'static str {
    match kind {
        MarkKind::Event => "event",
        MarkKind::Deadline => "deadline",
        MarkKind::Kill => "kill",
    }
}

impl Page {
    fn text(&mut self, x: f64, y: f64, class: &str, anchor: &str, words: &str) {
        let words = xml(&one_line(words));
        let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
        let anchor = if anchor == "start" { String::new() } else { format!(" text-anchor=\"{anchor}\"") };
        let _ = writeln!(self.body, "<text x=\"{x:.1}\" y=\"{y:.1}\"{class}{anchor}>{words}</text>");
    }

    /// Below the last, as many lines as it takes.
    fn lines(&mut self, text: &str, x: f64, font: f64, class: &str, room: f64) {
        if text.is_empty() {
            return;
        }
        let bold = class.contains("title");
        for line in wrap(&one_line(text), room / size(font, bold), ems) {
            self.text(x, self.y + font, class, "start", &line);
            self.y += LINE.max(font + 5.0);
        }
    }

    fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) {
        let _ = writeln!(
            self.body,
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        );
    }

    fn rect(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), class: &str) {
        let _ = writeln!(
            self.body,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"2\"/>"
        );
    }
}
