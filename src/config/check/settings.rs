//! What stands at the top of the file, and its tables of settings. Pure.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::declare::{Form, Shape, table};
use super::kinds::{AnySignal, FilePath, Kind, Limit, Many, Pause, Shaped, Sub, Word, strings};
use super::prestop::{self, PreStopKeys};
use super::process::ProcessKeys;
use super::reader::{Field, Reader};
use super::sidecar::{self, SidecarKeys};
use super::stragglers::{self, StragglersKeys};
use super::task::{StepKeys, TaskKeys};
use super::values;
use crate::config::listen::Listen;
use crate::config::{
    Config, Control, DEFAULT_GRACE, ExitCodes, Forward, Http, LogConfig, LogFormat, LogLevel, ReadinessOnDrain, StopOn,
    TERMINATION_LOG,
};
use crate::signal::Signal;

table! {
    pub struct TopKeys in "the top level" {
        /// The whole budget from the first stop request to softstop's own end: the pod's `terminationGracePeriodSeconds`.
        grace: Limit { words: "duration, 1ms to 24h", examples: &["\"30s\"", "\"1m\"", "'45s'"] } = DEFAULT_GRACE;
        /// The last slice of `grace`: SIGKILL, reaping, the report. Nothing else gets it.
        kill_reserve: Limit {
            words: "duration, less than `grace`",
            unset: "`\"1s\"`, or a quarter of `grace` when that is less",
            examples: &["\"1s\"", "\"500ms\""],
        };
        /// What no drain step may take from the stop of the processes and the `post_stop` steps without a `reserve`.
        stop_reserve: Pause {
            unset: "a quarter of `grace`, or what the stated reserves leave",
            examples: &["\"2s\"", "\"0s\""],
        };
        /// The signals that ask for a stop, whoever sends them; a further one changes nothing but may hurry it. Every other signal is
        /// forwarded. Not SIGKILL, SIGSTOP, SIGCONT, SIGCHLD or the signals of a fault.
        stop_on: StopSignals {
            unset: "SIGTERM, SIGINT and, [from outside the container](signals.md#what-each-does), SIGQUIT and the main program's own stop signal",
            examples: &["[\"SIGTERM\", \"SIGINT\"]", "[\"SIGRTMIN+3\"]"],
        };
        /// Which [other signals](signals.md#what-each-does) are passed on to the main process: all, or
        /// [only those that it catches](signals.md#held-back-forward--caught) where the default would end it.
        forward: Word<Forward> = Forward::Caught;
        /// What `/readyz` answers from the stop request on: 503, or as before. `/livez` stays as it is.
        readiness_on_drain: Word<ReadinessOnDrain> = ReadinessOnDrain::Fail;
        /// Where the account of the run is written as JSON at exit.
        report: FilePath { words: "path, a relative one from where softstop was started", unset: "none" };
        /// Where the verdict goes, when the file exists.
        termination_log: TerminationLog = TERMINATION_LOG;
        /// The probe endpoints: [below](#http).
        http: Sub<HttpKeys<'static>> { unset: "nothing listens", help: "write `[http]` and below it listen = \":9180\"" };
        /// Where orders are taken: [below](#control).
        control: Sub<ControlKeys<'static>> { help: "write `[control]` and below it socket = \"/run/softstop.sock\"" };
        /// softstop's own log: [below](#log).
        log: Sub<LogKeys<'static>> { help: "write `[log]` and below it level = \"info\"" };
        /// What softstop exits with: [below](#exit_codes).
        exit_codes: Codes { examples: &["{ 143 = 0, forced = 79 }"] };
        /// What happens to what the processes leave behind: [below](#stragglers).
        stragglers: Sub<StragglersKeys<'static>> { help: stragglers::HELP };
        /// softstop stands beside a main container: [below](#sidecar).
        sidecar: Sub<SidecarKeys<'static>> { help: "write `[sidecar]`, and below it follow = \"worker\" if need be" };
        /// Tasks before any process: [below](#init).
        init: Many<TaskKeys<'static>> { unset: "none" };
        /// The processes: [below](#process).
        process: Many<ProcessKeys<'static>> { unset: "at least one, unless there is `[sidecar]`" };
        /// Steps before any stop signal: [below](#drain-and-post_stop).
        drain: Many<StepKeys<'static>> { unset: "none" };
        /// Steps after every process has ended: [below](#drain-and-post_stop).
        post_stop: Many<StepKeys<'static>> { unset: "none" };
    }
}

