//! What cargo and cargo-nextest ask of a program that is its own harness, as far as libtest's command line is used with it.

/// Libtest's flags whose value is a word of its own.
const WITH_VALUE: [&str; 6] = ["--test-threads", "--skip", "--format", "--color", "--logfile", "--report-time"];

/// The cases to be run now: all of these, or those that are named. None where they are to be listed, which they are then.
pub fn chosen<'a, Case>(args: &[String], cases: &'a [Case], name: fn(&Case) -> &str) -> Vec<&'a Case> {
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    if has("--list") {
        // As none of them is ignored.
        if !has("--ignored") {
            cases.iter().for_each(|case| println!("{}: test", name(case)));
        }
        return Vec::new();
    }
    let (mut named, mut skipped): (Vec<&str>, Vec<&str>) = Default::default();
    let mut words = args.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let value = if WITH_VALUE.contains(&word) { words.next() } else { None };
        match word {
            "--skip" => skipped.extend(value),
            word if !word.starts_with('-') => named.push(word),
            word => skipped.extend(word.strip_prefix("--skip=")),
        }
    }
    let any = |words: &[&str], case: &Case| {
        words.iter().any(|word| if has("--exact") { name(case) == *word } else { name(case).contains(word) })
    };
    cases.iter().filter(|case| (named.is_empty() || any(&named, case)) && !any(&skipped, case)).collect()
}
