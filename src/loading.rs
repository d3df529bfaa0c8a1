//! Where the configuration lies, and what it says.

use std::ffi::OsString;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use softstop::cli::reading::{self, UsageText};
use softstop::cli::{AsProcfile, Cli, ConfigFile};
use softstop::config::check::{self, Here};
use softstop::config::platform::Platform;
use softstop::config::problem::{Problem, Problems};
use softstop::config::sources::Sources;
use softstop::config::{Config, EnvFormat, env_file, procfile};
use softstop::pod::DEFAULT_CONFIG;
#[cfg(feature = "yaml")]
use softstop::pod::finding::Report;
use softstop::runtime;

use crate::console::{say, usage_error};

/// `-c`, else `$SOFTSTOP_CONFIG` (both are read by then), else ./softstop.toml, else /etc/softstop.toml, else ./Procfile.
pub(crate) fn place(args: &ConfigFile) -> PathBuf {
    args.config.clone().unwrap_or_else(|| {
        let places = ["softstop.toml", DEFAULT_CONFIG, "Procfile"].map(Path::new);
        places.into_iter().find(|place| place.exists()).unwrap_or(Path::new(DEFAULT_CONFIG)).to_path_buf()
    })
}

/// The configuration that was typed, and not named by the variable.
pub(crate) fn by_flag(args: &ConfigFile) -> Option<&PathBuf> {
    args.config.as_ref().filter(|file| std::env::var_os("SOFTSTOP_CONFIG").as_deref() != Some(file.as_os_str()))
}

/// The file that is meant, and how it is to be read.
pub(crate) struct Chosen {
    pub file: ConfigFile,
    /// As a Procfile, whatever its name is.
    procfile: bool,
}

impl Chosen {
    /// # Errors
    /// Two files are named; one line.
    pub(crate) fn of(file: &ConfigFile, as_procfile: &AsProcfile) -> Result<Chosen, String> {
        let Some(path) = &as_procfile.procfile else {
            return Ok(Chosen { file: ConfigFile { config: file.config.clone() }, procfile: false });
        };
        // The container's variable gives way.
        match by_flag(file) {
            Some(other) => {
                let (one, two) = (other.display(), path.display());
                Err(format!("two configuration files, {one} and {two}: leave one out"))
            }
            None => Ok(Chosen { file: ConfigFile { config: Some(path.clone()) }, procfile: true }),
        }
    }
}

impl From<&ConfigFile> for Chosen {
    fn from(file: &ConfigFile) -> Chosen {
        Chosen { file: ConfigFile { config: file.config.clone() }, procfile: false }
    }
}

/// `grace`: from the command line, which wins over the file; everything in the file is held against it.
pub(crate) fn load(args: &ConfigFile, grace: Option<Duration>) -> Result<(Config, Vec<Problem>), Problems> {
    load_using(&args.into(), grace, &|name| std::env::var(name).ok(), None)
}

/// `variable`: the value of one that the configuration refers to. `here`: where it is to run, if that is here.
pub(crate) fn load_using(
    chosen: &Chosen,
    grace: Option<Duration>,
    variable: &dyn Fn(&str) -> Option<String>,
    here: Option<&dyn Here>,
) -> Result<(Config, Vec<Problem>), Problems> {
    read_as(chosen, &sources(&chosen.file, variable)?, variable, grace, here)
}

/// A configuration of its texts.
pub(crate) fn read_as(
    chosen: &Chosen,
    sources: &Sources,
    variable: &dyn Fn(&str) -> Option<String>,
    grace: Option<Duration>,
    here: Option<&dyn Here>,
) -> Result<(Config, Vec<Problem>), Problems> {
    let (text, name) = (&sources.text, &sources.file);
    if !chosen.procfile && !check::is_procfile(text, name) {
        return check::read_sources(sources, variable, grace, here);
    }
    // As foreman has it, the PORT in the .env beside it is that of the first process.
    let beside = sources.dotenv.as_deref().unwrap_or_default();
    let parsed = env_file::parse(beside.as_bytes(), EnvFormat::Foreman, &|_| None).unwrap_or_default();
    let of_env_file =
        |wanted: &str| parsed.variables.iter().rev().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
    procfile::read(text, name, &|wanted: &str| of_env_file(wanted).or_else(|| variable(wanted)))
}

/// A configuration's texts: its own, and those of what it includes.
pub(crate) fn sources(args: &ConfigFile, variable: &dyn Fn(&str) -> Option<String>) -> Result<Sources, Problems> {
    let path = place(args);
    runtime::sources::read(&path, variable, &|name, error| {
        if args.config.is_none() && error.kind() == ErrorKind::NotFound {
            let sentence = "there is no configuration: no ./softstop.toml, no /etc/softstop.toml and no ./Procfile";
            return Problems::of_file(
                name,
                sentence,
                "write one of them, or name one: softstop run FILE, -c FILE or $SOFTSTOP_CONFIG",
            );
        }
        Problems::of_file(name, format!("the configuration cannot be read: {error}"), unreadable(args, &path))
    })
}

