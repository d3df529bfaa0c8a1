//! The server and the client of HTTP over real sockets, in this process.

mod client;
mod later;
mod server;
