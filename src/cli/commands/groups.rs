//! The flags and arguments of the commands, in groups that several commands share. Pure.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::Target;
use crate::cli::declare::{Form, Place, bytes, flags, given as switch, path, word};
use crate::cli::values::{control, count, formation, interval, listen, one_of, port, probe_target, timeout};
use crate::config::Control;
use crate::config::listen::Listen;
use crate::pod::fragment;
use crate::signal::Signal;

flags! {
    pub struct Asked {
        /// A command, or exit-codes, signals or variables
        topic: Option<String> = word { place: Some(Place::Optional), value: "WHAT" };
    }
}

flags! {
    pub struct ConfigFile {
        /// The configuration file [default: ./softstop.toml, else
        /// /etc/softstop.toml, else ./Procfile]
        config: Option<PathBuf> = path {
            short: Some('c'), value: "FILE", variable: "SOFTSTOP_CONFIG", form: Form::Path,
        } page {
            default: "`./softstop.toml`, else `/etc/softstop.toml`, else `./Procfile`",
            meaning: "[configuration.md](configuration.md)",
        };
    }
}

flags! {
    /// The configuration file as many people name it, without a flag.
    pub struct Named {
        /// The configuration file; the same as -c FILE
        named: Option<PathBuf> = path {
            place: Some(Place::Optional), value: "FILE", form: Form::Path, stands_for: Some("config"),
        };
    }
}

flags! {
    pub struct AsProcfile {
        /// A Procfile, whatever its name is
        /// [default: -c FILE, if that is one by its name or its lines]
        procfile: Option<PathBuf> = path { short: Some('f'), value: "FILE", form: Form::Path } page {
            default: "the configuration file, if it is one by its name or its lines",
            meaning: "A [Procfile](local.md), whatever its name is.",
        };
    }
}

flags! {
    /// What `run` alone has: what foreman's users type, and what is for people at a terminal.
    pub struct Local {
        /// Start these processes alone, and what they depend on; the others wait for softstop start.
        /// Several with commas, or the flag several times
        only: Vec<String> = word { value: "NAMES", commas: true } page {
            default: "all",
            meaning: "For `run`: these processes, with commas between them, and what they depend on (`after`). The others are \
                [held down](control.md#hold-and-release) until `softstop start NAME`.",
        };
        /// Of a Procfile: the PORT of its first process; each further process type has 100 more
        /// [default: PORT in .env, else $PORT, else 5000]
        port: Option<u16> = port { value: "PORT" } page {
            default: "`PORT` in `.env`, else `$PORT`, else 5000",
            meaning: "For `run` with a [Procfile](local.md#port): the PORT of its first process; each further process type has 100 more.",
        };
        /// Of a Procfile: how many of each process type, web=2,worker=0; all=1 is those that are
        /// not named, and 0 waits for softstop start [default: one of each]
        formation: Vec<(String, u32)> = formation { short: Some('m'), value: "TYPE=N", commas: true } page {
            default: "one of each",
            meaning: "For `run` with a Procfile: how many of each process type, `web=2,worker=0`; `all=1` is those that are not named, \
                and 0 waits for `softstop start`.",
        };
        /// Of a Procfile: files of variables instead of the .env beside it, read as foreman does;
        /// the last one wins. Several with commas, or the flag several times
        env_file: Vec<PathBuf> = path { value: "FILES", form: Form::Path, commas: true } page {
            default: "`.env` beside it, if there is one",
            meaning: "For `run` with a Procfile: files of variables, read [as foreman does](local.md#env); the last one wins.",
        };
        /// On a terminal: no time of day before each line
        no_times: bool = switch {} page {
            meaning: "For `run` on a terminal: no time of day before each line.",
        };
        /// Each process gets a terminal of its own to write to: tty = true for all that do not
        /// read softstop's own
        tty: bool = switch {} page {
            meaning: "For `run`: each process gets [a terminal of its own](local.md#a-terminal-for-each), as `tty = true` has it.",
        };
        /// One more command beside the processes: the main one, in the foreground
        cmd: Vec<OsString> = bytes { place: Some(Place::Last), value: "CMD", form: Form::Any };
    }
}

