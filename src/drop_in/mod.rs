//! softstop as tini, dumb-init or catatonit: what they take, say, do and exit with, under their names. See docs/drop-in.md.
//!
//! [`names`] says which program is meant; [`tini`] and the others are what each makes of its command line and of what happens, pure;
//! [`mod@run`] is the one loop that does it; [`powers`] is what one of softstop's
//! own settings makes of it. None of softstop's own is brought up for it: a process of 30 lines in `ps` stays one.

pub mod catatonit;
pub mod dumb_init;
mod getopt;
pub mod names;
mod numbers;
mod powers;
mod program;
mod run;
pub mod tini;

use std::ffi::OsString;

use crate::cli::variables;
use crate::sys::signals::Early;
use catatonit::Catatonit;
use dumb_init::DumbInit;
use names::Name;
use program::{Program, Says};
use tini::Tini;

/// Lives as the program of that name with this command line, whose first word is the name; its exit code. With one of softstop's settings
/// `softstop` goes on instead, with a command line of its own.
pub fn run(name: Name, args: &[OsString], early: Early, softstop: impl FnOnce(&[OsString], Early) -> u8) -> u8 {
    let variable = |name: &str| std::env::var_os(name);
    let mut says = run::says();
    if variables::any_setting(std::env::vars_os()) {
        match powers::command_line(name, args, &variable, &mut says) {
            Ok(None) => {}
            Ok(Some(line)) => {
                run::say_and_go_on(&mut says);
                return softstop(&line, early);
            }
            Err(code) => return ends(code, early, says),
        }
        // What was read is read again, and said again.
        run::say_and_go_on(&mut says);
    }
    let program: Result<Box<dyn Program>, u8> = match name {
        Name::Tini => tini::settings(args, &variable, &mut says).map(|its| Box::new(Tini::new(its)) as _),
        Name::DumbInit => dumb_init::settings(args, &variable, &mut says).map(|its| Box::new(DumbInit::new(its)) as _),
        Name::Catatonit => {
            catatonit::settings(args, &variable, &mut says).map(|its| Box::new(Catatonit::new(its)) as _)
        }
    };
    match program {
        Err(code) => ends(code, early, says),
        Ok(mut program) => run::run(program.as_mut(), early, says),
    }
}

fn ends(code: u8, early: Early, mut says: Says) -> u8 {
    early.restore();
    run::say(&mut says);
    code
}
