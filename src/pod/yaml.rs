//! TEXT → TREE: reads a stream of YAML documents (JSON is YAML, too) within bounds. Pure.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use super::tree::{Entry, Id, Stream, Value};
use crate::config::problem::{Problem, Source, Span};
use crate::text;

/// Whole charts are read, not whole clusters.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Nodes of all documents: a chart of 4 MiB has a tenth.
const MAX_NODES: usize = 500_000;
/// A pod's deepest field is at 15.
const MAX_DEPTH: usize = 64;
/// Elements of one sequence, keys of one mapping.
const MAX_LENGTH: usize = 5000;
/// Each may stand for the largest mapping there is, and rules look at every one.
const MAX_ALIASES: usize = 200;
/// Pairs that merge keys (`<<`) bring in, all together.
const MAX_MERGED: usize = 50_000;
/// More are not told.
const MAX_DUPLICATES: usize = 20;

/// Reads every document of a file without a byte order mark.
///
/// # Errors
/// What is not YAML, at its place; what is beyond the bounds above.
pub fn read(source: &Source<'_>) -> Result<Stream, Problem> {
    let mut loader = Loader::new(source.text);
    for next in Parser::new_from_str(source.text) {
        let read = match next {
            Ok((event, span)) => {
                let span = loader.offsets.byte(&span.start)..loader.offsets.byte(&span.end);
                loader.event(event, span.clone()).map_err(|wrong| (span, wrong.to_owned()))
            }
            Err(error) => {
                let at = loader.offsets.byte(error.marker());
                Err((at..at + 1, text::sentence(error.info())))
            }
        };
        if let Err((span, wrong)) = read {
            return Err(refused(source, &span, &wrong));
        }
    }
    Ok(loader.stream)
}

fn refused(source: &Source<'_>, span: &Span, wrong: &str) -> Problem {
    let help = if source.text.contains("{{") {
        "a chart's templates are no YAML before they are rendered: helm template CHART | softstop check --pod -"
    } else {
        "kubectl could not read it either: kubectl apply --dry-run=client -f FILE says more"
    };
    Problem::error(source.place(span, ""), format!("the manifest cannot be read as YAML: {wrong}"), help)
}

/// The parser counts characters, places are in bytes.
struct Offsets(Option<Vec<u32>>);

impl Offsets {
    fn new(text: &str) -> Offsets {
        // Texts are at most MAX_BYTES long.
        let table = || text.char_indices().map(|(byte, _)| byte as u32).collect();
        Offsets((!text.is_ascii()).then(table))
    }

    /// Past the end of the text for a marker that is.
    fn byte(&self, marker: &Marker) -> usize {
        match &self.0 {
            None => marker.index(),
            Some(table) => table.get(marker.index()).map_or(usize::MAX / 2, |byte| *byte as usize),
        }
    }
}

/// Where `{` or `[` stands of a collection that begins here, if it is written so; an anchor or a tag may stand before it.
pub(super) fn open_mark(text: &str, mut at: usize) -> Option<usize> {
    loop {
        let rest = text.get(at..)?;
        match rest.chars().next()? {
            '{' | '[' => return Some(at),
            '&' | '!' => {
                let word = rest.find(char::is_whitespace)?;
                at += word + rest.get(word..)?.find(|c: char| !c.is_whitespace())?;
            }
            _ => return None,
        }
    }
}

enum Open {
    Sequence(Vec<Id>),
    Mapping { pairs: Vec<(Id, Id)>, key: Option<Id> },
}

struct Loader<'a> {
    source: &'a str,
    stream: Stream,
    offsets: Offsets,
    /// What has begun and not ended, with its anchor and place.
    open: Vec<(Open, usize, Span)>,
    anchors: HashMap<usize, Id>,
    aliases: usize,
    merged: usize,
}

