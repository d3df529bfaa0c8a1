//! Keys of Kubernetes, Compose, systemd, supervisord, s6 and others: what they are called here, or what to do instead. Pure.

use super::declare::Declared;
use super::keys::Section;
use super::process::ProcessKeys;
use super::settings::TopKeys;

/// The key of ours that does the same, where the table has it.
const ALIASES: &[(&str, &str)] = &[
    ("termination_grace_period", "grace"),
    ("grace_period", "grace"),
    ("stop_grace_period", "grace"),
    ("timeout_stop", "grace"),
    ("timeout_stop_sec", "grace"),
    ("cmd", "command"),
    ("run", "command"),
    ("args", "command"),
    ("entrypoint", "command"),
    ("exec_start", "command"),
    ("cwd", "working_dir"),
    ("dir", "working_dir"),
    ("directory", "working_dir"),
    ("workdir", "working_dir"),
    ("working_directory", "working_dir"),
    ("environment", "env"),
    ("envfile", "env_file"),
    ("environment_file", "env_file"),
    ("dotenv", "env_file"),
    ("niceness", "nice"),
    ("limits", "rlimits"),
    ("ulimits", "rlimits"),
    ("ulimit", "rlimits"),
    ("no_new_privileges", "no_new_privs"),
    ("group_add", "supplementary_groups"),
    ("supplemental_groups", "supplementary_groups"),
    ("depends_on", "after"),
    ("requires", "after"),
    ("wants", "after"),
    ("stop_signal", "stop"),
    ("stopsignal", "stop"),
    ("kill_signal", "stop"),
    ("kill_mode", "signal_to"),
    ("restart_policy", "restart"),
    ("autorestart", "restart"),
    ("restart_sec", "backoff"),
    ("startretries", "max_restarts"),
    ("start_limit_burst", "max_restarts"),
    ("start_limit_interval", "restart_window"),
    ("start_limit_interval_sec", "restart_window"),
    ("restart_policy_rules", "restart_on"),
    ("success_exit_status", "success_codes"),
    ("success_exit_codes", "success_codes"),
    ("exitcodes", "success_codes"),
    ("type", "kind"),
    ("interval", "period"),
    ("start_period", "initial_delay"),
    ("services", "process"),
    ("service", "process"),
    ("containers", "process"),
    ("programs", "process"),
    ("program", "process"),
    ("init_containers", "init"),
    ("pre_start", "init"),
    ("exec_start_pre", "init"),
    ("exec_stop_post", "post_exit"),
    ("exec_stop_post", "post_stop"),
    ("finish", "post_exit"),
    ("enabled", "autostart"),
    ("auto_start", "autostart"),
    ("address", "listen"),
    ("path", "socket"),
    ("listen", "socket"),
    ("http_headers", "headers"),
    ("url", "path"),
    ("healthcheck", "liveness"),
    ("health_check", "liveness"),
    ("liveness_probe", "liveness"),
    ("readiness_probe", "readiness"),
    ("startup_probe", "startup"),
    ("tty", "stdin"),
    ("stdin_open", "stdin"),
    ("logging", "log"),
    ("maxbytes", "max_size"),
    ("max_size_mb", "max_size"),
    ("backups", "max_files"),
    ("max_file", "max_files"),
    ("max_backups", "max_files"),
    ("max_age_days", "max_age"),
    ("command", "exec"),
    ("test", "exec"),
];

const ENV_FROM: &str =
    "write env_file = \"/etc/app.env\" for a file, or set them where the container is started (--env-file, envFrom)";
const RLIMITS: &str = "write rlimits = { nofile = 65536 }";
const CAPABILITIES: &str = "write capabilities = { drop = [\"ALL\"], add = [\"NET_BIND_SERVICE\"] }";
const LOG_FILES: &str = "write `[process.logs]` and below it stdout = \"/var/log/web.log\"; without it what a process says is the container's output";
const ONE_EACH: &str = "write a [[process]] for each, with a name of its own";
const THE_RUNTIMES: &str = "that is for whoever starts the container (the pod, Compose, docker run) to say";
const HOOKS: &str =
    "write [process.pre_stop] and [[process.post_start]], each with what it does: exec, http_get, sleep";
const FOREGROUND: &str =
    "leave it out and have the program stay in the foreground: what goes into the background has ended for softstop";
const SCHEDULE: &str = "write schedule = \"*/5 * * * *\" below a `[[process]]`";
const SIGNALS_TO_GROUP: &str = "write signal_to = \"group\"";

