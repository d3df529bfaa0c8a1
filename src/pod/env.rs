//! A container's variables, as far as the manifest and the ConfigMaps of the same file say; where a pod has those from that a configuration
//! refers to, and what is read in the place of a value that is not known. Pure.

use std::collections::BTreeMap;

use super::objects::Objects;
use super::tree::Node;
use super::view::Container;
use crate::config::secrets;

/// The kernel gives a program no longer argument (MAX_ARG_STRLEN).
const LONGEST_WORD: usize = 128 * 1024;
const ADDRESS: &str = "192.0.2.1";
/// As long as a token has to be.
const SECRET: &str = "1111111111111111";
/// What is tried for a value of which nothing is known: a number, an address, a token, a duration, a path.
pub const GUESSES: [&str; 5] = ["1", ADDRESS, SECRET, "1s", "/1"];

/// What the name of a variable says, by custom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The container's runtime and the kubelet set it in every container.
    Runtime,
    /// The downward API: `fieldPath`.
    Field(&'static str),
    Secret,
    Other,
}

impl Origin {
    pub fn of(name: &str) -> Origin {
        match name {
            "PATH" | "HOME" | "HOSTNAME" => Origin::Runtime,
            "HOST_IP" | "NODE_IP" => Origin::Field("status.hostIP"),
            "HOST_IPS" => Origin::Field("status.hostIPs"),
            "POD_IP" => Origin::Field("status.podIP"),
            "POD_IPS" => Origin::Field("status.podIPs"),
            "POD_NAME" => Origin::Field("metadata.name"),
            "POD_NAMESPACE" => Origin::Field("metadata.namespace"),
            "POD_UID" => Origin::Field("metadata.uid"),
            "NODE_NAME" => Origin::Field("spec.nodeName"),
            _ if ["_SERVICE_HOST", "_SERVICE_PORT"].iter().any(|end| name.ends_with(end)) => Origin::Runtime,
            _ if secrets::is_secret(&name.to_ascii_lowercase()) => Origin::Secret,
            _ => Origin::Other,
        }
    }

    /// What to read where the value is not known.
    pub fn stand_in(self, name: &str) -> &'static str {
        match self {
            Origin::Field(path) if is_address(path) => ADDRESS,
            Origin::Secret => SECRET,
            Origin::Runtime if name.ends_with("_HOST") => ADDRESS,
            _ => GUESSES[0],
        }
    }
}

/// Of the downward API's fields.
fn is_address(path: &str) -> bool {
    matches!(path, "status.hostIP" | "status.hostIPs" | "status.podIP" | "status.podIPs")
}

/// An element of `env:` for a variable that the container `container` is to have. `value`: what it is to be, where that is no secret.
pub fn entry(name: &str, container: &str, value: Option<&str>) -> String {
    match (Origin::of(name), value) {
        (Origin::Field(path), _) => {
            format!("{{ name: {name}, valueFrom: {{ fieldRef: {{ fieldPath: {path} }} }} }}")
        }
        (Origin::Secret, _) => {
            format!("{{ name: {name}, valueFrom: {{ secretKeyRef: {{ name: {container}, key: {name} }} }} }}")
        }
        // The kubelet puts in what `$(NAME)` stands for.
        (_, Some(value)) => {
            let value = serde_json::to_string(&value.replace("$(", "$$(")).expect("a string is JSON");
            format!("{{ name: {name}, value: {value} }}")
        }
        (_, None) => format!("{{ name: {name}, value: … }}"),
    }
}

/// The container's variables.
pub struct Env<'a> {
    /// `None` for a value that the file does not say.
    pub values: BTreeMap<&'a str, (Option<&'a str>, Node<'a>)>,
    /// There are more that the file does not name: of a Secret, or a ConfigMap elsewhere.
    pub open: bool,
}

impl<'a> Env<'a> {
    pub fn new(container: &Container<'a>, objects: &Objects<'a>) -> Env<'a> {
        let mut env = Env { values: BTreeMap::new(), open: false };
        for source in container.node.list("envFrom") {
            let data = source.get("configMapRef").and_then(|r| objects.config_map(r.text_of("name")?)?.get("data"));
            match data.filter(|_| source.get("prefix").is_none()) {
                Some(data) => env.values.extend(data.pairs().map(|(name, n)| (name, (n.text(), n)))),
                None => env.open = true,
            }
        }
        let entries = container.node.list("env").into_iter();
        env.values.extend(entries.filter_map(|n| Some((n.text_of("name")?, value(n, objects)))));
        env
    }

    /// For a value that the file does not say.
    pub fn stand_in(&self, name: &str) -> &'static str {
        let from = self.values.get(name).and_then(|(_, node)| node.get("valueFrom"));
        let field = from.and_then(|f| f.get("fieldRef")?.text_of("fieldPath"));
        match (name, field) {
            ("SOFTSTOP_PRESTOP", _) => "token:1111111111111111",
            ("SOFTSTOP_HTTP", _) => "9180",
            (_, Some(path)) if is_address(path) => ADDRESS,
            _ if from.is_some_and(|f| f.get("secretKeyRef").is_some()) => SECRET,
            _ => Origin::of(name).stand_in(name),
        }
    }

    /// `$(NAME)` as Kubernetes expands it in command and args, where the value is known.
    pub fn expand(&self, word: &str) -> String {
        let mut parts = word.split("$(");
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            // A text that names a long variable again and again would take all memory there is; a program could not be given it, either.
            if text.len() > LONGEST_WORD {
                break;
            }
            let value = part.split_once(')').and_then(|(name, rest)| Some((self.values.get(name)?.0?, rest)));
            match value {
                Some((value, rest)) => text.extend([value, rest]),
                None => text.extend(["$(", part]),
            }
        }
        text
    }
}

