//! Everything that `softstop check --pod` looks at: one table, and a small function for each of its rows. Pure.
//!
//! A rule notes what it finds with a sentence (what is wrong), a reason (what happens in production; where the reference has it) and
//! the exact change. docs/kubernetes.md lists them (a test compares), `tests/pod_rules/` has a manifest for each.

mod asking;
mod grace;
mod hooks;
mod launch;
mod mesh;
mod prestop;
mod probes;
mod readiness;
mod security;
mod sidecar;
mod workload;

pub(super) use grace::left;
pub(super) use probes::longest_start;
pub(super) use readiness::longest_drain;
pub(super) use security::changes_user;

use super::finding::{ENOUGH, Finding};
use super::tree::Node;
use super::{ALLOW, Case};
use crate::config::problem::{Severity, Span};

/// One thing that is looked at.
pub struct Rule {
    pub name: &'static str,
    check: Check,
    /// Knative has hooks, probes, a drain and a restart of its own and refuses others: what is left.
    for_knative: bool,
}

type Check = fn(&Case<'_>, &mut Found<'_>);

const fn rule(name: &'static str, check: Check) -> Rule {
    Rule { name, check, for_knative: false }
}

/// Of a pod that Knative makes, too.
const fn always(name: &'static str, check: Check) -> Rule {
    Rule { name, check, for_knative: true }
}

/// Sorted by what they are about.
pub const RULES: &[Rule] = &[
    // How softstop is started
    always("entrypoint", launch::entrypoint),
    always("shell-form", launch::shell_form),
    always("init-in-front", launch::init_in_front),
    rule("terminal", launch::terminal),
    rule("shared-pids", launch::shared_pids),
    rule("stop-signal", launch::stop_signal),
    always("unread-variable", launch::unread_variable),
    always("unset-variable", launch::unset_variable),
    rule("sidecar-follow", sidecar::follow),
    // The budget
    always("grace-zero", grace::zero),
    rule("grace-misplaced", grace::misplaced),
    always("grace-too-long", grace::too_long),
    rule("grace-too-short", grace::too_short),
    always("grace-unknown", grace::unknown),
    rule("grace-sidecar", grace::sidecar),
    rule("probe-grace", grace::of_probes),
    rule("no-drain", grace::no_drain),
    // Hooks
    rule("prestop-sleep", hooks::sleep),
    rule("prestop-unknown", hooks::unknown),
    rule("prestop-drain", hooks::drain),
    rule("prestop-missing", hooks::missing),
    rule("prestop-http", prestop::http),
    rule("prestop-guard", prestop::guarded),
    rule("sidecar-hook", sidecar::hook),
    rule("mesh-hook", mesh::hook),
    rule("mesh-drain", mesh::drain),
    rule("hook-shell", hooks::shell),
    rule("hook-tcp", hooks::tcp),
    rule("poststart", hooks::post_start),
    // Probes
    rule("probe-port", probes::port),
    rule("port-taken", probes::port_taken),
    rule("probe-path", probes::path),
    rule("probe-address", probes::address),
    rule("probe-host", probes::host),
    rule("probe-scheme", probes::scheme),
    rule("probe-timeout", probes::timeout),
    rule("liveness-on-readyz", probes::liveness_on_readyz),
    rule("liveness-without-startup", probes::liveness_without_startup),
    rule("startup-path", probes::startup_path),
    rule("startup-too-short", probes::startup_too_short),
    rule("init-container", probes::init_container),
    rule("sidecar-startup", probes::sidecar_startup),
    rule("readiness-missing", readiness::missing),
    rule("readiness-on-livez", readiness::on_livez),
    rule("readiness-elsewhere", readiness::elsewhere),
    rule("readiness-kept", readiness::kept),
    rule("readiness-slow", readiness::slow),
    // What the container may do
    always("read-only-root", security::read_only_root),
    always("user", security::user),
    always("limits", security::limits),
    always("privilege-escalation", security::privilege_escalation),
    always("termination-log", security::termination_log),
    rule("host-network", security::host_network),
    // What runs the pods, and what stands before them
    rule("restart-policy", workload::restart_policy),
    rule("job-interrupted", workload::job_interrupted),
    rule("job-success", workload::job_success),
    rule("job-sidecar", workload::job_sidecar),
    rule("recreate", workload::recreate),
    rule("all-at-once", workload::all_at_once),
    rule("progress-deadline", workload::progress_deadline),
    rule("parallel", workload::parallel),
    rule("service-port", workload::service_port),
    rule("not-ready-addresses", workload::not_ready_addresses),
    rule("disruption-budget", workload::disruption_budget),
];

/// What one rule finds.
pub struct Found<'a> {
    rule: &'static str,
    case: &'a Case<'a>,
    list: &'a mut Vec<Finding>,
}

impl Found<'_> {
    /// It goes wrong.
    pub fn error(&mut self, at: Span, sentence: impl Into<String>, why: impl Into<String>, help: impl Into<String>) {
        self.note(Severity::Error, at, sentence.into(), why.into(), help.into());
    }

    /// It may go wrong, or costs something.
    pub fn warn(&mut self, at: Span, sentence: impl Into<String>, why: impl Into<String>, help: impl Into<String>) {
        self.note(Severity::Warning, at, sentence.into(), why.into(), help.into());
    }

    fn note(&mut self, severity: Severity, at: Span, sentence: String, why: String, help: String) {
        let place = self.case.source.place(&at, "");
        self.list.push(Finding::new(self.rule, severity, place, [&sentence, &why, &help]));
    }
}

/// The rules that an object's annotation allows to be broken.
pub(super) fn allowed<'a>(annotations: Option<Node<'a>>) -> impl Iterator<Item = &'a str> {
    annotations.and_then(|a| a.get(ALLOW)?.text()).unwrap_or_default().split(',').map(str::trim)
}

/// Every rule over one container, but those that the pod's annotation allows to be broken.
pub(super) fn all(case: &Case<'_>, list: &mut Vec<Finding>) {
    for rule in RULES {
        let meant = !case.workload.is_knative() || rule.for_knative;
        if list.len() < ENOUGH && meant && !allowed(case.workload.annotations()).any(|name| name == rule.name) {
            (rule.check)(case, &mut Found { rule: rule.name, case, list });
        }
    }
}

/// The hook that runs `softstop drain`, as a manifest has it.
pub(super) const DRAIN: &str = "preStop: { exec: { command: [\"/softstop\", \"drain\"] } }";

/// For sentences and settings: `25s`.
fn said(duration: std::time::Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// Whole seconds, rounded up, as `terminationGracePeriodSeconds` has them.
pub(super) fn whole_seconds(duration: std::time::Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
