//! `softstop drill`: what is to be drilled, from the command line and the configuration.

use std::ffi::OsString;
use std::time::Duration;

use softstop::cli::drilling::Drilling;
use softstop::cli::{OfFile, help, reading};
use softstop::config::Config;
use softstop::config::platform::Platform;
use softstop::drill::{self, Plan};
use softstop::sys::signals::Early;

use crate::console::{refused, usage_error, warn};
use crate::loading::{self, load, place};

#[inline(never)] // as those of `main`
pub(crate) fn drill(
    args: OfFile<Drilling>,
    environment: &[(OsString, OsString)],
    platform: Platform,
    early: Early,
) -> u8 {
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

fn wrapper(args: &OfFile<Drilling>, environment: &[(OsString, OsString)], platform: Platform) -> Read {
    if args.how.cmd.is_empty() {
        return Err(usage_error("--wrapper without a program: softstop drill --wrapper -- /app/server"));
    }
    let other = "only the wrapper stands behind the two dashes; without --wrapper a configuration is drilled";
    let read = |all: &[OsString]| reading::read_in(all, environment, &|| help::WIDTH);
    let (config, tail) = loading::wrapper(&args.how.cmd, platform, other, read)?;
    Ok((config, Vec::new(), tail))
}

fn file(args: &OfFile<Drilling>, grace: Option<Duration>) -> Read {
    let path = place(&args.file);
    let (mut config, warnings) = load(&args.file, grace).map_err(|problems| refused(&problems))?;
    warn(&warnings);
    config.source = std::path::absolute(&path).ok();
    let head = vec![OsString::from("run"), OsString::from("-c"), path.into_os_string()];
    let dashes = (!args.how.cmd.is_empty()).then(|| OsString::from("--"));
    Ok((config, head, dashes.into_iter().chain(args.how.cmd.iter().cloned()).collect()))
}
