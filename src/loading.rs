//! Where the configuration lies, and what it says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use softstop::cli::ConfigFile;
use softstop::config::Config;
use softstop::config::check::{self, Here};
use softstop::config::problem::{Problem, Problems};
use softstop::runtime;

/// `-c`, else `$SOFTSTOP_CONFIG` (clap reads both), else ./softstop.toml, else /etc/softstop.toml.
pub(crate) fn place(args: &ConfigFile) -> PathBuf {
    args.config.clone().unwrap_or_else(|| {
        let here = Path::new("softstop.toml");
        if here.exists() { here.to_path_buf() } else { PathBuf::from("/etc/softstop.toml") }
    })
}

/// `grace`: from the command line, which wins over the file; everything in the file is held against it.
pub(crate) fn load(args: &ConfigFile, grace: Option<Duration>) -> Result<(Config, Vec<Problem>), Problems> {
    load_using(args, grace, &|name| std::env::var(name).ok(), None)
}

/// `variable`: the value of one that the configuration refers to. `here`: where it is to run, if that is here.
pub(crate) fn load_using(
    args: &ConfigFile,
    grace: Option<Duration>,
    variable: &dyn Fn(&str) -> Option<String>,
    here: Option<&dyn Here>,
) -> Result<(Config, Vec<Problem>), Problems> {
    let (name, bytes) = source(args)?;
    check::read_here(check::decode(&bytes, &name)?, &name, variable, grace, here)
}

/// A configuration's name for messages, and its text.
pub(crate) fn source(args: &ConfigFile) -> Result<(String, Vec<u8>), Problems> {
    let path = place(args);
    let name = path.display().to_string();
    let bytes = runtime::files::read(&path, check::MAX_BYTES).map_err(|error| {
        Problems::of_file(&name, format!("the configuration cannot be read: {error}"), unreadable(args, &path))
    })?;
    Ok((name, bytes))
}

/// What helps when there is no such configuration.
fn unreadable(args: &ConfigFile, path: &Path) -> String {
    if args.config.is_none() {
        let places = "put it at ./softstop.toml or /etc/softstop.toml";
        return format!("name the configuration (softstop run FILE, -c FILE or $SOFTSTOP_CONFIG), or {places}");
    }
    let here = std::env::current_dir().ok().filter(|_| path.is_relative());
    let seen = here.map_or_else(String::new, |dir| format!(", seen from {}", dir.display()));
    let help = format!("is the path right{seen}, and may this user read it?");
    // As `docker run` has it.
    let program = path.components().count() == 1 && path.extension().is_none();
    if program { format!("{help} to run a program: softstop -- {}", path.display()) } else { help }
}
