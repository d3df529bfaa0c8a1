//! Manifests that go wrong and what is said about them: `tests/pod_rules/RULE.yaml` beside its `RULE.stderr`, and
//! `RULE.fixed.yaml`, the same after the fix, in which nothing is found. A configuration stands in a ConfigMap of the same file.
//! `BLESS=1 cargo test --test pages pod_rules::` rewrites what is expected; read the difference before you commit it.

#![cfg(feature = "yaml")]
use std::collections::BTreeSet;

use softstop::cli::pod::{Found, interpret, options};
use softstop::cli::reading;
use softstop::config::check::{read, word};
use softstop::config::platform::Platform;
use softstop::config::sources::Sources;
use softstop::pod::check;
use softstop::pod::finding::Report;
use softstop::pod::fragment::{Kind, Start, Variables, write};
use softstop::pod::rules::RULES;

use crate::declared::{files, is_as_made, markdown, text};

/// Those that are no row of the table: they say that nothing could be held against the rules.
const BESIDES: [&str; 5] = ["duplicate-key", "usage", "config", "unread", "nothing"];

/// What `softstop check --pod` finds where no configuration is at hand but the file's own.
fn report(text: &str) -> Report {
    check(text, "pod.yaml", &options(None, false), &|start| interpret(start, None)).unwrap_or_else(|p| panic!("{p}"))
}

fn said(report: &Report) -> String {
    let findings: String = report.findings.iter().map(|f| format!("{f}\n")).collect();
    format!("{findings}{}\n", report.summary("pod.yaml"))
}

fn rules() -> BTreeSet<&'static str> {
    RULES.iter().map(|r| r.name).chain(BESIDES).collect()
}

#[test]
fn each_rule_says_what_is_expected() {
    for rule in rules() {
        let report = report(&text(&format!("tests/pod_rules/{rule}.yaml")));
        let said = said(&report);
        assert!(report.findings.iter().any(|f| f.rule == rule), "{rule} is not found in its manifest:\n{said}");
        is_as_made(&format!("tests/pod_rules/{rule}.stderr"), &said);
    }
}

#[test]
fn after_the_fix_nothing_is_found() {
    for rule in rules() {
        let report = report(&text(&format!("tests/pod_rules/{rule}.fixed.yaml")));
        assert!(report.findings.is_empty() && !report.checked.is_empty(), "{rule}:\n{}", said(&report));
    }
}

#[test]
fn every_file_belongs_to_a_rule() {
    for path in files("tests/pod_rules", "") {
        let name = path.rsplit('/').next().unwrap();
        assert!(rules().contains(name.split('.').next().unwrap()), "{name}");
    }
}

#[test]
fn every_finding_has_a_place_a_sentence_a_reason_and_a_help() {
    for rule in rules() {
        for finding in report(&text(&format!("tests/pod_rules/{rule}.yaml"))).findings {
            let problem = &finding.problem;
            assert!(!problem.places.is_empty() && !problem.help.is_empty(), "{finding}");
            assert!(!finding.why.is_empty() || BESIDES.contains(&rule), "{finding}");
            for line in [&problem.sentence, &finding.why, &problem.help] {
                assert!(!line.contains('\n') || BESIDES.contains(&rule), "{finding}");
                assert!(!line.ends_with('.'), "{finding}");
            }
            assert!(problem.places.iter().all(|p| p.position.is_some()), "{finding}");
        }
    }
}

#[test]
fn every_rule_is_documented_and_none_is_invented() {
    let page = text("docs/kubernetes.md");
    let table = page.split("<!-- rules -->").nth(1).expect("the table of rules").split("\n\n").nth(1).unwrap();
    let documented: Vec<&str> = table.lines().filter_map(|l| l.strip_prefix("| `")?.split('`').next()).collect();
    let all: Vec<&str> = RULES.iter().map(|r| r.name).chain(BESIDES).collect();
    assert_eq!(documented, all);
}

