//! `softstop plan` and `softstop report` as they are typed, with the real binary: what is drawn where, what is written, which code it exits with.

use serde_json::Value;

use crate::support::Dir;
use crate::support::client::{Told, softstop};

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
fn typed(dir: &Dir, args: &[&str], variables: &[(&str, &str)]) -> Told {
    let mut command = softstop(args);
    for name in ["LC_ALL", "LC_CTYPE", "LANG", "COLUMNS"] {
        command.env_remove(name);
    }
    Told::by(command.current_dir(dir.path("")).envs(variables.iter().copied()))
}

#[test]
fn plan_draws_for_a_pipe_as_wide_as_is_asked_and_in_what_the_locale_has() {
    let dir = Dir::new();
    dir.write("softstop.toml", CONFIG);
    let tree = "start\n└─ web\n   └─ agent, when web is ready\n";
    let short = "the stop of web has";
    let all = typed(&dir, &["plan"], &[])
        .expect_all(0, &[tree, "softstop plan: softstop.toml", short, "help: grace = \""])
        .all();
    assert!(!all.contains('\x1b') && all.lines().all(|line| line.chars().count() <= 100), "{all}");
    let narrow = typed(&dir, &["plan"], &[("COLUMNS", "60"), ("LANG", "C")]).expect_all(0, &["`- web\n"]).all();
    assert!(narrow.is_ascii() && narrow.lines().all(|line| line.len() <= 60), "{narrow}");
    typed(&dir, &["plan", "--strict"], &[("LC_ALL", "de_DE.utf8")]).expect_all(1, &["└─ web"]);
    let fits = CONFIG.replace("10s", "60s");
    dir.write("fits.toml", &fits);
    let fine = typed(&dir, &["plan", "fits.toml", "--strict"], &[]).expect_all(0, &["up to"]).all();
    assert!(!fine.contains("warning"), "{fine}");
    typed(&dir, &["plan", "missing.toml"], &[]).expect_all(78, &["missing.toml", "cannot be read"]);
}

#[test]
fn plan_writes_json_and_svg_and_knows_the_wrapper() {
    let dir = Dir::new();
    dir.write("softstop.toml", CONFIG);
    let json = typed(&dir, &["plan", "--json"], &[]);
    let json: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(
        (&json["format"], &json["grace_seconds"], &json["deadline_seconds"]),
        (&1.into(), &10.0.into(), &9.0.into())
    );
    assert_eq!(json["start"][1]["after"][0]["name"], "web", "{json:#}");
    let web = json["stop"].as_array().unwrap().iter().find(|slice| slice["name"] == "web").unwrap();
    assert_eq!((&web["asks_seconds"], &web["short"]), (&8.0.into(), &true.into()), "{json:#}");
    assert!(json["fits_in_seconds"].as_f64().unwrap() > 10.0, "{json:#}");
    typed(&dir, &["plan", "--svg", "plan.svg"], &[]).expect_all(0, &[]);
    let written = dir.read("plan.svg");
    let printed = typed(&dir, &["plan", "--svg", "-"], &[]).out;
    assert!(printed.starts_with("<svg ") && printed == written);
    let nowhere = typed(&dir, &["plan", "--svg", "no/such/folder.svg"], &[]);
    nowhere.expect_all(1, &["cannot write the picture to no/such/folder.svg"]);
    let wrapper = typed(&dir, &["plan", "--", "--drain", "auto", "--grace", "30s", "--", "/app/server"], &[]);
    wrapper.expect_all(0, &["└─ server", "open connections", "deadline 29.0s"]);
    typed(&dir, &["plan", "--", "--grace", "30", "--", "x"], &[]).expect_all(64, &["30"]);
}

#[test]
fn plan_draws_the_kubelets_sigkill_from_a_manifest() {
    let dir = Dir::new();
    dir.write("softstop.toml", CONFIG);
    dir.write("pod.yaml", POD);
    let says =
        ["SIGKILL by the kubelet 6.0s", "error: the kubelet sends SIGKILL 6.0s after softstop is told, 4.0s before"];
    typed(&dir, &["plan", "--pod", "pod.yaml"], &[("COLUMNS", "200")]).expect_all(0, &says);
    dir.write("pod.yaml", &POD.replace("Seconds: 6", "Seconds: 15"));
    let later = typed(&dir, &["plan", "--pod", "pod.yaml"], &[("COLUMNS", "200")])
        .expect_all(0, &["by the kubelet 15.0s"])
        .all();
    assert!(!later.contains("error: the kubelet"), "{later}");
    dir.write("pod.yaml", "kind: [");
    typed(&dir, &["plan", "--pod", "pod.yaml"], &[]).expect_all(78, &["pod.yaml"]);
}

#[test]
fn report_draws_compares_and_refuses() {
    let dir = Dir::new();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/pictures/report.json");
    let says = ["stopped in 5.0s of 8.0s", "web needed SIGKILL 3.0s after SIGTERM: it is a shell (sh)", "exec"];
    typed(&dir, &["report", example], &[]).expect_all(0, &says);
    typed(&dir, &["report", example, "--strict"], &[]).expect_all(1, &says);
    typed(&dir, &["report", example, "--svg", "report.svg"], &[]).expect_all(0, &[]);
    assert!(std::fs::read_to_string(dir.path("report.svg")).unwrap().contains("needed SIGKILL"));
    typed(&dir, &["report", example, example, "--strict"], &[]).expect_all(0, &["STEP", "flush the queue"]);
    typed(&dir, &["report", example, example, "--svg", "x"], &[]).expect_all(64, &["--svg"]);
    let whole = std::fs::read_to_string(example).unwrap();
    dir.write("cut.json", &whole[..whole.len() / 2]);
    dir.write("newer.json", &whole.replace("\"format\": 1", "\"format\": 9"));
    for (file, says) in [
        ("cut.json", "cut.json: it is cut off"),
        ("newer.json", "newer.json: it is of format 9"),
        ("none.json", "none.json: the report cannot be read: No such file"),
    ] {
        typed(&dir, &["report", file], &[]).expect_all(65, &["softstop: error: ", says]);
        typed(&dir, &["report", example, file], &[]).expect_all(65, &[says]);
    }
    typed(&dir, &["report"], &[]).expect_all(64, &["FILE"]);
}
