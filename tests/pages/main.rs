//! What needs no process: documents, golden files and the sources, each against the program.

mod command_line;
mod config_docs;
mod config_errors;
mod config_schema;
#[path = "../declared/mod.rs"]
mod declared;
mod docs;
mod fuzz_corpus;
mod inject;
mod layering;
mod module_graph;
mod one_place;
mod pictures;
mod pod_rules;
mod procfile;
mod quick;
mod reliability;
#[path = "../declared/schema.rs"]
mod schema;
