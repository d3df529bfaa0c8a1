//! A YAML stream as a tree whose every node knows its place. What an alias stands for is there once, however often it is
//! named: a hundred lines cannot become a gigabyte. Pure.

use crate::config::problem::Span;

/// Index into [`Stream`]'s nodes.
pub type Id = u32;

/// The documents of one file.
#[derive(Debug, Default)]
pub struct Stream {
    pub(super) entries: Vec<Entry>,
    pub(super) documents: Vec<Id>,
    /// Keys that stand in their mapping a second time, as many as are of use.
    pub(super) duplicates: Vec<Id>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub span: Span,
    pub value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    /// `plain`: written without quotes, so that it may mean a number, a truth value or nothing.
    Scalar {
        text: String,
        plain: bool,
    },
    Sequence(Vec<Id>),
    Mapping(Vec<(Id, Id)>),
    /// `*name`, for the value that has this anchor.
    Alias(Id),
}

/// A node of a [`Stream`], and the key it stands behind.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    stream: &'a Stream,
    id: Id,
    key: Option<Id>,
}

impl Stream {
    /// Documents that hold something.
    pub fn documents(&self) -> impl Iterator<Item = Node<'_>> {
        self.documents.iter().map(|id| Node { stream: self, id: *id, key: None }).filter(|n| !n.is_null())
    }

    /// An entry, or what it is an alias of.
    pub(super) fn entry(&self, id: Id) -> &Entry {
        let entry = &self.entries[id as usize];
        if let Value::Alias(of) = entry.value { &self.entries[of as usize] } else { entry }
    }

    /// Where each value stands that an alias stands for, and where the alias does.
    pub fn shared(&self) -> impl Iterator<Item = (Span, Span)> {
        self.entries.iter().filter_map(|entry| match entry.value {
            Value::Alias(of) => Some((self.entries[of as usize].span.clone(), entry.span.clone())),
            _ => None,
        })
    }

    /// Keys that stand in their mapping a second time.
    pub fn duplicates(&self) -> impl Iterator<Item = Node<'_>> {
        self.duplicates.iter().map(|id| Node { stream: self, id: *id, key: None })
    }
}

