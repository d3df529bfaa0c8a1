//! softstop as tini, dumb-init or catatonit: what they take, say, do and exit with, under their names. See docs/drop-in.md.
//!
//! [`names`] says which program is meant; [`tini`] and the others are what each makes of its command line and of what happens, pure;
//! [`run`] is the one loop that does it. None of softstop's own is brought up for it: a process of 30 lines in `ps` stays one.

pub mod catatonit;
pub mod dumb_init;
mod getopt;
pub mod names;
mod numbers;
mod program;
mod run;
pub mod tini;

use std::ffi::OsString;

use crate::sys::signals::Early;
use names::Name;
use program::Reading;

/// Lives as the program of that name with this command line, whose first word is the name; its exit code.
pub fn run(name: Name, args: &[OsString], early: Early) -> u8 {
    let mut says = run::says();
    let variable = |name: &str| std::env::var_os(name);
    let reading = match name {
        Name::Tini => tini::read(args, &variable, &mut says),
        Name::DumbInit => dumb_init::read(args, &variable, &mut says),
        Name::Catatonit => catatonit::read(args, &variable, &mut says),
    };
    match reading {
        Reading::Ends(code) => {
            early.restore();
            run::say(&says);
            code
        }
        Reading::Runs(mut program) => run::run(program.as_mut(), early, says),
    }
}
