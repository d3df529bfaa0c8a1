//! TREE → PODS: what of a manifest softstop looks at, by Kubernetes' names and with its defaults. Pure.

use std::time::Duration;

use super::templates::Template;
use super::tree::Node;
use crate::endpoint::Health;
use crate::text;

/// Containers of one pod that are looked at.
pub(super) const MAX_CONTAINERS: usize = 50;

/// What becomes of the pods of a workload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sort {
    /// They are replaced one after the other and serve in between.
    Service,
    /// They end; what the workload's spec says is a Job's.
    Job,
    Other,
}

/// Something that runs pods.
pub struct Workload<'a> {
    /// `Deployment`, `Pod` …; `fragment` for a pod's spec alone.
    pub kind: &'a str,
    pub name: &'a str,
    pub sort: Sort,
    /// Which of its pod templates, if it has several.
    part: String,
    /// The whole object.
    pub root: Node<'a>,
    /// Its spec: the pod's own for a Pod, the Job's for a CronJob.
    pub spec: Node<'a>,
    /// The pods'.
    pub metadata: Option<Node<'a>>,
    pub pod: Pod<'a>,
}

/// A pod's spec.
#[derive(Clone, Copy)]
pub struct Pod<'a>(pub Node<'a>, pub Owner);

/// Who makes the pod of its spec.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    Kubernetes,
    /// Which has the grace from a key of its own, and hooks, probes and a drain of its own.
    Knative,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    Main,
    /// Ends before the main containers start.
    Init,
    /// An init container with `restartPolicy: Always`.
    Sidecar,
}

#[derive(Clone, Copy)]
pub struct Container<'a> {
    pub node: Node<'a>,
    pub name: &'a str,
    pub role: Role,
}

/// What a probe or a hook does.
pub enum Handler<'a> {
    Http { port: Option<Node<'a>>, path: &'a str, node: Node<'a> },
    Tcp(Node<'a>),
    Exec(Vec<&'a str>),
    Sleep(Duration),
    Grpc,
    None,
}

pub struct Probe<'a> {
    pub kind: Health,
    pub node: Node<'a>,
    pub handler: Handler<'a>,
}

/// Kinds whose pods serve.
const SERVICES: [&str; 10] = [
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "ReplicationController",
    "DeploymentConfig",
    "Rollout",
    "CloneSet",
    "UnitedDeployment",
    "Service",
];

/// Its kinds have names that others have, too.
pub(super) fn is_knative(node: Node<'_>) -> bool {
    node.text_of("apiVersion").is_some_and(|v| v.starts_with("serving.knative.dev/"))
}

pub(super) fn name_of(root: Node<'_>) -> &str {
    root.get("metadata").and_then(|m| m.text_of("name")).unwrap_or_default()
}

pub(super) fn title(kind: &str, name: &str, part: &str) -> String {
    let title = match (kind, name) {
        ("fragment", _) => "the pod".to_owned(),
        (kind, "") => format!("the {kind}"),
        (kind, name) => format!("{kind} {name}"),
    };
    text::sentence(&if part.is_empty() { title } else { format!("{title} ({part})") })
}

/// A pod's spec alone, as `softstop manifest` prints it.
pub(super) fn fragment(node: Node<'_>) -> Option<Workload<'_>> {
    node.get("containers").or(node.get("initContainers"))?;
    let template = Template { pod: node, metadata: None, owner: node, key: "", in_job: false };
    Some(Workload::new("fragment", node, template, String::new()))
}

impl<'a> Workload<'a> {
    /// Of one of Kubernetes' own kinds.
    pub(super) fn of_kind(kind: &'a str, root: Node<'a>) -> Option<Workload<'a>> {
        let spec = root.get("spec")?;
        let owner = if kind == "CronJob" { spec.at(&["jobTemplate", "spec"])? } else { spec };
        let (pod, metadata) = match kind {
            "Pod" => (spec, root.get("metadata")),
            _ => (owner.at(&["template", "spec"])?, owner.at(&["template", "metadata"])),
        };
        let in_job = matches!(kind, "Job" | "CronJob");
        Some(Workload::new(kind, root, Template { pod, metadata, owner, key: "", in_job }, String::new()))
    }

    /// `part`: which of its pod templates, if it has several.
    pub(super) fn new(kind: &'a str, root: Node<'a>, template: Template<'a>, part: String) -> Workload<'a> {
        let Template { pod, metadata, owner, in_job, .. } = template;
        let sort = match in_job {
            true => Sort::Job,
            false if SERVICES.contains(&kind) || is_knative(root) => Sort::Service,
            false => Sort::Other,
        };
        Workload {
            kind,
            name: name_of(root),
            sort,
            part,
            root,
            spec: owner,
            metadata,
            pod: Pod(pod, if is_knative(root) { Owner::Knative } else { Owner::Kubernetes }),
        }
    }

    /// The pods' labels.
    pub fn labels(&self) -> Option<Node<'a>> {
        self.metadata.and_then(|m| m.get("labels"))
    }

    /// The pods' annotations.
    pub fn annotations(&self) -> Option<Node<'a>> {
        self.metadata.and_then(|m| m.get("annotations"))
    }

    /// For messages.
    pub fn title(&self) -> String {
        title(self.kind, self.name, &self.part)
    }

    pub fn is_job(&self) -> bool {
        self.sort == Sort::Job
    }

    /// Its pods are replaced one after the other and serve in between.
    pub fn is_service(&self) -> bool {
        self.sort == Sort::Service
    }

    pub fn is_knative(&self) -> bool {
        self.pod.1 == Owner::Knative
    }

    pub fn replicas(&self) -> i64 {
        self.spec.get("replicas").and_then(|n| n.integer()).unwrap_or(1)
    }

    /// Whether a selector's labels are all among the pods'.
    pub fn is_selected_by(&self, selector: Option<Node<'_>>) -> bool {
        let (Some(selector), Some(labels)) = (selector, self.labels()) else { return false };
        let mut wanted = selector.pairs().peekable();
        wanted.peek().is_some()
            && wanted.all(|(key, value)| labels.get(key).is_some_and(|label| label.text() == value.text()))
    }
}

