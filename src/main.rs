//! Table of contents: read the command line, do what it says, exit with its code. What comes before it: `softstop::sys::entry`.

#![no_main]

mod checking;

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use softstop::cli::{Command, ConfigFile, Instance, Run, reading};
use softstop::config::check;
use softstop::config::problem::Problems;
use softstop::config::wait::WaitFile;
use softstop::config::{Config, Control};
use softstop::control::client;
use softstop::control::protocol::Request;
use softstop::lifecycle::event::Order;
use softstop::sys::signals::Early;
use softstop::{exit, probe, runtime};

softstop::entry!(program);

fn program(args: Vec<OsString>, early: Early) -> u8 {
    runtime::guarded(|| dispatch(&args, early))
}

fn dispatch(args: &[OsString], early: Early) -> u8 {
    let cli = match reading::read(args) {
        Ok(cli) => cli,
        Err(said) => {
            if said.code == exit::OK {
                print(&said.text);
            } else {
                say(said.text.trim_end());
            }
            return said.code;
        }
    };
    match cli.command {
        None => match cli.wrapper.config() {
            Ok(config) => runtime::run(config, cli.wrapper.common.parent_death_signal, early),
            Err(why) => usage_error(&why),
        },
        Some(Command::Run(args)) => run(&args, early),
        Some(Command::Check(args)) => {
            early.restore();
            checking::check(&args)
        }
        Some(Command::Manifest(args)) => {
            early.restore();
            checking::manifest(&args)
        }
        Some(Command::Status { instance, json }) => ask(&instance, Request::Status, json, early),
        Some(Command::Drain(a)) => order(&a.instance, Order::Drain { wait: !a.no_wait }, early),
        Some(Command::Stop { name: Some(name), .. }) => usage_error(&format!(
            "softstop stop ends everything; for {name} alone there are softstop restart {name} and softstop signal {name} TERM"
        )),
        Some(Command::Stop { waiting: a, name: None }) => order(&a.instance, Order::Stop { wait: !a.no_wait }, early),
        Some(Command::Ready(instance)) => order(&instance, Order::Ready, early),
        Some(Command::Unready(instance)) => order(&instance, Order::Unready, early),
        Some(Command::Restart(a)) => order(&a.instance, Order::Restart { process: a.name }, early),
        Some(Command::Start(a)) => order(&a.instance, Order::Start { process: a.name }, early),
        Some(Command::Signal { name: process, signal, instance }) => {
            order(&instance, Order::Signal { process, signal }, early)
        }
        Some(Command::Probe(a)) => {
            early.restore();
            probe::run(&a.target, a.timeout, || {
                let (control, http) = settings(&a.instance.file)
                    .ok()
                    .flatten()
                    .map_or((Control::Own, None), |c| (c.control, c.http.map(|http| http.listen)));
                probe::Own { control: a.instance.control.clone().unwrap_or(control), http: a.http.or(http) }
            })
        }
        Some(Command::WaitFile { gone, contains, path }) => {
            early.restore();
            runtime::waits::file::look(&WaitFile { path, exists: !gone, contains })
        }
    }
}

fn run(args: &Run, early: Early) -> u8 {
    match load(&args.file, args.common.grace) {
        Ok((mut config, warnings)) => {
            for warning in warnings {
                say(warning.trim_end());
            }
            match args.common.apply(&mut config) {
                Ok(()) => runtime::run(config, args.common.parent_death_signal, early),
                Err(why) => usage_error(&why),
            }
        }
        Err(problems) => {
            say(&problems.to_string());
            exit::CONFIG
        }
    }
}

fn order(instance: &Instance, order: Order, early: Early) -> u8 {
    ask(instance, Request::Order(order), false, early)
}

/// A client's whole life.
fn ask(instance: &Instance, request: Request, json: bool, early: Early) -> u8 {
    early.restore();
    let (control, note) = match &instance.control {
        Some(control) => (control.clone(), None),
        None => match settings(&instance.file) {
            Ok(config) => (config.map_or(Control::Own, |c| c.control), None),
            // A mistake in it is no reason to leave a running softstop alone.
            Err(note) => (Control::Own, Some(note)),
        },
    };
    client::ask(&control, &request, json, note.as_deref())
}

/// What the instance that is meant was configured with, if there is such a file; a note when it has mistakes.
fn settings(file: &ConfigFile) -> Result<Option<Config>, String> {
    let path = place(file);
    if file.config.is_none() && !path.exists() {
        return Ok(None);
    }
    let note = |_| format!("{} has errors, so its [control] is not known", path.display());
    load(file, None).map(|(config, _)| Some(config)).map_err(note)
}

/// `-c`, else `$SOFTSTOP_CONFIG` (clap reads both), else ./softstop.toml, else /etc/softstop.toml.
fn place(args: &ConfigFile) -> PathBuf {
    args.config.clone().unwrap_or_else(|| {
        let here = Path::new("softstop.toml");
        if here.exists() { here.to_path_buf() } else { PathBuf::from("/etc/softstop.toml") }
    })
}

/// `grace`: from the command line, which wins over the file; everything in the file is held against it.
fn load(args: &ConfigFile, grace: Option<Duration>) -> Result<(Config, Vec<String>), Problems> {
    let path = place(args);
    let name = path.display().to_string();
    let bytes = runtime::files::read(&path, check::MAX_BYTES).map_err(|error| {
        let help = if args.config.is_none() {
            "name the configuration with -c FILE or $SOFTSTOP_CONFIG, or put it at ./softstop.toml or /etc/softstop.toml"
        } else {
            "is the path right, and may this user read it?"
        };
        Problems::of_file(&name, format!("the configuration cannot be read: {error}"), help)
    })?;
    let text = check::decode(&bytes, &name)?;
    let (config, warnings) = check::read_with_grace(text, &name, &|key| std::env::var(key).ok(), grace)?;
    Ok((config, warnings.iter().map(ToString::to_string).collect()))
}

fn usage_error(why: &str) -> u8 {
    say(&format!("error: {why}\n\nFor more information, try 'softstop --help'."));
    exit::USAGE
}

/// To standard error; if nobody can read it there is nobody to tell.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
