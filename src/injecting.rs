//! `softstop inject`: a manifest read, softstop put in front of its containers, and the result printed.

use softstop::cli::Injecting;

#[cfg(not(feature = "yaml"))]
pub fn inject(_: &Injecting) -> u8 {
    crate::console::usage_error("this softstop was built without YAML; build it with --features yaml for inject")
}

#[cfg(feature = "yaml")]
pub fn inject(args: &Injecting) -> u8 {
    use softstop::cli::pod::{interpret, options};
    use softstop::config::problem::Source;
    use softstop::exit;
    use softstop::pod::check;
    use softstop::pod::inject::{Carrier, Wanted, inject, remove};

    use crate::console::{print, say, usage_error};
    use crate::loading::manifest;

    let Some(file) = &args.file else { return usage_error("softstop inject -f FILE, or -f - for standard input") };
    let words: Vec<String> = args.cmd.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let wanted = Wanted {
        container: args.container.as_deref(),
        image: args.image.as_deref(),
        carrier: if args.image_volume { Carrier::ImageVolume } else { Carrier::Init },
        command: &words,
    };
    let (name, text) = manifest(file);
    let text = match &text {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(problems) => {
            problems.list.iter().for_each(|problem| say(&problem.to_string()));
            return exit::CONFIG;
        }
    };
    let source = Source::new(&name, text);
    let done = if args.remove { remove(&source) } else { inject(&source, &wanted) };
    let done = match done {
        Ok(done) => done,
        Err(problem) => {
            say(&problem.to_string());
            return exit::CONFIG;
        }
    };
    print(&done.text);
    done.notes.iter().for_each(|note| say(&format!("softstop: {note}")));
    if !args.remove
        && let Ok(report) =
            check(&done.text, "the result", &options(args.container.as_deref(), false), &|start| interpret(start, None))
    {
        report.findings.iter().for_each(|finding| say(&finding.to_string()));
    }
    exit::OK
}
