//! What a container's start in a manifest amounts to: its arguments and variables read as softstop would read them there, its
//! configuration as far as it is at hand. Pure: the files have been read, and this process's own variables are nobody's.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::time::Duration;

use super::variables::{self, Who, is_of_the_wrapper_alone};
use super::{Cli, Command, Run, reading};
use crate::config::platform::Platform;
use crate::config::problem::{Problem, Problems};
use crate::config::sources::Sources;
use crate::config::{Config, check, expand};
use crate::pod::env::{GUESSES, Origin};
use crate::pod::{DEFAULT_CONFIG, Options, Refused, Settings, Start};

/// Without these softstop would look as if it did not listen, or served no hook.
const ASSUMED: [&str; 2] = ["SOFTSTOP_HTTP", "SOFTSTOP_PRESTOP"];
/// Variables of one configuration for which several guesses are tried.
const TRIED: usize = 10;

/// A configuration that was found here.
pub struct Found<'a> {
    pub sources: &'a Sources,
    /// It was asked for by name, so that it counts for more than what the manifest holds.
    pub named: bool,
}

/// What a manifest is read by: which container, and whether there is a configuration.
pub fn options(container: Option<&str>, run: bool) -> Options<'_> {
    Options { container, run, of_wrapper: is_of_the_wrapper_alone }
}

/// # Errors
/// When softstop would refuse to start so, or its configuration is not at hand.
pub fn interpret(start: &Start<'_>, found: Option<&Found<'_>>) -> Result<Settings, Refused> {
    let assumed = RefCell::new(BTreeSet::new());
    let known = |name: &str| match start.env.get(name)? {
        Some(value) => Some((*value).to_owned()),
        // Not to know these would look as if they were not there.
        None if ASSUMED.contains(&name) => {
            let stand_in = (start.stand_in)(name);
            assumed.borrow_mut().insert(stand_in.trim_start_matches("token:"));
            Some(stand_in.to_owned())
        }
        None => None,
    };
    let args: Vec<OsString> =
        std::iter::once("softstop").chain(start.arguments.iter().map(String::as_str)).map(OsString::from).collect();
    let Cli { wrapper, command } =
        reading::read_with(&args, &known).map_err(|said| Refused::Usage(first_line(&said.text)))?;
    match command {
        None => Ok(Settings {
            config: wrapper.config(Platform::Kubernetes).map_err(Refused::Usage)?,
            warnings: Vec::new(),
            file: None,
            path: None,
            grace_given: true,
            unset: Vec::new(),
            assumed: assumed.into_inner().into_iter().collect(),
            unread: unread(start, Who::Wrapper, &BTreeSet::new()),
        }),
        Some(Command::Run(run)) => configured(start, &run, found),
        Some(_) => Err(Refused::Nothing),
    }
}

fn configured(start: &Start<'_>, run: &Run, found: Option<&Found<'_>>) -> Result<Settings, Refused> {
    let path = run.file.config.as_ref().map_or(DEFAULT_CONFIG.to_owned(), |p| p.display().to_string());
    let here = found.map(|f| f.sources.clone());
    let sources = match found {
        Some(Found { named: true, .. }) => here,
        _ => (start.config_map)(&path).map(|(name, text)| Sources::of(&name, &text)).or(here),
    }
    .ok_or_else(|| Refused::Unknown(path.clone()))?;
    let reading = Reading::new(start, &sources, run.common.grace);
    let (mut config, warnings) = reading.outcome.map_err(|problems| Refused::Config(problems.list))?;
    run.common.apply(&mut config).map_err(Refused::Usage)?;
    Ok(Settings {
        config,
        warnings,
        file: Some(sources.file),
        path: Some(path),
        grace_given: run.common.grace.is_some(),
        unset: reading.unset,
        assumed: reading.assumed.into_values().collect(),
        unread: unread(start, Who::Run, &reading.used),
    })
}

/// A configuration, read with a container's variables. This process's own are none of its business.
struct Reading {
    outcome: Outcome,
    /// The variables that it refers to.
    used: BTreeSet<String>,
    /// Those of them that the container does not have.
    unset: Vec<String>,
    /// What was read in the place of a value that is not known.
    assumed: BTreeMap<String, &'static str>,
}

impl Reading {
    fn new(start: &Start<'_>, sources: &Sources, grace: Option<Duration>) -> Reading {
        let used = RefCell::new(BTreeSet::new());
        let read = |assumed: &BTreeMap<String, &'static str>| {
            let variable = |name: &str| {
                used.borrow_mut().insert(name.to_owned());
                let known = start.env.get(name).copied().flatten();
                known.or_else(|| assumed.get(name).copied()).map(str::to_owned)
            };
            check::read_sources(sources, &variable, grace, None)
        };
        // What the container has for certain has a value, if an unknown one; of the rest the configuration's default is the best guess.
        let there = start.env.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| *name);
        let mut assumed: BTreeMap<String, &'static str> =
            there.map(|name| (name.to_owned(), (start.stand_in)(name))).collect();
        let mut outcome = read(&assumed);
        let problems = outcome.as_ref().err().map(|problems| problems.list.as_slice()).unwrap_or_default();
        let said: BTreeSet<&str> = problems.iter().map(|p| p.sentence.as_str()).collect();
        let missing: Vec<String> =
            used.borrow().iter().filter(|name| said.contains(expand::not_set(name).as_str())).cloned().collect();
        if !missing.is_empty() {
            assumed.extend(missing.iter().map(|name| (name.clone(), (start.stand_in)(name))));
            outcome = read(&assumed);
        }
        assumed.retain(|name, _| used.borrow().contains(name));
        let outcome = guessed(outcome, &mut assumed, read);
        let is_unset = |name: &String| !start.open && Origin::of(name) != Origin::Runtime;
        let unset = missing.into_iter().filter(is_unset).collect();
        Reading { outcome, used: used.into_inner(), unset, assumed }
    }
}

type Outcome = Result<(Config, Vec<Problem>), Problems>;

/// What takes no number may take an address, or a duration: the guesses with which the least is wrong.
fn guessed(
    mut outcome: Outcome,
    assumed: &mut BTreeMap<String, &'static str>,
    read: impl Fn(&BTreeMap<String, &'static str>) -> Outcome,
) -> Outcome {
    let wrong = |outcome: &Outcome| outcome.as_ref().err().map_or(0, |problems| problems.list.len());
    let names: Vec<String> = assumed.keys().take(TRIED).cloned().collect();
    for (name, guess) in names.iter().flat_map(|name| GUESSES.map(|guess| (name, guess))) {
        if wrong(&outcome) == 0 {
            break;
        }
        let before = assumed.insert(name.clone(), guess);
        let other = read(assumed);
        if wrong(&other) < wrong(&outcome) {
            outcome = other;
        } else if let Some(before) = before {
            assumed.insert(name.clone(), before);
        }
    }
    outcome
}

/// `used`: the variables that the configuration refers to.
fn unread(start: &Start<'_>, who: Who, used: &BTreeSet<String>) -> Vec<(String, String, String)> {
    let names = start.env.keys().filter(|name| !used.contains(**name));
    let wrong = |name: &&str| variables::wrong(who, name).map(|(what, help)| ((*name).to_owned(), what, help));
    names.filter_map(wrong).collect()
}

/// The message has a line that says it all, and advice below.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
