//! `softstop report`: read the report of a finished run, or of two, draw it and say what went wrong.

use std::path::Path;

use softstop::cli::Reporting;
use softstop::exit;
use softstop::record::findings::{self, Finding};
use softstop::record::{MAX_BYTES, Run, compare};

use crate::console::{draw, print, say, style};
use crate::loading::bytes;

/// The input cannot be used: as `check --pod` has it.
const UNUSABLE: u8 = exit::UNREAD;

pub fn report(args: &Reporting) -> u8 {
    let Some(path) = &args.report else { return exit::USAGE };
    let runs = read(path).and_then(|run| Ok((run, args.later.as_deref().map(read).transpose()?)));
    let (run, later) = match runs {
        Ok(runs) => runs,
        Err(why) => {
            say(&format!("softstop: error: {why}"));
            return UNUSABLE;
        }
    };
    let (name, run) = &run;
    let failed = if let Some((other, later)) = later {
        print(&compare::text([name, &other], run, &later));
        compare::is_worse(run, &later)
    } else {
        let picture = run.picture(name);
        match &args.svg {
            Some(svg) => {
                if let Err(code) = draw(svg, &picture) {
                    return code;
                }
            }
            None => print(&picture.text(style())),
        }
        findings::of(run).iter().any(Finding::counts)
    };
    if args.strict && failed { exit::FAILED } else { exit::OK }
}

/// With its name, for messages.
fn read(path: impl AsRef<Path>) -> Result<(String, Run), String> {
    let (name, bytes) = bytes(path.as_ref(), MAX_BYTES);
    let help = "is the path right, and may this user read it?";
    let bytes = bytes.map_err(|error| format!("{name}: the report cannot be read: {error}; {help}"))?;
    let run = Run::read(&bytes).map_err(|why| format!("{name}: {why}"))?;
    Ok((name, run))
}