impl<'a> Loader<'a> {
    fn new(text: &'a str) -> Loader<'a> {
        Loader {
            source: text,
            stream: Stream::default(),
            offsets: Offsets::new(text),
            open: Vec::new(),
            anchors: HashMap::new(),
            aliases: 0,
            merged: 0,
        }
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), &'static str> {
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                self.complete(Value::Scalar { text: text.into_owned(), plain }, anchor, span)
            }
            Event::SequenceStart(anchor, _) => self.begin(Open::Sequence(Vec::new()), anchor, span),
            Event::MappingStart(anchor, _) => self.begin(Open::Mapping { pairs: Vec::new(), key: None }, anchor, span),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some((open, anchor, begin)) = self.open.pop() else {
                    return Err("something ends that never began");
                };
                let span = begin.start..self.end(&open, &begin, &span);
                let value = match open {
                    Open::Sequence(items) => Value::Sequence(items),
                    Open::Mapping { pairs, .. } => {
                        self.note_duplicates(&pairs);
                        Value::Mapping(self.merge(pairs)?)
                    }
                };
                self.complete(value, anchor, span)
            }
            Event::Alias(anchor) => {
                self.aliases += 1;
                if self.aliases > MAX_ALIASES {
                    return Err("more than 200 aliases");
                }
                match self.anchors.get(&anchor) {
                    Some(id) => self.complete(Value::Alias(*id), 0, span),
                    None => Err("an alias inside what it stands for"),
                }
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Ok(())
            }
        }
    }

    /// Where a collection ends that began at `begin` and is closed at `close`. The parser closes what is written in lines where the next thing
    /// begins.
    fn end(&self, open: &Open, begin: &Span, close: &Span) -> usize {
        if open_mark(self.source, begin.start).is_some() {
            return close.end;
        }
        let last = match open {
            Open::Sequence(items) => items.last().into_iter().collect::<Vec<_>>(),
            Open::Mapping { pairs, .. } => pairs.last().into_iter().flat_map(|(key, value)| [key, value]).collect(),
        };
        let ends = last.into_iter().map(|id| self.stream.entries[*id as usize].span.end);
        ends.chain([begin.end]).max().unwrap_or(begin.end)
    }

    fn begin(&mut self, open: Open, anchor: usize, span: Span) -> Result<(), &'static str> {
        if self.open.len() >= MAX_DEPTH {
            return Err("nested more than 64 levels deep");
        }
        self.open.push((open, anchor, span));
        Ok(())
    }

    fn complete(&mut self, value: Value, anchor: usize, span: Span) -> Result<(), &'static str> {
        if self.stream.entries.len() >= MAX_NODES {
            return Err("more than 500000 values");
        }
        let id = Id::try_from(self.stream.entries.len()).map_err(|_| "more than 500000 values")?;
        self.stream.entries.push(Entry { span, value });
        if anchor > 0 {
            self.anchors.insert(anchor, id);
        }
        self.put(id)
    }

    /// Into what is open; outside of everything it is a document.
    fn put(&mut self, id: Id) -> Result<(), &'static str> {
        let length = match self.open.last_mut() {
            None => {
                self.stream.documents.push(id);
                self.stream.documents.len()
            }
            Some((Open::Sequence(items), ..)) => {
                items.push(id);
                items.len()
            }
            Some((Open::Mapping { pairs, key }, ..)) => {
                match key.take() {
                    None => *key = Some(id),
                    Some(key) => pairs.push((key, id)),
                }
                pairs.len()
            }
        };
        if length > MAX_LENGTH { Err("a list or mapping of more than 5000 entries") } else { Ok(()) }
    }

    fn text(&self, id: Id) -> Option<&str> {
        match &self.stream.entry(id).value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    fn note_duplicates(&mut self, pairs: &[(Id, Id)]) {
        let mut seen = HashSet::new();
        let twice = |key: &&Id| self.text(**key).is_some_and(|text| text != "<<" && !seen.insert(text));
        let room = MAX_DUPLICATES - self.stream.duplicates.len();
        let keys: Vec<Id> = pairs.iter().map(|(key, _)| key).filter(twice).take(room).copied().collect();
        self.stream.duplicates.extend(keys);
    }

    /// Puts what `<<` refers to behind the mapping's own pairs, where `get` finds it last.
    fn merge(&mut self, mut pairs: Vec<(Id, Id)>) -> Result<Vec<(Id, Id)>, &'static str> {
        let values = |id: Id| &self.stream.entry(id).value;
        let (mut more, mut total) = (Vec::new(), self.merged);
        for (_, from) in pairs.iter().filter(|(key, _)| self.text(*key) == Some("<<")) {
            let sources = match values(*from) {
                Value::Sequence(items) => items.as_slice(),
                _ => std::slice::from_ref(from),
            };
            for source in sources {
                if let Value::Mapping(merged) = values(*source) {
                    total += merged.len();
                    if total > MAX_MERGED || pairs.len() + more.len() + merged.len() > MAX_LENGTH {
                        return Err("merge keys that bring in too much");
                    }
                    more.extend_from_slice(merged);
                }
            }
        }
        pairs.append(&mut more);
        self.merged = total;
        Ok(pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::tree::Node;

    fn stream(text: &str) -> Stream {
        read(&Source::new("f.yaml", text)).unwrap_or_else(|p| panic!("{p}"))
    }

    fn refused(text: &str) -> String {
        read(&Source::new("f.yaml", text)).unwrap_err().to_string()
    }

    #[test]
    fn documents_comments_and_nothing() {
        let s = stream("# a chart\n---\n---\na: 1\n---\n# empty\n---\n{\"b\": [true, null, \"2\"]}\n...\n");
        let documents: Vec<Node<'_>> = s.documents().collect();
        assert_eq!(documents.len(), 2);
        assert_eq!(documents[0].get("a").unwrap().integer(), Some(1));
        let b: Vec<Node<'_>> = documents[1].list("b");
        assert!(b[0].is_true() && b[2].integer().is_none() && b[2].text() == Some("2"));
        assert!(documents[0].get("b").is_none());
    }

    #[test]
    fn places_count_bytes_behind_wide_characters() {
        let text = "a: 日本\nb: [x, y]\n";
        let s = stream(text);
        let d = s.documents().next().unwrap();
        assert_eq!(&text[d.get("a").unwrap().mark()], "日本");
        assert_eq!(&text[d.get("b").unwrap().mark()], "b");
        assert_eq!(&text[d.list("b")[1].mark()], "y");
    }

    #[test]
    fn aliases_and_merge_keys_mean_what_they_stand_for() {
        let s = stream("base: &b { x: 1, y: 2 }\nuse:\n  <<: *b\n  y: 3\nboth: { <<: [*b, { z: 4 }] }\nlist: [*b]\n");
        let d = s.documents().next().unwrap();
        let value = |keys: &[&str]| d.at(keys).and_then(|n| n.integer());
        assert_eq!((value(&["use", "x"]), value(&["use", "y"])), (Some(1), Some(3)));
        assert_eq!((value(&["both", "y"]), value(&["both", "z"])), (Some(2), Some(4)));
        assert_eq!(d.list("list")[0].get("x").unwrap().integer(), Some(1));
    }

    #[test]
    fn a_billion_laughs_are_refused_or_cheap() {
        let mut laughs = "a0: &a0 [lol]\n".to_owned();
        for i in 1..30 {
            let aliases = vec![format!("*a{}", i - 1); 9].join(", ");
            laughs.push_str(&format!("a{i}: &a{i} [{aliases}]\n"));
        }
        assert!(refused(&laughs).contains("more than 200 aliases"));
        let mut merges = "a0: &a0 { k: v }\n".to_owned();
        for i in 1..20 {
            let aliases = vec![format!("*a{}", i - 1); 9].join(", ");
            merges.push_str(&format!("a{i}: &a{i} {{ <<: [{aliases}] }}\n"));
        }
        assert!(refused(&merges).contains("merge keys that bring in too much"));
        assert!(refused("a: &a [*a]\n").contains("an alias inside what it stands for"));
    }

    #[test]
    fn what_is_hostile_is_refused_in_time() {
        for text in [
            "{---".to_owned(),
            "[".repeat(1_000_000),
            "{".repeat(1_000_000),
            "- ".repeat(1_000_000),
            "? ".repeat(500_000),
            "[\n".repeat(500_000),
            "a: ".repeat(100_000),
            "- x\n".repeat(1_000_000),
            "---\n- x\n".repeat(400_000),
            "*x ".repeat(1000),
            "a: \u{0}\n".to_owned(),
            "{{- if x }}\na: 1\n{{- end }}\n".to_owned(),
        ] {
            let said = refused(&text);
            assert!(said.contains(" --> f.yaml:"), "{said}");
        }
        for text in ["a\n".repeat(1_000_000), format!("a: \"{}\"", "x\\n".repeat(1_000_000)), "#\n".repeat(1_000_000)] {
            let _ = read(&Source::new("f.yaml", &text));
        }
    }
}
