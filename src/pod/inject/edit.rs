//! A text changed at a few places, and nothing else of it: keys and list entries put in and taken out where the tree says that they stand. Pure.

use crate::config::problem::{Problem, Source, Span};
use crate::pod::fragment::quoted;
use crate::pod::tree::{Node, Stream};
use crate::pod::yaml;
use crate::{sorted, text};

/// Nothing that is put in is nested deeper.
const LEVELS: usize = 16;

/// What is put into a list: the words of a mapping, key by key, or one word. Values are YAML on one line (flow style).
pub enum Item<'a> {
    Mapping(Vec<(&'a str, String)>),
    Word(String),
}

/// Each refuses what is written in a way that nothing can be put into or taken out of without rewriting it, and what an alias shares with
/// other places: these would be changed, too.
pub struct Edits<'a> {
    source: &'a Source<'a>,
    text: &'a str,
    /// What an alias stands for, and the alias.
    shared: Vec<(Span, Span)>,
    list: Vec<(Span, String)>,
}

impl<'a> Edits<'a> {
    pub fn new(source: &'a Source<'a>, stream: &Stream) -> Edits<'a> {
        Edits { source, text: source.text, shared: stream.shared().collect(), list: Vec::new() }
    }

    fn unclear(&self, at: Span) -> Problem {
        let sentence = "nothing can be put in or taken out here without writing it anew";
        let help = "it is an alias, a merge key or an unusual style: write it out in lines, one key each";
        Problem::error(self.source.place(&at, ""), sentence, help)
    }

    /// A collection into which something comes.
    fn can_grow(&self, node: Node<'_>) -> Result<(), Problem> {
        let its = node.value_span();
        self.not_shared(node.span(), |shared| shared.start <= its.start && its.end <= shared.end)
    }

    /// What goes, or has something else in its place: no alias may stand for a part of it, either.
    fn can_go(&self, span: &Span) -> Result<(), Problem> {
        self.not_shared(span.clone(), |shared| shared.start < span.end && span.start < shared.end)
    }

    fn not_shared(&self, marked: Span, is_changed: impl Fn(&Span) -> bool) -> Result<(), Problem> {
        self.shared
            .iter()
            .find(|(value, _)| is_changed(value))
            .map_or(Ok(()), |shared| Err(self.is_shared(shared, marked)))
    }

    fn is_shared(&self, (value, alias): &(Span, Span), marked: Span) -> Problem {
        let name = self.text.get(alias.clone()).unwrap_or_default();
        let sentence = format!("nothing can be put in or taken out here alone: it is shared, by the alias {name}");
        let other = if marked.start == alias.start { value } else { alias };
        let help = "write it out in each of these places, without anchor and alias";
        let mut problem = Problem::error(self.source.place(&marked, ""), text::sentence(&sentence), help);
        problem.places.push(self.source.place(other, "shared with this place"));
        problem
    }

    /// The text with every change in it; those of one place in the order in which they were made.
    pub fn done(mut self) -> String {
        sorted::by_key(&mut self.list, |(span, _)| span.start);
        let mut text = String::with_capacity(self.text.len());
        let mut from = 0;
        for (span, new) in self.list {
            text.push_str(&self.text[from..span.start.max(from)]);
            text.push_str(&new);
            from = from.max(span.end);
        }
        text.push_str(&self.text[from..]);
        text
    }

    /// Before what a mapping begins with.
    pub fn put_key(&mut self, mapping: Node<'_>, key: &str, value: &str) -> Result<(), Problem> {
        self.put(mapping, key, &json(value), |_| format!(" {value}\n"))
    }

    /// A key that is not there: its value on one line, or in lines below the key's column.
    fn put(
        &mut self,
        mapping: Node<'_>,
        key: &str,
        flow: &str,
        lines: impl Fn(usize) -> String,
    ) -> Result<(), Problem> {
        self.can_grow(mapping)?;
        if let Some(nothing) = mapping.pairs().find(|(name, _)| *name == key).and_then(|(_, value)| value.key_span()) {
            let sentence = format!("nothing stands behind {key}");
            return Err(Problem::error(self.source.place(&nothing, ""), sentence, "leave the key out"));
        }
        if let Some(open) = self.flow(mapping) {
            self.put_into_flow(open, &[format!("{}: {flow}", quoted(key))], mapping.pairs().next().is_none());
            return Ok(());
        }
        let (at, column) = self.first_line(mapping)?;
        self.insert(at, format!("{:column$}{key}:{}", "", lines(column)));
        Ok(())
    }

    /// Texts below a key of a mapping, made where there is none: those that it does not have yet.
    pub fn put_pairs(&mut self, outer: Node<'_>, key: &str, pairs: &[(&str, impl AsRef<str>)]) -> Result<(), Problem> {
        let pairs = pairs.iter().map(|(name, value)| (*name, quoted(value.as_ref())));
        let Some(mapping) = outer.get(key) else {
            let pairs: Vec<String> = pairs.map(|(name, value)| format!("{name}: {value}")).collect();
            let none = pairs.is_empty();
            return if none { Ok(()) } else { self.put_key(outer, key, &format!("{{ {} }}", pairs.join(", "))) };
        };
        let mut missing = pairs.filter(|(name, _)| mapping.get(name).is_none());
        missing.try_for_each(|(name, value)| self.put_key(mapping, name, &value))
    }

    /// A list behind a key of a mapping, made where there is none: its entries come first. `dashes`: columns of a dash behind its key's.
    pub fn put_items(
        &mut self,
        mapping: Node<'_>,
        key: &str,
        items: &[Item<'_>],
        dashes: usize,
    ) -> Result<(), Problem> {
        if items.is_empty() {
            return Ok(());
        }
        let entries: Vec<String> = items.iter().map(flow).collect();
        let Some(list) = mapping.get(key) else {
            let flow = format!("[{}]", entries.join(", "));
            return self.put(mapping, key, &flow, |column| format!("\n{}", lines(items, column + dashes)));
        };
        self.can_grow(list)?;
        if let Some(open) = self.flow(list) {
            self.put_into_flow(open, &entries, list.elements().next().is_none());
            return Ok(());
        }
        let first = list.elements().next().ok_or_else(|| self.unclear(list.mark()))?;
        let dash = self.dash(first)?;
        let start = self.line_start(dash);
        self.insert(self.above_comments(start, dash - start), lines(items, dash - start));
        Ok(())
    }

    /// A word in the place of another, which stands on one line; of an alias, in the alias's place.
    pub fn replace(&mut self, scalar: Node<'_>, word: String) -> Result<(), Problem> {
        self.can_go(&scalar.span())?;
        self.list.push((scalar.span(), word));
        Ok(())
    }

    /// A key of a mapping, with its value.
    pub fn take_key(&mut self, mapping: Node<'_>, key: &str) -> Result<(), Problem> {
        let Some(value) = mapping.get(key) else { return Ok(()) };
        let name = value.key_span().ok_or_else(|| self.unclear(value.mark()))?;
        let span = name.start..value.span().end;
        self.can_go(&span)?;
        if self.flow(mapping).is_some() {
            self.take_from_flow(&span);
            return Ok(());
        }
        if !self.is_blank(self.line_start(name.start)..name.start) {
            return Err(self.unclear(name));
        }
        self.take_lines(span);
        Ok(())
    }

    /// Entries of the list behind a key of a mapping: the key, too, when nothing stays in it.
    pub fn take_items(
        &mut self,
        mapping: Node<'_>,
        key: &str,
        which: &dyn Fn(usize, Node<'_>) -> bool,
    ) -> Result<(), Problem> {
        let Some(list) = mapping.get(key) else { return Ok(()) };
        let (gone, stay): (Vec<_>, Vec<_>) = list.elements().enumerate().partition(|(i, item)| which(*i, *item));
        if !gone.is_empty() && stay.is_empty() {
            return self.take_key(mapping, key);
        }
        for (_, item) in gone {
            self.can_go(&item.span())?;
            if self.flow(list).is_some() {
                self.take_from_flow(&item.span());
            } else {
                let dash = self.dash(item)?;
                self.take_lines(dash..item.span().end);
            }
        }
        Ok(())
    }

    /// How far behind its key a list's dashes stand, where there is such a list.
    pub fn dashes(&self, mapping: Node<'_>, key: &str) -> Option<usize> {
        let list = mapping.get(key).filter(|list| self.flow(*list).is_none())?;
        let (name, dash) = (list.key_span()?.start, self.dash(list.elements().next()?).ok()?);
        (dash - self.line_start(dash)).checked_sub(name - self.line_start(name))
    }

    fn insert(&mut self, at: usize, new: String) {
        self.list.push((at..at, new));
    }

    /// Where `{` or `[` stands, of a collection that is written so.
    fn flow(&self, node: Node<'_>) -> Option<usize> {
        yaml::open_mark(self.text, node.span().start).filter(|_| node.text().is_none())
    }

    fn put_into_flow(&mut self, open: usize, entries: &[String], alone: bool) {
        let rest = self.text.get(open + 1..).unwrap_or_default();
        let space = if rest.starts_with(' ') { " " } else { "" };
        let behind = match (alone, rest.starts_with([' ', '\n', '\r'])) {
            (true, _) => space,
            (false, true) => ",",
            (false, false) => ", ",
        };
        self.insert(open + 1, format!("{space}{}{behind}", entries.join(", ")));
    }

    /// With its comma, and the spaces up to what comes next on the line.
    fn take_from_flow(&mut self, span: &Span) {
        let rest = self.text.get(span.end..).unwrap_or_default();
        let before = self.text.get(..span.start).unwrap_or_default().trim_end();
        let taken = if let Some(behind) = rest.strip_prefix(',') {
            let spaces = behind.len() - behind.trim_start_matches(' ').len();
            let spaces = if behind[spaces..].starts_with(['\n', '\r']) { 0 } else { spaces };
            span.start..span.end + 1 + spaces
        } else {
            before.strip_suffix(',').map_or(span.start, str::len)..span.end
        };
        self.list.push((taken, String::new()));
    }

    /// The whole lines of it.
    fn take_lines(&mut self, span: Span) {
        let end =
            self.text.get(span.end..).and_then(|rest| rest.find('\n')).map_or(self.text.len(), |at| span.end + at + 1);
        self.list.push((self.line_start(span.start)..end, String::new()));
    }

    fn line_start(&self, at: usize) -> usize {
        self.text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1)
    }

    fn is_blank(&self, span: Span) -> bool {
        self.text.get(span).is_some_and(|text| text.bytes().all(|b| b == b' '))
    }

    /// The first line of a mapping that begins with a key, and that key's column: a list's dash may stand before the first key of all.
    fn first_line(&self, mapping: Node<'_>) -> Result<(usize, usize), Problem> {
        let its = mapping.span();
        // What a merge key brings in stands elsewhere.
        let own = mapping.pairs().filter_map(|(_, value)| value.key_span()).filter(|key| its.contains(&key.start));
        let line = |key: Span| (self.line_start(key.start), key.start);
        let first = own.map(line).find(|(start, key)| self.is_blank(*start..*key));
        let (start, key) = first.ok_or_else(|| self.unclear(mapping.mark()))?;
        Ok((self.above_comments(start, key - start), key - start))
    }

    /// The comments above a line are its own, but for what stands further in than its `column`: that may be a text's line.
    fn above_comments(&self, mut start: usize, column: usize) -> usize {
        while start > 0 {
            let above = self.line_start(start - 1);
            let line = self.text.get(above..start).unwrap_or_default();
            if !line.trim_start().starts_with('#') || line.len() - line.trim_start().len() > column {
                break;
            }
            start = above;
        }
        start
    }

    /// Of a list's entry: its dash, where nothing but it stands before the entry.
    fn dash(&self, item: Node<'_>) -> Result<usize, Problem> {
        let span = item.span();
        let start = self.line_start(span.start);
        let before = self.text.get(start..span.start).unwrap_or_default();
        let blank = before.len() - before.trim_start_matches(' ').len();
        match before.get(blank..).map(str::trim_end) {
            Some("-") => Ok(start + blank),
            _ => Err(self.unclear(item.mark())),
        }
    }
}

fn lines(items: &[Item<'_>], column: usize) -> String {
    let item = |item: &Item<'_>| match item {
        Item::Word(word) => format!("{:column$}- {word}\n", ""),
        Item::Mapping(pairs) => {
            let lead = |i| if i == 0 { "- " } else { "  " };
            pairs
                .iter()
                .enumerate()
                .map(|(i, (key, value))| format!("{:column$}{}{key}: {value}\n", "", lead(i)))
                .collect()
        }
    };
    items.iter().map(item).collect()
}

fn flow(item: &Item<'_>) -> String {
    match item {
        Item::Word(word) => json(word),
        Item::Mapping(pairs) => {
            let pairs: Vec<_> = pairs.iter().map(|(key, value)| format!("{}: {}", quoted(key), json(value))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
    }
}

/// YAML on one line as JSON, which stands in YAML's flow style and in a JSON file alike.
fn json(value: &str) -> String {
    let stream = yaml::read(&Source::new("", value));
    stream.ok().and_then(|s| s.documents().next().map(|d| d.json(LEVELS))).unwrap_or_else(|| "null".to_owned())
}
