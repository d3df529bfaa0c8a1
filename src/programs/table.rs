//! The table itself. A program is a row; [`PLAIN`] is what most have. Pure.
//!
//! What is said of a program was measured with it, but for Envoy, which is from its manual alone.

use super::{ConfigFile, Foreground, Needs, Preset, Program, Step};
use crate::signal::Signal;

const PLAIN: Program = Program {
    names: &[],
    stop: Signal::TERM,
    upon_term: None,
    outlives_term: false,
    dumps_on: None,
    preset: None,
    foreground: STAYS,
    file: NO_FILE,
};
const PRESET: Preset =
    Preset { words: &[], ladder: ONE_TERM, why: "", source: "", trap: "", needs: None, in_group: None };
const STAYS: Foreground = Foreground { arguments: "", by: &[], in_file: "", background: &[] };
const NO_FILE: ConfigFile = ConfigFile { flags: &[], suffixes: &[], defaults: &[] };

/// So many hundredths for a signal, at the most.
const fn during(percent: u32, signal: Signal) -> Step {
    Step { signal, percent: Some(percent) }
}

/// The last, with what is left.
const fn then(signal: Signal) -> Step {
    Step { signal, percent: None }
}

const fn background(background: &'static [&'static str]) -> Foreground {
    Foreground { background, ..STAYS }
}

const ONE_TERM: &[Step] = &[then(Signal::TERM)];
const QUIT_THEN_TERM: &[Step] = &[during(75, Signal::QUIT), then(Signal::TERM)];
const INT_THEN_TERM: &[Step] = &[during(75, Signal::INT), then(Signal::TERM)];
const TERM_THEN_QUIT: &[Step] = &[during(75, Signal::TERM), then(Signal::QUIT)];

const CUTS: &str = "cuts the requests under way";
const WAITS_FOR_CLIENTS: &str = "waits for every client to disconnect";
const BY_SIGNAL: &str = "It ends itself by the signal, code 143: `[exit_codes] 143 = 0`";
const KEEPS_LISTENING: &str =
    "New connections wait unanswered while the last requests run: a drain step before it saves them";

const JAVA: Program = Program { names: &["java"], dumps_on: Some(Signal::QUIT), ..PLAIN };

/// A JVM, by whatever name it runs.
pub static JVM: Program = JAVA;

