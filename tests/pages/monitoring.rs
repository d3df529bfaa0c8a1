//! examples/monitoring against the declared metrics: a dashboard or an alert rule that names a metric, a label or a fixed word which softstop does
//! not answer shows nothing and never fires, and nobody would notice. Whether they are right by themselves promtool says: tests/serve/monitoring.rs.

use std::collections::BTreeSet;

use regex_lite::Regex;
use serde_json::Value;
use softstop::facts::{ProbeKind, Reason};
use softstop::http::metrics::declared::{self, Row};
use softstop::record::findings::RULES;
use softstop::status::{Phase, Why};

use crate::declared::text;

/// What whoever scrapes adds to every series.
const SCRAPED: &[&str] = &["job", "instance", "namespace", "pod", "container"];

fn file(name: &str) -> String {
    text(&format!("examples/monitoring/{name}"))
}

fn dashboard() -> Value {
    serde_json::from_str(&file("grafana-dashboard.json")).expect("JSON")
}

/// The values of a label of which there are a few, and softstop's words for them.
fn words(label: &str) -> Option<Vec<&'static str>> {
    Some(match label {
        "rule" => RULES.iter().map(|rule| rule.name).collect(),
        "phase" => Phase::ALL.iter().map(|phase| phase.name()).collect(),
        "probe" => ProbeKind::ALL.iter().map(|probe| probe.name()).collect(),
        "result" => vec!["succeeded", "failed", "skipped"],
        "reason" => {
            Why::ALL.iter().map(|why| why.name()).chain(Reason::ALL.iter().map(|reason| reason.name())).collect()
        }
        _ => return None,
    })
}

/// The metrics that a text names. Their labels, each label of a grouping, and each that is shown of them are ones that they have.
fn named(text: &str) -> Vec<&'static Row> {
    let metric = Regex::new(r"\b(softstop_[a-z_]*[a-z])(\{[^}]*\})?").expect("a pattern");
    let matcher = Regex::new(r#"(\w+) *(?:=~|!~|!=|=) *"([^"]*)""#).expect("a pattern");
    let mut rows: Vec<&'static Row> = Vec::new();
    for found in metric.captures_iter(text) {
        let name = &found[1];
        let row = declared::ALL.iter().find(|row| row.name == name);
        let row = row.unwrap_or_else(|| panic!("softstop has no {name}: {text}"));
        for matched in matcher.captures_iter(found.get(2).map_or("", |labels| labels.as_str())) {
            let label = &matched[1];
            assert!(row.labels.contains(&label) || SCRAPED.contains(&label), "{name} has no label {label}: {text}");
            let known = words(label);
            let wrong = matched[2].split('|').find(|word| known.as_ref().is_some_and(|known| !known.contains(word)));
            assert_eq!(wrong, None, "{name}: {label} is never that: {text}");
        }
        rows.push(row);
    }
    let grouping = Regex::new(r"\b(?:by|without|on|ignoring) *\(([^)]*)\)").expect("a pattern");
    let shown = Regex::new(r"\$labels\.(\w+)|\{\{(\w+)\}\}").expect("a pattern");
    let mut labels: Vec<String> = Vec::new();
    for found in grouping.captures_iter(text) {
        labels.extend(found[1].split(',').map(|label| label.trim().to_owned()));
    }
    for found in shown.captures_iter(text) {
        labels.extend(found.get(1).or(found.get(2)).map(|label| label.as_str().to_owned()));
    }
    for label in labels {
        let has = rows.iter().any(|row| row.labels.contains(&label.as_str())) || SCRAPED.contains(&label.as_str());
        assert!(has, "no metric here has the label {label}: {text}");
    }
    rows
}

#[test]
fn every_metric_of_the_alert_rules_is_one_that_is_answered_with_these_labels() {
    let rules = file("alerts.yml");
    // A rule's text shows labels of its own metrics.
    let each: Vec<&str> = rules.split("- alert:").skip(1).collect();
    assert!(each.len() >= 12, "{} rules", each.len());
    for rule in &each {
        assert!(!named(rule).is_empty(), "a rule without a metric: {rule}");
    }
    let tests = file("alerts_test.yml");
    assert!(!named(&tests).is_empty());
    for rule in each {
        let name = rule.split_whitespace().next().expect("a name");
        let fires = format!("alertname: {name}\n        exp_alerts:");
        assert!(tests.contains(&fires), "alerts_test.yml: nothing fires {name}");
        assert!(text("docs/monitoring.md").contains(&format!("`{name}`")));
    }
}

#[test]
fn every_metric_of_the_dashboard_is_one_that_is_answered_with_these_labels() {
    let dashboard = dashboard();
    let mut metrics: BTreeSet<&str> = BTreeSet::new();
    for panel in panels(&dashboard) {
        for target in panel["targets"].as_array().expect("targets") {
            let legend = target["legendFormat"].as_str().unwrap_or_default();
            let rows = named(&format!("{} {legend}", target["expr"].as_str().expect("an expression")));
            assert!(!rows.is_empty(), "{target}");
            metrics.extend(rows.iter().map(|row| row.name));
        }
    }
    for list in ["templating", "annotations"] {
        named(&dashboard[list].to_string().replace("\\\"", "\""));
    }
    assert!(metrics.len() > 20, "{metrics:?}");
}

/// All but the rows that part them.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().into_iter().flatten().filter(|panel| panel["type"] != "row")
}

#[test]
fn the_dashboard_is_one_that_grafana_takes_anywhere() {
    let dashboard = dashboard();
    assert!(dashboard["id"].is_null(), "Grafana gives it one");
    for key in ["uid", "title", "schemaVersion", "__requires"] {
        assert!(!dashboard[key].is_null(), "{key}");
    }
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    assert_eq!((&variables[0]["name"], &variables[0]["type"]), (&"datasource".into(), &"datasource".into()));
    let known: Vec<&str> = variables.iter().filter_map(|variable| variable["name"].as_str()).collect();
    let used = Regex::new(r"\$\{?(\w+)").expect("a pattern");
    let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().expect("panels") {
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{panel}");
        let at = |key: &str| panel["gridPos"][key].as_u64().expect("a place");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(x < 24 && places.insert((x, y)), "two panels at {x}, {y}: {}", panel["title"]);
            }
        }
        assert!(!panel["title"].as_str().expect("a title").is_empty());
    }
    for panel in panels(&dashboard) {
        for source in panel["targets"].as_array().expect("targets").iter().chain([panel]) {
            assert_eq!(source["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
        }
        for found in used.captures_iter(&panel.to_string()) {
            assert!(known.contains(&&found[1]), "no variable {}: {}", &found[1], panel["title"]);
        }
    }
}