impl<'a> Pod<'a> {
    /// The key of the grace, and its default in seconds.
    fn budget(&self) -> (&'static str, i64) {
        match self.1 {
            Owner::Kubernetes => ("terminationGracePeriodSeconds", 30),
            Owner::Knative => ("timeoutSeconds", 300),
        }
    }

    pub fn grace_key(&self) -> &'static str {
        self.budget().0
    }

    /// Where it is stated.
    pub fn stated_grace(&self) -> Option<Node<'a>> {
        self.0.get(self.grace_key())
    }

    /// As the kubelet takes it: a negative one is 1.
    pub fn grace(&self) -> Duration {
        let stated = self.stated_grace().and_then(|n| n.integer()).unwrap_or(self.budget().1);
        Duration::from_secs(u64::try_from(stated).unwrap_or(1))
    }

    pub fn has(&self, key: &str) -> bool {
        self.0.true_at(&[key]).is_some()
    }

    pub fn containers(&self) -> Vec<Container<'a>> {
        let of = |key: &str, init: bool| {
            self.0.list(key).into_iter().take(MAX_CONTAINERS).map(move |node| {
                let role = match init {
                    false => Role::Main,
                    true if node.has("restartPolicy", "Always") => Role::Sidecar,
                    true => Role::Init,
                };
                Container { node, name: node.text_of("name").unwrap_or_default(), role }
            })
        };
        of("initContainers", true).chain(of("containers", false)).collect()
    }

    /// The volume of a name.
    pub fn volume(&self, name: &str) -> Option<Node<'a>> {
        self.0.entry_of("volumes", "name", name)
    }
}

impl<'a> Container<'a> {
    pub fn probes(&self) -> impl Iterator<Item = Probe<'a>> + use<'a> {
        let node = self.node;
        Health::ALL.into_iter().filter_map(move |kind| {
            let node = node.get(kind.probe())?;
            Some(Probe { kind, node, handler: Handler::new(node) })
        })
    }

