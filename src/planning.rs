//! `softstop plan`: read the configuration, and the manifest, draw what follows; start nothing.

use std::path::Path;

use softstop::cli::{OfFile, Planning};
use softstop::config::Config;
use softstop::exit;
use softstop::picture::{Picture, Remark, Weight};
use softstop::planned::{Planned, Sigkill};

use crate::console::{draw, print, refused, style, warn};
use crate::loading::{load, place, wrapper_in_pod};

/// What is to be planned.
struct Subject {
    config: Config,
    /// For the title.
    name: String,
    kubelet: Option<Sigkill>,
    /// What the manifest has to be told of.
    remarks: Vec<Remark>,
}

impl Subject {
    fn of(config: Config, name: String) -> Subject {
        Subject { config, name, kubelet: None, remarks: Vec::new() }
    }
}

pub fn plan(args: &OfFile<Planning>) -> u8 {
    let subject = match (&args.how.pod, args.how.args.is_empty()) {
        (Some(manifest), _) => pod::subject(args, manifest),
        (None, false) => wrapper_in_pod(&args.how.args).map(|(config, typed)| Subject::of(config, typed.join(" "))),
        (None, true) => of_file(args),
    };
    match subject {
        Ok(subject) => show(args, subject),
        Err(code) => code,
    }
}

fn of_file(args: &OfFile<Planning>) -> Result<Subject, u8> {
    let (config, warnings) = load(&args.file, None).map_err(|problems| refused(&problems))?;
    warn(&warnings);
    Ok(Subject::of(config, place(&args.file).display().to_string()))
}

fn show(args: &OfFile<Planning>, subject: Subject) -> u8 {
    let planned = Planned::new(subject.config);
    let picture = planned.picture(&subject.name, subject.kubelet, subject.remarks);
    let written = match (&args.how.svg, args.how.json) {
        (Some(path), _) => draw(path, &picture),
        (None, true) => {
            print(&planned.json(subject.kubelet, &picture.remarks));
            Ok(())
        }
        (None, false) => {
            let style = style();
            print(&format!("{}\n{}", planned.tree(style.unicode), picture.text(style)));
            Ok(())
        }
    };
    match written {
        Ok(()) if args.how.strict && is_warned(&picture) => exit::FAILED,
        Ok(()) => exit::OK,
        Err(code) => code,
    }
}

fn is_warned(picture: &Picture) -> bool {
    picture.remarks.iter().any(|remark| remark.weight < Weight::Note)
}

#[cfg(not(feature = "yaml"))]
mod pod {
    use super::{OfFile, Path, Planning, Subject};
    use crate::console::without_yaml;

    pub fn subject(_: &OfFile<Planning>, _: &Path) -> Result<Subject, u8> {
        Err(without_yaml("plan --pod"))
    }
}

#[cfg(feature = "yaml")]
mod pod {
    use softstop::config::problem::{Problems, Severity};
    use softstop::pod::finding::{Finding, PodStop};

    use super::{OfFile, Path, Planning, Remark, Sigkill, Subject, Weight, refused};
    use crate::loading::held;

    /// Rules of `check --pod` that are about the time of a stop.
    const OF_TIME: [&str; 12] = [
        "config",
        "usage",
        "nothing",
        "grace-zero",
        "grace-misplaced",
        "grace-too-short",
        "grace-unknown",
        "grace-sidecar",
        "no-drain",
        "prestop-sleep",
        "prestop-unknown",
        "prestop-missing",
    ];

    pub fn subject(args: &OfFile<Planning>, path: &Path) -> Result<Subject, u8> {
        let (name, report) = held(&args.file, args.how.container.as_deref(), path);
        let report = report.map_err(|problems| refused(&problems))?;
        let of_time = |finding: &&Finding| OF_TIME.contains(&finding.rule);
        let Some(PodStop { title, config, grace, left }) = report.stops.into_iter().next() else {
            let list = report.findings.into_iter().filter(|f| of_time(&f)).map(|f| f.problem).collect();
            return Err(refused(&Problems { file: name, list }));
        };
        Ok(Subject {
            config,
            name: format!("{name}, {title}"),
            kubelet: Some(Sigkill { after: left, grace }),
            remarks: report.findings.iter().filter(of_time).map(remark).collect(),
        })
    }

    fn remark(finding: &Finding) -> Remark {
        let weight = match finding.problem.severity {
            Severity::Error => Weight::Error,
            Severity::Warning => Weight::Warning,
        };
        Remark { weight, text: finding.problem.sentence.clone(), help: finding.problem.help.clone() }
    }
}
