//! What needs no process: documents, golden files and the sources, each against the program.

mod config_docs;
mod config_errors;
mod docs;
mod fuzz_corpus;
mod layering;
mod module_graph;
mod pod_rules;
mod reliability;
