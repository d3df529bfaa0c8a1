//! A host's name as the domain name system has it. Pure.

/// In bytes, without the dot at the end.
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// Labels in lower case, as on the wire: each with its length in front, and a zero at the end.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct Name(Vec<u8>);

impl Name {
    /// `None`: no name can be so. A dot at the end changes nothing.
    pub fn parse(text: &str) -> Option<Name> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() || text.len() > MAX_NAME {
            return None;
        }
        let mut wire = Vec::with_capacity(text.len() + 2);
        for label in text.split('.') {
            let length = u8::try_from(label.len()).ok().filter(|n| (1..=MAX_LABEL).contains(&usize::from(*n)))?;
            wire.push(length);
            wire.extend(label.bytes().map(|b| b.to_ascii_lowercase()));
        }
        wire.push(0);
        Some(Name(wire))
    }

    pub fn wire(&self) -> &[u8] {
        &self.0
    }

    /// The name that begins at `at`, and where what follows it does. Pointers lead backwards alone, so there is no circle.
    pub fn read(message: &[u8], at: usize) -> Option<(Name, usize)> {
        let mut wire = Vec::new();
        let (mut at, mut least, mut after) = (at, at, None);
        loop {
            let length = usize::from(*message.get(at)?);
            match length {
                0 => {
                    wire.push(0);
                    return Some((Name(wire), after.unwrap_or(at + 1)));
                }
                1..=MAX_LABEL => {
                    let label = message.get(at + 1..at + 1 + length)?;
                    wire.push(*message.get(at)?);
                    wire.extend(label.iter().map(u8::to_ascii_lowercase));
                    if wire.len() > MAX_NAME + 1 {
                        return None;
                    }
                    at += 1 + length;
                }
                0xc0.. => {
                    let to = (length & 0x3f) << 8 | usize::from(*message.get(at + 1)?);
                    after = after.or(Some(at + 2));
                    if to >= least {
                        return None;
                    }
                    (at, least) = (to, to);
                }
                _ => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_limits() {
        assert_eq!(Name::parse("Db.example.").unwrap().wire(), b"\x02db\x07example\0");
        let label = "a".repeat(63);
        let long = [label.as_str(); 4].join(".");
        assert!(Name::parse(&long[..253]).is_some() && Name::parse(&long).is_none());
        for text in ["", ".", "a..b", ".a", &"a".repeat(64), "a.."] {
            assert_eq!(Name::parse(text), None, "{text}");
        }
    }

    #[test]
    fn pointers_lead_backwards() {
        let message = b"\x03com\0\x01A\xc0\0\xc0\x05\xc0\x0b\x80a";
        let com = Name::parse("com").unwrap();
        let a_com = Name::parse("a.com").unwrap();
        assert_eq!(Name::read(message, 0), Some((com, 5)));
        assert_eq!(Name::read(message, 5), Some((a_com.clone(), 9)));
        assert_eq!(Name::read(message, 9), Some((a_com, 11)));
        for at in [11, 13, 14, 15, 99] {
            assert_eq!(Name::read(message, at), None, "{at}");
        }
        // A name that grows with each turn.
        let grows = b"\x01a\xc0\x00";
        assert_eq!(Name::read(grows, 0), None);
        let long = [&[63u8; 64][..]; 4].concat();
        assert_eq!(Name::read(&[long.as_slice(), b"\0"].concat(), 0), None);
    }
}
