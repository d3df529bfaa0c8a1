//! Questions to a name server and its answers (RFC 1035, RFC 3596). Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::name::Name;

/// Of an answer so many records are looked at.
const MAX_RECORDS: usize = 256;
/// Aliases that lead to aliases.
const MAX_ALIASES: usize = 16;

const HEADER: usize = 12;
const IN: u16 = 1;
const CNAME: u16 = 5;

/// Which addresses are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    fn record(self) -> u16 {
        match self {
            Family::V4 => 1,
            Family::V6 => 28,
        }
    }
}

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    pub id: u16,
    pub name: Name,
    pub family: Family,
}

/// What a server makes of a question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// At least one, in the server's order.
    Addresses(Vec<IpAddr>),
    /// There is such a name, without addresses of this family.
    NoAddress,
    NoSuchName,
    /// It does not fit: ask again over TCP.
    Truncated,
    /// Another server may know: a code that says so, or no answer to what was asked.
    Failed(Failure),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// SERVFAIL, REFUSED and others by their number.
    Code(u8),
    /// It has no answer and would not ask others: it is not responsible.
    Lame,
    Malformed,
}

impl Question {
    /// The message for the server.
    pub fn message(&self) -> Vec<u8> {
        let [high, low] = self.id.to_be_bytes();
        // Recursion desired; one question.
        let mut message = vec![high, low, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        message.extend(self.tail());
        message
    }

    fn tail(&self) -> Vec<u8> {
        [self.name.wire(), &self.family.record().to_be_bytes(), &IN.to_be_bytes()].concat()
    }

    /// `None`: not an answer to this question, whoever sent it.
    pub fn read(&self, message: &[u8]) -> Option<Answer> {
        let is_response = message.get(2)? & 0x80 != 0;
        if short(message, 0)? != self.id || !is_response || short(message, 4)? != 1 {
            return None;
        }
        let (name, at) = Name::read(message, HEADER)?;
        if name != self.name || short(message, at)? != self.family.record() || short(message, at + 2)? != IN {
            return None;
        }
        Some(self.judge(message, at + 4))
    }

    fn judge(&self, message: &[u8], at: usize) -> Answer {
        let flag = |byte: usize, bit: u8| message.get(byte).is_some_and(|b| b & bit != 0);
        let (authoritative, truncated, recursive) = (flag(2, 4), flag(2, 2), flag(3, 0x80));
        let count = |at: usize| short(message, at).unwrap_or_default();
        match message.get(3).map_or(0, |b| b & 0x0f) {
            0 => {}
            3 => return Answer::NoSuchName,
            code => return Answer::Failed(Failure::Code(code)),
        }
        if truncated {
            return Answer::Truncated;
        }
        if count(6) == 0 {
            // As glibc has it (resolv/res_send.c): nothing known, nobody asked, nobody named.
            let lame = !authoritative && !recursive && count(10) == 0;
            return if lame { Answer::Failed(Failure::Lame) } else { Answer::NoAddress };
        }
        match self.addresses(message, at, usize::from(count(6)).min(MAX_RECORDS)) {
            None => Answer::Failed(Failure::Malformed),
            Some(found) if found.is_empty() => Answer::NoAddress,
            Some(found) => Answer::Addresses(found),
        }
    }

    /// `None`: it cannot be read, or its aliases never end.
    fn addresses(&self, message: &[u8], mut at: usize, count: usize) -> Option<Vec<IpAddr>> {
        let (mut aliases, mut found) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let (owner, after) = Name::read(message, at)?;
            let (kind, class) = (short(message, after)?, short(message, after + 2)?);
            let (data, length) = (after + 10, usize::from(short(message, after + 8)?));
            let bytes = message.get(data..data + length)?;
            at = data + length;
            if class != IN {
                continue;
            }
            if kind == CNAME {
                let (target, end) = Name::read(message, data)?;
                if end != at {
                    return None;
                }
                aliases.push((owner, target));
            } else if kind == self.family.record() {
                found.push((owner, self.address(bytes)?));
            }
        }
        // In whatever order they stand.
        let mut name = &self.name;
        for _ in 0..=MAX_ALIASES {
            match aliases.iter().find(|(owner, _)| owner == name) {
                Some((_, target)) => name = target,
                None => {
                    let of_name = found.iter().filter(|(owner, _)| owner == name);
                    return Some(of_name.map(|(_, address)| *address).collect());
                }
            }
        }
        None
    }

    fn address(&self, bytes: &[u8]) -> Option<IpAddr> {
        match self.family {
            Family::V4 => <[u8; 4]>::try_from(bytes).ok().map(|b| Ipv4Addr::from(b).into()),
            Family::V6 => <[u8; 16]>::try_from(bytes).ok().map(|b| Ipv6Addr::from(b).into()),
        }
    }
}

