//! Two read the wrapper's command line: clap, and what stands before it for the sake of speed. Whatever the quick one does not decline, both
//! read alike: every flag in every form, with values right and wrong, and random ones; and every variable.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use softstop::cli::declare::{Flag, Form, Group, Takes};
use softstop::cli::{Common, Own, Wrapper, quick, reading};

/// Of every kind that a flag takes, and what none takes.
const VALUES: &[&[u8]] = &[
    b"5s",
    b"0s",
    b"TERM",
    b"QUIT:2s",
    b"QUIT:2s,TERM",
    b"TERM:QUIT",
    b"1:0,USR1:none",
    b"INT,TERM",
    b"143=0",
    b"143",
    b"143,1=2",
    b"3",
    b"256",
    b"-0",
    b"+5",
    b"9180",
    b":9180",
    b"@x",
    b"off",
    b"/x",
    b"auto",
    b"80,auto",
    b"tcp:80",
    b"http://h:1/p?a=b",
    b"token:0123456789abcdef",
    b"10.0.0.0/8",
    b"",
    b",",
    b"a,,b",
    b",5s",
    b" 5s",
    b"-",
    b"--",
    b"-5",
    b"--grace",
    b"a=b",
    b"=5s",
    b"\xff",
    b"/\xff",
    b"5s\n",
    b"run",
    b"status",
];

fn flags() -> Vec<&'static Flag> {
    Common::ROWS.iter().map(|row| &row.flag).chain(Own::ROWS.iter().map(|row| &row.flag)).collect()
}

fn values(flag: &Flag) -> Vec<OsString> {
    let words: &[&str] = if let Form::Words(words) = flag.form { words } else { &[] };
    let nearly = words.iter().map(|word| OsString::from(&word[..word.len() - 1]));
    let others = VALUES.iter().map(|value| OsStr::from_bytes(value).to_owned());
    words.iter().map(OsString::from).chain(nearly).chain(others).collect()
}

fn here(name: &'static str) -> Option<OsString> {
    std::env::var_os(name)
}

fn meant(wrapper: &Wrapper) -> String {
    format!("{wrapper:?}\n{:?}", wrapper.config(Default::default()))
}

/// Whether the quick reader takes it. Then clap reads the same.
fn both(args: &[OsString]) -> bool {
    let args: Vec<OsString> = [OsString::from("softstop")].iter().chain(args).cloned().collect();
    let Some(read) = quick::read(&args, &here) else { return false };
    match reading::read_by_grammar(&args) {
        Ok(cli) => {
            assert!(cli.command.is_none(), "{args:?}: a command");
            assert_eq!(meant(&read), meant(&cli.wrapper), "{args:?}");
        }
        Err(said) => panic!("{args:?} is read, and refused by clap: {}", said.text),
    }
    true
}

fn joined(parts: &[&OsStr]) -> OsString {
    parts.iter().fold(OsString::new(), |mut all, part| {
        all.push(part);
        all
    })
}

/// `[--grace, 5s]`, `[--grace=5s]`, `[-s, QUIT]`, `[-sQUIT]`, `[-s=QUIT]`.
fn forms(flag: &Flag, value: &OsStr) -> Vec<Vec<OsString>> {
    let long = OsString::from(format!("--{}", flag.long));
    let mut forms = vec![vec![long.clone(), value.to_owned()], vec![joined(&[&long, "=".as_ref(), value])]];
    if let Some(short) = flag.short.map(|short| OsString::from(format!("-{short}"))) {
        forms.push(vec![short.clone(), value.to_owned()]);
        forms.push(vec![joined(&[&short, value])]);
        forms.push(vec![joined(&[&short, "=".as_ref(), value])]);
    }
    forms
}

fn program() -> Vec<OsString> {
    ["--", "/bin/app", "--grace", "-g", ""].map(OsString::from).to_vec()
}

#[test]
fn every_flag_is_read_alike_in_every_form() {
    for flag in flags().into_iter().filter(|flag| flag.takes != Takes::Nothing) {
        let mut taken = [0; 5];
        for value in values(flag) {
            for (n, form) in forms(flag, &value).into_iter().enumerate() {
                taken[n] += usize::from(both(&[form, program()].concat()));
            }
        }
        let plain = if flag.short.is_some() { 4 } else { 2 };
        assert!(taken[..plain].iter().all(|taken| *taken > 0), "--{} is left to clap: {taken:?}", flag.long);
    }
}

