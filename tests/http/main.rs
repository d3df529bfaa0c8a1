//! The server and the client of HTTP over real sockets, in this process.

#![allow(clippy::unwrap_used, reason = "helpers of tests: a panic is the failure")]

mod client;
mod later;
mod server;

use std::net::SocketAddr;
use std::time::Duration;

use softstop::http::server::{Limits, Site, bind, serve};
use tokio::net::TcpListener;
use tokio::time::timeout;

/// Far beyond anything that should happen; reaching it is a failure.
const PATIENCE: Duration = Duration::from_secs(120);

fn block_on<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(PATIENCE, test).await.expect("the test takes too long") })
}

/// A listener at this address, port 0 for any, and where that is.
fn listen(addr: SocketAddr) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::from_std(bind(addr.into()).unwrap()).unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

fn anywhere() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// Runs `test` against a server beside it, both on this thread, as in softstop.
fn with_server(site: impl Into<Site>, limits: Limits, test: impl AsyncFnOnce(SocketAddr)) {
    block_on(async {
        let (listener, addr) = listen(anywhere());
        tokio::select! {
            () = serve(listener, site, limits) => panic!("the server ended"),
            () = test(addr) => {}
        }
    });
}
