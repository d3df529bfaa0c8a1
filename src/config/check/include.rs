//! `include`: further files, read as if they stood behind this one. Pure.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::declare::Shape;
use super::kinds::{Kind, kind, strings};
use super::reader::{Field, Reader};
use super::values::Wrong;
use crate::config::sources::{self, Sources, is_wild};

const KEY: &str = "include";
/// What may stand in several files: arrays of tables.
pub const LISTS: [&str; 6] = ["socket", "init", "process", "drain", "post_stop", "on_change"];
const HELP: &str = "write include = [\"conf.d/*.toml\"]";

strings! {
    Pattern String, "path", r"[^\[]*[^/\[]", ["\"conf.d/*.toml\"", "\"/etc/app/?.toml\""],
        |reader, field, _| reader.parsed(field, HELP, |text| pattern(text).map(|()| text.to_owned()));
}

kind! {
    /// `include = ["conf.d/*.toml"]`.
    Patterns: Vec<String> = read_patterns, &Shape::Array(Pattern::SHAPE)
}

fn read_patterns(reader: &mut Reader<'_>, field: &Field<'_>, help: &str) -> Option<Vec<String>> {
    let elements = reader.elements(field, "an array of paths", help)?;
    Some(elements.iter().filter_map(|element| Pattern::read(reader, element, help)).collect())
}

fn pattern(text: &str) -> Result<(), Wrong> {
    let Some((folder, name)) = sources::parts(text) else {
        return Err(Wrong::new(format!("{text:?} names no file"), "add a name, or a pattern such as conf.d/*.toml"));
    };
    if is_wild(folder) {
        let help = format!("name each folder with a pattern of its own, such as \"conf.d/{name}\"");
        return Err(Wrong::new(format!("{text:?} has a pattern in its folder"), help));
    }
    if text.contains(['[', '\0']) {
        return Err(Wrong::new(format!("{text:?} is no pattern"), "only * and ? stand for other characters"));
    }
    Ok(())
}

/// The texts of all files one behind the other, and where each of the included begins: so a place in it is a place in one of them.
pub struct Joined {
    pub text: String,
    pub files: Vec<(usize, String)>,
}

impl Joined {
    pub fn of(sources: &Sources) -> Joined {
        let mut joined = Joined { text: sources.text.clone(), files: Vec::new() };
        for included in &sources.included {
            let Ok(text) = &included.text else { continue };
            joined.text.push('\n');
            joined.files.push((joined.text.len(), included.file.clone()));
            joined.text.push_str(text);
        }
        joined
    }

    /// Each included file with nothing but spaces before it, so that it is read with its places here.
    pub fn padded(&self) -> Vec<String> {
        let ends = self.files.iter().skip(1).map(|(start, _)| start - 1).chain([self.text.len()]);
        let pad = |((start, _), end): (&(usize, String), usize)| {
            let text = &self.text[*start..end];
            let blank = start + if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
            " ".repeat(blank) + &self.text[blank..end]
        };
        self.files.iter().zip(ends).map(pad).collect()
    }
}

/// What stands against the included files as such: at the pattern that has found them.
pub fn unread(reader: &mut Reader<'_>, document: &DeTable<'_>, sources: &Sources) {
    let Some((key, value)) = document.get_key_value(KEY) else { return };
    let elements = Field::new(key, value).elements().unwrap_or_default();
    let span = |nth: usize| elements.get(nth).map_or(value.span(), Field::span);
    for included in &sources.included {
        if let Err(why) = &included.text {
            let sentence = format!("{} cannot be read: {why}", included.file);
            reader.error(&span(included.pattern), sentence, "is the path right, and may this user read it?");
        }
    }
    if sources.included.len() > sources::MOST {
        let sentence = format!("more than {} files are included", sources::MOST);
        reader.error(&value.span(), sentence, "is it the right folder? put several processes into one file");
    }
}

/// Adds what an included file says.
pub fn add<'t>(reader: &mut Reader<'_>, all: &mut DeTable<'t>, included: DeTable<'t>) {
    for (key, value) in included {
        let name: &str = key.get_ref();
        if name == KEY {
            let help = "name that file in the first one, which includes this one";
            reader.error(&key.span(), "an included file includes no others", help);
            continue;
        }
        let Some(known) = all.get_mut(name) else {
            all.insert(key, value);
            continue;
        };
        let list = LISTS.contains(&name);
        match (known.get_mut(), value.into_inner()) {
            (DeValue::Array(known), DeValue::Array(more)) if list => {
                more.iter().for_each(|element: &Spanned<DeValue<'t>>| known.push(element.clone()));
            }
            _ => {
                let sentence = format!("`{name}` stands in two files");
                let help = "leave one of them out: only arrays such as `[[process]]` are added up";
                reader.error_beside(&key.span(), (&known.span(), "the first"), sentence, help);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::check::declare::Declared;
    use crate::config::check::settings::TopKeys;

    #[test]
    fn every_array_of_tables_may_stand_in_several_files() {
        let rows = TopKeys::DESCRIBED.own.iter().filter(|row| matches!(row.shape, Shape::Tables(_)));
        assert_eq!(rows.map(|row| row.name).collect::<Vec<_>>(), LISTS);
    }
}