/// Of operators that people run, and of one that nobody knows.
#[test]
fn whatever_has_a_pod_template_is_checked() {
    let of = |grace: &str| {
        format!(
            "{{ spec: {{ {grace}: 20, restartPolicy: POLICY, containers: [{{ name: web, image: i, command: [/softstop, --, /app], \
             env: [{{ name: SOFTSTOP_GRACE, value: 30s }}] }}] }} }}"
        )
    };
    let pod = &of("terminationGracePeriodSeconds");
    for (api, kind, spec, policy, titles) in [
        ("argoproj.io/v1alpha1", "Rollout", format!("template: {pod}"), "Always", &["Rollout a"][..]),
        ("apps.kruise.io/v1alpha1", "CloneSet", format!("template: {pod}"), "Always", &["CloneSet a"]),
        ("apps.kruise.io/v1beta1", "StatefulSet", format!("template: {pod}"), "Always", &["StatefulSet a"]),
        ("serving.knative.dev/v1", "Service", format!("template: {}", of("timeoutSeconds")), "Always", &["Service a"]),
        ("keda.sh/v1alpha1", "ScaledJob", format!("jobTargetRef: {{ template: {pod} }}"), "Never", &["ScaledJob a"]),
        ("apps.openshift.io/v1", "DeploymentConfig", format!("template: {pod}"), "Always", &["DeploymentConfig a"]),
        ("v1", "ReplicationController", format!("template: {pod}"), "Always", &["ReplicationController a"]),
        (
            "leaderworkerset.x-k8s.io/v1",
            "LeaderWorkerSet",
            format!("leaderWorkerTemplate: {{ leaderTemplate: {pod}, workerTemplate: {pod} }}"),
            "Always",
            &["LeaderWorkerSet a (leaderTemplate 1 of 2)", "LeaderWorkerSet a (workerTemplate 2 of 2)"],
        ),
        (
            "jobset.x-k8s.io/v1alpha2",
            "JobSet",
            format!("replicatedJobs: [{{ name: a, template: {{ spec: {{ template: {pod} }} }} }}]"),
            "Never",
            &["JobSet a"],
        ),
        ("example.com/v1", "Anything", format!("deep: [{{ down: {{ inside: {pod} }} }}]"), "Always", &["Anything a"]),
    ] {
        let text = format!("apiVersion: {api}\nkind: {kind}\nmetadata: {{ name: a }}\nspec: {{ {spec} }}\n");
        let report = report(&text.replace("POLICY", policy));
        let checked: Vec<String> = titles.iter().map(|title| format!("{title}, container web")).collect();
        assert_eq!(report.checked, checked, "{}", said(&report));
        let wrong = report.findings.iter().filter(|f| f.rule == "grace-too-long").count();
        assert!(wrong == titles.len() && report.errors() == wrong && report.unread.is_empty(), "{}", said(&report));
    }
}

/// Knative refuses hooks, has a probe and a drain of its own, and a grace by another name.
#[test]
fn of_knative_only_what_it_does_not_do_itself_is_asked() {
    let text = "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: { name: a }\nspec: { template: { spec: { containers: \
        [{ image: i, command: [/softstop, --, /app], env: [{ name: SOFTSTOP_GRACE, value: 250s }, { name: SOFTSTOP_DRAIN_SLEEP, value: 5s }] }] } } }\n";
    let fine = report(text);
    assert!(fine.findings.is_empty() && fine.checked == ["Service a"], "{}", said(&fine));
    let long = report(&text.replace("250s", "400s"));
    assert!(said(&long).contains("help: write timeoutSeconds: 400"), "{}", said(&long));
}

/// Configurations of examples/, with their paths.
fn configurations() -> Vec<(String, String)> {
    let mut files = files("examples", "/softstop.toml");
    // The recipes have pods of their own.
    files.retain(|path| path.matches('/').count() <= 2);
    assert!(files.len() >= 5, "{files:?}");
    let mut found: Vec<_> = files.into_iter().map(|path| (path.clone(), text(&path))).collect();
    let drain = "[http.prestop]\ntoken = '0123456789abcdef'\n[[drain]]\nwait_idle = { port = 80 }\ntimeout = '5s'";
    for (name, follow, rest) in [
        ("sidecar", "", drain),
        ("alone", "", ""),
        ("follow", "follow = 'web'", "[[init]]\nexec = ['a']\ntimeout = '2m'"),
    ] {
        found.push((name.to_owned(), format!("[sidecar]\n{follow}\n[http]\nlisten = ':9180'\n{rest}\n")));
    }
    found
}

