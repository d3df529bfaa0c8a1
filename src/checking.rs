//! `softstop check` and `softstop manifest`: read files, print what is found, start nothing.

mod here;

use std::cell::RefCell;
use std::path::Path;

use softstop::cli::{Check, OfFile, Printing};
use softstop::config::check::{self, Here};
use softstop::exit;
use softstop::pod::DEFAULT_CONFIG;
use softstop::pod::env::Origin;
use softstop::pod::finding::Report;
use softstop::pod::fragment::{Start, Variables, write};
use softstop::text::several;

use crate::console::{print, refused, say, usage_error, warn};
use crate::loading::{Chosen, load_using, place, read_as, sources, wrapper_in_pod};

pub fn check(args: &Check) -> u8 {
    match &args.how.pod {
        Some(manifest) => pod::run(args, manifest),
        None => config(args),
    }
}

fn config(args: &Check) -> u8 {
    let chosen = match Chosen::of(&args.file, &args.procfile) {
        Ok(chosen) => chosen,
        Err(why) => return usage_error(&why),
    };
    let file = place(&chosen.file);
    let here = (args.how.here || is_the_image(&file)).then_some(&here::Machine as &dyn Here);
    let variable = |name: &str| std::env::var(name).ok();
    let sources = sources(&chosen.file, &variable);
    let read = sources.clone().and_then(|sources| read_as(&chosen, &sources, &variable, None, here));
    let code = match &read {
        Ok((_, warnings)) if args.how.strict && !warnings.is_empty() => exit::FAILED,
        Ok(_) => exit::OK,
        Err(_) => exit::CONFIG,
    };
    match read {
        read if args.how.json => {
            let list = read.map_or_else(|problems| problems.list, |(_, warnings)| warnings);
            print(&format!("{}\n", Report::of_config(list).json(&file.display().to_string())));
        }
        Ok((config, warnings)) => {
            warn(&warnings);
            let patterns = sources.as_ref().map_or_else(|_| Vec::new(), |s| check::includes(&s.text, &variable));
            for pattern in sources.iter().flat_map(|sources| sources.unmatched(&patterns)) {
                say(&format!("note: include {pattern:?}: there is no such file"));
            }
            print(&format!(
                "{}: ok ({}, {}, {} grace)\n",
                file.display(),
                several(config.processes.len(), "process", "processes"),
                several(config.drain.len(), "drain step", "drain steps"),
                humantime::format_duration(config.grace),
            ));
        }
        Err(problems) => say(&problems.to_string()),
    }
    code
}

/// This is most likely the image that the configuration is for: it stands where an image has it, or softstop does.
fn is_the_image(config: &Path) -> bool {
    let own = std::env::current_exe().is_ok_and(|exe| exe.parent() == Some(Path::new("/")));
    own || config == Path::new(DEFAULT_CONFIG)
}

pub fn manifest(args: &OfFile<Printing>) -> u8 {
    if !args.how.args.is_empty() {
        return of_wrapper(args);
    }
    let used = RefCell::new(Variables::new());
    let variable = |name: &str| {
        let here = std::env::var(name).ok();
        used.borrow_mut().insert(name.to_owned(), here.clone());
        match Origin::of(name) {
            // The pod has its own.
            origin @ (Origin::Field(_) | Origin::Secret) => Some(origin.stand_in(name).to_owned()),
            Origin::Runtime | Origin::Other => here,
        }
    };
    match load_using(&(&args.file).into(), None, &variable, None) {
        Ok((config, _)) => {
            let (file, variables) = (place(&args.file).display().to_string(), used.into_inner());
            print(&write(
                &config,
                &Start::Run { file: &file, variables: &variables },
                args.how.kind.unwrap_or_default(),
            ));
            exit::OK
        }
        Err(problems) => refused(&problems),
    }
}

/// Of what is typed alone: a variable of this shell is none of the pod's.
fn of_wrapper(args: &OfFile<Printing>) -> u8 {
    match wrapper_in_pod(&args.how.args) {
        Ok((config, words)) => {
            print(&write(&config, &Start::Wrapper { args: &words }, args.how.kind.unwrap_or_default()));
            exit::OK
        }
        Err(code) => code,
    }
}

#[cfg(not(feature = "yaml"))]
mod pod {
    use super::{Check, Path};
    use crate::console::without_yaml;

    pub fn run(_: &Check, _: &Path) -> u8 {
        without_yaml("check --pod")
    }
}

#[cfg(feature = "yaml")]
mod pod {
    use softstop::pod::finding::Report;

    use super::{Check, Path, exit, print, say};
    use crate::loading::held;

    pub fn run(args: &Check, path: &Path) -> u8 {
        match held(&args.file, args.how.container.as_deref(), path) {
            (name, Ok(report)) => said(args, &report, &name),
            (_, Err(problems)) => {
                problems.list.iter().for_each(|problem| say(&problem.to_string()));
                say(&format!("{}: cannot be checked", problems.file));
                exit::CONFIG
            }
        }
    }

    fn said(args: &Check, report: &Report, name: &str) -> u8 {
        if args.how.json {
            print(&format!("{}\n", report.json(name)));
        } else {
            report.findings.iter().for_each(|finding| say(&finding.to_string()));
            let summary = report.summary(name);
            if report.errors() > 0 { say(&summary) } else { print(&format!("{summary}\n")) }
        }
        match (report.errors(), report.warnings()) {
            (1.., _) => exit::CONFIG,
            _ if !report.unread.is_empty() => exit::UNREAD,
            (_, 1..) if args.how.strict => exit::FAILED,
            _ => exit::OK,
        }
    }
}
