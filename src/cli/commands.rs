//! The commands: what each takes (flags and arguments: [`groups`]), and what was meant by it. Those that order something of a running softstop are declared in
//! [`crate::order`]. Pure.

mod groups;

use std::ffi::OsStr;
use std::path::PathBuf;

pub use groups::*;

use super::declare::{Flag, Group};
use super::drilling::Drilling;
use super::flags::Common;
use super::reader::{Read, args, given};
use crate::config::{Control, Handler};
use crate::endpoint::Health;
use crate::order::{Described, DryRun, Kind, Order, Value};

/// A command, understood.
#[derive(Debug)]
pub enum Command {
    Run(Box<Run>),
    Check(Check),
    Manifest(OfFile<Printing>),
    Plan(OfFile<Planning>),
    Report(Reporting),
    Drill(Box<OfFile<Drilling>>),
    Status {
        instance: Instance,
        json: bool,
        watch: Watching,
    },
    Logs {
        logs: Logs,
        json: bool,
        instance: Instance,
    },
    Order {
        order: Order,
        instance: Instance,
    },
    Probe(Box<ProbeOnce>),
    Install(Installing),
    Inject(Box<Injecting>),
    Explain(Explained),
    Schema,
    WaitFile(WaitedFile),
    /// The files of a configuration, as they lie: read for a softstop that runs.
    Sources(PathBuf),
    Changes(String),
    LastStop(PathBuf),
}

/// A command as it is typed.
pub struct Typed {
    /// Of softstop's own helpers it begins with two underscores.
    pub name: &'static str,
    /// What `--help` says, and the page and the manual: in a sentence, then by examples (what is typed, and what for) and exit codes (the
    /// code, and when).
    pub help: &'static str,
    pub examples: Pairs,
    pub exits: Pairs,
    pub args: fn() -> Vec<&'static Flag>,
    read: fn(&Read<'_>) -> Command,
}

/// A command that can be typed: a row of a table, an order, or the one that is carried out by being read.
#[derive(Clone, Copy)]
pub enum Known {
    Own(&'static Typed),
    Order(&'static Described),
    Help,
}

impl Known {
    pub fn name(self) -> &'static str {
        match self {
            Known::Own(command) => command.name,
            Known::Order(order) => order.name,
            Known::Help => "help",
        }
    }

    /// What `--help` says.
    pub fn help(self) -> &'static str {
        match self {
            Known::Own(command) => command.help,
            Known::Order(order) => order.help,
            Known::Help => "Say more of a command, or of exit-codes, signals or variables",
        }
    }

    pub fn examples(self) -> Pairs {
        match self {
            Known::Own(command) => command.examples,
            Known::Order(order) => order.examples,
            Known::Help => &[
                ("softstop help run", "The same as softstop run --help"),
                ("softstop help exit-codes", "What softstop exits with, and when"),
            ],
        }
    }

    pub fn exits(self) -> Pairs {
        match self {
            Known::Own(command) => command.exits,
            Known::Order(_) => ORDERED,
            Known::Help => &[("0", "it is printed"), ("64", "there is no such command or topic")],
        }
    }

    pub fn is_hidden(self) -> bool {
        self.name().starts_with("__")
    }

    pub fn args(self) -> Vec<&'static Flag> {
        match self {
            Known::Own(command) => (command.args)(),
            Known::Order(order) => args_of(order),
            Known::Help => args::<Asked>(),
        }
    }

    /// What was meant by it; a wrong value shows in what was read. `None`: without it there is no such order, or there is nothing to do.
    pub fn command(self, read: &Read<'_>) -> Option<Command> {
        match self {
            Known::Own(command) => Some((command.read)(read)),
            Known::Order(order) => ordered(order, read),
            Known::Help => None,
        }
    }
}

/// Every command, in the order of `--help`, hidden ones too.
pub fn all() -> impl Iterator<Item = Known> {
    let before = BEFORE_ORDERS.iter().map(Known::Own).chain(Order::ALL.iter().map(Known::Order));
    before.chain(BEHIND_ORDERS.iter().map(Known::Own)).chain([Known::Help])
}