    pub fn probe(&self, kind: Health) -> Option<Probe<'a>> {
        self.probes().find(|p| p.kind == kind)
    }

    pub fn hook(&self, name: &str) -> Option<(Node<'a>, Handler<'a>)> {
        let node = self.node.at(&["lifecycle", name])?;
        Some((node, Handler::new(node)))
    }

    /// Every port with its name.
    pub fn ports(&self) -> Vec<(Option<&'a str>, Option<u16>)> {
        let port = |n: Node<'a>| u16::try_from(n.get("containerPort")?.integer()?).ok();
        self.node.list("ports").into_iter().map(|n| (n.text_of("name"), port(n))).collect()
    }

    /// The number behind a port or its name: as probes and hooks name them.
    pub fn port(&self, port: Node<'_>) -> Option<u16> {
        let text = port.text()?;
        if let Ok(number) = text.parse() {
            return Some(number);
        }
        self.ports().into_iter().find(|(name, _)| *name == Some(text)).and_then(|(_, number)| number)
    }

    /// A security setting: the container's own, else the pod's.
    pub fn security(&self, pod: Pod<'a>, key: &str) -> Option<Node<'a>> {
        self.node.at(&["securityContext", key]).or_else(|| pod.0.at(&["securityContext", key]))
    }

    /// The volume mount that a path is on, and whether it can be written to.
    pub fn mount(&self, path: &str) -> Option<(Node<'a>, bool)> {
        let below = |mount: &str| {
            let mount = mount.trim_end_matches('/');
            path == mount || path.strip_prefix(mount).is_some_and(|rest| rest.starts_with('/'))
        };
        let mounts = self.node.list("volumeMounts").into_iter();
        let at = |n: &Node<'a>| n.text_of("mountPath").filter(|p| below(p)).map(str::len);
        let mount = mounts.filter_map(|n| Some((at(&n)?, n))).max_by_key(|(length, _)| *length)?.1;
        Some((mount, mount.true_at(&["readOnly"]).is_none()))
    }
}

impl<'a> Handler<'a> {
    fn new(node: Node<'a>) -> Handler<'a> {
        if let Some(http) = node.get("httpGet") {
            return Handler::Http { port: http.get("port"), path: http.text_of("path").unwrap_or("/"), node: http };
        }
        if let Some(tcp) = node.get("tcpSocket") {
            return Handler::Tcp(tcp);
        }
        if let Some(exec) = node.get("exec") {
            return Handler::Exec(exec.get("command").map(|c| c.texts()).unwrap_or_default());
        }
        if let Some(sleep) = node.get("sleep") {
            return Handler::Sleep(seconds(sleep, "seconds", 0));
        }
        if node.get("grpc").is_some() { Handler::Grpc } else { Handler::None }
    }
}

impl Probe<'_> {
    pub fn name(&self) -> &'static str {
        self.kind.probe()
    }

    pub fn timeout(&self) -> Duration {
        seconds(self.node, "timeoutSeconds", 1)
    }

    pub fn period(&self) -> Duration {
        seconds(self.node, "periodSeconds", 10)
    }

    /// Failures in a row that count.
    pub fn threshold(&self) -> u32 {
        let stated = self.node.get("failureThreshold").and_then(|n| n.integer()).filter(|n| *n > 0).unwrap_or(3);
        u32::try_from(stated).unwrap_or(u32::MAX)
    }

    /// Until a failure that lasts is noticed at the latest.
    pub fn noticed(&self) -> Duration {
        self.period().saturating_mul(self.threshold())
    }

    /// The same, from the container's start.
    pub fn patience(&self) -> Duration {
        seconds(self.node, "initialDelaySeconds", 0).saturating_add(self.noticed())
    }
}

/// A count of seconds; 0 and what is none are the default, as Kubernetes has it.
fn seconds(node: Node<'_>, key: &str, default: u64) -> Duration {
    let stated = node.get(key).and_then(|n| n.integer()).and_then(|n| u64::try_from(n).ok());
    Duration::from_secs(stated.filter(|n| *n > 0).unwrap_or(default))
}
