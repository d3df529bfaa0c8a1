//! What can be ordered of a running softstop, each order declared once: the command line, the protocol, its client and the page are made of
//! these rows. What it does is the machine's (`lifecycle::requests`). Pure.

use std::fmt;

use crate::signal::Signal;

/// An order as it is explained and typed.
pub struct Described {
    /// As a command, and on the wire.
    pub name: &'static str,
    /// What `--help` says: in a sentence, and by examples: what is typed, and what for.
    pub help: &'static str,
    pub examples: &'static [(&'static str, &'static str)],
    /// In the order in which they are typed; by their names on the wire.
    pub fields: &'static [(&'static str, Kind)],
    /// Its answer takes as long as what it sets in motion. One with a field of [`Kind::Wait`] says so itself.
    pub waits: bool,
}

impl Described {
    /// What is left out of a declaration.
    pub const NEW: Described = Described { name: "", help: "", examples: &[], fields: &[], waits: false };
}

/// The page's line of an order. No program has any: only tests name them, and what nobody names is not linked.
pub struct Line {
    /// In Markdown, as is `answers`.
    pub does: &'static str,
    pub answers: &'static str,
}

/// What a field of an order is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Whether its answer is waited for: yes, unless it says otherwise.
    Wait,
    /// The name of a process. The machine says which there are.
    Process,
    /// The same, or all of them.
    OneOrAll,
    Signal,
    /// Only say what it would do.
    DryRun,
}

/// The value of a field.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    Wait(bool),
    Process(String),
    OneOrAll(Option<String>),
    Signal(Signal),
    DryRun(DryRun),
}

/// Only say what it would do: no, unless it says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub struct DryRun(pub bool);

/// What the fields of an order may be in Rust.
trait Field: Sized + Clone {
    const KIND: Kind;
    fn of(value: Value) -> Option<Self>;
    fn value(self) -> Value;
}

macro_rules! fields {
    ($($type:ty: $Kind:ident;)+) => {$(
        impl Field for $type {
            const KIND: Kind = Kind::$Kind;
            fn of(value: Value) -> Option<$type> {
                match value {
                    Value::$Kind(value) => Some(value),
                    _ => None,
                }
            }
            fn value(self) -> Value {
                Value::$Kind(self)
            }
        }
    )+};
}

fields! {
    bool: Wait;
    String: Process;
    Option<String>: OneOrAll;
    Signal: Signal;
    DryRun: DryRun;
}

macro_rules! orders {
    ($($(#[doc = $doc:literal])* $Order:ident $({ $($field:ident: $type:ty),* })? = $name:literal
        $([ $($part:ident: $value:expr),* $(,)? ])? page { does: $does:expr, answers: $answers:expr $(,)? };)*
    ) => {
        /// Processes by name: the machine says which there are.
        #[derive(Clone, PartialEq, Eq, Debug, Hash)]
        pub enum Order {
            $($(#[doc = $doc])* $Order $({ $($field: $type),* })?,)*
        }

        impl Order {
            #[allow(clippy::needless_update, reason = "some declare all that there is")]
            pub const ALL: &'static [Described] = &[$(Described {
                name: $name,
                help: concat!($($doc, "\n"),*),
                fields: &[$($((stringify!($field), <$type as Field>::KIND)),*)?],
                $($($part: $value,)*)?
                ..Described::NEW
            }),*];

            pub const PAGE: &'static [Line] = &[$(Line { does: $does, answers: $answers }),*];

            fn described(&self) -> &'static Described {
                const NAMES: &[&str] = &[$($name),*];
                let name = match self {
                    $(Order::$Order { .. } => $name,)*
                };
                let at = NAMES.iter().position(|known| *known == name).unwrap_or_default();
                &Order::ALL[at]
            }

            /// The order of that name, each of its fields as `field` has it, which is asked in their order.
            ///
            /// # Errors
            /// Those of `field`. `Ok(None)`: there is no order of that name.
            pub fn read<E>(
                name: &str,
                mut field: impl FnMut(&'static str, Kind) -> Result<Value, E>,
            ) -> Result<Option<Order>, E> {
                #[allow(unused_mut, unused_variables, reason = "not every order has fields")]
                match name {
                    $($name => {
                        $($(let Some($field) = <$type as Field>::of(
                            field(stringify!($field), <$type as Field>::KIND)?,
                        ) else { return Ok(None) };)*)?
                        Ok(Some(Order::$Order $({ $($field),* })?))
                    })*
                    _ => Ok(None),
                }
            }

            /// Its fields, in their order.
            pub fn fields(&self) -> Vec<(&'static str, Value)> {
                match self {
                    $(Order::$Order $({ $($field),* })? => vec![
                        $($((stringify!($field), $field.clone().value())),*)?
                    ],)*
                }
            }
        }
    };
}

