//! `softstop check --pod` and `softstop manifest` as they are called: files and standard input, exit codes, what goes where.

#![cfg(feature = "yaml")]

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use crate::support::Dir;
use crate::support::client::{Told, softstop};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Runs softstop in an empty directory, with `input` on its standard input.
fn run(dir: &Dir, args: &[&str], input: &str) -> Told {
    let mut command = softstop(args);
    command.current_dir(dir.path(".")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A variable of this machine's is none of the manifest's.
    command.env("SOFTSTOP_GRACE", "7s").env("PRESTOP_TOKEN", "the-token-of-this-shell").env("PORT", "8080");
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // What is refused early is not read to its end.
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let told = Told::of(child.wait_with_output().unwrap());
    writer.join().unwrap();
    told
}

/// `softstop check` with these flags, of a manifest.
fn check(dir: &Dir, flags: &[&str], manifest: &str) -> Told {
    run(dir, &[&["check"], flags, &["--pod", "-"]].concat(), manifest)
}

fn manifest(rule: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join("tests/pod_rules").join(rule)).unwrap()
}

#[track_caller]
fn expect(told: &Told, code: i32, stdout: &str, stderr: &str) {
    assert_eq!(told.code, Some(code), "{}", told.all());
    assert!(told.out.contains(stdout) && told.err.contains(stderr), "{}", told.all());
}

#[test]
fn exit_codes_say_how_bad_it_is() {
    let dir = Dir::new();
    let fine = check(&dir, &[], &manifest("grace-too-long.fixed.yaml"));
    expect(&fine, 0, "stdin: ok (Deployment web, container web)\n", "");
    assert!(fine.err.is_empty(), "{}", fine.err);
    let wrong = check(&dir, &[], &manifest("grace-too-long.yaml"));
    expect(&wrong, 78, "", " --> stdin:10:38\n");
    let warned = manifest("recreate.yaml");
    expect(&check(&dir, &[], &warned), 0, "stdin: 1 warning", "(recreate)");
    expect(&check(&dir, &["--strict"], &warned), 1, "stdin: 1 warning", "(recreate)");
}

#[test]
fn a_configuration_that_is_named_counts_for_more_than_the_manifests() {
    let dir = Dir::new();
    let pod = dir.write(
        "pod.yaml",
        &manifest("config.fixed.yaml")
            .replace("            - { name: SOFTSTOP_GRACE, value: 30s }", "            - { name: A, value: b }"),
    );
    expect(&run(&dir, &["check", "--pod", &pod], ""), 0, "pod.yaml: ok", "");
    let config = dir.write("other.toml", "grace = '50s'\n[http]\nlisten = '0.0.0.0:9180'\n[[process]]\nname = 'a'\ncommand = ['a']\n[[drain]]\nsleep = '5s'\n");
    expect(&run(&dir, &["check", "-c", &config, "--pod", &pod], ""), 78, "", "softstop's grace (50s) is longer");
    let broken = dir.write("broken.toml", "grace = 5\n");
    expect(&run(&dir, &["check", "-c", &broken, "--pod", &pod], ""), 78, "", "broken.toml:1:9");
}

#[test]
fn lists_of_json_are_manifests_too() {
    let dir = Dir::new();
    let list = r#"{"apiVersion": "v1", "kind": "List", "items": [{"kind": "Pod", "metadata": {"name": "p"}, "spec": {
        "containers": [{"name": "a", "image": "i"}, {"name": "softstop", "command": ["/softstop", "--", "x"], "tty": true}]}}]}"#;
    let output = check(&dir, &["--json"], list);
    expect(&output, 0, "", "");
    let said: serde_json::Value = serde_json::from_str(&output.out).unwrap();
    assert_eq!((&said["errors"], &said["warnings"]), (&0.into(), &1.into()), "{said}");
    assert_eq!(said["checked"][0], "Pod p, container softstop");
    let finding = &said["findings"][0];
    assert_eq!((&finding["rule"], &finding["severity"]), (&"terminal".into(), &"warning".into()), "{said}");
    assert_eq!((&finding["places"][0]["line"], &finding["places"][0]["column"]), (&2.into(), &118.into()), "{said}");
    let other = check(&dir, &["--container", "a"], list);
    expect(&other, 0, "stdin: ok (Pod p, container a)", "");
    expect(&check(&dir, &["--container", "b"], list), 78, "", "no pod in this file has a container b");
}