/// Those that are shown.
pub fn visible() -> impl Iterator<Item = Known> {
    all().filter(|command| !command.is_hidden())
}

pub fn find(name: &OsStr) -> Option<Known> {
    all().find(|command| name == command.name())
}

/// Two texts that belong together.
type Pairs = &'static [(&'static str, &'static str)];

/// Of what is asked and ordered of a running softstop.
const ORDERED: Pairs = &[
    ("0", "done"),
    ("1", "refused, or it failed; standard error says why"),
    ("64", "wrong command line, or several softstops run here and none was named"),
    ("69", "no running softstop answers"),
    ("77", "this user may give it no orders"),
];

/// In the order of `--help`, as are [`BEHIND_ORDERS`].
const BEFORE_ORDERS: &[Typed] = &[
    Typed {
        name: "run",
        help: "Run what a configuration file or a Procfile says, with one more command beside it if need be; a flag or its variable wins over the file",
        examples: &[
            ("softstop run softstop.toml", "What the file says, in the foreground"),
            (
                "softstop run --grace 8s --log-level debug",
                "What ./softstop.toml or /etc/softstop.toml says, with another grace and a longer log",
            ),
            ("softstop run --only web", "One of its processes, and those that it depends on"),
            ("softstop run Procfile --formation web=2,all=1", "The processes of a Procfile, two of web"),
            ("softstop run -- npm start", "One more command beside the processes, in the foreground: the main one"),
        ],
        exits: &[
            ("0-255", "the main process's own; 128+n when signal n ended it"),
            ("64", "wrong command line"),
            ("70", "softstop's own failure"),
            ("78", "wrong configuration: nothing was started"),
            ("126", "a program is not executable"),
            ("127", "a program was not found"),
        ],
        args: || {
            let file = [args::<ConfigFile>(), args::<AsProcfile>(), args::<Named>()].concat();
            [file, args::<Local>(), args::<Common>()].concat()
        },
        read: |read| {
            Command::Run(Box::new(Run {
                file: given(read),
                procfile: given(read),
                local: given(read),
                common: given(read),
            }))
        },
    },
    Typed {
        name: "check",
        help: "Say every mistake in a configuration file, with line, column and fix; starts nothing",
        examples: &[
            ("softstop check softstop.toml", "Every mistake in a configuration"),
            (
                "softstop check --strict --json softstop.toml",
                "For a CI: fails on warnings, too, and tells what it found as JSON",
            ),
            (
                "helm template chart | softstop check -c softstop.toml --pod -",
                "A Kubernetes manifest and the configuration held against each other",
            ),
        ],
        exits: &[
            ("0", "nothing is wrong"),
            ("1", "there are warnings (with --strict)"),
            ("64", "wrong command line"),
            ("65", "nothing is wrong in what was read of a manifest, and something was not read"),
            ("78", "something is wrong"),
        ],
        args: || [args::<ConfigFile>(), args::<AsProcfile>(), args::<Named>(), args::<Checking>()].concat(),
        read: |read| Command::Check(Check { file: given(read), procfile: given(read), how: given(read) }),
    },
    Typed {
        name: "manifest",
        help: "Print the Kubernetes manifest that agrees with a configuration: probes, grace, preStop",
        examples: &[
            ("softstop manifest softstop.toml", "The part of a pod's spec that agrees with a configuration"),
            (
                "softstop manifest --kind deployment -- --drain auto --http 9180 -- /app/server",
                "A whole Deployment, for the wrapper with these flags",
            ),
        ],
        exits: &[("0", "it is printed"), ("64", "wrong command line"), ("78", "the configuration is wrong")],
        args: OfFile::<Printing>::args,
        read: |read| Command::Manifest(OfFile::given(read)),
    },
    Typed {
        name: "plan",
        help: "Draw how it starts and what its stop may take, against the budget; starts nothing",
        examples: &[
            ("softstop plan softstop.toml", "The start as a tree, the stop on a time axis, and what does not fit"),
            ("softstop plan --pod deployment.yaml", "With the kubelet's SIGKILL"),
            ("softstop plan softstop.toml --svg plan.svg", "As a picture for a README, in light and dark"),
            ("softstop plan -- --drain auto --grace 30s -- /app/server", "For the wrapper with these flags"),
        ],
        exits: &[
            ("0", "it is drawn"),
            ("1", "something does not fit (with --strict), or the picture cannot be written"),
            ("64", "wrong command line"),
            ("78", "the configuration or the manifest is wrong"),
        ],
        args: OfFile::<Planning>::args,
        read: |read| Command::Plan(OfFile::given(read)),
    },
    Typed {
        name: "report",
        help: "Draw a finished run's report and say what went wrong; of two: what has changed",
        examples: &[
            ("softstop report report.json", "What happened, what went wrong, and what would help"),
            ("softstop report before.json after.json", "Step by step: what is slower, broken or mended"),
            ("softstop report report.json --svg report.svg", "As a picture, in light and dark"),
        ],
        exits: &[
            ("0", "it is drawn"),
            ("1", "something went wrong, or the later one is worse (with --strict); or the picture cannot be written"),
            ("64", "wrong command line"),
            ("65", "a report cannot be read, or is none of this format"),
        ],
        args: args::<Reporting>,
        read: |read| Command::Report(given(read)),
    },
    Typed {
        name: "drill",
        help: "Start it, put load on it, stop it, and say whether that fits the grace, what went wrong and what to change: made for CI",
        examples: &[
            ("softstop drill", "How ./softstop.toml, or /etc/softstop.toml, stops"),
            (
                "softstop drill --load http://localhost:8080/ --lag 5s",
                "The same while clients go on for five seconds, as behind a load balancer",
            ),
            (
                "softstop drill --wrapper -- --drain auto -- /app/server",
                "The wrapper, in an image without a configuration",
            ),
            ("softstop drill --repeat 20 --grace 10s,20s", "The slowest of twenty stops with each of two graces"),
        ],
        exits: &[
            ("0", "it fits; of several graces one does"),
            ("1", "it does not"),
            ("64", "wrong command line"),
            ("69", "it was never ready, and nothing else was found"),
            ("70", "drill itself failed"),
            ("78", "the configuration is wrong"),
        ],
        args: OfFile::<Drilling>::args,
        read: |read| Command::Drill(Box::new(OfFile::given(read))),
    },
    Typed {
        name: "status",
        help: "Show what runs, how it is and, during a stop, where that is",
        examples: &[
            ("softstop status", "What runs in this container, in a table"),
            ("softstop status --json", "The same with every field, for a program"),
            ("softstop status --watch", "The same as it changes, with keys for orders"),
            ("softstop status -c a/softstop.toml", "Of several softstops the one that runs with this configuration"),
        ],
        exits: &[
            ("0", "done; with --watch softstop has ended, or it was left with q"),
            ("64", "wrong command line, or several softstops run here and none was named"),
            ("69", "no running softstop answers; with --watch it has gone without a word"),
            ("77", "this user may give it no orders"),
            ("128 + n", "with --watch: signal n, or Ctrl-C (130), has ended it"),
        ],
        args: || [args::<Watching>(), args::<Socket>(), args::<ConfigFile>(), args::<Json>()].concat(),
        read: |read| Command::Status {
            instance: Instance::of(read),
            json: given::<Json>(read).json,
            watch: given(read),
        },
    },
    Typed {
        name: "logs",
        help: "Show the last lines of the processes, of one by its name, and with -f those that follow",
        examples: &[
            ("softstop logs", "What is kept of every process's last lines"),
            (
                "softstop logs -f -n 20 web",
                "The last 20 of web, and what follows, over restarts and to the end of a stop",
            ),
            ("softstop logs -t web", "Of web, with the time in front of each line"),
        ],
        exits: ORDERED,
        args: || [args::<Logs>(), args::<Socket>(), args::<ConfigFile>(), args::<Json>()].concat(),
        read: |read| Command::Logs { logs: given(read), json: given::<Json>(read).json, instance: Instance::of(read) },
    },
];

