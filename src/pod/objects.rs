//! What the documents of a file hold: workloads, what stands beside them, and what was not read. Pure.

use super::templates::Search;
use super::tree::{Node, Stream};
use super::view::{MAX_CONTAINERS, Workload, fragment, is_knative, name_of, title};

/// Workloads of one file that are looked at.
const MAX_WORKLOADS: usize = 500;
/// Lists in lists.
const MAX_LISTS: usize = 4;

/// What the documents of a file hold.
#[derive(Default)]
pub struct Objects<'a> {
    pub workloads: Vec<Workload<'a>>,
    pub services: Vec<Node<'a>>,
    pub budgets: Vec<Node<'a>>,
    pub config_maps: Vec<Node<'a>>,
    /// What runs containers, or may, and was not read.
    pub unread: Vec<Unread<'a>>,
    /// Kinds whose pod template is another object's: the kind, the object, and what it says of the other.
    references: Vec<(&'a str, Node<'a>, Node<'a>)>,
    /// Nodes that the search for pod templates has looked at.
    nodes: usize,
}

/// An object, or the rest of a file, that was not read.
pub struct Unread<'a> {
    /// For messages.
    pub title: String,
    pub why: &'static str,
    pub root: Node<'a>,
    /// What to mark.
    pub at: Node<'a>,
}

impl<'a> Objects<'a> {
    pub fn new(stream: &'a Stream) -> Objects<'a> {
        let mut objects = Objects::default();
        for document in stream.documents() {
            objects.add(document, 0);
        }
        objects.look_up_references();
        if let Some(first) = objects.workloads.get(MAX_WORKLOADS) {
            let (title, root) = (format!("{} and what follows it", first.title()), first.root);
            objects.unread.push(Unread { title, why: "one file may have 500 workloads", root, at: root });
            objects.workloads.truncate(MAX_WORKLOADS);
        }
        objects
    }

    /// Of a name.
    pub fn config_map(&self, name: &str) -> Option<Node<'a>> {
        self.config_maps.iter().copied().find(|map| map.get("metadata").is_some_and(|m| m.has("name", name)))
    }

    fn add(&mut self, node: Node<'a>, depth: usize) {
        let kind = node.text_of("kind").unwrap_or_default();
        if self.workloads.len() > MAX_WORKLOADS || self.unread.len() > MAX_WORKLOADS {
            return;
        }
        let items = if kind == "Template" { "objects" } else { "items" };
        match kind {
            _ if is_knative(node) => self.search(kind, node, depth),
            "Service" => self.services.push(node),
            "PodDisruptionBudget" => self.budgets.push(node),
            "ConfigMap" => self.config_maps.push(node),
            "" if node.get("items").is_none() => self.workloads.extend(fragment(node)),
            _ if depth >= MAX_LISTS => self.unread(kind, node, node, "it stands in too many lists"),
            _ if kind.ends_with("List") || matches!(kind, "" | "Template") => {
                node.list(items).into_iter().for_each(|item| self.add(item, depth + 1));
            }
            "Pod" | "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" | "CronJob" => {
                match Workload::of_kind(kind, node) {
                    Some(workload) => self.push(workload),
                    None => self.unread(kind, node, node, "it has no pod template"),
                }
            }
            _ => self.search(kind, node, depth),
        }
    }

    fn unread(&mut self, kind: &str, root: Node<'a>, at: Node<'a>, why: &'static str) {
        self.unread.push(Unread { title: title(kind, name_of(root), ""), why, root, at });
    }

    /// An object of a kind that is not known here.
    fn search(&mut self, kind: &'a str, root: Node<'a>, depth: usize) {
        let search = Search::new(kind, root, &mut self.nodes);
        let count = search.templates.len();
        for (i, template) in search.templates.into_iter().enumerate() {
            let part = if count > 1 { format!("{} {} of {count}", template.key, i + 1) } else { String::new() };
            self.push(Workload::new(kind, root, template, part));
        }
        search.objects.into_iter().for_each(|object| self.add(object, depth + 1));
        if let Some((at, why)) = search.unread {
            self.unread(kind, root, at, why);
        } else if let Some(reference) = root.at(&["spec", "workloadRef"]).filter(|_| count == 0) {
            self.references.push((kind, root, reference));
        }
    }

    fn push(&mut self, workload: Workload<'a>) {
        let lists = ["initContainers", "containers"].map(|key| workload.pod.0.list(key));
        if let Some(first) = lists.iter().find_map(|list| list.get(MAX_CONTAINERS)) {
            let title = format!("{}, all of its containers", workload.title());
            let why = "one pod may have 50 of a kind";
            self.unread.push(Unread { title, why, root: workload.root, at: *first });
        }
        self.workloads.push(workload);
    }

    /// A Rollout may take the pod template of a Deployment, which is checked where it stands.
    fn look_up_references(&mut self) {
        for (kind, root, reference) in std::mem::take(&mut self.references) {
            let text = |key| reference.text_of(key).unwrap_or_default();
            if !self.workloads.iter().any(|w| w.kind == text("kind") && w.name == text("name")) {
                self.unread(kind, root, reference, "the workload whose pods it runs does not stand in this file");
            }
        }
    }
}