/// As of a whole chart: what does not run softstop is none of its business.
#[test]
fn other_workloads_of_a_chart_are_left_alone() {
    let dir = Dir::new();
    let other = "---\n# Source: chart/templates/redis.yaml\nkind: StatefulSet\nmetadata: { name: redis }\nspec: { template: { spec: \
        { containers: [{ name: redis, image: \"redis:7\" }] } } }\n---\n---\nkind: ServiceAccount\n";
    let chart = manifest("usage.fixed.yaml") + other;
    let output = check(&dir, &["--strict"], &chart);
    expect(&output, 0, "stdin: ok (Deployment web, container web); without softstop: StatefulSet redis\n", "");
    // Alone its image may have softstop as its ENTRYPOINT, as far as anybody can tell.
    expect(&check(&dir, &[], other), 0, "(StatefulSet redis, container redis)", "(readiness-missing)");
}

/// An exit code of 0 beside something that nobody has read would be a lie.
#[test]
fn what_runs_containers_and_was_not_read_has_an_exit_code_of_its_own() {
    let dir = Dir::new();
    let unread = manifest("unread.yaml");
    let others = "; not checked: Workflow report, Deployment patch, Rollout shop\n";
    expect(&check(&dir, &[], &unread), 65, others, "Workflow report is not checked");
    expect(&check(&dir, &["--strict"], &unread), 65, "", "");
    let wrong = unread.replace("SOFTSTOP_GRACE, value: 45s", "SOFTSTOP_GRACE, value: 50s");
    expect(&check(&dir, &[], &wrong), 78, "", "not checked: Workflow report");
    let alone = unread.split("---\n").nth(1).unwrap();
    expect(&check(&dir, &[], alone), 65, "not checked: Workflow report", "(unread)");
    let json = check(&dir, &["--json"], &unread);
    expect(&json, 65, "\"not_checked\":[\"Workflow report\",\"Deployment patch\",\"Rollout shop\"]", "");
    let one =
        "kind: Pod\nspec: { containers: [{ name: a, image: i, env: [{ name: SOFTSTOP_GRACE, value: 30s }] }] }\n---\n";
    expect(&check(&dir, &[], &one.repeat(501)), 65, "not checked: the Pod and what follows it", "500 workloads");
}

/// The main container of a pod may have the sidecar's endpoints asked for it: same address, another container.
#[test]
fn probes_and_hooks_of_other_containers_are_held_against_softstop_too() {
    let dir = Dir::new();
    let pod = manifest("sidecar-startup.fixed.yaml").replace(
        "    - name: web\n",
        "    - name: web\n      livenessProbe: { httpGet: { path: /readyz, port: 9180 } }\n      lifecycle: { preStop: { httpGet: { path: /x, port: 9180 } } }\n",
    );
    let output = check(&dir, &[], &pod);
    expect(&output, 78, "", "(liveness-on-readyz)");
    expect(&output, 78, "", "softstop does nothing on GET /x (prestop-http)");
}

#[test]
fn what_cannot_be_read_is_said() {
    let dir = Dir::new();
    expect(&run(&dir, &["check", "--pod", "none.yaml"], ""), 78, "", "the manifest cannot be read: No such file");
    expect(&check(&dir, &[], "{{- if x }}\na: 1\n"), 78, "", "help: a chart's templates are no YAML");
    expect(&check(&dir, &[], &"# \n".repeat(2_000_000)), 78, "", "more than 4194304 bytes");
    expect(&check(&dir, &[], ""), 78, "", "there is no pod in this file");
    expect(&run(&dir, &["check", "--json"], ""), 78, "there is no configuration", "");
    let unknown = "kind: Pod\nspec: { containers: [{ name: a, command: [/softstop, run, -c, /a.toml] }] }\n";
    expect(&check(&dir, &[], unknown), 78, "", "the configuration of this container, /a.toml, is not known here");
}

