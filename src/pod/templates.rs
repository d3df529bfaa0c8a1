//! Pod templates in objects of any kind: a Rollout, a CloneSet, a ScaledJob, whatever somebody's operator has. Pure.

use super::tree::Node;

/// Levels below the object that are looked at.
const MAX_DEPTH: usize = 40;
/// Nodes of one file that are looked at: an alias may stand for the same ones again and again.
const MAX_NODES: usize = 200_000;
/// Kinds that run no containers, although a part of a pod stands in them: they check or change the pods of others.
const ABOUT_OTHERS: [&str; 5] =
    ["CustomResourceDefinition", "ClusterPolicy", "Policy", "MutatingAdmissionPolicy", "ValidatingAdmissionPolicy"];

/// A pod template inside an object.
pub struct Template<'a> {
    /// The pod's spec.
    pub pod: Node<'a>,
    pub metadata: Option<Node<'a>>,
    /// What has `replicas`, or a Job's `backoffLimit`: the mapping that the template stands in.
    pub owner: Node<'a>,
    /// The key that the template stands behind.
    pub key: &'a str,
    /// A Job's, by a key on the way: `jobTargetRef`, `jobTemplate`, `replicatedJobs`.
    pub in_job: bool,
}

/// What an object of an unknown kind holds.
#[derive(Default)]
pub struct Search<'a> {
    pub templates: Vec<Template<'a>>,
    /// Whole objects inside it.
    pub objects: Vec<Node<'a>>,
    /// Where something was not read, and why.
    pub unread: Option<(Node<'a>, &'static str)>,
}

impl<'a> Search<'a> {
    /// `nodes`: how many have been looked at in this file.
    pub fn new(kind: &str, root: Node<'a>, nodes: &mut usize) -> Search<'a> {
        let mut search = Search::default();
        if !ABOUT_OTHERS.contains(&kind) {
            let place = Place { owner: root, key: "", in_job: false, depth: 0 };
            search.walk(root, &place, nodes);
        }
        search
    }

    fn walk(&mut self, node: Node<'a>, place: &Place<'a>, nodes: &mut usize) {
        *nodes += 1;
        if place.depth > MAX_DEPTH || *nodes > MAX_NODES {
            self.unread.get_or_insert((node, "it is too deep, or too much"));
            return;
        }
        if place.depth > 0 && self.found(node, place) {
            return;
        }
        let runs = ["containers", "initContainers"].iter().any(|key| has_containers(&node, key));
        let alone = node.get("container").is_some_and(|c| c.get("image").is_some());
        if runs || alone {
            self.unread.get_or_insert((node, "containers stand in it where no pod template is known to be"));
        }
        let below = |key: &'a str| Place {
            owner: node,
            key,
            in_job: place.in_job || key.starts_with("job") || key.ends_with("Jobs"),
            depth: place.depth + 1,
        };
        for (key, value) in node.pairs() {
            self.walk(value, &below(key), nodes);
        }
        for value in node.elements() {
            // The elements of a list stand where it does.
            let place = Place { owner: place.owner, key: place.key, in_job: place.in_job, depth: place.depth + 1 };
            self.walk(value, &place, nodes);
        }
    }

    /// A pod template, or a whole object, which others look into.
    fn found(&mut self, node: Node<'a>, place: &Place<'a>) -> bool {
        let is_kind = node.get("kind").is_some();
        let Some(spec) = node.get("spec") else { return false };
        if has_containers(&spec, "containers") && !is_kind {
            let (metadata, Place { owner, key, in_job, .. }) = (node.get("metadata"), place);
            self.templates.push(Template { pod: spec, metadata, owner: *owner, key, in_job: *in_job });
            return true;
        }
        let is_object = is_kind && (has_containers(&spec, "containers") || node.get("apiVersion").is_some());
        if is_object {
            self.objects.push(node);
        }
        is_object
    }
}

struct Place<'a> {
    owner: Node<'a>,
    key: &'a str,
    in_job: bool,
    depth: usize,
}

/// A list of containers; in a schema the same key has something else.
fn has_containers(node: &Node<'_>, key: &str) -> bool {
    node.list(key).iter().any(|c| c.is_mapping() && (c.get("name").is_some() || c.get("image").is_some()))
}

#[cfg(test)]
#[cfg(feature = "yaml")]
mod tests {
    use super::*;
    use crate::config::problem::Source;
    use crate::pod::yaml::read;

    /// The keys before the templates, `!` for a Job's, `+n` for whole objects, `?` for containers elsewhere.
    fn found(text: &str) -> String {
        let stream = read(&Source::new("f", text)).unwrap_or_else(|p| panic!("{p}"));
        let root = stream.documents().next().unwrap();
        let search = Search::new(root.text_of("kind").unwrap_or_default(), root, &mut 0);
        let mut keys: Vec<String> =
            search.templates.iter().map(|t| format!("{}{}", t.key, if t.in_job { "!" } else { "" })).collect();
        keys.extend((!search.objects.is_empty()).then(|| format!("+{}", search.objects.len())));
        keys.extend(search.unread.map(|_| "?".to_owned()));
        keys.join(" ")
    }

    #[test]
    fn a_pod_template_is_found_wherever_a_kind_has_it() {
        let pod = "{ spec: { containers: [{ name: a, image: i }] } }";
        for (text, expected) in [
            (format!("kind: AdvancedCronJob\nspec: {{ template: {{ jobTemplate: {{ spec: {{ template: {pod} }} }} }} }}"), "template!"),
            (format!("kind: Fleet\nspec: {{ template: {{ spec: {{ template: {pod} }} }} }}"), "template"),
            (format!("kind: RayCluster\nspec: {{ workerGroupSpecs: [{{ template: {pod} }}, {{ template: {pod} }}] }}"), "template template"),
            (format!("kind: PodTemplate\ntemplate: {pod}"), "template"),
            (
                "kind: ManifestWork\nspec: { workload: { manifests: [{ kind: Pod, spec: { containers: [{ name: a }] } }, { apiVersion: apps/v1, kind: Deployment, spec: {} }] } }"
                    .to_owned(),
                "+2",
            ),
            ("kind: Workflow\nspec: { templates: [{ name: a, container: { image: i } }] }".to_owned(), "?"),
            ("kind: Prometheus\nspec: { containers: [{ name: a }] }".to_owned(), "?"),
            ("kind: Ingress\nspec: { rules: [{ host: a }] }".to_owned(), ""),
            ("kind: CustomResourceDefinition\nspec: { schema: { spec: { containers: [{ name: a }] } } }".to_owned(), ""),
            ("kind: Other\nspec: { properties: { spec: { containers: { type: array } } } }".to_owned(), ""),
        ] {
            assert_eq!(found(&text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_too_deep_or_too_much_is_not_passed_over() {
        let deep = format!("kind: X\nspec: {}{{ a: b }}{}", "{ s: ".repeat(50), " }".repeat(50));
        assert_eq!(found(&deep), "?");
        let mut many = "kind: X\na0: &a0 [x]\n".to_owned();
        for i in 1..8 {
            many.push_str(&format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 9].join(", ")));
        }
        assert_eq!(found(&many), "?");
    }
}
