//! What a client of the probe port may send, in pieces of any size: every request that is answered is answered whole and in
//! order, and then at most one refusal follows.

use std::cell::RefCell;
use std::rc::Rc;

use softstop::config::Config;
use softstop::http::endpoints;
use softstop::http::server::{Answerer, Limits, converse};
use softstop::lifecycle::Machine;
use softstop::plan::Plan;
use softstop::time::At;

use super::trickle::{Trickle, block_on};

pub fn target(data: &[u8]) {
    let machine = Machine::new(Plan::new(Config::with_defaults()));
    let asked = Rc::new(RefCell::new(Vec::new()));
    let answer: Answerer = {
        let asked = Rc::clone(&asked);
        Rc::new(move |request| {
            asked.borrow_mut().push(request.method.as_str() == "HEAD");
            let (path, query) = (request.uri.path(), request.uri.query());
            endpoints::answer(request.method.as_str(), path, query, &machine.status(At::ZERO))
        })
    };
    let mut written = Vec::new();
    block_on(converse(Trickle::asking(data, &mut written), answer, Limits::default()));
    let mut rest = String::from_utf8(written).expect("answers are text");
    for head_only in asked.borrow().iter() {
        let code = take_answer(&mut rest, *head_only);
        assert!([200, 404, 405, 503].contains(&code), "answered {code}");
    }
    if !rest.is_empty() {
        let code = take_answer(&mut rest, false);
        assert!([400, 414, 431].contains(&code), "refused with {code}");
    }
    assert!(rest.is_empty(), "more than was asked for: {rest:?}");
}

/// Takes one whole answer off the front; its status code.
fn take_answer(rest: &mut String, head_only: bool) -> u16 {
    let (head, after) = rest.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no whole answer: {rest:?}"));
    let mut lines = head.split("\r\n");
    let status = lines.next().filter(|l| l.starts_with("HTTP/1.")).and_then(|l| l.split(' ').nth(1)?.parse().ok());
    let length = lines.find_map(|l| l.strip_prefix("content-length: ")?.parse::<usize>().ok());
    let length = if head_only { 0 } else { length.unwrap_or_else(|| panic!("no length: {head:?}")) };
    assert!(after.len() >= length, "cut off: {rest:?}");
    let code = status.unwrap_or_else(|| panic!("no status: {head:?}"));
    *rest = after[length..].to_owned();
    code
}