pub(super) static PROGRAMS: [Program; 37] = [
    // === Web servers and proxies ===
    Program {
        names: &["nginx", "nginx-debug", "openresty", "angie"],
        stop: Signal::QUIT,
        upon_term: Some(CUTS),
        preset: Some(Preset {
            words: &["nginx"],
            ladder: QUIT_THEN_TERM,
            why: "SIGQUIT finishes the requests under way and closes idle connections; SIGTERM is its fast shutdown",
            source: "nginx.org, \"Controlling nginx\"",
            trap: "A connection that never sends a request holds SIGQUIT for `client_header_timeout` (60s): set \
                   `worker_shutdown_timeout` below the grace",
            ..PRESET
        }),
        foreground: Foreground { arguments: "-g 'daemon off;'", by: &["daemon off"], in_file: "daemon off", ..STAYS },
        file: ConfigFile { flags: &["-c"], defaults: &["/etc/nginx/nginx.conf"], ..NO_FILE },
        ..PLAIN
    },
    Program {
        names: &["php-fpm"],
        stop: Signal::QUIT,
        upon_term: Some(CUTS),
        preset: Some(Preset {
            words: &["php-fpm"],
            ladder: QUIT_THEN_TERM,
            why: "SIGQUIT finishes the requests under way, for as long as `process_control_timeout` says; SIGTERM cuts them",
            source: "php-fpm(8), php.net \"FPM configuration\"",
            trap: "The server in front stops first: `after = { php = \"started\" }`. New connections wait unanswered \
                   meanwhile",
            needs: Some(Needs {
                text: "process_control_timeout",
                without: "has no process_control_timeout: its graceful stop cuts the requests under way, too",
                write: "write `process_control_timeout = 10s` below [global], a little less than SIGQUIT has",
            }),
            ..PRESET
        }),
        foreground: Foreground {
            arguments: "--nodaemonize",
            by: &["--nodaemonize", "-F"],
            in_file: "daemonize = no",
            background: &["--daemonize", "-D"],
        },
        file: ConfigFile {
            flags: &["-y", "--fpm-config"],
            defaults: &["/usr/local/etc/php-fpm.conf", "/etc/php/{version}/fpm/php-fpm.conf", "/etc/php-fpm.conf"],
            ..NO_FILE
        },
        ..PLAIN
    },
    Program {
        names: &["httpd", "apache2", "httpd.worker", "httpd.event"],
        stop: Signal::WINCH,
        upon_term: Some(CUTS),
        preset: Some(Preset {
            words: &["apache", "httpd", "apache2"],
            ladder: &[during(75, Signal::WINCH), then(Signal::TERM)],
            why: "SIGWINCH (graceful-stop) finishes the requests under way; SIGTERM kills the children",
            source: "httpd 2.4, \"Stopping and Restarting\"",
            trap: "With `prefork` idle connections stay open until `KeepAliveTimeout`",
            ..PRESET
        }),
        foreground: Foreground {
            arguments: "-D FOREGROUND",
            by: &["-D FOREGROUND", "-DFOREGROUND", "-D NO_DETACH", "-DNO_DETACH", "-X"],
            ..STAYS
        },
        ..PLAIN
    },
    Program {
        names: &["haproxy"],
        stop: Signal::USR1,
        upon_term: Some(CUTS),
        dumps_on: Some(Signal::QUIT),
        preset: Some(Preset {
            words: &["haproxy"],
            ladder: &[during(75, Signal::USR1), then(Signal::TERM)],
            why: "SIGUSR1 (soft stop) finishes what is under way and takes nothing new; SIGTERM cuts",
            source: "haproxy management guide, \"Stopping and restarting HAProxy\"",
            trap: "A connection that never sends a request holds it for `timeout client`: `hard-stop-after` bounds that",
            ..PRESET
        }),
        foreground: Foreground { arguments: "-W -db", background: &["-D"], ..STAYS },
        ..PLAIN
    },
    Program {
        names: &["lighttpd"],
        stop: Signal::INT,
        upon_term: Some(CUTS),
        preset: Some(Preset {
            words: &["lighttpd"],
            ladder: INT_THEN_TERM,
            why: "SIGINT finishes the requests under way; SIGTERM cuts them and exits with 1",
            source: "lighttpd wiki, \"Signals\"",
            trap: "`server.graceful-shutdown-timeout` bounds it",
            ..PRESET
        }),
        foreground: Foreground { arguments: "-D", by: &["-D"], ..STAYS },
        ..PLAIN
    },
    Program {
        names: &["caddy"],
        preset: Some(Preset {
            words: &["caddy"],
            why: "SIGTERM finishes the requests under way; SIGQUIT cuts them",
            source: "Caddy, \"Command line: Signals\"",
            trap: "`grace_period` is unlimited by default: set it below the grace",
            ..PRESET
        }),
        ..PLAIN
    },
    Program {
        names: &["envoy"],
        preset: Some(Preset {
            words: &["envoy"],
            why: "SIGTERM ends it at once; what is graceful about its stop is the drain before",
            source: "Envoy, \"Draining\" (not measured)",
            trap: "Add a `[[drain]]` step `http_post = { port = 9901, path = \"/drain_listeners?graceful\" }` and one with \
                   `wait_idle` on its listener",
            ..PRESET
        }),
        ..PLAIN
    },
    Program {
        names: &["varnishd"],
        preset: Some(Preset {
            words: &["varnish"],
            why: "SIGTERM cuts the requests under way, and no signal does better",
            source: "varnishd(1), varnish-cli(7)",
            trap: "Drain before it: `wait_idle` on its port, with a VCL that answers `Connection: close`",
            ..PRESET
        }),
        foreground: Foreground { arguments: "-F", by: &["-F", "-d"], ..STAYS },
        ..PLAIN
    },
    Program {
        names: &["squid"],
        preset: Some(Preset {
            words: &["squid"],
            ladder: &[during(75, Signal::TERM), then(Signal::INT)],
            why: "SIGTERM finishes what is under way, SIGINT cuts it",
            source: "squid(8), `shutdown_lifetime`",
            trap: "It always waits for all of `shutdown_lifetime` (30s): set it well below the grace",
            ..PRESET
        }),
        foreground: Foreground { arguments: "--foreground", by: &["--foreground", "-N"], ..STAYS },
        ..PLAIN
    },
    // === Databases, stores, brokers ===
    Program {
        names: &["postgres", "postmaster"],
        stop: Signal::INT,
        upon_term: Some(WAITS_FOR_CLIENTS),
        outlives_term: true,
        preset: Some(Preset {
            words: &["postgres", "postgresql"],
            ladder: &[during(15, Signal::TERM), during(60, Signal::INT), then(Signal::QUIT)],
            why: "SIGTERM (smart) lets clients finish and refuses new ones, SIGINT (fast) rolls back what is left and closes \
                  cleanly, SIGQUIT (immediate) leaves a recovery to the next start",
            source: "PostgreSQL, \"Shutting Down the Server\"",
            trap: "SIGTERM alone waits for pooled clients for ever: SIGKILL and a recovery. Without pools `wait_idle` and \
                   `stop = \"SIGINT\"` is best",
            ..PRESET
        }),
        ..PLAIN
    },
    Program {
        names: &["pgbouncer"],
        stop: Signal::INT,
        upon_term: Some(WAITS_FOR_CLIENTS),
        outlives_term: true,
        preset: Some(Preset {
            words: &["pgbouncer"],
            ladder: &[during(75, Signal::INT), then(Signal::QUIT)],
            why: "SIGINT waits for transactions under way, SIGTERM (since 1.23) for every client",
            source: "pgbouncer, \"Usage: Signals\"",
            trap: "SIGUSR1 pauses it: never forward that",
            ..PRESET
        }),
        foreground: background(&["-d", "--daemon"]),
        ..PLAIN
    },
    Program {
        names: &["mariadbd", "mysqld"],
        preset: Some(Preset {
            words: &["mysql", "mariadb"],
            why: "SIGTERM ends running statements and closes cleanly; SIGINT is ignored",
            source: "MariaDB, \"Shutting down\"; mysqld(8)",
            trap: "Statements under way are lost: a `wait_idle` on its port before it saves them. SIGUSR1 and SIGUSR2 end it \
                   without a clean close",
            ..PRESET
        }),
        foreground: background(&["--daemonize"]),
        ..PLAIN
    },
    Program {
        names: &["redis-server", "valkey-server"],
        preset: Some(Preset {
            words: &["redis", "valkey"],
            why: "SIGTERM saves the data set, if it is to be saved, and ends; SIGQUIT and SIGUSR1 end it without saving",
            source: "redis.io, \"Signal handling\"",
            trap: "The save runs within the stop: the grace has to be long enough for it. Clients in BLPOP and its like are cut",
            ..PRESET
        }),
        foreground: Foreground { arguments: "--daemonize no", background: &["--daemonize yes"], ..STAYS },
        ..PLAIN
    },
    Program {
        names: &["memcached"],
        preset: Some(Preset {
            words: &["memcached"],
            why: "SIGTERM closes its connections and ends",
            source: "memcached(1)",
            ..PRESET
        }),
        foreground: background(&["-d", "--daemon"]),
        ..PLAIN
    },
    Program {
        names: &["rabbitmq-server"],
        preset: Some(Preset {
            words: &["rabbitmq"],
            why: "SIGTERM closes the queues in order",
            source: "rabbitmq-server(8)",
            trap: "SIGQUIT, SIGUSR1 and SIGUSR2 end the script alone and leave the broker serving; in a cluster a `[[drain]]` \
                   step `exec = [\"rabbitmq-upgrade\", \"drain\"]`",
            ..PRESET
        }),
        foreground: background(&["-detached"]),
        ..PLAIN
    },
    Program {
        names: &["nats-server"],
        stop: Signal::USR2,
        upon_term: Some("disconnects every client at once"),
        preset: Some(Preset {
            words: &["nats"],
            ladder: &[during(75, Signal::USR2), then(Signal::INT)],
            why: "SIGUSR2 (lame duck) tells clients to leave, SIGTERM cuts them and exits with 1",
            source: "NATS, \"Lame Duck Mode\"",
            trap: "It takes `lame_duck_grace_period` (10s) at least",
            ..PRESET
        }),
        ..PLAIN
    },
    // === Python ===
    Program {
        names: &["gunicorn"],
        preset: Some(Preset {
            words: &["gunicorn"],
            ladder: TERM_THEN_QUIT,
            why: "SIGTERM finishes the requests under way, SIGQUIT cuts them",
            source: "gunicorn, \"Signal Handling\"",
            trap: "`--graceful-timeout` (30s) below the grace. New connections wait unanswered meanwhile: a drain step before \
                   it saves them",
            ..PRESET
        }),
        foreground: background(&["-D", "--daemon"]),
        ..PLAIN
    },
    Program {
        names: &["uvicorn"],
        preset: Some(Preset {
            words: &["uvicorn"],
            why: "SIGTERM finishes the requests under way; SIGQUIT and SIGHUP end it at once",
            source: "uvicorn, \"Settings\"",
            trap: "Set `--timeout-graceful-shutdown`. With one process it ends itself by the signal, code 143: \
                   `[exit_codes] 143 = 0`",
            ..PRESET
        }),
        ..PLAIN
    },
    Program {
        names: &["hypercorn"],
        preset: Some(Preset {
            words: &["hypercorn"],
            why: "SIGTERM finishes the requests under way; SIGQUIT and SIGUSR1 end the master alone",
            source: "hypercorn, \"Configuring\"",
            trap: "With several workers it cuts them all the same: one worker each, or `wait_idle` before it",
            ..PRESET
        }),
        ..PLAIN
    },
    Program {
        names: &["waitress-serve"],
        stop: Signal::INT,
        upon_term: Some(CUTS),
        preset: Some(Preset {
            words: &["waitress"],
            ladder: INT_THEN_TERM,
            why: "SIGINT finishes the requests under way; for SIGTERM it has no handler",
            source: "waitress, \"waitress-serve\"",
            trap: KEEPS_LISTENING,
            ..PRESET
        }),
        ..PLAIN
    },
    Program {
        names: &["uwsgi", "uwsgi-core"],
        stop: Signal::QUIT,
        upon_term: Some("has it start anew instead of ending"),
        outlives_term: true,
        preset: Some(Preset {
            words: &["uwsgi"],
            ladder: TERM_THEN_QUIT,
            why: "SIGTERM, given another meaning by the hook, finishes the requests under way; SIGQUIT cuts them",
            source: "uWSGI, \"Managing the uWSGI server\", \"Hooks\"",
            trap: "Without the hook SIGTERM restarts its workers; `die-on-term` only swaps SIGTERM and SIGQUIT, and cuts",
            needs: Some(Needs {
                text: "gracefully_kill_them_all",
                without: "has SIGTERM restart it, which cuts the requests under way, and SIGQUIT cuts them, too",
                write: "add \"--hook-master-start\", \"unix_signal:15 gracefully_kill_them_all\"",
            }),
            ..PRESET
        }),
        foreground: background(&["-d", "--daemonize", "--daemonize2"]),
        file: ConfigFile {
            suffixes: &[".ini", ".yaml", ".yml", ".xml", ".json"],
            flags: &["--ini", "--yaml", "--yml", "--xml", "--json"],
            ..NO_FILE
        },
        ..PLAIN
    },
    Program {
        names: &["celery"],
        preset: Some(Preset {
            words: &["celery"],
            ladder: TERM_THEN_QUIT,
            why: "SIGTERM (warm) finishes the jobs in hand and takes no more; SIGQUIT (cold) gives them up",
            source: "Celery, \"Workers Guide\"",
            trap: "No drain is needed. Jobs that are given up come back only with `task_acks_late`",
            in_group: Some("has its prefork children drop the jobs that they have begun"),
            ..PRESET
        }),
        foreground: background(&["multi", "-D", "--detach"]),
        ..PLAIN
    },
    Program {
        names: &["rq", "rqworker"],
        preset: Some(Preset {
            words: &["rq"],
            ladder: &[during(75, Signal::TERM), then(Signal::TERM)],
            why: "SIGTERM (warm) finishes the job in hand, a second one gives it up",
            source: "RQ, \"Workers\"",
            trap: "SIGHUP, SIGQUIT and SIGUSR1 end it and leave the job to run on as a straggler",
            ..PRESET
        }),
        ..PLAIN
    },
    Program {
        names: &["dramatiq"],
        preset: Some(Preset {
            words: &["dramatiq"],
            why: "SIGTERM finishes the jobs in hand; a second one kills, so there is but one",
            source: "dramatiq, \"User Guide\"",
            ..PRESET
        }),
        ..PLAIN
    },
    // === Ruby ===
    Program {
        names: &["puma"],
        preset: Some(Preset {
            words: &["puma"],
            why: "SIGTERM finishes the requests under way; SIGQUIT ends it at once",
            source: "puma, docs/signals.md",
            trap: BY_SIGNAL,
            ..PRESET
        }),
        ..PLAIN
    },
    Program {
        names: &["unicorn", "unicorn_rails"],
        stop: Signal::QUIT,
        upon_term: Some(CUTS),
        preset: Some(Preset {
            words: &["unicorn"],
            ladder: QUIT_THEN_TERM,
            why: "SIGQUIT finishes the requests under way, SIGTERM cuts them",
            source: "unicorn, SIGNALS",
            trap: KEEPS_LISTENING,
            ..PRESET
        }),
        foreground: background(&["-D", "--daemonize"]),
        ..PLAIN
    },
    Program {
        names: &["sidekiq"],
        preset: Some(Preset {
            words: &["sidekiq"],
            why: "SIGTERM takes no more jobs, waits for those in hand for `-t` seconds and puts the rest back",
            source: "Sidekiq wiki, \"Signals\"",
            trap: "`-t` (25) at least 2 seconds less than the process's time. A `[[drain]]` step `signal = { process = \
                   \"worker\", signal = \"SIGTSTP\" }` has it take no more jobs while the others drain",
            ..PRESET
        }),
        ..PLAIN
    },
    // === Others ===
    JAVA,
    Program {
        names: &["systemd"],
        stop: Signal::SYSTEMD_HALT,
        upon_term: Some("has it start anew instead of ending"),
        outlives_term: true,
        ..PLAIN
    },
    Program {
        names: &["supervisord"],
        preset: Some(Preset {
            words: &["supervisord"],
            why: "SIGTERM stops its programs, each by its `stopsignal`; SIGHUP restarts them all",
            source: "supervisor, \"Running: Signals\"",
            trap: "`stopwaitsecs` of each below the grace",
            ..PRESET
        }),
        foreground: Foreground { arguments: "--nodaemon", by: &["--nodaemon", "-n"], ..STAYS },
        ..PLAIN
    },
    Program { names: &["sshd"], foreground: Foreground { arguments: "-D -e", by: &["-D", "-d"], ..STAYS }, ..PLAIN },
    Program { names: &["crond"], foreground: Foreground { arguments: "-f", by: &["-f", "-n"], ..STAYS }, ..PLAIN },
    Program { names: &["cron"], foreground: Foreground { arguments: "-f", by: &["-f"], ..STAYS }, ..PLAIN },
    Program {
        names: &["dnsmasq"],
        foreground: Foreground {
            arguments: "--keep-in-foreground",
            by: &["--keep-in-foreground", "-k", "--no-daemon", "-d"],
            ..STAYS
        },
        ..PLAIN
    },
    Program { names: &["rsyslogd"], foreground: Foreground { arguments: "-n", by: &["-n"], ..STAYS }, ..PLAIN },
    Program { names: &["named"], foreground: Foreground { arguments: "-f", by: &["-f", "-g"], ..STAYS }, ..PLAIN },
    Program { names: &["mosquitto"], foreground: background(&["-d", "--daemon"]), ..PLAIN },
];
