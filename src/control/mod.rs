//! The control socket: orders to a running softstop, and its state for people.
//!
//! [`protocol`] (one line of JSON each way), [`address`] and [`table`] are pure; [`socket`] makes the socket and finds it,
//! [`server`] listens on the one thread with everything bounded, [`client`] is the other end: the same binary, run by
//! `kubectl exec` or a preStop hook. [`pending`] is where orders, also those by `GET /prestop`, meet the loop. What an order does is the machine's to decide (`lifecycle::requests`).

pub mod address;
pub mod client;
mod logs;
pub mod pending;
pub mod protocol;
pub mod rejections;
pub mod server;
pub mod socket;
pub mod table;
