//! Tables of a parsed TOML document, and a reader that notes each mistake with its place and goes on. Pure.
//!
//! Every function answers `None` for what it has refused: the caller takes a default, so that one mistake does not hide the next.

use std::collections::HashSet;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::declare::Declared;
use super::here::{Here, Surroundings};
use super::keys::{self, Section};
use super::values::Wrong;
use crate::config::expand;
use crate::config::problem::{Place, Problem, Severity, Source, Span};
use crate::nearest::nearest;
use crate::sorted;
use crate::text;

/// So many problems are enough: what follows is not looked at, so that no file is slow to refuse.
const ENOUGH: usize = 1000;

/// A mistake that is made again and again is shown in so many places.
const PLACES: usize = 4;

pub type Value<'t> = Spanned<DeValue<'t>>;

/// A key with its value, or one element of an array under the array's key.
#[derive(Clone)]
pub struct Field<'t> {
    pub name: &'t str,
    pub key: Span,
    pub value: &'t Value<'t>,
    /// It is an element of the key's array.
    pub element: bool,
}

impl<'t> Field<'t> {
    /// A key and its value.
    pub fn new(key: &'t Spanned<DeString<'t>>, value: &'t Value<'t>) -> Field<'t> {
        Field { name: key.get_ref(), key: key.span(), value, element: false }
    }

    /// For messages.
    fn title(&self) -> String {
        let of = if self.element { "an element of " } else { "" };
        format!("{of}`{}`", self.name)
    }

    pub fn span(&self) -> Span {
        self.value.span()
    }

    /// The elements, each as a field of its own; `None` when it is no array.
    pub fn elements(&self) -> Option<Vec<Field<'t>>> {
        let array = self.value.get_ref().as_array()?;
        Some(array.iter().map(|value| Field { name: self.name, key: self.key.clone(), element: true, value }).collect())
    }
}

/// A table whose keys are known to be among its section's.
#[derive(Clone)]
pub struct Table<'t> {
    entries: &'t DeTable<'t>,
    /// Where its header, its `{` or its dotted key stands: the place of what is missing from it.
    pub header: Span,
    section: &'static Section,
    /// What its unknown keys were meant to be.
    meant: Vec<&'static str>,
}

impl<'t> Table<'t> {
    pub fn get(&self, key: &str) -> Option<Field<'t>> {
        debug_assert!(self.section.keys.contains(&key), "{key} is not in the list of {}", self.section.title);
        self.entries.get_key_value(key).map(|(key, value)| Field::new(key, value))
    }

    /// Those of `keys` that are there, in that order.
    pub fn present(&self, keys: &[&str]) -> Vec<Field<'t>> {
        keys.iter().filter_map(|k| self.get(k)).collect()
    }
}

/// Collects what is wrong.
pub struct Reader<'a> {
    pub source: &'a Source<'a>,
    pub env: &'a dyn Fn(&str) -> Option<String>,
    pub problems: Vec<Problem>,
    /// `None`: it is to run elsewhere.
    pub(super) here: Option<&'a dyn Here>,
    pub(super) surroundings: Surroundings,
    /// See [`expand::expand`].
    pub(super) room: Option<usize>,
    /// How many unknown keys were judged.
    unknown: usize,
    /// Lines with a syntax error: what was recovered of them is not judged again.
    broken: HashSet<usize>,
}

