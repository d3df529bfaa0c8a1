//! What a container's start in a manifest amounts to: its arguments and variables read as softstop would read them there, its
//! configuration as far as it is at hand. Pure: the files have been read, the variables of this process are asked of the caller.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::OsString;

use super::variables::{Variables, Who};
use super::{Cli, Command, Run, reading};
use crate::config::check;
use crate::config::platform::Platform;
use crate::pod::{Refused, Settings, Start};

/// Where `softstop run` looks in a container whose working directory has no configuration.
const DEFAULT: &str = "/etc/softstop.toml";
/// A configuration that was found here.
pub struct Found<'a> {
    /// For messages.
    pub name: &'a str,
    pub text: &'a str,
    /// It was asked for by name, so that it counts for more than what the manifest holds.
    pub named: bool,
}

/// # Errors
/// When softstop would refuse to start so, or its configuration is not at hand.
pub fn interpret(
    start: &Start<'_>,
    found: Option<&Found<'_>>,
    own: &dyn Fn(&str) -> Option<String>,
) -> Result<Settings, Refused> {
    let known = |name: &str| start.env.get(name).and_then(|v| v.map(str::to_owned));
    let args: Vec<OsString> =
        std::iter::once("softstop").chain(start.arguments.iter().map(String::as_str)).map(OsString::from).collect();
    let Cli { wrapper, command } =
        reading::read_with(&args, &known).map_err(|said| Refused::Usage(first_line(&said.text)))?;
    match command {
        None => {
            let config = wrapper.config(Platform::Kubernetes).map_err(Refused::Usage)?;
            let unread = unread(start, Who::Wrapper, &BTreeSet::new());
            Ok(Settings { config, warnings: Vec::new(), file: None, path: None, grace_given: true, unread })
        }
        Some(Command::Run(run)) => configured(start, &run, found, own),
        Some(_) => Err(Refused::Nothing),
    }
}

fn configured(
    start: &Start<'_>,
    run: &Run,
    found: Option<&Found<'_>>,
    own: &dyn Fn(&str) -> Option<String>,
) -> Result<Settings, Refused> {
    let path = run.file.config.as_ref().map_or(DEFAULT.to_owned(), |p| p.display().to_string());
    let here = found.map(|f| (f.name.to_owned(), f.text.to_owned()));
    let (name, text) = match found {
        Some(Found { named: true, .. }) => here,
        _ => (start.config_map)(&path).or(here),
    }
    .ok_or_else(|| Refused::Unknown(path.clone()))?;
    // A variable of the image is not in the manifest, and may be here.
    let used = RefCell::new(BTreeSet::new());
    let variable = |name: &str| {
        used.borrow_mut().insert(name.to_owned());
        match start.env.get(name) {
            Some(Some(value)) => Some((*value).to_owned()),
            Some(None) => Some(own(name).unwrap_or_else(|| (start.stand_in)(name).to_owned())),
            None => own(name),
        }
    };
    let read = check::read_with_grace(&text, &name, &variable, run.common.grace);
    let (mut config, warnings) = read.map_err(|problems| Refused::Config(problems.list))?;
    run.common.apply(&mut config).map_err(Refused::Usage)?;
    let (unread, grace_given) = (unread(start, Who::Run, &used.into_inner()), run.common.grace.is_some());
    Ok(Settings { config, warnings, file: Some(name), path: Some(path), grace_given, unread })
}

/// `used`: the variables that the configuration refers to.
fn unread(start: &Start<'_>, who: Who, used: &BTreeSet<String>) -> Vec<(String, String, String)> {
    let declared = Variables::declared();
    let names = start.env.keys().filter(|name| !used.contains(**name));
    let wrong = |name: &&str| declared.wrong(who, name).map(|(what, help)| ((*name).to_owned(), what, help));
    names.filter_map(wrong).collect()
}

/// clap's message has a line that says it all, and advice below.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
