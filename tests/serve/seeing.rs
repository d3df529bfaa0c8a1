//! `softstop plan` and `softstop report` as they are typed, with the real binary: what is drawn where, what is written, which code it exits with.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::{Dir, SOFTSTOP};

const CONFIG: &str = "\
grace = '10s'
control.socket = 'off'
[[process]]
name = 'web'
command = ['app']
stop = [{ signal = 'SIGQUIT', wait = '8s' }]
[[process]]
name = 'agent'
command = ['agent']
after = { web = 'ready' }
[[drain]]
name = 'notice'
sleep = '3s'
";

const POD: &str = "\
apiVersion: v1
kind: Pod
metadata: { name: web }
spec:
  terminationGracePeriodSeconds: 6
  containers:
    - name: web
      image: web
      command: ['/softstop', 'run']
";

/// With these variables, and none of softstop's own or of the locale.
fn softstop(dir: &Dir, args: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(SOFTSTOP);
    command.args(args).current_dir(dir.path("")).stdin(Stdio::null());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SOFTSTOP_")) {
        command.env_remove(name);
    }
    for name in ["LC_ALL", "LC_CTYPE", "LANG", "COLUMNS"] {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied()).output().unwrap()
}

#[track_caller]
fn expect(output: &Output, code: i32, words: &[&str]) -> String {
    let all = String::from_utf8([output.stdout.as_slice(), &output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{all}");
    for word in words {
        assert!(all.contains(word), "{word:?} is not in:\n{all}");
    }
    all
}

#[test]
fn plan_draws_for_a_pipe_as_wide_as_is_asked_and_in_what_the_locale_has() {
    let dir = Dir::new();
    dir.write("softstop.toml", CONFIG);
    let tree = "start\n└─ web\n   └─ agent, when web is ready\n";
    let short = "the stop of web has";
    let all =
        expect(&softstop(&dir, &["plan"], &[]), 0, &[tree, "softstop plan: softstop.toml", short, "help: grace = \""]);
    assert!(!all.contains('\x1b') && all.lines().all(|line| line.chars().count() <= 100), "{all}");
    let narrow = expect(&softstop(&dir, &["plan"], &[("COLUMNS", "60"), ("LANG", "C")]), 0, &["`- web\n"]);
    assert!(narrow.is_ascii() && narrow.lines().all(|line| line.len() <= 60), "{narrow}");
    expect(&softstop(&dir, &["plan", "--strict"], &[("LC_ALL", "de_DE.utf8")]), 1, &["└─ web"]);
    let fits = CONFIG.replace("10s", "60s");
    dir.write("fits.toml", &fits);
    let fine = expect(&softstop(&dir, &["plan", "fits.toml", "--strict"], &[]), 0, &["up to"]);
    assert!(!fine.contains("warning"), "{fine}");
    expect(&softstop(&dir, &["plan", "missing.toml"], &[]), 78, &["missing.toml", "cannot be read"]);
}

#[test]
fn plan_writes_json_and_svg_and_knows_the_wrapper() {
    let dir = Dir::new();
    dir.write("softstop.toml", CONFIG);
    let json = softstop(&dir, &["plan", "--json"], &[]);
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        (&json["format"], &json["grace_seconds"], &json["deadline_seconds"]),
        (&1.into(), &10.0.into(), &9.0.into())
    );
    assert_eq!(json["start"][1]["after"][0]["name"], "web", "{json:#}");
    let web = json["stop"].as_array().unwrap().iter().find(|slice| slice["name"] == "web").unwrap();
    assert_eq!((&web["asks_seconds"], &web["short"]), (&8.0.into(), &true.into()), "{json:#}");
    assert!(json["fits_in_seconds"].as_f64().unwrap() > 10.0, "{json:#}");
    expect(&softstop(&dir, &["plan", "--svg", "plan.svg"], &[]), 0, &[]);
    let written = std::fs::read(dir.path("plan.svg")).unwrap();
    let printed = softstop(&dir, &["plan", "--svg", "-"], &[]).stdout;
    assert!(printed.starts_with(b"<svg ") && printed == written);
    let nowhere = softstop(&dir, &["plan", "--svg", "no/such/folder.svg"], &[]);
    expect(&nowhere, 1, &["cannot write the picture to no/such/folder.svg"]);
    let wrapper = softstop(&dir, &["plan", "--", "--drain", "auto", "--grace", "30s", "--", "/app/server"], &[]);
    expect(&wrapper, 0, &["└─ server", "open connections", "deadline 29.0s"]);
    expect(&softstop(&dir, &["plan", "--", "--grace", "30", "--", "x"], &[]), 64, &["30"]);
}

#[test]
fn plan_draws_the_kubelets_sigkill_from_a_manifest() {
    let dir = Dir::new();
    dir.write("softstop.toml", CONFIG);
    dir.write("pod.yaml", POD);
    let says =
        ["SIGKILL by the kubelet 6.0s", "error: the kubelet sends SIGKILL 6.0s after softstop is told, 4.0s before"];
    expect(&softstop(&dir, &["plan", "--pod", "pod.yaml"], &[("COLUMNS", "200")]), 0, &says);
    dir.write("pod.yaml", &POD.replace("Seconds: 6", "Seconds: 15"));
    let later =
        expect(&softstop(&dir, &["plan", "--pod", "pod.yaml"], &[("COLUMNS", "200")]), 0, &["by the kubelet 15.0s"]);
    assert!(!later.contains("error: the kubelet"), "{later}");
    dir.write("pod.yaml", "kind: [");
    expect(&softstop(&dir, &["plan", "--pod", "pod.yaml"], &[]), 78, &["pod.yaml"]);
}

#[test]
fn report_draws_compares_and_refuses() {
    let dir = Dir::new();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/pictures/report.json");
    let says = ["stopped in 5.0s of 8.0s", "web needed SIGKILL 3.0s after SIGTERM: it is a shell (sh)", "exec"];
    expect(&softstop(&dir, &["report", example], &[]), 0, &says);
    expect(&softstop(&dir, &["report", example, "--strict"], &[]), 1, &says);
    expect(&softstop(&dir, &["report", example, "--svg", "report.svg"], &[]), 0, &[]);
    assert!(std::fs::read_to_string(dir.path("report.svg")).unwrap().contains("needed SIGKILL"));
    expect(&softstop(&dir, &["report", example, example, "--strict"], &[]), 0, &["STEP", "flush the queue"]);
    expect(&softstop(&dir, &["report", example, example, "--svg", "x"], &[]), 64, &["--svg"]);
    let whole = std::fs::read_to_string(example).unwrap();
    dir.write("cut.json", &whole[..whole.len() / 2]);
    dir.write("newer.json", &whole.replace("\"format\": 1", "\"format\": 9"));
    for (file, says) in [
        ("cut.json", "cut.json: it is cut off"),
        ("newer.json", "newer.json: it is of format 9"),
        ("none.json", "none.json: the report cannot be read: No such file"),
    ] {
        expect(&softstop(&dir, &["report", file], &[]), 65, &["softstop: error: ", says]);
        expect(&softstop(&dir, &["report", example, file], &[]), 65, &[says]);
    }
    expect(&softstop(&dir, &["report"], &[]), 64, &["FILE"]);
}