impl<'a> Node<'a> {
    fn entry(&self) -> &'a Entry {
        self.stream.entry(self.id)
    }

    fn is_null(&self) -> bool {
        matches!(self.plain(), Some("" | "~" | "null" | "Null" | "NULL"))
    }

    /// The value of a key; what is null counts as absent, as it does to Kubernetes.
    pub fn get(&self, key: &str) -> Option<Node<'a>> {
        self.pairs().find(|(name, _)| *name == key).map(|(_, node)| node).filter(|n| !n.is_null())
    }

    /// [`get`](Self::get), and again in what it found.
    pub fn at(&self, keys: &[&str]) -> Option<Node<'a>> {
        keys.iter().try_fold(*self, |node, key| node.get(key))
    }

    /// [`at`](Self::at), where it is true.
    pub fn true_at(&self, keys: &[&str]) -> Option<Node<'a>> {
        self.at(keys).filter(Node::is_true)
    }

    /// The scalar behind a key.
    pub fn text_of(&self, key: &str) -> Option<&'a str> {
        self.get(key)?.text()
    }

    pub fn has(&self, key: &str, value: &str) -> bool {
        self.text_of(key) == Some(value)
    }

    /// Keys with their values; none when it is no mapping.
    pub fn pairs(&self) -> impl Iterator<Item = (&'a str, Node<'a>)> + use<'a> {
        let stream = self.stream;
        let pairs = if let Value::Mapping(pairs) = &self.entry().value { &pairs[..] } else { &[] };
        pairs.iter().filter_map(move |(key, id)| {
            let name = Node { stream, id: *key, key: None }.text()?;
            Some((name, Node { stream, id: *id, key: Some(*key) }))
        })
    }

    /// The elements of a sequence; none when it is no sequence.
    pub fn elements(&self) -> impl Iterator<Item = Node<'a>> {
        let stream = self.stream;
        let items = if let Value::Sequence(items) = &self.entry().value { &items[..] } else { &[] };
        items.iter().map(move |id| Node { stream, id: *id, key: None })
    }

    /// The elements of the sequence behind a key.
    pub fn list(&self, key: &str) -> Vec<Node<'a>> {
        self.get(key).map(|n| n.elements().collect()).unwrap_or_default()
    }

    /// The entry of the list behind `list` that has this value behind `key`.
    pub fn entry_of(&self, list: &str, key: &str, value: &str) -> Option<Node<'a>> {
        self.get(list)?.elements().find(|n| n.has(key, value))
    }

    pub fn is_mapping(&self) -> bool {
        matches!(self.entry().value, Value::Mapping(_))
    }

    /// A scalar as it is written.
    pub fn text(&self) -> Option<&'a str> {
        match &self.entry().value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The scalars of a sequence.
    pub fn texts(&self) -> Vec<&'a str> {
        self.elements().filter_map(|n| n.text()).collect()
    }

    /// A scalar without quotes: it may mean a number, a truth value or nothing.
    fn plain(&self) -> Option<&'a str> {
        match &self.entry().value {
            Value::Scalar { text, plain: true } => Some(text),
            _ => None,
        }
    }

    pub fn integer(&self) -> Option<i64> {
        self.plain()?.parse().ok()
    }

    pub fn is_true(&self) -> bool {
        matches!(self.plain(), Some("true" | "True" | "TRUE"))
    }

    pub fn is_false(&self) -> bool {
        matches!(self.plain(), Some("false" | "False" | "FALSE"))
    }

    /// All of it; of an alias, the alias. Of what is written in lines (block style), from its first key or dash to the end of its last value.
    pub fn span(&self) -> Span {
        self.stream.entries[self.id as usize].span.clone()
    }

    /// The same; of an alias, what it stands for.
    pub fn value_span(&self) -> Span {
        self.entry().span.clone()
    }

    /// Of the key that it stands behind.
    pub fn key_span(&self) -> Option<Span> {
        self.key.map(|key| self.stream.entries[key as usize].span.clone())
    }

    /// As JSON; what an alias stands for is written out. Nothing softstop writes is nested deeper than `levels`.
    pub fn json(&self, levels: usize) -> String {
        let Some(levels) = levels.checked_sub(1) else { return "null".to_owned() };
        let list = |items: Vec<String>, open: char, close: char| format!("{open}{}{close}", items.join(", "));
        match &self.entry().value {
            Value::Scalar { text, plain } if *plain && is_json(text) => text.clone(),
            Value::Scalar { text, .. } => serde_json::Value::from(text.as_str()).to_string(),
            Value::Sequence(_) => list(self.elements().map(|n| n.json(levels)).collect(), '[', ']'),
            // An entry is no alias.
            Value::Mapping(_) | Value::Alias(_) => {
                let pair = |(key, n): (&str, Node<'_>)| format!("{}: {}", serde_json::Value::from(key), n.json(levels));
                list(self.pairs().map(pair).collect(), '{', '}')
            }
        }
    }

    /// [`mark`](Self::mark) of what is at these keys; of the whole, where it is not there.
    pub fn mark_at(&self, keys: &[&str]) -> Span {
        self.at(keys).unwrap_or(*self).mark()
    }

    /// What to mark: a value, or the key of what has several lines.
    pub fn mark(&self) -> Span {
        let entry = self.entry();
        match (&entry.value, self.key) {
            (Value::Scalar { .. }, _) => entry.span.clone(),
            (_, Some(key)) => self.stream.entries[key as usize].span.clone(),
            _ => entry.span.start..entry.span.start + 1,
        }
    }
}

/// A number or a truth value in YAML and in JSON alike.
fn is_json(plain: &str) -> bool {
    matches!(plain, "true" | "false") || plain.parse::<i64>().is_ok_and(|n| n.to_string() == plain)
}
