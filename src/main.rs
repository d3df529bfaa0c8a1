//! Table of contents: read the command line, do what it says, exit with its code. What comes before it: `softstop::sys::entry`.

#![no_main]

mod checking;
mod console;
mod drilling;
mod injecting;
mod installing;
mod loading;
mod planning;
mod reporting;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use console::{in_usage, print, say, usage_error, warn};
use loading::{Chosen, by_flag, load, place, read_as, sources};
use softstop::cli::reading::UsageText;
use softstop::cli::variables::{Environment, Who};
use softstop::cli::{Command, ConfigFile, Instance, Run, Wrapper, explain, help, reading, settings};
use softstop::config::check::{self, values};
use softstop::config::handler::WaitFile;
use softstop::config::listen::Listen;
use softstop::config::platform::Platform;
use softstop::config::problem::Problems;
use softstop::config::sources::Sources;
use softstop::config::{Config, Control, TERMINATION_LOG};
use softstop::control::client::{self, Meant};
use softstop::control::protocol::{LogsRequest, Request, StatusRequest};
use softstop::drop_in::names::{self, Called};
use softstop::runtime::reload::Configuration;
use softstop::runtime::{Start, refusal};
use softstop::sys::signals::Early;
use softstop::sys::terminal;
use softstop::{drop_in, exit, probe, runtime, variables};

/// What a probe of `softstop probe` has, unless it says otherwise.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// How often `softstop status --watch` looks, unless it says otherwise.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

softstop::entry!(program);

fn program(args: Vec<OsString>, early: Early) -> u8 {
    refusal::guarded(None, || match Called::of(&args) {
        Called::As(name, args) => drop_in::run(name, &args, early, dispatch),
        Called::Softstop => dispatch(&args, early),
        Called::Unknown(name) => usage_error(&names::unknown(name.as_deref())),
    })
}

/// What it leads to has frames of its own: in one with its callers each would touch the stack of all (docs/performance.md).
fn dispatch(args: &[OsString], early: Early) -> u8 {
    let environment: Vec<_> = std::env::vars_os().collect();
    let cli = match reading::read_in(args, &environment, &help_width) {
        Ok(cli) => cli,
        Err(said) => {
            if said.code == exit::OK {
                print(&said.text);
                return said.code;
            }
            return refuse(args, None, said.code, said.text.trim_end());
        }
    };
    match cli.command {
        None => wrap(args, &cli.wrapper, environment, early),
        Some(Command::Run(its)) => run(args, *its, environment, early),
        Some(Command::Drill(its)) => drilling::drill(*its, &environment, platform(), early),
        Some(Command::Status { instance, watch, .. }) if watch.watch => watch_status(&instance, watch.interval, early),
        Some(command) => {
            early.restore();
            by_hand(command)
        }
    }
}

#[inline(never)]
fn wrap(typed: &[OsString], wrapper: &Wrapper, environment: Vec<(OsString, OsString)>, early: Early) -> u8 {
    match configured_by(wrapper) {
        Ok(config) => {
            let mut environment = Environment::new(environment, Who::Wrapper, &|_| false);
            environment.warnings.extend(settings::warnings(&config));
            let parent_death_signal = wrapper.common.parent_death_signal;
            runtime::run(Start { config, configuration: None, environment, parent_death_signal, early })
        }
        Err(why) => refuse(typed, None, exit::USAGE, &in_usage(&why)),
    }
}

#[inline(never)]
fn configured_by(wrapper: &Wrapper) -> Result<Box<Config>, String> {
    wrapper.config(platform()).map(Box::new)
}

#[inline(never)]
fn watch_status(instance: &Instance, interval: Option<Duration>, early: Early) -> u8 {
    let Whereabouts { meant, note, .. } = whereabouts(instance, false);
    let interval = interval.unwrap_or(WATCH_INTERVAL);
    softstop::watch::watch(&meant, interval, console::style(), note.as_deref(), early)
}

