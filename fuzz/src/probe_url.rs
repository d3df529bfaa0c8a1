//! A probe's target as it stands after a flag: what is accepted can be asked.

use softstop::cli::reading;
use softstop::config::Handler;
use softstop::http::client::{call_over, grpc_over, local_addresses};
use softstop::lifecycle::event::Outcome;

use super::trickle::{Trickle, block_on};

const ANSWER: &[u8] = b"\xffHTTP/1.1 204 No Content\r\n\r\n";
/// SETTINGS, and DATA with SERVING.
const SERVING: &[u8] = b"\xff\0\0\0\x04\0\0\0\0\0\0\0\x07\0\0\0\0\0\x01\0\0\0\0\x02\x08\x01";

pub fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let args = ["softstop".into(), format!("--readiness={text}").into(), "--".into(), "app".into()];
    let Ok(cli) = reading::read(&args) else { return };
    match cli.wrapper.own.readiness.expect("the flag was given") {
        Handler::Http(call) => {
            assert!(call.port > 0 && !call.host.is_empty() && call.path.starts_with('/'), "{call:?}");
            let _addresses = local_addresses(&call.host, call.port);
            let mut asked = Vec::new();
            let outcome = block_on(call_over(&call, Trickle::answering(ANSWER, &mut asked)));
            assert_eq!(outcome, Outcome::Ok, "{text:?} is accepted and cannot be asked");
            let line = format!("GET {} HTTP/1.1\r\n", call.path);
            assert!(asked.starts_with(line.as_bytes()), "{text:?} asks for {:?}", String::from_utf8_lossy(&asked));
        }
        Handler::Grpc(call) => {
            assert!(call.port > 0 && !call.host.is_empty(), "{call:?}");
            let mut asked = Vec::new();
            let outcome = block_on(grpc_over(&call, Trickle::answering(SERVING, &mut asked)));
            assert_eq!(outcome, Outcome::Ok, "{text:?} is accepted and cannot be asked");
        }
        Handler::Tcp { host, port } => {
            assert!(port > 0 && !host.is_empty(), "{host:?} {port}");
            let _addresses = local_addresses(&host, port);
        }
        other => panic!("{text:?} is {other:?}"),
    }
}
