//! /etc/resolv.conf and /etc/hosts, and what a name server, or whoever pretends to be one, answers.

use softstop::resolver::conf::{Conf, in_hosts};
use softstop::resolver::message::{Answer, Family, Question};
use softstop::resolver::name::Name;

pub fn target(data: &[u8]) {
    let conf = Conf::parse(data);
    assert!((1..=3).contains(&conf.servers.len()) && conf.ndots <= 15 && conf.search.len() <= 32, "{conf:?}");
    assert!((1..=5).contains(&conf.attempts) && (1..=30).contains(&conf.timeout.as_secs()), "{conf:?}");
    for host in ["db", "db.example", "a.b.c.d.e.f", "db."] {
        let candidates = conf.candidates(host);
        assert!(candidates.len() <= 33 && candidates.iter().any(|name| name == host), "the name itself is asked for");
        assert!(in_hosts(data, host).len() <= 64);
    }
    // A message that may be an answer: the question is taken from it.
    let (Some(id), Some((name, _))) = (data.get(..2), Name::read(data, 12)) else { return };
    assert!((1..=255).contains(&name.wire().len()) && name.wire().last() == Some(&0), "{name:?}");
    let id = u16::from_be_bytes([id[0], id[1]]);
    for family in [Family::V4, Family::V6] {
        let question = Question { id, name: name.clone(), family };
        assert_eq!(question.read(&question.message()), None, "a question is no answer");
        if let Some(Answer::Addresses(found)) = question.read(data) {
            assert!((1..=256).contains(&found.len()) && found.len() <= data.len() / 14, "addresses out of nothing");
            assert!(found.iter().all(|ip| ip.is_ipv4() == (family == Family::V4)), "of another family");
        }
        let other = Question { id: id.wrapping_add(1), ..question };
        assert_eq!(other.read(data), None, "an answer to another question");
    }
}
