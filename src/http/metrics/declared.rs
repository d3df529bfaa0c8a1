//! Every metric, declared once: its name, type, labels and HELP. What is answered at `/metrics`, the page's table (docs/endpoints.md), and the
//! test that a dashboard or an alert rule names nothing else are made of these rows. Pure.
//!
//! Names follow the Prometheus conventions, as `promtool check metrics` has them: base units, `_total` on counters and nowhere else, states as
//! one series each with 0 or 1.

/// A metric with so many labels.
pub struct Metric<const N: usize> {
    pub name: &'static str,
    /// `gauge` or `counter`.
    pub kind: &'static str,
    pub labels: [&'static str; N],
    /// One line without backslashes.
    pub help: &'static str,
}

/// The same for whoever lists them all.
pub struct Row {
    pub name: &'static str,
    pub kind: &'static str,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

macro_rules! metrics {
    ($($id:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal;)+) => {
        $(pub const $id: Metric<{ <[&str]>::len(&[$($label),*]) }> =
            Metric { name: $name, kind: stringify!($kind), labels: [$($label),*], help: $help };)+

        /// In the order in which they are answered.
        pub const ALL: &[Row] =
            &[$(Row { name: $name, kind: stringify!($kind), labels: &[$($label),*], help: $help }),+];
    };
}

metrics! {
    // The whole.
    INFO: gauge "softstop_info" ["version"] "The running softstop; always 1.";
    PHASE: gauge "softstop_phase" ["phase"] "1 for the phase the container is in (Pending, Running, Succeeded, Failed), 0 for the others.";
    STARTED: gauge "softstop_started" [] "1 when /startupz answers 200.";
    READY: gauge "softstop_ready" [] "1 when /readyz answers 200.";
    LIVE: gauge "softstop_live" [] "1 when /livez answers 200.";
    STOPPING: gauge "softstop_stopping" [] "1 from the stop request on.";
    UPTIME: gauge "softstop_uptime_seconds" [] "Since softstop started.";
    GRACE: gauge "softstop_grace_seconds" [] "The whole budget of a stop.";
    ORPHANS: counter "softstop_orphans_reaped_total" [] "Processes reaped that softstop did not start itself.";
    ORPHANS_BY_COMMAND: counter "softstop_orphans_by_command_total" ["command", "process"]
        "Processes reaped that softstop did not start itself, by command and the process they came from.";
    OOM_KILLS: counter "softstop_oom_kills_total" []
        "Processes that the kernel killed in this cgroup because memory had run out; where it says so.";
    PIDS: gauge "softstop_pids_current" [] "Processes and threads in this cgroup; where there is a limit.";
    PIDS_MAX: gauge "softstop_pids_max" [] "How many there may be (pids.max).";

    // Each process.
    UP: gauge "softstop_process_up" ["process"] "1 when the process is running.";
    PROCESS_STARTED: gauge "softstop_process_started" ["process"] "1 when the process counts as started.";
    PROCESS_READY: gauge "softstop_process_ready" ["process"] "1 when the process counts as ready.";
    STOPPED: gauge "softstop_process_stopped" ["process"] "1 when a signal has stopped the process (SIGSTOP, SIGTTIN).";
    PROCESS_LIVE: gauge "softstop_process_live" ["process"] "1 when the process counts as live.";
    RESTARTS: counter "softstop_process_restarts_total" ["process"] "How often the process was restarted.";
    SIGKILLS: counter "softstop_process_sigkills_total" ["process"]
        "How often the process, or what it left behind in its group, needed SIGKILL from softstop.";
    RUNNING: gauge "softstop_process_running_seconds" ["process"] "Since the process was last started; while it runs.";
    LAST_EXIT_CODE: gauge "softstop_process_last_exit_code" ["process"]
        "How the process last ended: its exit code, 128 + n for a signal.";
    LAST_EXIT_REASON: gauge "softstop_process_last_exit_reason" ["process", "reason"]
        "1 for the reason of the process's last end: Completed, Error, OOMKilled.";
    FAILED_PROBES: counter "softstop_process_probe_failures_total" ["process", "probe"]
        "Failed attempts of a probe, as they count against its threshold.";
    SCHEDULED_RUNS: counter "softstop_process_scheduled_runs_total" ["process", "result"]
        "Runs of a scheduled task by their result (succeeded, failed); skipped: its time came, and it still ran.";
    NEXT_RUN: gauge "softstop_process_next_run_seconds" ["process"] "Until the next time of a scheduled task.";
    WAITING: gauge "softstop_process_waiting_reason" ["process", "reason"]
        "1 for the reason why the process is waiting: CrashLoopBackOff, Dependency, Scheduled, Held.";
    INIT_TASK: gauge "softstop_init_task_running_seconds" ["task"] "How long the current init task has been running.";

    // The stop, while it goes on.
    STEP: gauge "softstop_stop_step_info" ["step"] "The step of the stop that is under way; always 1.";
    ELAPSED: gauge "softstop_stop_elapsed_seconds" [] "Since the stop was requested.";
    DEADLINE: gauge "softstop_stop_deadline_in_seconds" [] "Until everything left is killed.";
    STEP_DEADLINE: gauge "softstop_stop_step_deadline_in_seconds" [] "Until the current step is cut short.";
    DRAIN_CUT: gauge "softstop_stop_drain_steps_cut" [] "Drain steps of this stop that were cut short or had no time.";

    // The stop before, by its report.
    LAST_TIMESTAMP: gauge "softstop_last_stop_timestamp_seconds" []
        "When the run before this one ended, by its report (Unix time); the other softstop_last_stop metrics are of that run.";
    LAST_COMPLETE: gauge "softstop_last_stop_complete" []
        "1 when its report has its end; 0: softstop was killed before that.";
    LAST_REASON: gauge "softstop_last_stop_reason" ["reason"] "1 for the reason why it stopped: signal, process_ended and others.";
    LAST_DURATION: gauge "softstop_last_stop_duration_seconds" [] "From the stop request to its end.";
    LAST_GRACE: gauge "softstop_last_stop_grace_seconds" [] "The budget that it had.";
    LAST_WITHIN: gauge "softstop_last_stop_within_grace" [] "1 when all was over within the budget.";
    LAST_EXIT: gauge "softstop_last_stop_exit_code" [] "The exit code of softstop.";
    LAST_SIGKILLED: gauge "softstop_last_stop_sigkilled_processes" [] "How many needed SIGKILL.";
    LAST_DRAIN_CUT: gauge "softstop_last_stop_drain_steps_cut" [] "Drain steps that were cut short or had no time.";
    LAST_FINDING: gauge "softstop_last_stop_finding" ["rule"] "1 for each thing that softstop report finds wrong with it, by its name.";
}
