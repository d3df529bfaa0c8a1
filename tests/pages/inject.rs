//! `softstop inject` on whole manifests: `tests/inject/NAME` and what becomes of it, `NAME.injected`, in which `check --pod` finds nothing. What is not
//! named there stays byte for byte, a second time changes nothing, and `--remove` gives back what was there.
//! `BLESS=1 cargo test --test pages inject::` rewrites what is expected; read the difference before you commit it.

#![cfg(feature = "yaml")]
use proptest::prelude::*;
use softstop::cli::pod::{interpret, options};
use softstop::config::problem::{Problem, Source};
use softstop::pod::check;
use softstop::pod::inject::{Carrier, Done, Wanted, inject, remove};

use crate::declared::{is_as_made, text};

/// File, container, what its image runs.
const CASES: [(&str, Option<&str>, &[&str]); 4] = [
    ("deployment.yaml", None, &[]),
    ("every-key.yaml", Some("api"), &[]),
    ("job.json", None, &["/report", "$(not a variable)"]),
    ("spec.yaml", None, &["/app"]),
];

fn kept(name: &str) -> String {
    text(&format!("tests/inject/{name}"))
}

fn injected(text: &str, container: Option<&str>, carrier: Carrier, words: &[&str]) -> Result<Done, Problem> {
    let command: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    let image = Some("registry.example:5000/softstop:0.1");
    inject(&Source::new("pod.yaml", text), &Wanted { container, image, carrier, command: &command })
}

fn removed(text: &str) -> Done {
    remove(&Source::new("pod.yaml", text)).unwrap_or_else(|p| panic!("{p}"))
}

/// What `check --pod` says of it, but for what its owner has decided.
fn findings(text: &str, container: Option<&str>) -> String {
    let report = check(text, "pod.yaml", &options(container, false), &|start| interpret(start, None));
    let report = report.unwrap_or_else(|p| panic!("{p}\n{text}"));
    assert!(!report.checked.is_empty(), "{text}");
    report.findings.iter().filter(|f| f.rule != "poststart").map(ToString::to_string).collect()
}

/// Lines of `after` that are not `before`'s, in their order; all of `before`'s must be there.
#[track_caller]
fn assert_added_only(before: &str, after: &str) {
    let mut rest = after.lines();
    for line in before.lines() {
        assert!(rest.any(|l| l == line), "{line:?} is gone or moved:\n{after}");
    }
}

#[test]
fn a_manifest_gets_what_softstop_needs_and_keeps_everything_else() {
    for (name, container, words) in CASES {
        let text = kept(name);
        let done = injected(&text, container, Carrier::Init, words).unwrap_or_else(|p| panic!("{p}"));
        assert_eq!(done.notes, <[String; 0]>::default(), "{name}");
        assert_eq!(findings(&done.text, container), "", "{name}:\n{}", done.text);
        let again = injected(&done.text, container, Carrier::Init, words).unwrap();
        assert_eq!(again.text, done.text, "{name}: the second time");
        let back = removed(&done.text);
        if name == "spec.yaml" {
            // Nowhere to write down what was put in.
            assert!(back.text.contains("command: [\"/app\"]") && back.notes.len() == 1, "{name}:\n{}", back.text);
        } else {
            assert_eq!(back.text, text, "{name}: taken out again");
        }
        is_as_made(&format!("tests/inject/{name}.injected"), &done.text);
    }
}