#[test]
fn switches_repeated_flags_and_odd_places_are_read_alike() {
    let right: Vec<Vec<OsString>> = flags()
        .into_iter()
        .filter_map(|flag| match flag.takes {
            Takes::Nothing => Some(vec![OsString::from(format!("--{}", flag.long))]),
            _ => values(flag)
                .into_iter()
                .map(|value| forms(flag, &value).remove(0))
                .find(|form| both(&[form.clone(), program()].concat())),
        })
        .collect();
    assert_eq!(right.len(), flags().len());
    let word = |word: &str| vec![OsString::from(word)];
    for form in &right {
        both(&[form.clone(), form.clone(), program()].concat());
        // Without its value, without a program, without the dashes.
        both(&[form[..1].to_vec(), program()].concat());
        both(form);
        both(&[form.clone(), word("--")].concat());
        both(&[form.clone(), word("/bin/app")].concat());
        // Abbreviated, misspelt, with too much.
        let long = form[0].to_str().expect("it is ASCII").to_owned();
        for typed in [
            &long[..long.len() - 1],
            &format!("{long}x"),
            &long.to_uppercase(),
            &long.replace("--", "-"),
            &format!("{long}="),
        ] {
            both(&[word(typed), form[1..].to_vec(), program()].concat());
        }
        // Behind another, with a word between, before a command.
        for other in
            [right[0].clone(), word("-g"), word("-"), word(""), word("run"), word("-h"), word("--version"), word("-gs")]
        {
            both(&[other.clone(), form.clone(), program()].concat());
            both(&[form.clone(), other, program()].concat());
        }
    }
    assert!(both(&program()), "a program alone");
    assert!(both(&[word("-g"), program()].concat()));
    assert!(!both(&[]), "nothing to run");
}

/// Any arguments: of those that the quick reader takes, the first few hundred.
#[test]
fn random_command_lines_are_read_alike() {
    let mut state = 88_172_645_463_325_252_u64;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).expect("it fits") % below
    };
    let all = flags();
    let mut taken = 0;
    for _ in 0..20_000 {
        let mut args = Vec::new();
        for _ in 0..draw(5) {
            let flag = all[draw(all.len())];
            let values = values(flag);
            let mut forms = forms(flag, &values[draw(values.len())]);
            args.extend(forms.swap_remove(draw(forms.len())));
        }
        if draw(8) == 0 && !args.is_empty() {
            args.remove(draw(args.len()));
        }
        args.extend(program());
        taken += usize::from(both(&args));
        if taken == 200 {
            return;
        }
    }
    assert!(taken > 50, "hardly anything is read quickly: {taken}");
}

/// With the variables that there are: what the next test starts.
#[test]
fn an_environment_is_read_alike() {
    let word = |word: &str| vec![OsString::from(word)];
    for flags in [vec![], word("-g"), word("--grace=5s"), word("--http=1"), vec!["-e".into(), "1".into()]] {
        let quick = both(&[flags, program()].concat());
        if std::env::var_os("IS_READ_QUICKLY").is_some() {
            println!("{}", if quick { "read" } else { "declined" });
        }
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a test has no other waiter")]
fn every_variable_is_read_alike() {
    let exe = std::env::current_exe().expect("a test has a path");
    for flag in flags().into_iter().filter(|flag| !flag.variable.is_empty()) {
        let mut read = 0;
        // What can be right, and each kind of wrong.
        let right = values(flag).into_iter().filter(|value| quick_takes(flag, value)).take(2);
        let wrong = ["", ",", "zzz z"].map(OsString::from).into_iter().chain([OsStr::from_bytes(b"\xff").to_owned()]);
        for value in right.chain(wrong) {
            let mut child = Command::new(&exe);
            child.args(["--exact", "quick::an_environment_is_read_alike", "--nocapture"]);
            let told =
                child.env(flag.variable, &value).env("IS_READ_QUICKLY", "1").output().expect("a test can be run");
            let said = String::from_utf8_lossy(&told.stdout);
            assert!(
                told.status.success(),
                "{}={value:?}: {said}{}",
                flag.variable,
                String::from_utf8_lossy(&told.stderr)
            );
            assert!(said.contains("1 passed"), "{said}");
            read += said.matches("read\n").count();
        }
        assert!(read > 0, "{} is left to clap", flag.variable);
    }
}

fn quick_takes(flag: &Flag, value: &OsStr) -> bool {
    let args: Vec<OsString> = [vec![OsString::from("softstop")], program()].concat();
    !value.is_empty() && quick::read(&args, &|name| (name == flag.variable).then(|| value.to_owned())).is_some()
}