impl<'a> Reader<'a> {
    pub fn new(
        source: &'a Source<'a>,
        env: &'a dyn Fn(&str) -> Option<String>,
        here: Option<&'a dyn Here>,
    ) -> Reader<'a> {
        Reader {
            source,
            env,
            problems: Vec::new(),
            here,
            surroundings: Surroundings::default(),
            room: Some(expand::MOST),
            unknown: 0,
            broken: HashSet::new(),
        }
    }

    // === Problems ===

    pub fn syntax_error(&mut self, span: &Span, sentence: &str, help: &str) {
        self.error(span, sentence, help);
        self.broken.insert(self.source.line(span.start));
    }

    /// With a syntax error nothing that looks missing or unknown elsewhere in the file can be held against it.
    pub fn is_broken(&self) -> bool {
        !self.broken.is_empty()
    }

    pub fn error(&mut self, span: &Span, sentence: impl Into<String>, help: impl Into<String>) {
        if !self.has_enough() {
            let place = self.source.place(span, "");
            self.error_at(vec![place], sentence, help);
        }
    }

    /// What was said before, in the same words, gets one more place, up to [`PLACES`].
    fn error_once(&mut self, span: &Span, sentence: &str, help: &str) {
        let same = |p: &&mut Problem| p.severity == Severity::Error && p.sentence == sentence && p.help == help;
        match self.problems.iter_mut().find(same) {
            Some(said) if said.places.len() < PLACES => {
                said.places.push(self.source.place(span, ""));
                sorted::by_key(&mut said.places, |place| place.position.as_ref().map(|at| at.nth));
            }
            Some(_) => {}
            None => self.error(span, sentence, help),
        }
    }

    pub fn has_enough(&self) -> bool {
        self.problems.len() >= ENOUGH
    }

    pub fn error_at(&mut self, places: Vec<Place>, sentence: impl Into<String>, help: impl Into<String>) {
        self.push(Severity::Error, places, sentence.into(), help.into());
    }

    /// At `span`, because of what stands at `other`, beside which `label` is said.
    pub fn error_beside(
        &mut self,
        span: &Span,
        (other, label): (&Span, &str),
        sentence: impl Into<String>,
        help: impl Into<String>,
    ) {
        let places = vec![self.source.place(span, ""), self.source.place(other, label)];
        self.error_at(places, sentence, help);
    }

    /// Two of a kind (`what`) have one name.
    pub fn named_twice(&mut self, what: &str, name: &str, span: &Span, first: &Span) {
        let help = format!("give each its own name, such as \"{name}-2\"");
        self.error_beside(span, (first, "the first"), format!("two {what} are named {name:?}"), help);
    }

    /// Nobody has this name; `none` is what to write where there are none yet.
    pub fn no_such(&mut self, span: &Span, (one, all): (&str, &str), name: &str, known: &[&str], none: &str) {
        let help = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None if known.is_empty() => none.to_owned(),
            None => format!("the {all} are {}", keys::list(&known[..known.len().min(20)])),
        };
        self.error(span, format!("there is no {one} named {name:?}"), help);
    }

    /// What stands against a value, said at it.
    pub fn allowed<T>(&mut self, span: &Span, value: Result<T, Wrong>) -> Option<T> {
        value.map_err(|wrong| self.error(span, wrong.sentence, wrong.help)).ok()
    }

    pub fn warn(&mut self, span: &Span, sentence: impl Into<String>, help: impl Into<String>) {
        let place = self.source.place(span, "");
        self.push(Severity::Warning, vec![place], sentence.into(), help.into());
    }

    /// None of `keys`, one of which must be in the table, is there. Not said where a misspelt key was meant to be it.
    pub fn missing(&mut self, table: &Table<'_>, keys: &[&str], sentence: impl Into<String>, help: impl Into<String>) {
        if self.can_miss(table, keys) {
            self.error(&table.header, sentence, help);
        }
    }

    pub fn can_miss(&self, table: &Table<'_>, keys: &[&str]) -> bool {
        !self.is_broken() && !table.meant.iter().any(|k| keys.contains(k))
    }

    fn push(&mut self, severity: Severity, places: Vec<Place>, sentence: String, help: String) {
        let line = places.first().and_then(|p| p.position.as_ref()).map(|p| p.nth);
        if line.is_none_or(|line| !self.broken.contains(&line)) {
            let (sentence, help) = (text::sentence(&sentence), text::lines(&help));
            self.problems.push(Problem { severity, sentence, places, help });
        }
    }

    pub fn wrong_type(&mut self, field: &Field<'_>, wanted: &str, example: &str) {
        let is = match field.value.get_ref() {
            DeValue::Integer(_) => "an integer",
            DeValue::Array(_) => "an array",
            DeValue::Float(_) => "a float",
            DeValue::String(_) => "a string",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Table(_) => "a table",
        };
        let help = example.replace("{name}", field.name);
        self.error(&field.span(), format!("{} must be {wanted}, not {is}", field.title()), help);
    }

    // === Arrays and tables ===

    /// The elements, each as a field of its own. `wanted`: what it should be.
    pub fn elements<'t>(&mut self, field: &Field<'t>, wanted: &str, example: &str) -> Option<Vec<Field<'t>>> {
        let elements = field.elements();
        if elements.is_none() {
            self.wrong_type(field, wanted, example);
        }
        elements
    }

    /// The file's top table, with its unknown keys noted.
    pub fn top<'t, T: Declared>(&mut self, entries: &'t DeTable<'t>) -> T::Keys<'t> {
        T::keys(self.known(entries, 0..0, T::SECTION))
    }

    pub fn table<'t, T: Declared>(&mut self, field: &Field<'t>, example: &str) -> Option<T::Keys<'t>> {
        self.table_of(field, T::SECTION, example).map(T::keys)
    }

    fn table_of<'t>(&mut self, field: &Field<'t>, section: &'static Section, example: &str) -> Option<Table<'t>> {
        let entries = self.map(field, example)?;
        Some(self.known(entries, field.span(), section))
    }

    /// A table with the user's own keys.
    pub fn map<'t>(&mut self, field: &Field<'t>, example: &str) -> Option<&'t DeTable<'t>> {
        let entries = field.value.get_ref().as_table();
        if entries.is_none() {
            self.wrong_type(field, "a table", example);
        }
        entries
    }

    /// `[[name]]` or an array of inline tables. A single `[name]` is an error, but is read all the same.
    pub fn tables<'t, T: Declared>(&mut self, field: Option<&Field<'t>>, header: &str) -> Vec<T::Keys<'t>> {
        self.tables_of(field, T::SECTION, header).into_iter().map(T::keys).collect()
    }

    fn tables_of<'t>(&mut self, field: Option<&Field<'t>>, section: &'static Section, header: &str) -> Vec<Table<'t>> {
        let Some(field) = field else {
            return Vec::new();
        };
        match field.value.get_ref() {
            DeValue::Table(_) => {
                let sentence = format!("`{}` can stand more than once and is an array of tables", field.name);
                self.error(&field.span(), sentence, format!("write `{header}`"));
                self.table_of(field, section, header).into_iter().collect()
            }
            DeValue::Array(_) => {
                let example = format!("write `{header}`, or an array of `{{ ... }}`");
                let elements = field.elements().unwrap_or_default();
                elements.iter().filter_map(|element| self.table_of(element, section, &example)).collect()
            }
            _ => {
                self.wrong_type(field, "an array of tables", &format!("write `{header}` and the keys below it"));
                Vec::new()
            }
        }
    }

    fn known<'t>(&mut self, entries: &'t DeTable<'t>, header: Span, section: &'static Section) -> Table<'t> {
        let mut meant = Vec::new();
        let judged = if self.has_enough() { 0 } else { ENOUGH.saturating_sub(self.unknown) };
        for key in entries.keys().filter(|k| !section.keys.contains(&k.get_ref().as_ref())).take(judged) {
            let unknown = keys::unknown(key.get_ref(), section);
            self.unknown += 1;
            let sentence = format!("unknown key `{}` in {}", key.get_ref(), section.title);
            self.error_once(&key.span(), &sentence, &unknown.help);
            meant.extend(unknown.meant);
        }
        Table { entries, header, section, meant }
    }
}
