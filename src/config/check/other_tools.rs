//! Keys of Kubernetes, Compose, systemd, supervisord, s6 and others: what they are called here, or what to do instead. Pure.

use super::declare::Declared;
use super::keys::Section;
use super::process::ProcessKeys;
use super::settings::TopKeys;

/// A key of ours, and what does the same elsewhere.
const ALIASES: &[(&str, &[&str])] = &[
    ("grace", &["termination_grace_period", "grace_period", "stop_grace_period", "timeout_stop", "timeout_stop_sec"]),
    ("command", &["cmd", "run", "args", "entrypoint", "exec_start"]),
    ("working_dir", &["cwd", "dir", "directory", "workdir", "working_directory"]),
    ("env", &["environment"]),
    ("env_file", &["envfile", "environment_file", "dotenv"]),
    ("nice", &["niceness"]),
    ("rlimits", &["limits", "ulimits", "ulimit"]),
    ("no_new_privs", &["no_new_privileges"]),
    ("supplementary_groups", &["group_add", "supplemental_groups"]),
    ("after", &["depends_on", "requires", "wants"]),
    ("stop", &["stop_signal", "stopsignal", "kill_signal"]),
    ("signal_to", &["kill_mode"]),
    ("restart", &["restart_policy", "autorestart"]),
    ("backoff", &["restart_sec"]),
    ("max_restarts", &["startretries", "start_limit_burst"]),
    ("restart_window", &["start_limit_interval", "start_limit_interval_sec"]),
    ("restart_on", &["restart_policy_rules"]),
    ("success_codes", &["success_exit_status", "success_exit_codes", "exitcodes"]),
    ("kind", &["type"]),
    ("period", &["interval"]),
    ("initial_delay", &["start_period"]),
    ("process", &["services", "service", "containers", "programs", "program"]),
    ("init", &["init_containers", "pre_start", "exec_start_pre"]),
    ("post_exit", &["exec_stop_post", "finish"]),
    ("post_stop", &["exec_stop_post"]),
    ("autostart", &["enabled", "auto_start"]),
    ("listen", &["address"]),
    ("socket", &["path", "listen"]),
    ("headers", &["http_headers"]),
    ("path", &["url"]),
    ("liveness", &["healthcheck", "health_check", "liveness_probe"]),
    ("readiness", &["readiness_probe"]),
    ("startup", &["startup_probe"]),
    ("stdin", &["tty", "stdin_open"]),
    ("log", &["logging"]),
    ("max_size", &["maxbytes", "max_size_mb"]),
    ("max_files", &["backups", "max_file", "max_backups"]),
    ("max_age", &["max_age_days"]),
    ("exec", &["command", "test"]),
];

const THE_RUNTIMES: &str = "that is for whoever starts the container (the pod, Compose, docker run) to say";

/// What there is no key for: what to do, in place of what.
const INSTEAD: &[(&str, &[&str])] = &[
    (
        "write env_file = \"/etc/app.env\" for a file, or set them where the container is started (--env-file, envFrom)",
        &["env_from"],
    ),
    ("write rlimits = { nofile = 65536 }", &["nofile", "limit_nofile"]),
    (THE_RUNTIMES, &["cpu", "memory", "mem_limit", "resources", "deploy", "image", "build", "ports", "expose"]),
    (THE_RUNTIMES, &["volumes", "volume_mounts", "networks", "hostname", "security_context"]),
    (
        "write capabilities = { drop = [\"ALL\"], add = [\"NET_BIND_SERVICE\"] }",
        &["cap_add", "cap_drop", "ambient_capabilities", "capability_bounding_set"],
    ),
    (
        "write [process.pre_stop] and [[process.post_start]], each with what it does: exec, http_get, sleep",
        &["lifecycle", "exec_stop"],
    ),
    ("write an [[init]] task: it runs before any process", &["pre_start", "exec_start_pre"]),
    ("softstop signal NAME HUP does it", &["exec_reload", "reload"]),
    ("write after = { other = \"ready\" } for who starts later", &["priority"]),
    ("write [process.startup] with what shows that it has started", &["startsecs"]),
    ("write stop = [ { signal = \"SIGTERM\", wait = \"10s\" } ]", &["stopwaitsecs", "stop_timeout", "kill_timeout"]),
    ("write signal_to = \"group\"", &["stopasgroup", "killasgroup", "process_group"]),
    (
        "write `[process.logs]` and below it stdout = \"/var/log/web.log\"; without it what a process says is the container's output",
        &["redirect_stderr", "stdout_logfile", "stderr_logfile", "logfile", "log_file", "stdout", "stderr"],
    ),
    ("write a [[process]] for each, with a name of its own", &["numprocs", "replicas", "instances", "scale"]),
    (
        "leave it out and have the program stay in the foreground: what goes into the background has ended for softstop",
        &["daemon", "daemonize", "nodaemon", "pidfile", "pid_file"],
    ),
    ("write schedule = \"*/5 * * * *\" below a `[[process]]`", &["cron"]),
    ("softstop restart NAME, by whatever sees the change", &["watch"]),
    ("write command = [\"sh\", \"-c\", \"...\"]", &["shell"]),
    ("leave it out: there is one version of the format", &["version"]),
];

pub fn alias(snake: &str, section: &Section) -> Option<&'static str> {
    let bare = snake.strip_suffix("_seconds").unwrap_or(snake);
    ALIASES.iter().find(|(ours, theirs)| theirs.contains(&bare) && section.keys.contains(ours)).map(|(ours, _)| *ours)
}

/// What to do instead, for a key of a process, or of the whole.
pub fn instead(snake: &str, section: &Section) -> Option<&'static str> {
    let here = section.title == ProcessKeys::SECTION.title || section.title == TopKeys::SECTION.title;
    INSTEAD.iter().find(|(_, keys)| here && keys.contains(&snake)).map(|(help, _)| *help)
}

#[cfg(test)]
mod tests {
    use super::super::probe::ProbeKeys;
    use super::super::tables;
    use super::super::task::TaskKeys;
    use super::*;

    #[test]
    fn the_words_of_others_are_none_of_ours() {
        for (ours, _) in ALIASES {
            assert!(tables().iter().any(|t| t.section.keys.contains(ours)), "there is no {ours}");
        }
        for key in INSTEAD.iter().flat_map(|(_, keys)| *keys) {
            assert!(!TopKeys::SECTION.keys.contains(key) && !ProcessKeys::SECTION.keys.contains(key), "{key}");
        }
        assert_eq!(alias("command", ProbeKeys::SECTION), Some("exec"));
        assert_eq!(alias("args", TaskKeys::SECTION), None);
    }
}
