//! Ways to get a configuration wrong.

use std::ops::Range;

use super::super::declared::{is_needed, takes};
use super::draw::Draw;
use super::types;
use super::valid::{Valid, valid};

/// A configuration somebody got wrong, or not quite.
#[derive(Clone, Debug)]
pub struct Mistake {
    pub bytes: Vec<u8>,
    pub kind: &'static str,
    /// It cannot be right any more.
    pub refused: bool,
    /// Where it may be pointed at: the lines of any of these bytes. Empty: anywhere in the file.
    pub places: Vec<Range<usize>>,
}

const KINDS: &[fn(&mut Draw, &Valid) -> Option<Mistake>] =
    &[misspelt, of_another_type, of_another_value, missing, twice, in_a_ring, above_the_grace, cut, not_text, nothing];

pub fn from_seed(seed: u64) -> Mistake {
    let mut d = Draw::seed(seed);
    let valid = valid(&mut d);
    loop {
        let kind = d.pick(KINDS);
        if let Some(mistake) = kind(&mut d, &valid) {
            return mistake;
        }
    }
}

fn replaced(v: &Valid, at: Range<usize>, by: &str) -> (Vec<u8>, Range<usize>) {
    let text = format!("{}{by}{}", &v.text[..at.start], &v.text[at.end..]);
    (text.into_bytes(), at.start..at.start + by.len())
}

fn mistake(kind: &'static str, refused: bool, (bytes, at): (Vec<u8>, Range<usize>)) -> Option<Mistake> {
    Some(Mistake { bytes, kind, refused, places: vec![at] })
}

fn nothing(_: &mut Draw, v: &Valid) -> Option<Mistake> {
    Some(Mistake { bytes: v.text.clone().into_bytes(), kind: "nothing", refused: false, places: Vec::new() })
}

fn misspelt(d: &mut Draw, v: &Valid) -> Option<Mistake> {
    let slot = &v.slots[d.below(v.slots.len() as u64) as usize];
    let mut key: Vec<u8> = slot.key.bytes().collect();
    let i = d.below(key.len() as u64) as usize;
    match d.below(4) {
        0 => drop(key.remove(i)),
        1 => key.insert(i, b'x'),
        2 => key[i] = key[i].to_ascii_uppercase(),
        _ => key.swap(i, 0),
    }
    let key = String::from_utf8(key).ok()?;
    if key.is_empty() || slot.section.keys.contains(&key.as_str()) {
        return None;
    }
    mistake("a key misspelt", true, replaced(v, slot.at.start..slot.at.start + slot.key.len(), &key))
}

fn of_another_type(d: &mut Draw, v: &Valid) -> Option<Mistake> {
    let slot = &v.slots[d.below(v.slots.len() as u64) as usize];
    let (value, kind) = d.pick(types::VALUES);
    if takes(slot.section, slot.key, kind) || value.contains("${") {
        return None;
    }
    mistake("a value of another type", true, replaced(v, slot.value.clone(), value))
}

fn of_another_value(d: &mut Draw, v: &Valid) -> Option<Mistake> {
    let slot = &v.slots[d.below(v.slots.len() as u64) as usize];
    let (value, _) = d.pick(types::VALUES);
    let mut mistake = mistake("another value", false, replaced(v, slot.value.clone(), value))?;
    mistake.places.push(slot.header..slot.header + 1);
    // Two keys of one table may contradict each other (`user = "a:b"` and `group`): then the other one is named.
    let moved = |at: usize| if at > slot.at.start { at + value.len() - slot.value.len() } else { at };
    let table = v.slots.iter().filter(|s| s.header == slot.header);
    mistake.places.extend(table.map(|s| moved(s.at.start)..moved(s.at.start) + 1));
    // These may be right by themselves and wrong beside the rest, wherever that stands.
    if ["grace", "kill_reserve", "stop_reserve", "reserve", "name", "main", "listen"].contains(&slot.key) {
        mistake.places.clear();
    }
    Some(mistake)
}

fn missing(d: &mut Draw, v: &Valid) -> Option<Mistake> {
    let slot = &v.slots[d.below(v.slots.len() as u64) as usize];
    let mut end = slot.at.end;
    if slot.inline {
        end += usize::from(v.text[end..].starts_with(", ")) * 2;
    }
    let mut mistake = mistake("a key missing", is_needed(slot.section, slot.key), replaced(v, slot.at.start..end, ""))?;
    mistake.places.push(slot.header..slot.header + 1);
    if !mistake.refused {
        mistake.places.clear();
    }
    Some(mistake)
}

fn twice(d: &mut Draw, v: &Valid) -> Option<Mistake> {
    let slot = &v.slots[d.below(v.slots.len() as u64) as usize];
    let text = &v.text[slot.at.clone()];
    let twice = format!("{text}{}{text}", if slot.inline { ", " } else { "\n" });
    mistake("a key twice", true, replaced(v, slot.at.clone(), &twice))
}

fn in_a_ring(_: &mut Draw, v: &Valid) -> Option<Mistake> {
    let [first, second, ..] = &v.processes[..] else { return None };
    let second = &v.text[second.clone()];
    if !second.contains("after = ") || v.text[first.clone()].contains("after") {
        return None;
    }
    let at = first.start + "[[process]]\n".len();
    let (bytes, at) = replaced(v, at..at, "after = { agent = \"started\" }\n");
    mistake("a ring", true, (bytes, at.start..at.end - 1)).map(|mut m| {
        m.places.push(0..m.bytes.len());
        m
    })
}

fn above_the_grace(d: &mut Draw, v: &Valid) -> Option<Mistake> {
    let key = d.pick(&["kill_reserve", "stop_reserve", "reserve"]);
    let slot = v.slots.iter().find(|s| s.key == key)?;
    let mut mistake = mistake("a reserve above the grace", true, replaced(v, slot.value.clone(), "\"2h\""))?;
    // What a step holds is said at the step, and a sum that is too large at the grace.
    mistake.places.extend(v.slots.iter().find(|s| s.key == "grace").map(|s| s.at.clone()));
    mistake.places.push(slot.header..slot.header + 1);
    Some(mistake)
}

fn cut(d: &mut Draw, v: &Valid) -> Option<Mistake> {
    let mut from = d.below(v.text.len() as u64) as usize;
    let mut end = (from + 1 + d.below(30) as usize).min(v.text.len());
    while !v.text.is_char_boundary(from) {
        from -= 1;
    }
    while !v.text.is_char_boundary(end) {
        end += 1;
    }
    let by = d.pick(&["", "", "\"", "=", "[", "}", "\n", "\u{0}", "é", "[[process]]\n", "'''", "#"]);
    let (bytes, _) = replaced(v, from..end, by);
    Some(Mistake { bytes, kind: "a piece cut out", refused: false, places: Vec::new() })
}

fn not_text(d: &mut Draw, v: &Valid) -> Option<Mistake> {
    let mut bytes = v.text.clone().into_bytes();
    let mut at = d.below(bytes.len() as u64) as usize;
    while !v.text.is_char_boundary(at) {
        at -= 1;
    }
    bytes.insert(at, d.pick(&[0xff, 0x80, 0xc3, 0xf8]));
    let valid = std::str::from_utf8(&bytes).is_ok();
    (!valid).then(|| Mistake { bytes, kind: "not UTF-8", refused: true, places: std::iter::once(at..at + 1).collect() })
}