table! {
    pub struct HttpKeys in "[http]" {
        /// `"0.0.0.0:9180"`, `"[::]:9180"`, `"localhost:9180"`; `":9180"`, `"9180"` and `9180` mean every address, IPv4 and IPv6. Ports are 1
        /// to 65535.
        listen: Address { required: true, words: "address", help: "write listen = \":9180\"" };
        /// `GET /prestop`, a preStop hook: [below](#prestop).
        prestop: Sub<PreStopKeys<'static>> {
            unset: "off",
            help: "write `[http.prestop]` and below it its guard: from = \"10.244.0.0/16\"",
        };
    }
}

table! {
    pub struct ControlKeys in "[control]" {
        /// A path gets mode 0600; what cannot be had there is a warning. `"@name"` is an abstract address of that name. At most 107 bytes.
        socket: Socket { unset: "an abstract address that clients find by themselves" };
    }
}

table! {
    pub struct LogKeys in "[log]" {
        /// The least important line that is still written.
        level: Word<LogLevel> = LogLevel::Info;
        /// A line for people, or a JSON object per line.
        format: Word<LogFormat> = LogFormat::Text;
    }
}

strings! {
    /// `None`: none is written.
    TerminationLog Option<PathBuf>, "path, or `\"\"` for none", "", ["\"\"", "\"/dev/termination-log\""],
        |reader, field, _| reader.parsed(field, "write a path, or \"\" to write none", |text| {
            if text.is_empty() { Ok(None) } else { values::path("termination_log", text).map(Some) }
        });
    Socket Control, "absolute path, `\"@name\"`, or `\"off\"`", r"/[\s\S]+|@[\s\S]+|off",
        ["\"/run/softstop.sock\"", "\"@name\"", "\"off\""],
        |reader, field, _| reader.parsed(
            field, "write socket = \"/run/softstop.sock\" or socket = \"off\"", values::control);
}

/// Where to listen: a string, or a port alone.
pub struct Address;

impl Shaped for Address {
    const SHAPE: &'static Shape = &Shape::Any(&[
        &Shape::Text(Form {
            name: "string",
            pattern: r"\s*([\s\S]*:)?[0-9]{1,5}\s*",
            examples: &["\"0.0.0.0:9180\"", "\":9180\"", "\"[::]:9180\"", "\"${NONE:-9180}\""],
        }),
        &Shape::Integer(1, 65535),
    ]);
}

impl Kind for Address {
    type Value = Listen;

    fn read(reader: &mut Reader<'_>, field: &Field<'_>, help: &str) -> Option<Listen> {
        if field.value.get_ref().is_integer() {
            let port = reader.integer(field, 1, 65535, help)?;
            return values::listen(&port.to_string()).ok();
        }
        reader.parsed(field, help, values::listen)
    }
}

/// Signals that ask for a stop: one, or several.
pub struct StopSignals;

impl Shaped for StopSignals {
    const SHAPE: &'static Shape = &Shape::Any(&[AnySignal::SHAPE, &Shape::Array(AnySignal::SHAPE)]);
}

impl Kind for StopSignals {
    type Value = Vec<Signal>;

