//! Who is PID 1, and what the runtime does before its SIGTERM.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::common;
use crate::edge::Behind;
use crate::recipes::{self, Recipe};

#[derive(Clone)]
pub enum How {
    /// The application itself.
    Bare,
    /// `INIT -- APP`.
    Wrapper(PathBuf),
    /// s6-svscan over a directory with one service.
    S6(PathBuf),
    /// `softstop run` with this drain step.
    Softstop { binary: PathBuf, drain: String },
    /// `softstop -- APP` with `SOFTSTOP_DRAIN=auto` and nothing else.
    Auto(PathBuf),
    /// Another application, whose drain may tell it to have connections end.
    Recipe { binary: PathBuf, recipe: Recipe, tells: bool },
}

/// What is measured at each lag.
#[derive(Clone)]
pub struct Row {
    pub behind: Behind,
    pub init: Init,
    /// Beside short requests there are some of seconds, streams and sessions.
    pub long: bool,
}

#[derive(Clone)]
pub struct Init {
    pub name: String,
    pub how: How,
    /// `preStop: sleep`: between the stop request and SIGTERM.
    pub pre_stop: Duration,
    /// In the picture, as a class of its style sheet.
    pub class: &'static str,
}

/// What a step is configured with for lags up to `longest`, and how long anything may then still be under way.
pub struct Fixed {
    pub longest: Duration,
    pub sleep: Duration,
}

/// The rows. What is not installed is left out and said so; so is `wait_idle` where `softstop` does not have it.
pub fn all(softstop: &Path, dir: &Path, fixed: &Fixed) -> Vec<Init> {
    let none = Duration::ZERO;
    let mut inits = vec![Init { name: "bare".into(), how: How::Bare, pre_stop: none, class: "bare" }];
    let first = |names: &[&str]| names.iter().find_map(|n| common::find(n));
    let tini = first(&["tini-static", "tini"]);
    let wrappers = [("tini", tini.clone(), "tini"), ("dumb-init", first(&["dumb-init"]), "dumb")];
    for (name, path, class) in wrappers {
        match path {
            Some(path) => inits.push(Init { name: name.into(), how: How::Wrapper(path), pre_stop: none, class }),
            None => eprintln!("rollout: {name} is not installed and left out: apt-get install {name}"),
        }
    }
    match first(&["s6-svscan"]) {
        Some(path) => inits.push(Init { name: "s6".into(), how: How::S6(path), pre_stop: none, class: "s6" }),
        None => eprintln!("rollout: s6 is not installed and left out: apt-get install s6"),
    }
    if let Some(tini) = tini {
        let name = format!("tini, preStop sleep {}s", fixed.longest.as_secs());
        inits.push(Init { name, how: How::Wrapper(tini), pre_stop: fixed.longest, class: "prestop" });
    }
    let softstops = [
        (
            format!("softstop, sleep {}s", fixed.sleep.as_secs()),
            "sleep",
            How::Softstop { binary: softstop.to_owned(), drain: format!("sleep = \"{}s\"", fixed.sleep.as_secs()) },
        ),
        (
            "softstop, wait_idle".to_owned(),
            "idle",
            How::Softstop {
                binary: softstop.to_owned(),
                drain: "wait_idle = { port = PORT }\ntimeout = \"30s\"".to_owned(),
            },
        ),
        ("softstop, SOFTSTOP_DRAIN=auto".to_owned(), "auto", How::Auto(softstop.to_owned())),
    ];
    for (name, class, how) in softstops {
        let init = Init { name, how, pre_stop: none, class };
        if init.accepted(dir) {
            inits.push(init);
        } else {
            eprintln!("rollout: this softstop does not know {}: that row is left out", init.name);
        }
    }
    inits
}

/// Each recipe that is possible here, without its first step and with it.
pub fn recipes(softstop: &Path) -> Vec<Init> {
    let mut inits = Vec::new();
    for recipe in recipes::ALL {
        if let Err(why) = recipe.build() {
            eprintln!("rollout: the rows of {} are left out: {why}", recipe.name);
            continue;
        }
        for tells in [false, true] {
            let name =
                if tells { "{}, told to answer with Connection: close" } else { "{}" }.replace("{}", recipe.name);
            let how = How::Recipe { binary: softstop.to_owned(), recipe, tells };
            inits.push(Init { name, how, pre_stop: Duration::ZERO, class: "recipe" });
        }
    }
    inits
}

impl Init {
    /// The command line that runs `app`, which listens on `port`; files it needs are made in `dir`.
    pub fn command(&self, app: &[String], port: u16, dir: &Path) -> Vec<String> {
        let text = |path: &Path| path.to_str().expect("paths of the bench are text").to_owned();
        match &self.how {
            How::Bare => app.to_vec(),
            How::Wrapper(init) => [&[text(init), "--".to_owned()], app].concat(),
            How::S6(svscan) => {
                let scan = dir.join(format!("s6-{port}"));
                // A path may have blanks.
                let words: Vec<String> = app.iter().map(|word| format!("'{word}'")).collect();
                script(&scan.join("app/run"), &format!("exec {}", words.join(" ")));
                script(&scan.join(".s6-svscan/finish"), "exit 0");
                vec![text(svscan), text(&scan)]
            }
            How::Softstop { binary, drain } => {
                let words: Vec<String> = app.iter().map(|w| format!("{w:?}")).collect();
                let config = format!(
                    "grace = \"45s\"\n\n[[process]]\nname = \"app\"\ncommand = [{}]\n\n[[drain]]\n{}\n",
                    words.join(", "),
                    drain.replace("PORT", &port.to_string())
                );
                let file = dir.join(format!("softstop-{port}.toml"));
                std::fs::write(&file, config).unwrap();
                vec![text(binary), "run".into(), "-c".into(), text(&file)]
            }
            How::Auto(binary) => {
                // As a pod has it: endpoints are some seconds in leaving.
                let words = ["env", "KUBERNETES_SERVICE_HOST=10.96.0.1", "SOFTSTOP_DRAIN=auto", &text(binary), "--"]
                    .map(ToOwned::to_owned);
                [&words[..], app].concat()
            }
            How::Recipe { binary, recipe, tells } => recipe.command(binary, *tells, port, dir),
        }
    }

    fn accepted(&self, dir: &Path) -> bool {
        let command = match &self.how {
            How::Softstop { .. } => {
                let mut command = self.command(&["/bin/true".to_owned()], 1, dir);
                command[1] = "check".into();
                command
            }
            How::Auto(binary) => {
                [&binary.display().to_string(), "--drain", "auto", "--", "/bin/true"].map(str::to_owned).into()
            }
            _ => return true,
        };
        std::process::Command::new(&command[0]).args(&command[1..]).output().is_ok_and(|o| o.status.success())
    }
}

fn script(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("it is in a directory")).unwrap();
    std::fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