#[test]
fn a_service_of_a_compose_file_gets_it_too() {
    let text = kept("compose.yaml");
    let mut all = text.clone();
    for (service, words) in [("web", &[][..]), ("api", &["/api", "$HOME"]), ("db", &["docker-entrypoint.sh"])] {
        let done = injected(&text, Some(service), Carrier::Init, words).unwrap_or_else(|p| panic!("{p}"));
        assert_eq!(
            injected(&done.text, Some(service), Carrier::Init, words).unwrap().text,
            done.text,
            "the second time"
        );
        assert_eq!(removed(&done.text).text, text, "{service}: taken out again");
        all = injected(&all, Some(service), Carrier::Init, words).unwrap().text;
    }
    assert_eq!(removed(&all).text, text);
    is_as_made("tests/inject/compose.yaml.injected", &all);
    let refused = |container, words: &[&str]| injected(&text, container, Carrier::Init, words).unwrap_err().to_string();
    assert!(refused(None, &[]).contains("there are 3 services"), "{}", refused(None, &[]));
    assert!(
        refused(Some("api"), &[]).contains("what the service api runs is known to api:7 alone"),
        "{}",
        refused(Some("api"), &[])
    );
    let one = "services: { a: { image: a, entrypoint: '/run me' } }\n";
    let said = injected(one, None, Carrier::Init, &[]).unwrap_err().to_string();
    assert!(said.contains("write it as a list of words"), "{said}");
}

#[test]
fn an_image_volume_needs_no_init_container() {
    let text = kept("deployment.yaml");
    let done = injected(&text, None, Carrier::ImageVolume, &[]).unwrap();
    assert!(!done.text.contains("initContainers"), "{}", done.text);
    assert!(done.text.contains("image: { reference: \"registry.example:5000/softstop:0.1\" }"), "{}", done.text);
    assert_eq!(findings(&done.text, None), "");
    assert_added_only(
        &text.replace("command: [nginx,", "command: [\"/softstop/softstop\", \"--\", nginx,"),
        &done.text,
    );
    assert_eq!(removed(&done.text).text, text);
}

#[test]
fn what_it_cannot_know_it_asks_for_at_its_place() {
    let refused = |text: &str, container, words: &[&str]| {
        injected(text, container, Carrier::Init, words).unwrap_err().to_string()
    };
    let said = refused("containers:\n  - name: app\n    image: app:1\n", None, &[]);
    assert!(
        said.contains("what the container app runs is known to app:1 alone") && said.contains("pod.yaml:2:"),
        "{said}"
    );
    let two = "containers:\n  - name: a\n    command: [x]\n  - name: b\n    command: [x]\n";
    let said = refused(two, None, &[]);
    assert!(said.contains("has 2 containers") && said.contains("one of a, b"), "{said}");
    let said = refused(two, Some("c"), &[]);
    assert!(said.contains("has no container c"), "{said}");
    let said = refused("kind: Service\n", None, &[]);
    assert!(said.contains("there is no pod in this file"), "{said}");
    let none = Wanted { container: None, image: None, carrier: Carrier::Init, command: &[] };
    let text = "containers:\n  - name: a\n    command: [x]\n";
    let said = inject(&Source::new("pod.yaml", text), &none).unwrap_err().to_string();
    assert!(said.contains("--image IMAGE"), "{said}");
    let shared =
        "x: &web\n  name: web\n  command: [x]\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n    - *web\n";
    let said = refused(shared, None, &[]);
    assert!(said.contains("it is shared, by the alias *web") && said.contains("pod.yaml:8:7"), "{said}");
    let said = refused("containers:\n  - name: a\n    command: [x]\n    env:\n", None, &[]);
    assert!(said.contains("nothing stands behind env") && said.contains("pod.yaml:4:5"), "{said}");
}

