//! `softstop inject`: a manifest read, softstop put in front of its containers, and the result printed.

#[cfg(not(feature = "yaml"))]
pub fn inject(_: &softstop::cli::Injecting) -> u8 {
    crate::console::usage_error("this softstop was built without YAML; build it with --features yaml for inject")
}

#[cfg(feature = "yaml")]
pub use with_yaml::inject;

#[cfg(feature = "yaml")]
mod with_yaml {
    use softstop::cli::Injecting;
    use softstop::cli::pod::{interpret, options};
    use softstop::config::problem::{Problem, Source};
    use softstop::exit;
    use softstop::pod::check;
    use softstop::pod::inject::{Carrier, Done, Wanted, inject as put, remove};

    use crate::console::{print, say, usage_error};
    use crate::loading::manifest;

    pub fn inject(args: &Injecting) -> u8 {
        let Some(file) = &args.file else { return usage_error("softstop inject -f FILE, or -f - for standard input") };
        let (name, text) = manifest(file);
        let done = text.map_err(|problems| problems.list);
        match done.and_then(|text| changed(args, &name, &text).map_err(|problem| vec![problem])) {
            Ok(done) => {
                print(&done.text);
                done.notes.iter().for_each(|note| say(&format!("softstop: {note}")));
                if !args.remove {
                    say_findings(args, &done.text);
                }
                exit::OK
            }
            Err(problems) => {
                problems.iter().for_each(|problem| say(&problem.to_string()));
                exit::CONFIG
            }
        }
    }

    fn changed(args: &Injecting, name: &str, text: &str) -> Result<Done, Problem> {
        let source = Source::new(name, text.strip_prefix('\u{feff}').unwrap_or(text));
        if args.remove {
            return remove(&source);
        }
        let words: Vec<String> = args.cmd.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let wanted = Wanted {
            container: args.container.as_deref(),
            image: args.image.as_deref(),
            carrier: if args.image_volume { Carrier::ImageVolume } else { Carrier::Init },
            command: &words,
        };
        put(&source, &wanted)
    }

    fn say_findings(args: &Injecting, result: &str) {
        let options = options(args.container.as_deref(), false);
        if let Ok(report) = check(result, "the result", &options, &|start| interpret(start, None)) {
            report.findings.iter().for_each(|finding| say(&finding.to_string()));
        }
    }
}
