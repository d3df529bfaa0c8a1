//! Arguments, one a line, as bytes: a command line whose configuration can be lived, or a usage error, or help. Never a panic.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use softstop::cli::{Command, reading};
use softstop::config::Config;
use softstop::exit;

use super::life::live;

pub fn target(data: &[u8]) {
    // An argument has no NUL byte in it.
    let typed = data.split(|b| *b == b'\n' || *b == 0).map(|arg| OsStr::from_bytes(arg).to_owned());
    let args: Vec<OsString> = std::iter::once("softstop".into()).chain(typed).collect();
    let cli = match reading::read(&args) {
        Ok(cli) => cli,
        Err(said) => {
            assert!(said.code == exit::OK || said.code == exit::USAGE, "{said:?}");
            assert!(!said.text.trim().is_empty() && said.text.ends_with('\n'), "{said:?}");
            return;
        }
    };
    let config = match &cli.command {
        None => {
            assert!(!cli.wrapper.cmd.is_empty(), "nothing to run");
            cli.wrapper.config(Default::default())
        }
        Some(Command::Run(run)) => {
            let mut config = Config::with_defaults();
            run.common.apply(&mut config).map(|()| config)
        }
        Some(_) => return,
    };
    match config {
        Ok(config) => live(config),
        Err(why) => super::assert_one_line(&why),
    }
}
