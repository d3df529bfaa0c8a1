//! HTTP/1.1 in both directions: the probe endpoints that softstop serves, and the calls that its hooks and probes make.
//!
//! [`endpoints`], [`metrics`] and [`prestop`] (who may ask for the drain) are pure: a request and a [`crate::status::Status`] in, an answer out;
//! `redirect` is pure, too. [`server`] and
//! [`client`] do the I/O, on the one thread, every wait bounded.

pub mod client;
pub mod condition;
pub mod endpoints;
mod grpc;
pub mod metrics;
pub mod own;
pub mod prestop;
mod query;
mod redirect;
pub mod server;
mod shared;
mod tls;