const BEHIND_ORDERS: &[Typed] = &[
    Typed {
        name: "probe",
        help: "Check something once and exit with 0 or 1: Docker's HEALTHCHECK, exec probes without curl",
        examples: &[
            ("softstop probe ready", "Whether this container is ready, as Docker's HEALTHCHECK asks"),
            ("softstop probe http://localhost:8080/healthz", "A page, without curl"),
            ("softstop probe tcp://db:5432 --timeout 5s", "Whether something listens there"),
        ],
        exits: &[("0", "it is well"), ("1", "it is not, and standard error says why"), ("64", "wrong command line")],
        args: || [args::<Probing>(), args::<Socket>(), args::<ConfigFile>()].concat(),
        read: |read| Command::Probe(Box::new(ProbeOnce { how: given(read), instance: Instance::of(read) })),
    },
    Typed {
        name: "inject",
        help: "Print a manifest or a Compose file with softstop in front of a container whose image has none",
        examples: &[
            (
                "softstop inject -f deployment.yaml --image registry/softstop:0.1.0 -- /app/server",
                "An init container brings softstop, and it starts what the image would have started",
            ),
            (
                "softstop inject -f deployment.yaml --image registry/softstop:0.1.0 --image-volume --container web",
                "Of one container, with the image mounted",
            ),
            ("kubectl get deployment web -o yaml | softstop inject -f - --remove", "It is taken out again"),
        ],
        exits: &[
            ("0", "it is printed; standard error has what is to be known of it"),
            ("64", "wrong command line"),
            ("78", "the manifest cannot be read, or something has to be said first, by name"),
        ],
        args: args::<Injecting>,
        read: |read| Command::Inject(Box::new(given(read))),
    },
    Typed {
        name: "install",
        help: "Copy this binary into a folder, whole or not at all: for an init container without a cp",
        examples: &[("/softstop install /shared", "In an init container: /shared/softstop is there for the next")],
        exits: &[("0", "it is there"), ("1", "it cannot be put there"), ("64", "wrong command line")],
        args: args::<Installing>,
        read: |read| Command::Install(given(read)),
    },
    Typed {
        name: "explain",
        help: "Say what a key of the configuration means: its type, default, an example, where it stands",
        examples: &[
            ("softstop explain process.readiness.period", "One key"),
            ("softstop explain failure_threshold", "The same without what it stands in"),
            ("softstop explain drain", "A table, and its keys"),
            ("softstop explain", "The keys of the top level"),
        ],
        exits: &[
            ("0", "it is explained"),
            ("1", "this softstop was built without it"),
            ("64", "wrong command line, or there is no such key"),
        ],
        args: args::<Explained>,
        read: |read| Command::Explain(given(read)),
    },
    Typed {
        name: "schema",
        help: "Print the JSON Schema of configurations, for editors",
        examples: &[(
            "softstop schema > softstop.schema.json",
            "For an editor: #:schema ./softstop.schema.json is then the configuration's first line",
        )],
        exits: &[("0", "it is printed"), ("1", "this softstop was built without it"), ("64", "wrong command line")],
        args: Vec::new,
        read: |_| Command::Schema,
    },
    helper("__wait_file", "Wait for a file: softstop's own helper", args::<WaitedFile>, |read| {
        Command::WaitFile(given(read))
    }),
    helper("__sources", "Send the files of a configuration: softstop's own helper", args::<ReadFile>, |read| {
        Command::Sources(path(read))
    }),
    helper("__changes", "Look at files: softstop's own helper", args::<ReadFile>, |read| {
        Command::Changes(path(read).to_string_lossy().into_owned())
    }),
    helper("__last_stop", "Read the report of the run before: softstop's own helper", args::<ReadFile>, |read| {
        Command::LastStop(path(read))
    }),
];