flags! {
    pub struct Checking {
        /// Also hold it against a Kubernetes manifest; - is standard input:
        /// helm template CHART | softstop check --pod -
        pod: Option<PathBuf> = path { value: "FILE", form: Form::Path } page {
            default: "none",
            meaning: "The manifest: YAML or JSON, many documents; `-` is standard input.",
        };
        /// The container that runs softstop [default: as its command, args and variables show]
        container: Option<String> = word { value: "NAME", requires: Some("pod") } page {
            default: "as the manifest shows",
            meaning: "The container that runs softstop.",
        };
        /// It is to run where this is checked: also look for the programs, users and folders that it
        /// names [default: when softstop is /softstop, or the file /etc/softstop.toml]
        here: bool = switch { conflicts: Some("pod") } page {
            default: "when softstop is `/softstop`, or the file `/etc/softstop.toml`",
            meaning: "It is to run where it is checked, as in `RUN [\"/softstop\", \"check\"]` of a Dockerfile: programs, \
                users and folders that it names and that are not there are warned of.",
        };
        /// Fail on warnings, too: exit code 1 when there is nothing worse
        strict: bool = switch {} page { meaning: "Warnings alone exit with 1." };
        /// What is found as JSON, on standard output
        json: bool = switch {} page {
            meaning: "What is found, as one object: `file`, `errors`, `warnings` and `findings`, each with `severity`, \
                `message`, `help` and `places` (`file`, `line`, `column`); with `--pod` also `rule` and `why`.",
        };
    }
}

flags! {
    pub struct Printing {
        /// spec (a pod's spec, to be put where it belongs), pod, deployment, statefulset, daemonset
        /// or job [default: spec]
        kind: Option<fragment::Kind> = one_of { value: "KIND", form: Form::Words(&fragment::Kind::NAMES) } page {
            default: "`spec`",
            meaning: "What `manifest` prints: `spec` (a pod's spec, to be put where it belongs), `pod`, `deployment`, \
                `statefulset`, `daemonset` or `job`.",
        };
        /// For the wrapper instead of a configuration: what follows /softstop in the container, as in
        /// softstop manifest -- --drain auto --http 9180 -- /app/server
        args: Vec<OsString> = bytes { place: Some(Place::Last), value: "ARGS", form: Form::Any };
    }
}

flags! {
    pub struct Planning {
        /// Also draw when the kubelet kills: from a Kubernetes manifest; - is standard input
        pod: Option<PathBuf> = path { value: "FILE", form: Form::Path } page {
            default: "none",
            meaning: "A manifest, for `terminationGracePeriodSeconds`, the preStop hook and the container's variables; `-` is standard input.",
        };
        /// The container that runs softstop [default: as its command, args and variables show]
        container: Option<String> = word { value: "NAME", requires: Some("pod") } page {
            default: "as the manifest shows",
            meaning: "The container that runs softstop.",
        };
        /// Write the picture as SVG; - is standard output
        svg: Option<PathBuf> = path { value: "FILE", form: Form::Path } page {
            default: "none",
            meaning: "The picture as SVG, in light and dark; `-` is standard output.",
        };
        /// The plan as JSON, on standard output
        json: bool = switch { conflicts: Some("svg") } page { meaning: "The plan [for programs](plan.md#json)." };
        /// Exit code 1 when something does not fit
        strict: bool = switch {} page { meaning: "1 when there is a warning." };
        /// For the wrapper instead of a configuration: what follows /softstop in the container, as in
        /// softstop plan -- --drain auto -- /app/server
        args: Vec<OsString> = bytes { place: Some(Place::Last), value: "ARGS", form: Form::Any };
    }
}

flags! {
    pub struct Reporting {
        /// The report: what `report` or --report names; - is standard input
        report: Option<PathBuf> = path { id: "file", place: Some(Place::Required), value: "FILE", form: Form::Path };
        /// A later one, to be compared with the first
        later: Option<PathBuf> = path { place: Some(Place::Optional), value: "LATER", form: Form::Path };
        /// Write the picture as SVG; - is standard output
        svg: Option<PathBuf> = path { value: "FILE", form: Form::Path, conflicts: Some("later") } page {
            default: "none",
            meaning: "The picture as SVG, in light and dark; `-` is standard output.",
        };
        /// Exit code 1 when something went wrong, or the later one is worse
        strict: bool = switch {} page { meaning: "1 when something went wrong; of two, when the later one is worse." };
    }
}

flags! {
    /// Where a running softstop takes orders.
    pub struct Socket {
        /// Its control socket: a path, or @name for an abstract address
        /// [default: as configured, else this container's own]
        control: Option<Control> = control { value: "SOCKET", variable: "SOFTSTOP_CONTROL" };
    }
}

flags! {
    pub struct Json {
        /// As JSON: every field of /status; of logs an object for each line
        json: bool = switch {} page {
            meaning: "For `status`: as JSON, with every field of `/status`. For `logs`: each line as a JSON object.",
        };
    }
}

flags! {
    pub struct Watching {
        /// Show it again and again until softstop ends, with keys for orders on a terminal;
        /// elsewhere a line for each change
        watch: bool = switch { short: Some('w'), conflicts: Some("json") } page {
            meaning: "For `status`: [as it changes](control/watch.md), with keys for orders on a terminal; elsewhere a line for each change.",
        };
        /// How often it is looked at [default: 1s]
        interval: Option<Duration> = interval { value: "DURATION", requires: Some("watch") } page {
            default: "`1s`",
            meaning: "For `status --watch`: how often it is looked at; `100ms` at the least.",
        };
    }
}