    fn read(reader: &mut Reader<'_>, field: &Field<'_>, _: &str) -> Option<Vec<Signal>> {
        let example = "write stop_on = [\"SIGTERM\", \"SIGINT\", \"SIGQUIT\"]";
        let elements = match field.elements() {
            Some(elements) if elements.is_empty() => {
                reader.error(&field.span(), "`stop_on` is empty: no signal could stop the container", example);
                return None;
            }
            Some(elements) => elements,
            None if field.value.get_ref().is_str() => vec![field.clone()],
            None => {
                reader.error(&field.span(), "`stop_on` must be an array of signals", example);
                return None;
            }
        };
        let mut list = Vec::with_capacity(elements.len());
        for element in &elements {
            let Some(signal) = AnySignal::read(reader, element, "") else {
                continue;
            };
            if let Err(wrong) = values::stop_request(signal) {
                reader.error(&element.span(), wrong.sentence, wrong.help);
            } else if list.contains(&signal) {
                reader.warn(&element.span(), format!("{signal} is listed twice"), "leave one of them out");
            } else {
                list.push(signal);
            }
        }
        Some(list)
    }
}

/// `143 = 0`, `forced = 79`.
pub struct Codes;

impl Shaped for Codes {
    const SHAPE: &'static Shape = &Shape::Map(
        Form { name: "", pattern: "[0-9]{1,3}|forced", examples: &["143", "forced"] },
        &Shape::Integer(0, 255),
    );
}

impl Kind for Codes {
    type Value = ExitCodes;

    fn read(reader: &mut Reader<'_>, field: &Field<'_>, _: &str) -> Option<ExitCodes> {
        let entries = reader.map(field, "write `[exit_codes]` and below it 143 = 0")?;
        let mut codes = ExitCodes { map: BTreeMap::new(), forced: None };
        for (key, value) in entries {
            let name: &str = key.get_ref();
            let from = name.parse::<u8>().ok().filter(|n| n.to_string() == name);
            if from.is_none() && name != "forced" {
                let help = "write a code from 0 to 255, or `forced`, the code of a stop that needed SIGKILL";
                reader.error(&key.span(), format!("`{name}` is not an exit code"), help);
            }
            let to = reader.integer(&Field::new(key, value), 0, 255, "write a code from 0 to 255: 143 = 0");
            match (from, to.and_then(|n| u8::try_from(n).ok())) {
                (Some(from), Some(to)) => drop(codes.map.insert(from, to)),
                (None, Some(to)) if name == "forced" => codes.forced = Some(to),
                _ => {}
            }
        }
        Some(codes)
    }
}

/// Everything at the top that is no list of processes, tasks or steps, and no part of the budget.
pub fn settings(reader: &mut Reader<'_>, top: &TopKeys<'_>, config: &mut Config) {
    config.stop_on = top.stop_on.read(reader).map(StopOn::Only).unwrap_or_default();
    // The wrapper is as transparent as tini; what is written down here need not die of a stray SIGHUP.
    config.forward = top.forward.read(reader).unwrap_or(TopKeys::forward);
    config.readiness_on_drain = top.readiness_on_drain.read(reader).unwrap_or(TopKeys::readiness_on_drain);
    config.report = top.report.read(reader);
    if top.termination_log.is_given() {
        config.termination_log = top.termination_log.read(reader).unwrap_or_default();
    }
    config.http = top.http.open(reader).and_then(|keys| http(reader, &keys));
    config.control = top.control.open(reader).and_then(|keys| keys.socket.read(reader)).unwrap_or_default();
    config.log = top.log.open(reader).map_or(config.log, |keys| LogConfig {
        level: keys.level.read(reader).unwrap_or(LogKeys::level),
        format: keys.format.read(reader).unwrap_or(LogKeys::format),
    });
    config.sidecar = top.sidecar.open(reader).map(|keys| sidecar::sidecar(reader, &keys));
    config.stragglers =
        top.stragglers.open(reader).map_or(config.stragglers, |keys| stragglers::stragglers(reader, &keys));
    config.exit_codes = top.exit_codes.read(reader).unwrap_or_default();
}

fn http(reader: &mut Reader<'_>, keys: &HttpKeys<'_>) -> Option<Http> {
    if !keys.listen.is_given() {
        reader.missing(
            &keys.table,
            &["listen"],
            "[http] does not say where to listen",
            "add listen = \":9180\", or leave [http] out",
        );
        return None;
    }
    let listen = keys.listen.read(reader);
    let prestop = keys.prestop.open(reader).and_then(|keys| prestop::prestop(reader, &keys));
    listen.map(|listen| Http { listen, prestop })
}
