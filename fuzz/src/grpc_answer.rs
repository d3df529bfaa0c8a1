//! What a gRPC server answers to a health check, in pieces of any size: well, or a reason that fits a log line.

use softstop::config::GrpcCall;
use softstop::http::client::grpc_over;
use softstop::lifecycle::event::Outcome;

use super::trickle::{Trickle, block_on};

pub fn target(data: &[u8]) {
    let call = GrpcCall { host: "localhost".into(), port: 9090, service: String::new() };
    let mut asked = Vec::new();
    if let Outcome::Failed(failure) = block_on(grpc_over(&call, Trickle::answering(data, &mut asked))) {
        super::assert_one_line(&failure.to_string());
    }
    assert!(asked.starts_with(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "{asked:?}");
    // An answer of 64 KiB has 7,000 pings, of which 200 are answered.
    assert!(asked.len() < 8 * 1024, "{} bytes sent", asked.len());
}