/// The value of an element of `env`, and where it is.
fn value<'a>(n: Node<'a>, objects: &Objects<'a>) -> (Option<&'a str>, Node<'a>) {
    let Some(from) = n.get("valueFrom") else {
        // A variable without a value is an empty one. What refers to other variables is not put together here.
        let value = n.text_of("value").unwrap_or_default();
        return (Some(value).filter(|v| !v.contains("$(")), n.get("value").unwrap_or(n));
    };
    let named = |r: Node<'a>| objects.config_map(r.text_of("name")?)?.get("data")?.get(r.text_of("key")?);
    from.get("configMapKeyRef").and_then(named).map_or((None, n), |entry| (entry.text(), entry))
}

#[cfg(test)]
#[cfg(feature = "yaml")]
mod tests {
    use super::*;
    use crate::config::problem::Source;
    use crate::pod::view::Role;

    const FILE: &str = "
kind: ConfigMap
metadata: { name: settings }
data: { SOFTSTOP_GRACE: 20s, OTHER: x }
---
kind: Pod
spec:
  containers:
    - envFrom: [{ configMapRef: { name: settings } }]
      env:
        - { name: OTHER, value: y }
        - { name: GRACE, valueFrom: { configMapKeyRef: { name: settings, key: SOFTSTOP_GRACE } } }
        - { name: ABSENT, valueFrom: { configMapKeyRef: { name: elsewhere, key: a } } }
        - { name: TOKEN, valueFrom: { secretKeyRef: { name: web, key: token } } }
        - { name: EMPTY }
        - { name: BOTH, value: $(OTHER)-$(GRACE) }
    - envFrom: [{ configMapRef: { name: elsewhere } }]
    - envFrom: [{ secretRef: { name: web } }]
    - envFrom: [{ configMapRef: { name: settings }, prefix: A_ }]
";

    #[test]
    fn the_files_own_config_maps_are_known_and_others_are_said_to_be_there() {
        let stream = crate::pod::yaml::read(&Source::new("f", FILE)).unwrap_or_else(|p| panic!("{p}"));
        let objects = Objects::new(&stream);
        let containers: Vec<Env<'_>> =
            objects.workloads[0].pod.containers().iter().map(|c| Env::new(c, &objects)).collect();
        let first = &containers[0];
        let known = |name: &str| first.values[name].0;
        assert_eq!((known("SOFTSTOP_GRACE"), known("GRACE"), known("OTHER")), (Some("20s"), Some("20s"), Some("y")));
        assert_eq!((known("ABSENT"), known("TOKEN"), known("EMPTY"), known("BOTH")), (None, None, Some(""), None));
        assert_eq!(first.stand_in("TOKEN"), SECRET);
        assert_eq!(first.expand("$(OTHER) $(TOKEN) $(EMPTY)."), "y $(TOKEN) .");
        assert_eq!(containers.iter().map(|e| e.open).collect::<Vec<_>>(), [false, true, true, true]);
        assert_eq!(objects.workloads[0].pod.containers()[0].role, Role::Main);
    }

    #[test]
    fn what_a_pod_has_a_variable_from_follows_from_its_name() {
        for (name, value, expected) in [
            ("HOST_IP", None, "{ name: HOST_IP, valueFrom: { fieldRef: { fieldPath: status.hostIP } } }"),
            ("POD_IPS", None, "{ name: POD_IPS, valueFrom: { fieldRef: { fieldPath: status.podIPs } } }"),
            (
                "PRESTOP_TOKEN",
                Some("x"),
                "{ name: PRESTOP_TOKEN, valueFrom: { secretKeyRef: { name: web, key: PRESTOP_TOKEN } } }",
            ),
            ("PORT", Some("80"), "{ name: PORT, value: \"80\" }"),
            ("TOKEN_FILE", Some("$(A) \"b\""), "{ name: TOKEN_FILE, value: \"$$(A) \\\"b\\\"\" }"),
            ("PORT", None, "{ name: PORT, value: … }"),
        ] {
            assert_eq!(entry(name, "web", value), expected);
        }
        assert_eq!(Origin::of("DATABASE_SERVICE_HOST"), Origin::Runtime);
    }
}
