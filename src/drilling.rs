//! `softstop drill`: what is to be drilled, from the command line and the configuration.

use std::ffi::OsString;
use std::time::Duration;

use softstop::cli::{self, Cli, help, reading};
use softstop::config::Config;
use softstop::config::platform::Platform;
use softstop::drill::{self, Plan};
use softstop::exit;
use softstop::sys::signals::Early;

use crate::console::{say, usage_error};
use crate::loading::{load, place};

pub(crate) fn drill(args: cli::Drill, environment: &[(OsString, OsString)], platform: Platform, early: Early) -> u8 {
    let how = &args.how;
    let read =
        if how.wrapper { wrapper(&args, environment, platform) } else { file(&args, how.grace.first().copied()) };
    match read {
        Ok((config, head, tail)) => drill::run(&Plan { how: args.how, config, head, tail }, early),
        Err(code) => code,
    }
}

/// The configuration, and the words before and behind drill's own flags; or the exit code, the mistake having been said.
type Read = Result<(Config, Vec<OsString>, Vec<OsString>), u8>;

fn wrapper(args: &cli::Drill, environment: &[(OsString, OsString)], platform: Platform) -> Read {
    if args.cmd.is_empty() {
        return Err(usage_error("--wrapper without a program: softstop drill --wrapper -- /app/server"));
    }
    let dashes = args.cmd.first().is_some_and(|first| !first.as_encoded_bytes().starts_with(b"-"));
    let tail: Vec<OsString> =
        dashes.then(|| OsString::from("--")).into_iter().chain(args.cmd.iter().cloned()).collect();
    let all: Vec<OsString> = std::iter::once(OsString::from("softstop")).chain(tail.iter().cloned()).collect();
    match reading::read_in(&all, environment, &|| help::WIDTH) {
        Ok(Cli { command: None, wrapper }) => match wrapper.config(platform) {
            Ok(config) => Ok((config, Vec::new(), tail)),
            Err(why) => Err(usage_error(&why)),
        },
        Ok(_) => Err(usage_error(
            "only the wrapper stands behind the two dashes; without --wrapper a configuration is drilled",
        )),
        Err(said) => {
            say(said.text.trim_end());
            Err(said.code)
        }
    }
}

fn file(args: &cli::Drill, grace: Option<Duration>) -> Read {
    let path = place(&args.file);
    match load(&args.file, grace) {
        Ok((mut config, warnings)) => {
            warnings.iter().for_each(|warning| say(warning.to_string().trim_end()));
            config.source = std::path::absolute(&path).ok();
            let head = vec![OsString::from("run"), OsString::from("-c"), path.into_os_string()];
            let dashes = (!args.cmd.is_empty()).then(|| OsString::from("--"));
            Ok((config, head, dashes.into_iter().chain(args.cmd.iter().cloned()).collect()))
        }
        Err(problems) => {
            say(&problems.to_string());
            Err(exit::CONFIG)
        }
    }
}