/// A change would be one for every place that the anchor or the alias shares it with.
#[test]
fn what_an_alias_shares_is_refused_at_its_place() {
    let text = "\
kind: Deployment
metadata:
  name: a
  annotations: &notes {team: a}
spec:
  template:
    metadata:
      annotations: *notes
    spec:
      containers:
        - name: a
          command: [x]
";
    let said = injected(text, None, Carrier::Init, &[]).unwrap_err().to_string();
    assert_eq!(
        said,
        "\
error: nothing can be put in or taken out here alone: it is shared, by the alias *notes
 --> pod.yaml:8:20
  |
8 |       annotations: *notes
  |                    ^^^^^^
 ::: pod.yaml:4:16
  |
4 |   annotations: &notes {team: a}
  |                ^^^^^^^^^^^^^^^^ shared with this place
help: write it out in each of these places, without anchor and alias
"
    );
    let probes = "kind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - name: a\n    command: [x]\n    livenessProbe: {httpGet: &call {path: /ok, port: 80}}\n    readinessProbe: {httpGet: *call}\n";
    let merged = "kind: Pod\nx: &x {env: [{name: A, value: b}]}\nspec:\n  containers:\n  - name: a\n    <<: *x\n    command: [x]\n";
    let compose = "x: &x\n  environment: {A: b}\nservices:\n  a:\n    <<: *x\n    image: a\n";
    for (text, alias) in [(probes, "*call"), (merged, "*x"), (compose, "*x")] {
        let said = injected(text, None, Carrier::Init, &["/app"]).unwrap_err().to_string();
        assert!(said.contains(&format!("shared, by the alias {alias}\n")), "{said}");
    }
    let text = "containers:\n- name: a\n  command: [/softstop/softstop, --, x]\n  volumeMounts: &its [{name: softstop, mountPath: /softstop}]\nx: *its\n";
    let said = remove(&Source::new("pod.yaml", text)).unwrap_err().to_string();
    assert!(said.contains("shared, by the alias *its\n") && said.contains("pod.yaml:4:3"), "{said}");
}

/// Beside what is shared, and behind a merge key, there is room.
#[test]
fn what_only_stands_beside_an_alias_is_no_hindrance() {
    let pod = "\
kind: Pod
x: &x {image: 'a:1', ports: &ports [{containerPort: &port 80}]}
env: &env {name: A, value: b}
spec:
  containers:
    - name: a
      <<: *x
      # both
      env:
        - *env
      ports: [{containerPort: 80}]
      command: [x]
      readinessProbe: {httpGet: {port: *port, path: /}}
metadata: {name: a}
";
    let compose = "x: &x\n  image: a\nservices:\n  a:\n    <<: *x\n    environment: {A: b}\n";
    for text in [pod, compose] {
        let done = injected(text, None, Carrier::Init, &["/app"]).unwrap_or_else(|p| panic!("{p}"));
        assert_eq!(injected(&done.text, None, Carrier::Init, &["/app"]).unwrap().text, done.text);
        assert_eq!(removed(&done.text).text, text);
    }
}

/// A block scalar's lines may begin as comments do.
#[test]
fn a_text_of_several_lines_stays_whole() {
    let text = "kind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - command:\n    - sh\n    - -c\n    - |\n      serve\n      # and on\n    # its name\n    name: a\n";
    let done = injected(text, None, Carrier::Init, &[]).unwrap_or_else(|p| panic!("{p}"));
    assert!(done.text.contains("      serve\n      # and on\n    "), "{}", done.text);
    assert_eq!(injected(&done.text, None, Carrier::Init, &[]).unwrap().text, done.text);
    assert_eq!(removed(&done.text).text, text);
}

#[test]
fn a_hook_of_its_own_stays_and_is_spoken_of() {
    let text =
        "containers:\n  - name: a\n    command: [x]\n    lifecycle: {preStop: {exec: {command: [sleep, \"5\"]}}}\n";
    let done = injected(text, None, Carrier::Init, &[]).unwrap();
    assert!(done.notes.len() == 1 && done.notes[0].contains("its preStop hook stays"), "{:?}", done.notes);
    assert!(done.text.contains("command: [sleep, \"5\"]"), "{}", done.text);
}

#[test]
fn another_softstop_is_left_as_it_is() {
    let text = "containers:\n  - name: a\n    command: [/softstop, --, x]\n";
    let done = injected(text, None, Carrier::Init, &[]).unwrap();
    assert_eq!((done.text.as_str(), done.notes.len()), (text, 1));
    assert_eq!(removed(text).text, text);
}

