//! What the end of a process is, and whether it is started again: `kind`, `success_codes`, `restart`, `restart_on`, `max_restarts`. Pure.

use serde::{Deserialize, Serialize};

use super::backoff::backoff;
use super::declare::{Shape, table};
use super::kinds::{Sub, Word, kind};
use super::process::{Process, ProcessKeys};
use super::reader::{Field, Reader};
use crate::config::problem::Span;
use crate::facts::{Exit, ProcessKind};

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    Always,
    OnFailure,
    Never,
}

/// A rule of `restart_on`, as one of Kubernetes' restartPolicyRules.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RestartRule {
    pub operator: Operator,
    /// Exit codes; 128 + n for a signal.
    pub values: Vec<u8>,
}

impl RestartRule {
    pub fn matches(&self, exit: Exit) -> bool {
        self.values.contains(&exit.code()) == (self.operator == Operator::In)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    In,
    NotIn,
}

/// What Kubernetes' rules may say, too, is not one process's to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartAction {
    Restart,
}

table! {
    pub struct RuleKeys in "restart_on" {
        /// What follows: it is started again. Kubernetes' other action, `RestartAllContainers`, is not one process's.
        action: Word<RestartAction> = RestartAction::Restart;
        /// Upon which ends.
        exit_codes: Sub<MatchKeys<'static>> { required: true, help: EXAMPLE };
    }
}

table! {
    pub struct MatchKeys in "restart_on.exit_codes" {
        /// Whether the exit code is one of `values`, or none of them.
        operator: Word<Operator> { required: true };
        /// Exit codes, 128 + n for an end by signal n.
        values: CodeList { required: true, words: "array of integers, 0 to 255", help: "write values = [42, 137]" };
    }
}

pub const EXAMPLE: &str = "write restart_on = [ { exit_codes = { operator = \"in\", values = [42] } } ]";
/// As many as Kubernetes takes.
const RULES: usize = 20;

kind! {
    /// `[0, 143]`.
    CodeList: Vec<u8> = read_code_list, &Shape::Array(&Shape::Integer(0, 255))
}

fn read_code_list(reader: &mut Reader<'_>, field: &Field<'_>, help: &str) -> Option<Vec<u8>> {
    let elements = reader.elements(field, "an array of exit codes", help)?;
    if elements.is_empty() {
        reader.error(&field.span(), format!("`{}` is empty", field.name), help);
    }
    let mut codes = Vec::new();
    for element in &elements {
        let code = reader.integer(element, 0, 255, "write a code from 0 to 255; 128 + n for a signal: 143");
        let Some(code) = code else { continue };
        if codes.contains(&code) {
            reader.warn(&element.span(), format!("{code} is listed twice"), "leave one of them out");
        } else {
            codes.push(code);
        }
    }
    Some(codes)
}

/// Reads them all, and what they say against each other.
pub fn restarts(reader: &mut Reader<'_>, keys: &ProcessKeys<'_>, p: &mut Process) {
    p.kind = keys.kind.read(reader);
    p.success_codes = keys.success_codes.read(reader).unwrap_or_default();
    p.restart = keys.restart.read(reader).unwrap_or(ProcessKeys::restart);
    let rules = rules(reader, keys);
    p.backoff = keys.backoff.open(reader).map_or(p.backoff, |keys| backoff(reader, &keys));
    p.max_restarts = keys.max_restarts.read(reader);
    p.restart_window = keys.restart_window.read(reader);
    if let (Some(field), false) = (&keys.restart_window.field, keys.max_restarts.is_given()) {
        let sentence = "`restart_window` without `max_restarts`: nothing is counted in it";
        reader.error(&field.key, sentence, "add max_restarts = 5, or leave `restart_window` out");
    }
    if p.kind == Some(ProcessKind::Task) || keys.schedule.is_given() {
        task(reader, keys, p, &rules);
    }
    p.restart_on = rules.into_iter().map(|(rule, _)| rule).collect();
}

fn rules(reader: &mut Reader<'_>, keys: &ProcessKeys<'_>) -> Vec<(RestartRule, Span)> {
    let tables = keys.restart_on.open(reader, "[[process.restart_on]]");
    if let (Some(field), true) = (&keys.restart_on.field, tables.len() > RULES) {
        let sentence = format!("`restart_on` has {} rules, more than {RULES}", tables.len());
        reader.error(&field.span(), sentence, "one rule takes many codes: values = [42, 43]");
    }
    tables.iter().take(RULES).filter_map(|table| rule(reader, table)).collect()
}

fn rule(reader: &mut Reader<'_>, keys: &RuleKeys<'_>) -> Option<(RestartRule, Span)> {
    let RestartAction::Restart = keys.action.read(reader).unwrap_or(RuleKeys::action);
    keys.exit_codes.expected(reader, &keys.table, "this rule does not say upon which ends", EXAMPLE);
    let codes = keys.exit_codes.open(reader)?;
    let operator = codes.operator.required(reader, &codes.table, "add operator = \"in\" or \"not_in\"");
    let values = codes.values.required(reader, &codes.table, "add values = [42]");
    Some((RestartRule { operator: operator?, values: values? }, keys.exit_codes.span()?))
}

/// What goes on for ever is no task.
fn task(reader: &mut Reader<'_>, keys: &ProcessKeys<'_>, p: &Process, rules: &[(RestartRule, Span)]) {
    const NO_TASK: &str = "leave it out, or write kind = \"service\"";
    let probes = [&keys.startup, &keys.readiness, &keys.liveness];
    for field in probes.into_iter().filter_map(|key| key.field.as_ref()) {
        let sentence = format!("`{}` for a task: it runs to completion, and is not probed", field.name);
        reader.error(&field.key, sentence, NO_TASK);
    }
    // `notify = false` says nothing.
    if let Some(field) = keys.notify.field.as_ref().filter(|field| field.value.get_ref().as_bool() != Some(false)) {
        reader.error(&field.key, "`notify` for a task: it runs to completion, and is never ready", NO_TASK);
    }
    if let (Restart::Always, Some(span)) = (p.restart, keys.restart.span()) {
        let sentence = "a task that has completed is not started again, and restart = \"always\" says that it is";
        reader.error(&span, sentence, "write \"on_failure\" or \"never\", or kind = \"service\"");
    }
    let successes: Vec<u8> = [0].into_iter().chain(p.success_codes.iter().copied()).collect();
    for (rule, span) in rules {
        let again = successes.iter().find(|code| rule.matches(Exit::Code(**code)));
        if let Some(code) = again {
            let sentence = format!("this rule starts a task again that has completed with {code}");
            let help = match rule.operator {
                Operator::In => format!("take {code} out of `values`"),
                Operator::NotIn => format!("add {code} to `values`"),
            };
            reader.error(span, sentence, help);
        }
    }
}