/// The name of a manifest, and what comes of it beside its configuration, which it may hold in a ConfigMap, or not need.
#[cfg(feature = "yaml")]
pub(crate) fn held(args: &ConfigFile, container: Option<&str>, path: &Path) -> (String, Result<Report, Problems>) {
    use softstop::cli::pod::{Found, interpret, options};

    let (name, text) = manifest(path);
    let report = text.and_then(|text| {
        let at_hand = args.config.is_some() || place(args).exists();
        let config = at_hand.then(|| sources(args, &|name| std::env::var(name).ok())).transpose()?;
        let found = config.as_ref().map(|sources| Found { sources, named: args.config.is_some() });
        let options = options(container, config.is_some());
        softstop::pod::check(&text, &name, &options, &|start| interpret(start, found.as_ref()))
            .map_err(|problem| Problems { file: name.clone(), list: vec![problem] })
    });
    (name, report)
}

/// What helps when there is no such configuration.
fn unreadable(args: &ConfigFile, path: &Path) -> String {
    if args.config.is_none() {
        let places = "put it at ./softstop.toml or /etc/softstop.toml; a ./Procfile is read, too";
        return format!("name the configuration (softstop run FILE, -c FILE or $SOFTSTOP_CONFIG), or {places}");
    }
    let here = std::env::current_dir().ok().filter(|_| path.is_relative());
    let seen = here.map_or_else(String::new, |dir| format!(", seen from {}", dir.display()));
    let help = format!("is the path right{seen}, and may this user read it?");
    // As `docker run` has it.
    let program = path.components().count() == 1 && path.extension().is_none();
    if program { format!("{help} to run a program: softstop -- {}", path.display()) } else { help }
}

/// A file's name for messages, and what it holds, one byte more than `most` at the most; `-` is standard input.
pub(crate) fn bytes(path: &Path, most: usize) -> (String, io::Result<Vec<u8>>) {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        let read = io::stdin().take(most as u64 + 1).read_to_end(&mut bytes);
        return ("stdin".to_owned(), read.map(|_| bytes));
    }
    (path.display().to_string(), runtime::files::read(path, most))
}

/// A manifest's name for messages, and its text.
#[cfg(feature = "yaml")]
pub(crate) fn manifest(path: &Path) -> (String, Result<String, Problems>) {
    use softstop::pod::yaml::MAX_BYTES;

    let (name, read) = bytes(path, MAX_BYTES);
    let cannot = |e| {
        Problems::of_file(
            &name,
            format!("the manifest cannot be read: {e}"),
            "is the path right, and may this user read it?",
        )
    };
    let text = read.map_err(cannot).and_then(|bytes| {
        if bytes.len() > MAX_BYTES {
            let sentence = format!("the manifest has more than {MAX_BYTES} bytes");
            return Err(Problems::of_file(&name, sentence, "take the manifests of one application at a time"));
        }
        String::from_utf8(bytes).map_err(|_| Problems::of_file(&name, "the manifest is not UTF-8", "save it as UTF-8"))
    });
    (name, text)
}

/// What the wrapper's arguments amount to in a pod, and these: of what is typed alone, a variable of this shell is none of the pod's.
///
/// # Errors
/// The exit code, when what is wrong has been said.
pub(crate) fn wrapper_in_pod(args: &[OsString]) -> Result<(Config, Vec<String>), u8> {
    let other = "only the wrapper can be said behind the two dashes; for softstop run name its configuration: -c FILE";
    let (config, words) = wrapper(args, Platform::Kubernetes, other, |all| reading::read_with(all, &|_| None))?;
    Ok((config, words.iter().map(|word| word.to_string_lossy().into_owned()).collect()))
}

/// What the wrapper's arguments amount to, and these. `other`: what is wrong where they are a command's.
///
/// # Errors
/// The exit code, when what is wrong has been said.
pub(crate) fn wrapper(
    args: &[OsString],
    platform: Platform,
    other: &str,
    read: impl FnOnce(&[OsString]) -> Result<Cli, UsageText>,
) -> Result<(Config, Vec<OsString>), u8> {
    let dashes = args.first().is_some_and(|first| !first.as_encoded_bytes().starts_with(b"-"));
    let words = dashes.then(|| OsString::from("--")).into_iter().chain(args.iter().cloned());
    let mut all: Vec<OsString> = std::iter::once(OsString::from("softstop")).chain(words).collect();
    let settings = match read(&all) {
        Ok(Cli { command: None, wrapper }) => wrapper.config(platform),
        Ok(_) => Err(other.to_owned()),
        Err(said) => {
            say(said.text.trim_end());
            return Err(said.code);
        }
    };
    settings.map(|config| (config, all.split_off(1))).map_err(|why| usage_error(&why))
}
