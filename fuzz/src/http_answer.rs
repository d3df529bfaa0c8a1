//! What a probed server answers, in pieces of any size: a success or a reason that fits a log line.

use softstop::config::HttpCall;
use softstop::http::client::call_over;
use softstop::lifecycle::event::Outcome;

use super::trickle::{Trickle, block_on};

/// Characters of a reason: the server's own words are cut to 120.
const REASON: usize = 300;

pub fn target(data: &[u8]) {
    let call = HttpCall::get("localhost", 80, "/healthz");
    let mut asked = Vec::new();
    if let Outcome::Failed(failure) = block_on(call_over(&call, Trickle::answering(data, &mut asked))) {
        let reason = failure.to_string();
        super::assert_one_line(&reason);
        assert!(reason.chars().count() <= REASON, "{reason}");
        assert_eq!(failure.code(), None);
    }
    let asked = String::from_utf8(asked).expect("the request is text");
    assert!(
        asked.is_empty() || asked.starts_with("GET /healthz HTTP/1.1\r\n") && asked.ends_with("\r\n\r\n"),
        "{asked:?}"
    );
}