const fn helper(
    name: &'static str,
    help: &'static str,
    args: fn() -> Vec<&'static Flag>,
    read: fn(&Read<'_>) -> Command,
) -> Typed {
    Typed { name, help, examples: &[], exits: &[], args, read }
}

/// What a helper is asked for.
fn path(read: &Read<'_>) -> PathBuf {
    given::<ReadFile>(read).path.unwrap_or_default()
}

/// The order that was meant.
fn ordered(order: &Described, read: &Read<'_>) -> Option<Command> {
    let typed: Fields = given(read);
    let field = |_, kind| -> Result<Value, ()> {
        match kind {
            Kind::Wait => Ok(Value::Wait(!typed.no_wait)),
            Kind::Process => typed.process.clone().map(Value::Process).ok_or(()),
            Kind::OneOrAll => Ok(Value::OneOrAll(typed.process.clone())),
            Kind::DryRun => Ok(Value::DryRun(DryRun(typed.dry_run))),
            Kind::Signal => typed.signal.map(Value::Signal).ok_or(()),
        }
    };
    let order = Order::read(order.name, field).ok().flatten()?;
    Some(Command::Order { order, instance: Instance::of(read) })
}

/// What an order takes.
fn args_of(order: &Described) -> Vec<&'static Flag> {
    let row = |kind| match kind {
        Kind::Wait => &Fields::ROWS[0],
        Kind::Process => &Fields::ROWS[1],
        Kind::Signal | Kind::OneOrAll => &Fields::ROWS[2],
        Kind::DryRun => &Fields::ROWS[3],
    };
    let fields = order.fields.iter().map(|(_, kind)| match kind {
        Kind::OneOrAll => &OneOrAll::ROWS[0].flag,
        _ => &row(*kind).flag,
    });
    [fields.collect(), args::<Socket>(), args::<ConfigFile>()].concat()
}