/// A command that nobody waits for but who typed it: signals do to it what they do to any program.
fn by_hand(command: Command) -> u8 {
    match command {
        // Those take the signals themselves.
        Command::Run(_) | Command::Drill(_) => exit::INTERNAL,
        Command::Check(args) => checking::check(&args),
        Command::Manifest(args) => checking::manifest(&args),
        Command::Plan(args) => planning::plan(&args),
        Command::Report(args) => reporting::report(&args),
        Command::Status { instance, json, .. } => ask(&instance, &Request::Status(StatusRequest::default()), json),
        Command::Logs { logs, json, instance } => {
            let Whereabouts { meant, note, .. } = whereabouts(&instance, false);
            let shown = client::Shown { json, timestamps: logs.timestamps };
            let request = LogsRequest { process: logs.process, lines: logs.lines, follow: logs.follow };
            client::logs(&meant, request, shown, note.as_deref())
        }
        Command::Order { order, instance } => ask(&instance, &Request::Order(order), false),
        Command::Probe(a) => {
            let Some(target) = a.how.target else { return exit::USAGE };
            probe::run(&target, a.how.timeout.unwrap_or(PROBE_TIMEOUT), || {
                let Whereabouts { meant, http, .. } = whereabouts(&a.instance, true);
                probe::Own { meant, http: a.how.http.or(http) }
            })
        }
        Command::Inject(its) => injecting::inject(&its),
        Command::Install(its) => installing::install(&its.folder.unwrap_or_default()),
        Command::Explain(asked) => tell(explain::key(asked.key.as_deref(), help_width())),
        Command::Schema => tell(explain::schema()),
        Command::Sources(path) => runtime::sources::send(&path),
        Command::Changes(asked) => runtime::changes::look(&asked),
        Command::LastStop(path) => runtime::last_stop::read(&path),
        Command::WaitFile(its) => {
            let path = its.path.unwrap_or_default();
            runtime::waits::file::look(&WaitFile { path, exists: !its.gone, contains: its.contains })
        }
    }
}

/// What was asked for, or why not.
fn tell(text: Result<impl AsRef<str>, UsageText>) -> u8 {
    match text {
        Ok(text) => {
            print(text.as_ref());
            exit::OK
        }
        Err(said) => {
            say(said.text.trim_end());
            said.code
        }
    }
}

/// How long a line of help may be.
fn help_width() -> usize {
    terminal::columns().unwrap_or(help::WIDTH)
}