#[test]
fn manifest_prints_what_check_accepts() {
    let dir = Dir::new();
    let config = Path::new(ROOT).join("examples/web/softstop.toml");
    let config = config.to_str().unwrap();
    let printed = run(&dir, &["manifest", "-c", config, "--kind", "deployment"], "");
    expect(&printed, 0, "terminationGracePeriodSeconds: 15\n", "");
    let checked = check(&dir, &["-c", config], &printed.out);
    expect(&checked, 0, "stdin: ok (Deployment web, container web)", "");
    let wrapper = ["manifest", "--kind", "deployment", "--", "--drain", "auto", "--grace", "20s", "--", "/app/server"];
    let printed = run(&dir, &wrapper, "");
    expect(
        &printed,
        0,
        "command: [\"/softstop\", \"--drain\", \"auto\", \"--grace\", \"20s\", \"--\", \"/app/server\"]",
        "",
    );
    let checked = check(&dir, &[], &printed.out);
    expect(&checked, 0, "stdin: ok (Deployment server, container server)", "");
    expect(
        &run(&dir, &["manifest", "--", "/app/server"], ""),
        0,
        "command: [\"/softstop\", \"--\", \"/app/server\"]",
        "",
    );
    expect(&run(&dir, &["manifest", "--", "--drain", "all", "--", "/app"], ""), 64, "", "write auto, or ports");
    expect(&run(&dir, &["manifest", "--", "--prestop", "10.0.0.0/8", "--", "/app"], ""), 64, "", "without --http");
    expect(&run(&dir, &["manifest"], ""), 78, "", "there is no configuration");
    expect(&run(&dir, &["manifest", "--kind", "cronjob"], ""), 64, "", "--kind");
}

const WITH_VARIABLES: &str = "grace = '20s'\n[http]\nlisten = ':9180'\n[http.prestop]\ntoken = '${PRESTOP_TOKEN}'\n[[process]]\nname = 'web'\n\
    command = ['web', '${PORT}', '${HOST_IP:-loopback}', '${HOME}', '${LEVEL:-info}']\n[[drain]]\nsleep = '5s'\n";

#[test]
fn manifest_prints_the_variables_that_the_configuration_refers_to_and_no_secret() {
    let dir = Dir::new();
    let config = dir.write("softstop.toml", WITH_VARIABLES);
    let printed = run(&dir, &["manifest", "-c", &config, "--kind", "deployment"], "");
    for line in [
        "- { name: PRESTOP_TOKEN, valueFrom: { secretKeyRef: { name: web, key: PRESTOP_TOKEN } } }",
        "- { name: PORT, value: \"8080\" }",
        "- { name: HOST_IP, valueFrom: { fieldRef: { fieldPath: status.hostIP } } }",
        "terminationMessagePolicy: FallbackToLogsOnError\n",
    ] {
        expect(&printed, 0, line, "");
    }
    let printed = printed.out;
    for never in ["of-this-shell", "name: HOME", "name: LEVEL"] {
        assert!(!printed.contains(never), "{never}:\n{printed}");
    }
    let checked = check(&dir, &["--strict", "-c", &config], &printed);
    expect(&checked, 0, "stdin: ok (Deployment web, container web)", "");
}

#[test]
fn a_variable_of_this_shell_is_none_of_the_pods() {
    let dir = Dir::new();
    let config = dir.write("softstop.toml", WITH_VARIABLES);
    let printed = run(&dir, &["manifest", "-c", &config], "");
    let without: String = printed.out.lines().filter(|l| !l.contains("TOKEN")).map(|l| format!("{l}\n")).collect();
    let checked = check(&dir, &["-c", &config], &without);
    expect(&checked, 78, "", "refers to ${PRESTOP_TOKEN}, and the container has no such variable (unset-variable)");
    let of_a_secret = without.replace("    env:\n", "    envFrom: [{ secretRef: { name: web } }]\n    env:\n");
    expect(&check(&dir, &["-c", &config], &of_a_secret), 0, "stdin: ok", "");
}