orders! {
    /// Begin the stop with its drain and wait for the end of the drain; the processes go on until
    /// SIGTERM. Made for a preStop exec hook
    Drain { wait: bool } = "drain" [
        examples: &[
            ("softstop drain", "As a preStop exec hook: returns when the drain is over"),
            ("softstop drain --no-wait", "Begin it, and return at once"),
        ],
    ] page {
        does: "begins the stop: T0, `/readyz` 503, the drain steps. **The processes go on after them** until SIGTERM, \
            `softstop stop`, or the time that the stop of the processes holds in the budget",
        answers: "when the drain is over",
    };
    /// Stop everything, or one process and hold it down, and wait for the end
    Stop { wait: bool, process: Option<String> } = "stop" [
        examples: &[
            ("softstop stop", "Everything, the container with it"),
            ("softstop stop web", "One process, which stays down until softstop start web"),
        ],
    ] page {
        does: "stops everything, drain included, as SIGTERM does. With a name that process alone, by its `pre_stop` and ladder, and \
            [holds it down](#hold-and-release)",
        answers: "at the end, just before softstop's own; with a name when it is down",
    };
    /// Answer on /readyz as the processes deserve again, after unready
    Ready = "ready" [
        examples: &[("softstop ready", "Take an earlier softstop unready back")],
    ] page {
        does: "takes `unready` back; not after T0, when nothing does",
        answers: "at once",
    };
    /// Answer 503 on /readyz until softstop ready, without a stop
    Unready = "unready" [
        examples: &[("softstop unready", "Take this container out of its balancer for a while")],
    ] page {
        does: "`/readyz` answers 503, nothing else happens",
        answers: "at once",
    };
    /// Stop a process as its ladder says and start it again
    Restart { process: String } = "restart" [
        waits: true, examples: &[("softstop restart web", "Stop it by its ladder, and start it again")],
    ] page {
        does: "stops one process by its `pre_stop` and ladder and starts it again at once, whatever its `restart` says; \
            what depends on it is left alone; starts it when it does not run",
        answers: "when it is started again",
    };
    /// Start a process that has ended, waits to be restarted or is held down
    Start { process: String } = "start" [
        waits: true, examples: &[("softstop start web", "After softstop stop web, or before its back-off is over")],
    ] page {
        does: "starts a process that has ended, waits to be restarted or is held down; one that runs is left alone",
        answers: "when it is started",
    };
    /// Open every log file again by its name, after it was moved
    Reopen = "reopen" [
        examples: &[("softstop reopen", "After the log files were moved, by logrotate say")],
    ] page {
        does: "closes [log files](logs.md) and opens them by their names. One that was moved or removed is begun anew with its next line \
            in any case",
        answers: "at once",
    };
    /// Read the configuration again and do what has changed, each process by its own ladder
    Reload { wait: bool, dry_run: DryRun } = "reload" [
        examples: &[
            ("softstop reload --dry-run", "What it would do: who is restarted, what changes without"),
            ("softstop reload", "Do it, and wait until all of it is done"),
        ],
    ] page {
        does: "reads the configuration again and applies [what has changed](reload.md); refuses one with a mistake. With `--dry-run` it only says \
            what it would do",
        answers: "when all that has changed is stopped and started; with `--dry-run` at once",
    };
    /// Send a process a signal
    Signal { process: String, signal: Signal } = "signal" [
        examples: &[("softstop signal web HUP", "Have it read its configuration again")],
    ] page {
        does: "sends it a signal, to its group if it says `signal_to = \"group\"`",
        answers: "at once",
    };
}

impl Order {
    pub fn name(&self) -> &'static str {
        self.described().name
    }

    /// Who gives it waits for what it sets in motion.
    pub fn waits(&self) -> bool {
        let wait = self.fields().into_iter().find_map(|(_, value)| bool::of(value));
        wait.unwrap_or(self.described().waits)
    }
}

/// As it is typed, but for whether it is waited for.
impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "softstop {}", self.name())?;
        self.fields().into_iter().try_for_each(|(_, value)| match value {
            Value::Wait(_) => Ok(()),
            Value::OneOrAll(None) | Value::DryRun(DryRun(false)) => Ok(()),
            Value::DryRun(DryRun(true)) => f.write_str(" --dry-run"),
            Value::Process(name) | Value::OneOrAll(Some(name)) => write!(f, " {name}"),
            Value::Signal(signal) => write!(f, " {signal}"),
        })
    }
}