/// A manifest in some style: which keys are there, how lists are indented, where comments and blank lines are, lines or braces.
fn manifest() -> impl Strategy<Value = String> {
    let keys = proptest::collection::vec(any::<bool>(), 9);
    (keys, any::<bool>(), any::<bool>(), 0..3usize).prop_map(|(keys, indentless, braces, comments)| {
        let on = |i: usize| keys[i];
        if braces {
            let env = if on(0) { ", env: [ { name: A, value: b } ]" } else { "" };
            let ports = if on(1) { ", ports: [{containerPort: 80}]" } else { "" };
            let grace = if on(2) { "terminationGracePeriodSeconds: 45, " } else { "" };
            let volumes = if on(3) { ", volumes: [{name: x, emptyDir: {}}]" } else { "" };
            return format!(
                "{{apiVersion: v1, kind: Pod, metadata: {{name: a}}, spec: {{ {grace}containers: [{{name: a, command: [\"x\"]{env}{ports}}}]{volumes}}}}}\n"
            );
        }
        let dash = if indentless { "" } else { "  " };
        let comment = |line: &str| ["", "# about it\n", "\n# about it\n# in two lines\n"][comments].replace("# ", &format!("{line}# "));
        let mut text = "kind: Deployment\nmetadata: {name: a}\nspec:\n  template:\n    metadata:\n      labels: {app: a}\n    spec:\n".to_owned();
        if on(2) {
            text += "      terminationGracePeriodSeconds: 45\n";
        }
        text += &comment("      ");
        text += "      containers:\n";
        text += &format!("      {dash}- name: a\n");
        let inner = format!("      {dash}  ");
        text += &comment(&inner);
        text += &format!("{inner}command:\n{inner}{dash}- x\n{inner}{dash}- 'y z'\n");
        for (i, key) in [(0, "env"), (1, "ports"), (4, "volumeMounts")] {
            if on(i) {
                let item = ["name: A\n@  value: \"1\"", "containerPort: 80", "", "", "name: data\n@  mountPath: /data"][i];
                text += &format!("{inner}{key}:\n{}{inner}{dash}- {}\n", comment(&format!("{inner}{dash}")), item.replace('@', &format!("{inner}{dash}")));
            }
        }
        if on(5) && on(1) {
            text += &format!("{inner}readinessProbe:\n{inner}  httpGet: {{path: '/ok', port: 80}}\n{inner}  periodSeconds: 2\n{inner}  failureThreshold: 1\n");
        } else if on(5) {
            text += &format!("{inner}livenessProbe:\n{inner}  tcpSocket: {{port: 80}}\n");
        }
        if on(6) {
            text += &format!("{inner}lifecycle:\n{inner}  postStart:\n{inner}    exec: {{command: [warm]}}\n");
        }
        if on(3) || on(4) {
            text += &format!("      volumes:\n      {dash}- name: data\n      {dash}  emptyDir: {{}}\n");
        }
        if on(7) {
            text += "# the end\n";
        }
        if on(8) {
            text = text.trim_end().to_owned() + "\n---\nkind: Service\nmetadata: {name: a}\n";
        }
        text
    })
}

/// Parts of a pod: key, whether softstop changes it, its value on one line and in lines.
const PARTS: [(&str, bool, &str, &str); 11] = [
    ("annotations", true, "{note: x}", "@  note: x"),
    ("labels", false, "{app: a}", "@  app: a"),
    ("volumes", true, "[{name: data, emptyDir: {}}]", "@- name: data\n@  emptyDir: {}"),
    ("command", true, "[x]", "@  - x"),
    ("args", false, "[y]", "@- y"),
    ("env", true, "[{name: A, value: b}]", "@- name: A\n@  value: b"),
    ("ports", true, "[{containerPort: 80}]", "@  - containerPort: 80"),
    ("volumeMounts", true, "[{name: data, mountPath: /data}]", "@- name: data\n@  mountPath: /data"),
    ("lifecycle", true, "{postStart: {exec: {command: [warm]}}}", "@  postStart:\n@    exec: {command: [warm]}"),
    ("securityContext", false, "{runAsNonRoot: true}", "@  runAsNonRoot: true"),
    ("httpGet", true, "{path: /ok, port: 80}", "@  path: /ok\n@  port: 80"),
];