fn short(message: &[u8], at: usize) -> Option<u16> {
    message.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn question(name: &str, family: Family) -> Question {
        Question { id: 0x1234, name: Name::parse(name).unwrap(), family }
    }

    /// An answer with these flags and records.
    fn answer(to: &Question, flags: [u8; 2], records: &[Vec<u8>]) -> Vec<u8> {
        let mut message = to.message();
        (message[2], message[3]) = (flags[0], flags[1]);
        message[7] = records.len() as u8;
        message.extend(records.concat());
        message
    }

    fn record(owner: &str, kind: u16, data: &[u8]) -> Vec<u8> {
        let mut record = Name::parse(owner).unwrap().wire().to_vec();
        record.extend(kind.to_be_bytes());
        record.extend([0, 1, 0, 0, 0, 60]);
        record.extend((data.len() as u16).to_be_bytes());
        record.extend(data);
        record
    }

    fn alias(owner: &str, target: &str) -> Vec<u8> {
        record(owner, CNAME, Name::parse(target).unwrap().wire())
    }

    const OK: [u8; 2] = [0x81, 0x80];

    #[test]
    fn addresses_are_those_of_the_name_behind_its_aliases() {
        let q = question("www.example", Family::V4);
        let a = |owner: &str, last: u8| record(owner, 1, &[10, 0, 0, last]);
        let ip = |last: u8| IpAddr::from([10, 0, 0, last]);
        assert_eq!(
            q.read(&answer(&q, OK, &[a("WWW.example", 1), a("www.example", 2)])),
            Some(Answer::Addresses(vec![ip(1), ip(2)]))
        );
        let chain = [
            alias("www.example", "b.example"),
            alias("b.example", "c.example"),
            a("c.example", 3),
            a("evil.example", 9),
        ];
        assert_eq!(q.read(&answer(&q, OK, &chain)), Some(Answer::Addresses(vec![ip(3)])));
        let mut reversed = chain;
        reversed.reverse();
        assert_eq!(q.read(&answer(&q, OK, &reversed)), Some(Answer::Addresses(vec![ip(3)])));
        let circle = [alias("www.example", "b.example"), alias("b.example", "www.example"), a("b.example", 3)];
        assert_eq!(q.read(&answer(&q, OK, &circle)), Some(Answer::Failed(Failure::Malformed)));
        assert_eq!(q.read(&answer(&q, OK, &[a("evil.example", 9)])), Some(Answer::NoAddress));
        assert_eq!(q.read(&answer(&q, OK, &[record("www.example", 28, &[0; 16])])), Some(Answer::NoAddress));
        assert_eq!(
            q.read(&answer(&q, OK, &[record("www.example", 1, &[1; 5])])),
            Some(Answer::Failed(Failure::Malformed))
        );
        let six = question("www.example", Family::V6);
        let addresses = Answer::Addresses(vec![Ipv6Addr::LOCALHOST.into()]);
        let one = record("www.example", 28, &Ipv6Addr::LOCALHOST.octets());
        assert_eq!(six.read(&answer(&six, OK, &[one])), Some(addresses));
    }

    #[test]
    fn codes_and_flags() {
        let q = question("db", Family::V4);
        for (flags, expected) in [
            ([0x81, 0x83], Answer::NoSuchName),
            ([0x81, 0x82], Answer::Failed(Failure::Code(2))),
            ([0x81, 0x85], Answer::Failed(Failure::Code(5))),
            ([0x83, 0x80], Answer::Truncated),
            ([0x81, 0x80], Answer::NoAddress),
            ([0x85, 0x00], Answer::NoAddress),
            ([0x81, 0x00], Answer::Failed(Failure::Lame)),
        ] {
            assert_eq!(q.read(&answer(&q, flags, &[])), Some(expected), "{flags:x?}");
        }
    }

    #[test]
    fn what_answers_another_question_is_no_answer() {
        let q = question("db", Family::V4);
        let good = answer(&q, OK, &[record("db", 1, &[10, 0, 0, 1])]);
        assert!(q.read(&good).is_some());
        let others = [
            Question { id: 0x1235, ..q.clone() },
            Question { family: Family::V6, ..q.clone() },
            question("dc", Family::V4),
            question("db.example", Family::V4),
        ];
        for other in others {
            assert_eq!(other.read(&good), None, "{other:?}");
        }
        assert_eq!(q.read(&q.message()), None, "the question itself");
        let mut two = good.clone();
        two[5] = 2;
        assert_eq!(q.read(&two), None);
        for length in 0..HEADER + 4 {
            assert_eq!(q.read(&good[..length]), None, "{length}");
        }
    }

    proptest! {
        /// Broken anywhere: never a panic, and an address only where the record has one.
        #[test]
        fn whatever_a_server_sends_is_read(at in 0..60usize, byte: u8, cut in 0..70usize) {
            let q = question("www.example", Family::V4);
            let records = [alias("www.example", "b.example"), record("b.example", 1, &[10, 0, 0, 1])];
            let mut message = answer(&q, OK, &records);
            let at = at.min(message.len() - 1);
            message[at] = byte;
            message.truncate(cut);
            if let Some(Answer::Addresses(found)) = q.read(&message) {
                prop_assert_eq!(found.len(), 1);
            }
        }
    }
}
