//! What needs no process: documents, golden files and the sources, each against the program.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod command_line;
mod config_docs;
mod config_errors;
mod config_schema;
#[path = "../declared/mod.rs"]
mod declared;
#[path = "../declared/made.rs"]
mod declared_made;
mod docs;
mod fuzz_corpus;
#[path = "../declared/grammar.rs"]
mod grammar;
mod help;
mod inject;
mod layering;
mod made;
mod module_graph;
mod monitoring;
mod one_place;
mod pictures;
mod pod_rules;
mod procfile;
mod reader;
mod recipes;
mod reliability;
#[path = "../declared/schema.rs"]
mod schema;
mod typed;
mod watch;