/// What there is no key for.
const INSTEAD: &[(&str, &str)] = &[
    ("env_from", ENV_FROM),
    ("nofile", RLIMITS),
    ("limit_nofile", RLIMITS),
    ("cpu", THE_RUNTIMES),
    ("memory", THE_RUNTIMES),
    ("mem_limit", THE_RUNTIMES),
    ("resources", THE_RUNTIMES),
    ("deploy", THE_RUNTIMES),
    ("image", THE_RUNTIMES),
    ("build", THE_RUNTIMES),
    ("ports", THE_RUNTIMES),
    ("expose", THE_RUNTIMES),
    ("volumes", THE_RUNTIMES),
    ("volume_mounts", THE_RUNTIMES),
    ("networks", THE_RUNTIMES),
    ("hostname", THE_RUNTIMES),
    ("security_context", THE_RUNTIMES),
    ("cap_add", CAPABILITIES),
    ("cap_drop", CAPABILITIES),
    ("ambient_capabilities", CAPABILITIES),
    ("capability_bounding_set", CAPABILITIES),
    ("lifecycle", HOOKS),
    ("exec_stop", HOOKS),
    ("pre_start", "write an [[init]] task: it runs before any process"),
    ("exec_start_pre", "write an [[init]] task: it runs before any process"),
    ("exec_reload", "softstop signal NAME HUP does it"),
    ("reload", "softstop signal NAME HUP does it"),
    ("priority", "write after = { other = \"ready\" } for who starts later"),
    ("startsecs", "write [process.startup] with what shows that it has started"),
    ("stopwaitsecs", "write stop = [ { signal = \"SIGTERM\", wait = \"10s\" } ]"),
    ("stop_timeout", "write stop = [ { signal = \"SIGTERM\", wait = \"10s\" } ]"),
    ("kill_timeout", "write stop = [ { signal = \"SIGTERM\", wait = \"10s\" } ]"),
    ("stopasgroup", SIGNALS_TO_GROUP),
    ("killasgroup", SIGNALS_TO_GROUP),
    ("process_group", SIGNALS_TO_GROUP),
    ("redirect_stderr", LOG_FILES),
    ("stdout_logfile", LOG_FILES),
    ("stderr_logfile", LOG_FILES),
    ("logfile", LOG_FILES),
    ("log_file", LOG_FILES),
    ("stdout", LOG_FILES),
    ("stderr", LOG_FILES),
    ("numprocs", ONE_EACH),
    ("replicas", ONE_EACH),
    ("instances", ONE_EACH),
    ("scale", ONE_EACH),
    ("daemon", FOREGROUND),
    ("daemonize", FOREGROUND),
    ("nodaemon", FOREGROUND),
    ("pidfile", FOREGROUND),
    ("pid_file", FOREGROUND),
    ("cron", SCHEDULE),
    ("watch", "softstop restart NAME, by whatever sees the change"),
    ("shell", "write command = [\"sh\", \"-c\", \"...\"]"),
    ("version", "leave it out: there is one version of the format"),
];

pub fn alias(snake: &str, section: &Section) -> Option<&'static str> {
    let bare = snake.strip_suffix("_seconds").unwrap_or(snake);
    ALIASES.iter().find(|(from, to)| *from == bare && section.keys.contains(to)).map(|(_, to)| *to)
}

/// What to do instead, for a key of a process, or of the whole.
pub fn instead(snake: &str, section: &Section) -> Option<&'static str> {
    let here = section.title == ProcessKeys::SECTION.title || section.title == TopKeys::SECTION.title;
    INSTEAD.iter().find(|(key, _)| here && *key == snake).map(|(_, help)| *help)
}

#[cfg(test)]
mod tests {
    use super::super::probe::ProbeKeys;
    use super::super::tables;
    use super::super::task::TaskKeys;
    use super::*;

    #[test]
    fn the_words_of_others_are_none_of_ours() {
        for (key, ours) in ALIASES {
            assert!(tables().iter().any(|t| t.section.keys.contains(ours)), "{key}: there is no {ours}");
        }
        for (key, _) in INSTEAD {
            assert!(!TopKeys::SECTION.keys.contains(key) && !ProcessKeys::SECTION.keys.contains(key), "{key}");
        }
        assert_eq!(alias("command", ProbeKeys::SECTION), Some("exec"));
        assert_eq!(alias("args", TaskKeys::SECTION), None);
    }
}