flags! {
    /// What lines are to be shown.
    pub struct Logs {
        /// Also show what follows, until softstop ends
        follow: bool = switch { short: Some('f') } page { meaning: "Also show what follows, until softstop ends." };
        /// So many of the last lines of each process [default: all that are kept]
        lines: Option<u64> = count { short: Some('n'), value: "N" } page {
            default: "all that are kept",
            meaning: "So many of the last lines of each process.",
        };
        /// The time in front of each line
        timestamps: bool = switch { short: Some('t') } page { meaning: "The time in front of each line." };
        /// One process, by its name
        process: Option<String> = word { id: "name", place: Some(Place::Optional), value: "NAME" };
    }
}

flags! {
    /// What orders take: a row for each [`Kind`](crate::order::Kind), in their order.
    pub struct Fields {
        /// Return once the order has been taken
        no_wait: bool = switch {} page { meaning: "For `drain`, `stop` and `reload`: return once the order has been taken." };
        /// The process, by its name
        process: Option<String> = word { id: "name", place: Some(Place::Required), value: "NAME" };
        /// SIGHUP, HUP or 1
        signal: Option<Signal> = Signal::parse { place: Some(Place::Required), value: "SIG" };
        /// Only say what it would do
        dry_run: bool = switch {} page { meaning: "For `reload`: only say what it would do." };
    }
}

flags! {
    /// Where it need not be one, by the same name as where it must.
    pub struct OneOrAll {
        /// One process, by its name: it is stopped alone, and held down
        process: Option<String> = word { id: "name", place: Some(Place::Optional), value: "NAME" };
    }
}

flags! {
    pub struct Probing {
        /// http://HOST:PORT/PATH (200 to 399 is well), https://…, grpc://HOST:PORT/SERVICE,
        /// tcp:PORT, tcp://HOST:PORT, or ready, live or startup: what the softstop of this
        /// container answers on /readyz, /livez and /startupz
        target: Option<Target> = probe_target { place: Some(Place::Required), value: "TARGET" };
        /// For the whole of it [default: 1s]
        timeout: Option<Duration> = timeout { value: "DURATION" } page {
            default: "`1s`",
            meaning: "For all of it, the look-up of a name included.",
        };
        /// Where softstop serves its endpoints, for when its control socket does not answer
        /// [default: as configured]
        http: Option<Listen> = listen { value: "LISTEN", variable: "SOFTSTOP_HTTP" };
    }
}

flags! {
    pub struct Injecting {
        /// The manifest; - is standard input
        file: Option<PathBuf> = path { short: Some('f'), value: "FILE", form: Form::Path } page {
            default: "none",
            meaning: "The manifest: YAML or JSON, many documents; `-` is standard input.",
        };
        /// The image with softstop in it, such as scripts/image makes
        image: Option<String> = word { value: "IMAGE" } page {
            default: "none",
            meaning: "Where softstop comes from: an image with `/softstop` in it, as `scripts/image` makes one.",
        };
        /// The container that it is put in front of [default: the only one]
        container: Option<String> = word { value: "NAME" } page {
            default: "the only one",
            meaning: "The container that softstop is put in front of.",
        };
        /// Mount the image itself (Kubernetes 1.33 and later), without an init container that copies
        image_volume: bool = switch {} page {
            meaning: "The image is mounted as a volume (Kubernetes 1.33 and later), instead of an init container that copies the binary.",
        };
        /// Take softstop out again
        remove: bool = switch { conflicts: Some("image") } page { meaning: "What `inject` has put in is taken out again." };
        /// What the image would have started, where the manifest does not say
        cmd: Vec<OsString> = bytes { place: Some(Place::Last), value: "CMD", form: Form::Any };
    }
}

flags! {
    pub struct Installing {
        /// The folder; softstop becomes DIR/softstop, with mode 0755
        folder: Option<PathBuf> = path { place: Some(Place::Required), value: "DIR", form: Form::Path };
    }
}

flags! {
    pub struct Explained {
        /// A key with the tables that it stands in, or without: process.readiness.period, period
        key: Option<String> = word { place: Some(Place::Optional), value: "KEY" };
    }
}

flags! {
    pub struct ReadFile {
        path: Option<PathBuf> = path { place: Some(Place::Required), value: "PATH", form: Form::Path };
    }
}

flags! {
    pub struct WaitedFile {
        gone: bool = switch {};
        contains: Option<String> = word { value: "CONTAINS" };
        path: Option<PathBuf> = path { place: Some(Place::Required), value: "PATH", form: Form::Path };
    }
}