#[test]
fn what_manifest_prints_passes() {
    for (name, text) in configurations() {
        let (config, _) = read(&text, &name, &|_| None).unwrap_or_else(|p| panic!("{p}"));
        let found = Found { sources: &Sources::of(&name, &text), named: true };
        for kind in Kind::NAMES {
            let run = Start::Run { file: &name, variables: &Variables::new() };
            // The token is put in by hand, as the image is.
            let printed = write(&config, &run, word(kind).unwrap()).replace("Bearer TOKEN", "Bearer 0123456789abcdef");
            let options = options(None, true);
            let report = check(&printed, "printed.yaml", &options, &|start| interpret(start, Some(&found)))
                .unwrap_or_else(|p| panic!("{p}\n{printed}"));
            let wrong: Vec<_> = report
                .findings
                .iter()
                // A mapping of 143 to 0 is wrong in every Job, whatever the manifest.
                .filter(|f| !(f.rule == "job-success" && kind == "job" && config.exit_codes.map.contains_key(&143)))
                .map(ToString::to_string)
                .collect();
            assert!(
                wrong.is_empty() && report.checked.len() == 1,
                "{name} as {kind}:\n{}\n{printed}",
                wrong.join("\n")
            );
        }
    }
}

/// What `softstop manifest -- ARGS` prints for the wrapper.
#[test]
fn what_manifest_prints_for_the_wrapper_passes() {
    for args in [
        &["--", "/app/server"][..],
        &["--drain", "auto", "--http", "9180", "--readiness", "tcp:8080", "--", "/app/server", "--listen", "$(PORT)"],
        &["--drain", "8080,8443", "--drain-timeout", "10s", "--diagnose", "QUIT:2s", "--grace", "45s", "--", "java"],
        &["--drain-sleep", "5s", "--http", "9180", "--prestop", "token:0123456789abcdef", "--", "/app/\"quoted\""],
    ] {
        let words: Vec<String> = args.iter().map(ToString::to_string).collect();
        let typed: Vec<_> = std::iter::once("softstop".into()).chain(words.iter().map(Into::into)).collect();
        let cli = reading::read_with(&typed, &|_| None).unwrap();
        let config = cli.wrapper.config(Platform::Kubernetes).unwrap();
        for kind in Kind::NAMES {
            let printed = write(&config, &Start::Wrapper { args: &words }, word(kind).unwrap());
            let report = report(&printed);
            // A program without a drain is told at once, which is said of pods that serve.
            let found = report.findings.iter().filter(|f| f.rule != "no-drain" || !config.drain.is_empty());
            assert_eq!(found.map(ToString::to_string).collect::<String>(), "", "{args:?} as {kind}:\n{printed}");
            assert_eq!(report.checked.len(), 1, "{printed}");
            let hook = printed.contains("preStop: { exec: { command: [\"/softstop\", \"drain\"] } }");
            assert_eq!(hook, !config.drain.is_empty(), "{printed}");
        }
    }
}

/// Whole manifests in README.md and docs/, which people copy.
#[test]
fn documented_manifests_pass() {
    let mut checked = 0;
    for (path, text) in markdown("docs").into_iter().chain([("README.md".to_owned(), text("README.md"))]) {
        let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
        for block in blocks.filter(|b| b.contains("apiVersion:") && b.contains("containers:")) {
            let report = report(block);
            assert!(report.findings.is_empty(), "{path}:\n{}", said(&report));
            checked += report.checked.len();
        }
    }
    assert!(checked >= 1, "no manifest is where this test looks");
}

#[test]
fn kubernetes_examples_pass() {
    let examples = files("examples/kubernetes", ".yaml");
    assert!(examples.len() >= 4, "{examples:?}");
    for path in examples {
        let report = report(&text(&path));
        assert!(report.findings.is_empty(), "{path}:\n{}", said(&report));
        assert!(!report.checked.is_empty(), "{path} runs no softstop");
    }
}
