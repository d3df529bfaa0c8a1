pub mod action;
pub mod event;