/// Who runs this container.
fn platform() -> Platform {
    Platform::of(&|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// `typed`: the whole command line.
#[inline(never)]
fn run(typed: &[OsString], args: Run, environment: Vec<(OsString, OsString)>, early: Early) -> u8 {
    let used = RefCell::new(BTreeSet::new());
    let variable = |name: &str| {
        used.borrow_mut().insert(name.to_owned());
        std::env::var(name).ok()
    };
    let chosen = match Chosen::of(&args.file, &args.procfile) {
        Ok(chosen) => chosen,
        Err(why) => return refuse(typed, None, exit::USAGE, &in_usage(&why)),
    };
    let sources = match sources(&chosen.file, &variable) {
        Ok(sources) => sources,
        Err(problems) => return refuse(typed, None, exit::CONFIG, &problems.to_string()),
    };
    let termination_log = || check::termination_log(&sources.text);
    match read_as(&chosen, &sources, &variable, args.common.grace, None) {
        Ok((mut config, warnings)) => {
            warn(&warnings);
            match with_flags(&args, &chosen, &mut config) {
                Ok(()) => {
                    let used = |name: &str| used.borrow().contains(name);
                    let environment = Environment::new(environment, Who::Run, &used);
                    let parent_death_signal = args.common.parent_death_signal;
                    let configuration = config.source.clone().map(|file| Configuration {
                        file,
                        load: Box::new(move |read| load_again(&args, &chosen, read)),
                    });
                    let config = Box::new(config);
                    runtime::run(Start { config, configuration, environment, parent_death_signal, early })
                }
                Err(why) => refuse(typed, termination_log(), exit::USAGE, &in_usage(&why)),
            }
        }
        Err(problems) => refuse(typed, termination_log(), exit::CONFIG, &problems.to_string()),
    }
}

/// What was typed wins over the file.
fn with_flags(args: &Run, chosen: &Chosen, config: &mut Config) -> Result<(), String> {
    args.common.apply(config)?;
    args.choose(config)?;
    config.source = std::path::absolute(place(&chosen.file)).ok();
    config.platform = platform();
    Ok(())
}

/// For a reload: what was typed, and the variables, are as they were.
fn load_again(args: &Run, chosen: &Chosen, sources: &Sources) -> Result<(Config, Vec<String>), String> {
    let variable = |name: &str| std::env::var(name).ok();
    let refused = |problems: Problems| problems.refused("nothing was changed");
    let (mut config, warnings) = read_as(chosen, sources, &variable, args.common.grace, None).map_err(refused)?;
    with_flags(args, chosen, &mut config)?;
    Ok((config, warnings.iter().map(ToString::to_string).collect()))
}

/// Nothing is started: that is said on standard error, and in the termination log of what would have run, which is where the user of a pod
/// looks. `configured`: where the configuration has it.
fn refuse(typed: &[OsString], configured: Option<String>, code: u8, text: &str) -> u8 {
    say(text);
    if reading::would_run(typed) {
        let place = reading::termination_log(typed).or(configured.map(PathBuf::from));
        let place = place.unwrap_or_else(|| PathBuf::from(TERMINATION_LOG));
        refusal::record(Some(place.as_path()).filter(|p| !p.as_os_str().is_empty()), code, text);
    }
    code
}

/// A client's whole life.
fn ask(instance: &Instance, request: &Request, json: bool) -> u8 {
    let Whereabouts { meant, note, .. } = whereabouts(instance, false);
    client::ask(&meant, request, json, note.as_deref())
}

/// Where the instance that is meant can be reached.
struct Whereabouts {
    meant: Meant,
    http: Option<Listen>,
    /// Why less is known than could be.
    note: Option<String>,
}

/// What the command line says, else what the softstop that started this has said of itself, else its configuration. `http`: that is
/// wanted, too.
fn whereabouts(instance: &Instance, http: bool) -> Whereabouts {
    let file = &instance.file;
    let var = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    // Of the value nobody says where it comes from.
    let given = |name| var(name).filter(|_| by_flag(file).is_none());
    let given_control = given(variables::INSTANCE).and_then(|text| values::control(&text).ok());
    let given_http = given(variables::INSTANCE_HTTP).and_then(|text| Listen::parse(&text).ok());
    if let Some(control) = instance.control.clone().or(given_control) {
        let listens = || configured(file).ok().flatten()?.http.map(|http| http.listen);
        let http = given_http.or_else(|| if http { listens() } else { None });
        return Whereabouts { meant: Meant { control, config: None, named: false }, http, note: None };
    }
    // A mistake in it is no reason to leave a running softstop alone.
    let (config, note) = configured(file).map_or_else(|note| (None, Some(note)), |config| (config, None));
    let (control, http) = config.map_or((Control::Own, None), |c| (c.control, c.http.map(|http| http.listen)));
    let path = place(file);
    let config = if path.exists() { std::path::absolute(path).ok() } else { None };
    let meant = Meant { control, config, named: file.config.is_some() };
    Whereabouts { meant, http: given_http.or(http), note }
}

/// What the instance that is meant was configured with, if there is such a file; a note when it has mistakes.
fn configured(file: &ConfigFile) -> Result<Option<Config>, String> {
    let path = place(file);
    if file.config.is_none() && !path.exists() {
        return Ok(None);
    }
    let note = |_| format!("{} has errors, so its [control] is not known", path.display());
    load(file, None).map(|(config, _)| Some(config)).map_err(note)
}