#[derive(Debug)]
pub struct Run {
    pub file: ConfigFile,
    pub procfile: AsProcfile,
    pub local: Local,
    pub common: Common,
}

#[derive(Debug)]
pub struct Check {
    pub file: ConfigFile,
    pub procfile: AsProcfile,
    pub how: Checking,
}

/// What is done with a configuration.
#[derive(Debug)]
pub struct OfFile<T> {
    pub file: ConfigFile,
    pub how: T,
}

impl<T: Group> OfFile<T> {
    fn args() -> Vec<&'static Flag> {
        [args::<ConfigFile>(), args::<Named>(), args::<T>()].concat()
    }

    fn given(read: &Read<'_>) -> OfFile<T> {
        OfFile { file: given(read), how: given(read) }
    }
}

/// Which running softstop is meant.
#[derive(Debug)]
pub struct Instance {
    pub control: Option<Control>,
    pub file: ConfigFile,
}

impl Instance {
    fn of(read: &Read<'_>) -> Instance {
        Instance { control: given::<Socket>(read).control, file: given(read) }
    }
}

#[derive(Debug)]
pub struct ProbeOnce {
    pub how: Probing,
    pub instance: Instance,
}

/// What [`Command::Probe`] checks.
#[derive(Clone, PartialEq, Debug)]
pub enum Target {
    /// An `Http` or `Tcp` handler.
    Call(Box<Handler>),
    Own(Health),
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use crate::cli::reading;

    use super::*;

    #[test]
    fn every_order_is_read_as_it_is_typed() {
        let read = |words: &[&str]| {
            let args: Vec<OsString> = ["softstop"].iter().chain(words).map(OsString::from).collect();
            match reading::read(&args).unwrap_or_else(|said| panic!("{words:?}: {}", said.text)).command {
                Some(Command::Order { order, .. }) => order,
                other => panic!("{words:?}: {other:?}"),
            }
        };
        for order in Order::ALL {
            let takes = |wanted: Kind| order.fields.iter().any(|(_, kind)| *kind == wanted);
            let fields = order.fields.iter().filter_map(|(_, kind)| match kind {
                Kind::Wait | Kind::DryRun => None,
                Kind::Process | Kind::OneOrAll => Some("web"),
                Kind::Signal => Some("SIGHUP"),
            });
            let words: Vec<&str> = [order.name].into_iter().chain(fields).collect();
            let typed = read(&words);
            assert_eq!(typed.to_string(), format!("softstop {}", words.join(" ")));
            assert_eq!(typed.waits(), order.waits || takes(Kind::Wait), "{words:?}");
            if takes(Kind::Wait) {
                assert!(!read(&[&words[..], &["--no-wait"]].concat()).waits());
            }
        }
    }
}
