//! `softstop report`: read the report of a finished run, or of two, draw it and say what went wrong.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use softstop::cli::Reporting;
use softstop::record::findings::{self, Finding};
use softstop::record::{MAX_BYTES, Run, compare};
use softstop::{exit, runtime};

use crate::console::{draw, print, say, style};

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
    let failed = match (later, &args.svg) {
        (Some((other, later)), _) => {
            let (name, run) = &run;
            print(&compare::text([name, &other], run, &later));
            compare::is_worse(run, &later)
        }
        (None, svg) => {
            let (name, run) = &run;
            let picture = run.picture(name);
            match svg {
                Some(svg) => {
                    if let Err(code) = draw(svg, &picture) {
                        return code;
                    }
                }
                None => print(&picture.text(style())),
            }
            findings::of(run).iter().any(Finding::counts)
        }
    };
    if args.strict && failed { exit::FAILED } else { exit::OK }
}

/// With its name, for messages.
fn read(path: impl AsRef<Path>) -> Result<(String, Run), String> {
    let path: PathBuf = path.as_ref().to_owned();
    let (name, bytes) = if path == Path::new("-") {
        let mut bytes = Vec::new();
        let read = io::stdin().take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes);
        ("stdin".to_owned(), read.map(|_| bytes))
    } else {
        (path.display().to_string(), runtime::files::read(&path, MAX_BYTES))
    };
    let help = "is the path right, and may this user read it?";
    let bytes = bytes.map_err(|error| format!("{name}: the report cannot be read: {error}; {help}"))?;
    let run = Run::read(&bytes).map_err(|why| format!("{name}: {why}"))?;
    Ok((name, run))
}
