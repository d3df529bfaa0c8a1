//! The pure core of softstop by itself, from its own sources: what decides, and what that names. Its units are tested and its documentation is made
//! in the package at the root.

#![cfg(not(test))]
#![allow(dead_code, reason = "what only the shell uses of it is not used here")]

#[path = "../../src/config/mod.rs"]
pub mod config;
#[path = "../../src/endpoint.rs"]
pub mod endpoint;
#[path = "../../src/exit.rs"]
pub mod exit;
#[path = "../../src/facts/mod.rs"]
pub mod facts;
#[path = "../../src/json.rs"]
pub mod json;
#[path = "../../src/lifecycle/mod.rs"]
pub mod lifecycle;
#[path = "../../src/nearest.rs"]
pub mod nearest;
#[path = "../../src/order.rs"]
pub mod order;
#[path = "../../src/picture/mod.rs"]
pub mod picture;
#[path = "../../src/plan/mod.rs"]
pub mod plan;
#[path = "../../src/planned/mod.rs"]
pub mod planned;
#[path = "../../src/programs/mod.rs"]
pub mod programs;
#[path = "../../src/record/mod.rs"]
pub mod record;
#[path = "../../src/report/mod.rs"]
pub mod report;
#[path = "../../src/schedule/mod.rs"]
pub mod schedule;
#[path = "../../src/signal.rs"]
pub mod signal;
#[path = "../../src/sorted.rs"]
pub mod sorted;
#[path = "../../src/status.rs"]
pub mod status;
#[path = "../../src/text.rs"]
pub mod text;
#[path = "../../src/time.rs"]
pub mod time;

#[path = "../../src/output"]
pub mod output {
    pub mod lines;
    pub mod queue;
}

#[path = "../../src/runtime"]
pub mod runtime {
    pub mod waits {
        pub mod idle {
            pub mod rule;
        }
    }
}