/// A pod some parts of which are shared: has the anchor, or is an alias of what stands above.
fn sharing(shared: &[(usize, bool)], lines: bool) -> String {
    let part = |i: usize, indent: &str, mark: &str| {
        let (key, _, flow, block) = PARTS[i];
        let value = if lines { format!("\n{}", block.replace('@', indent)) } else { format!(" {flow}") };
        format!("{indent}{key}:{mark}{value}\n")
    };
    let (mut above, mut below) = ("above:\n  x: y\n".to_owned(), "below:\n  x: y\n".to_owned());
    let mut its = |i: usize, indent: &str| {
        let key = PARTS[i].0;
        match shared.iter().find(|(part, _)| *part == i) {
            None => part(i, indent, ""),
            Some((_, true)) => {
                below += &format!("  {key}: *{key}\n");
                part(i, indent, &format!(" &{key}"))
            }
            Some((_, false)) => {
                above += &part(i, "  ", &format!(" &{key}"));
                format!("{indent}{key}: *{key}\n")
            }
        }
    };
    let mut spec = "spec:\n  template:\n    metadata:\n".to_owned();
    (0..2).for_each(|i| spec += &its(i, "      "));
    spec += "    spec:\n";
    spec += &its(2, "      ");
    spec += "      containers:\n        - name: a\n";
    (3..10).for_each(|i| spec += &its(i, "          "));
    spec += "          readinessProbe:\n";
    spec += &its(10, "            ");
    format!("kind: Deployment\n{above}{spec}{below}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_style_it_comes_in_whole_and_goes_out_whole(text in manifest(), volume in any::<bool>()) {
        let carrier = if volume { Carrier::ImageVolume } else { Carrier::Init };
        let done = injected(&text, None, carrier, &[]).unwrap_or_else(|p| panic!("{p}\n{text}"));
        prop_assert!(done.text != text);
        let again = injected(&done.text, None, carrier, &[]).unwrap_or_else(|p| panic!("{p}\n{}", done.text));
        prop_assert_eq!(&again.text, &done.text);
        prop_assert_eq!(&findings(&done.text, None), "", "{}", done.text);
        prop_assert_eq!(removed(&done.text).text, text);
    }
    #[test]
    fn what_is_shared_stays_as_it_is(shared in proptest::collection::vec((0..PARTS.len(), any::<bool>()), 0..3), lines in any::<bool>()) {
        let text = sharing(&shared, lines);
        match injected(&text, None, Carrier::Init, &[]) {
            Err(problem) => {
                prop_assert!(shared.iter().any(|(i, _)| PARTS[*i].1), "{problem}\n{text}");
                prop_assert!(problem.sentence.contains("it is shared, by the alias *"), "{problem}\n{text}");
            }
            Ok(done) => {
                prop_assert!(shared.iter().all(|(i, _)| !PARTS[*i].1), "{}", done.text);
                let (above, below) = text.split_once("spec:").unwrap();
                let below = &below[below.rfind("below:").unwrap()..];
                prop_assert!(done.text.starts_with(above) && done.text.ends_with(below), "{}", done.text);
                let again = injected(&done.text, None, Carrier::Init, &[]).unwrap_or_else(|p| panic!("{p}\n{}", done.text));
                prop_assert_eq!(&again.text, &done.text);
                prop_assert_eq!(removed(&done.text).text, text);
            }
        }
    }
}
