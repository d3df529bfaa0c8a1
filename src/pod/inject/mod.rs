//! MANIFEST → MANIFEST: softstop put in front of a container, and taken out again (`softstop inject`). The text is changed where something comes in or
//! goes, and nowhere else: comments, order and style stay. Pure.

mod compose;
mod edit;

use super::fragment::{self, PORT, STARTUP, quoted};
use super::launch::Launch;
use super::objects::Objects;
use super::tree::Node;
use super::view::{Container, Handler, Role, Workload};
use super::yaml;
use crate::config::problem::{Problem, Source};
use crate::endpoint::Health;
use crate::text;
use edit::{Edits, Item};

/// The volume, the init container and the port.
const NAME: &str = "softstop";
/// Where the container finds it.
const FOLDER: &str = "/softstop";
const BINARY: &str = "/softstop/softstop";
/// What stands before a command.
const SOFTSTOP: [&str; 2] = [BINARY, "--"];
/// On the pods: what was written into them that does not show by its name whose it is.
const ANNOTATION: &str = "softstop/injected";
/// On the pods: the port and the path of the program's own readinessProbe, as they stood there.
const ASKED: &str = "softstop/readiness";
const COMMAND: &str = "command";
const GRACE: &str = "terminationGracePeriodSeconds";
const MESSAGE: &str = "terminationMessagePolicy";
const READINESS: &str = "SOFTSTOP_READINESS";
/// In the order in which they are written.
const VARIABLES: [&str; 4] = ["SOFTSTOP_GRACE", "SOFTSTOP_DRAIN", "SOFTSTOP_HTTP", READINESS];
/// Twice what it takes.
const VOLUME: &str = "16Mi";

/// How the binary gets into the pod.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Carrier {
    /// An init container copies it into an emptyDir.
    Init,
    /// Its image is a volume: Kubernetes 1.33 and later.
    ImageVolume,
}

pub struct Wanted<'a> {
    /// The container, where a pod has several.
    pub container: Option<&'a str>,
    /// The image with softstop in it.
    pub image: Option<&'a str>,
    pub carrier: Carrier,
    /// What the container's image runs, where the manifest does not say.
    pub command: &'a [String],
}

#[derive(Debug)]
pub struct Done {
    pub text: String,
    /// What was changed, and what stays to be done by hand; one line each.
    pub notes: Vec<String>,
}

/// softstop put in front of a container of each pod of a manifest; where it is already, nothing changes.
///
/// # Errors
/// What is missing or cannot be written into, at its place.
pub fn inject(source: &Source<'_>, wanted: &Wanted<'_>) -> Result<Done, Problem> {
    change(
        source,
        |change, objects, workload| {
            let container = change.container(workload, wanted.container)?;
            change.put(objects, workload, &container, wanted)
        },
        |change, services| compose::put(change, services, wanted),
    )
}

/// What [`inject`] has put in is taken out again.
///
/// # Errors
/// What cannot be taken out, at its place.
pub fn remove(source: &Source<'_>) -> Result<Done, Problem> {
    change(source, |change, objects, workload| change.take(objects, workload), compose::take)
}

fn change(
    source: &Source<'_>,
    one: impl Fn(&mut Change<'_>, &Objects<'_>, &Workload<'_>) -> Result<(), Problem>,
    of_compose: impl Fn(&mut Change<'_>, Node<'_>) -> Result<(), Problem>,
) -> Result<Done, Problem> {
    let stream = yaml::read(source)?;
    let mut change = Change { source, edits: Edits::new(source, &stream), notes: Vec::new(), recorded: Vec::new() };
    let changed = if let Some(services) = stream.documents().find_map(compose::services) {
        of_compose(&mut change, services)
    } else {
        let objects = Objects::new(&stream);
        if objects.workloads.is_empty() {
            let help = "it takes Deployments, Jobs, Pods and whatever else has a pod template, lists of them, a pod's spec alone, and Compose files";
            return Err(change.problem("there is no pod in this file", None, help));
        }
        objects.workloads.iter().try_for_each(|workload| one(&mut change, &objects, workload))
    };
    changed.map(|()| Done { text: change.edits.done(), notes: change.notes })
}

struct Change<'a> {
    source: &'a Source<'a>,
    edits: Edits<'a>,
    notes: Vec<String>,
    /// Of the pod at hand what was written into it that does not show by its name whose it is.
    recorded: Vec<&'static str>,
}

impl Change<'_> {
    fn problem(&self, sentence: &str, at: Option<Node<'_>>, help: &str) -> Problem {
        let place = at.map_or_else(|| self.source.whole(), |node| self.source.place(&node.mark(), ""));
        Problem::error(place, text::sentence(sentence), help)
    }

    fn image<'w>(&self, wanted: &Wanted<'w>) -> Result<&'w str, Problem> {
        let help = "--image IMAGE: one with /softstop in it, such as scripts/image makes";
        wanted.image.ok_or_else(|| self.problem("softstop has to come from an image", None, help))
    }

    /// `has_args`: of the command behind its entry point.
    fn only_the_image_knows(&self, node: Node<'_>, whose: &str, has_args: bool) -> Problem {
        let image = node.text_of("image").unwrap_or("its image");
        let sentence = format!("what {whose} runs is known to {image} alone");
        let what = match has_args {
            true => "the image's entry point, behind which what stands here goes",
            false => "the image's entry point and command",
        };
        let help = format!(
            "say it behind two dashes, as in softstop inject -f FILE … -- nginx -g 'daemon off;': {what}; podman image inspect \
             --format '{{{{.Config.Entrypoint}}}} {{{{.Config.Cmd}}}}' {image} shows them"
        );
        self.problem(&sentence, node.get("name").or(node.get("image")).or(Some(node)), &help)
    }

    fn note(&mut self, workload: &Workload<'_>, container: &Container<'_>, what: &str) {
        let name = if container.name.is_empty() { String::new() } else { format!(", container {}", container.name) };
        self.notes.push(text::sentence(&format!("{}{name}: {what}", workload.title())));
    }

    fn container<'w>(&self, workload: &Workload<'w>, name: Option<&str>) -> Result<Container<'w>, Problem> {
        let mut all = workload.pod.containers();
        all.retain(|c| name.is_some() || c.role == Role::Main);
        let sentence = match (name, all.as_slice()) {
            (None, [one]) => return Ok(*one),
            (None, several) => format!("{} has {} containers", workload.title(), several.len()),
            (Some(name), all) => match all.iter().find(|c| c.name == name) {
                Some(found) => return Ok(*found),
                None => format!("{} has no container {name}", workload.title()),
            },
        };
        Err(self.which_one(
            &sentence,
            workload.pod.0.get("containers"),
            &all.iter().map(|c| c.name).collect::<Vec<_>>(),
        ))
    }

    fn which_one(&self, sentence: &str, at: Option<Node<'_>>, names: &[&str]) -> Problem {
        let help = format!("say which one softstop is for: --container NAME, with one of {}", names.join(", "));
        self.problem(sentence, at, &help)
    }

    fn put(
        &mut self,
        objects: &Objects<'_>,
        workload: &Workload<'_>,
        container: &Container<'_>,
        wanted: &Wanted<'_>,
    ) -> Result<(), Problem> {
        let launch = Launch::new(container, objects);
        if let Some(program) = launch.program.filter(|program| *program != BINARY) {
            self.note(workload, container, &format!("left as it is, as it runs softstop already ({program})"));
            return Ok(());
        }
        if workload.is_knative() {
            self.note(workload, container, "left as it is: Knative has a grace, hooks and a drain of its own");
            return Ok(());
        }
        self.recorded.clear();
        if launch.program.is_none() {
            let whose = format!("the container {}", container.name);
            self.put_in_front(container.node, [COMMAND, "args"], &whose, "$(", wanted)?;
        }
        let asked = self.put_readiness(workload, container)?;
        self.put_into_container(workload, container, asked.as_ref().map(|asked| asked.url.as_str()))?;
        self.put_into_pod(workload, wanted)?;
        let Some(metadata) = workload.metadata else { return Ok(()) };
        let written = (!self.recorded.is_empty()).then(|| (ANNOTATION, self.recorded.join(" ")));
        let written: Vec<_> = written.into_iter().chain(asked.map(|asked| (ASKED, asked.before))).collect();
        self.edits.put_pairs(metadata, "annotations", &written)
    }

    /// A readinessProbe that asks the program asks softstop, which asks the program: else it would not fail in the drain. Only where it can be taken
    /// back: a call without anything special, of a pod that has metadata.
    fn put_readiness(&mut self, workload: &Workload<'_>, container: &Container<'_>) -> Result<Option<Asked>, Problem> {
        let Some(Handler::Http { node, .. }) = container.probe(Health::Ready).map(|probe| probe.handler) else {
            return Ok(None);
        };
        let special = node.pairs().any(|(key, value)| match key {
            "path" | "port" => value.text().is_none(),
            "scheme" => value.text() != Some("HTTP"),
            _ => true,
        });
        let (Some(path), Some(port)) = (node.get("path"), node.get("port")) else { return Ok(None) };
        let number = container.port(port);
        let (Some(number), false) = (number, special || port.text() == Some(NAME) || workload.metadata.is_none())
        else {
            return Ok(None);
        };
        let raw = |node: Node<'_>| self.source.text.get(node.span()).unwrap_or_default().to_owned();
        let asked = Asked {
            url: format!("http://localhost:{number}{}", path.text().unwrap_or_default()),
            before: format!("{} {}", raw(port), raw(path)),
        };
        self.edits.replace(port, quoted(NAME))?;
        self.edits.replace(path, quoted(Health::Ready.path()))?;
        Ok(Some(asked))
    }

    /// Before the words behind a key, or behind it with those that are wanted. `keys`: that one, and the one of the arguments; `variable`: how
    /// one begins that would be put into the words.
    fn put_in_front(
        &mut self,
        node: Node<'_>,
        [key, arguments]: [&'static str; 2],
        whose: &str,
        variable: &str,
        wanted: &Wanted<'_>,
    ) -> Result<(), Problem> {
        if node.get(key).is_some() {
            return self.edits.put_items(node, key, &SOFTSTOP.map(|word| Item::Word(quoted(word))), 0);
        }
        if wanted.command.is_empty() {
            return Err(self.only_the_image_knows(node, whose, node.get(arguments).is_some()));
        }
        let words = wanted.command.iter().map(|word| word.replace(variable, &format!("${variable}")));
        let words = SOFTSTOP.map(str::to_owned).into_iter().chain(words).map(|word| quoted(&word));
        self.recorded.push(key);
        self.edits.put_key(node, key, &format!("[{}]", words.collect::<Vec<_>>().join(", ")))
    }

    fn put_into_container(
        &mut self,
        workload: &Workload<'_>,
        container: &Container<'_>,
        readiness: Option<&str>,
    ) -> Result<(), Problem> {
        let node = container.node;
        let dashes = self.edits.dashes(workload.pod.0, "containers").unwrap_or(2);
        let grace = format!("{}s", workload.pod.grace().as_secs());
        let listen = format!(":{PORT}");
        let values = [Some(grace.as_str()), (!workload.is_job()).then_some("auto"), Some(&listen), readiness];
        let variables = VARIABLES.iter().zip(values).filter(|(name, _)| node.entry_of("env", "name", name).is_none());
        let item = |name: &str, value| Item::Mapping(vec![("name", name.to_owned()), ("value", quoted(value))]);
        let variables: Vec<_> = variables.filter_map(|(name, value)| Some(item(name, value?))).collect();
        self.edits.put_items(node, "env", &variables, dashes)?;
        self.put_named(node, "ports", vec![("containerPort", PORT.to_string())], dashes)?;
        let mount = vec![("mountPath", FOLDER.to_owned()), ("readOnly", "true".to_owned())];
        self.put_named(node, "volumeMounts", mount, dashes)?;
        for (health, rest) in PROBES {
            if container.probe(*health).is_none() && !(workload.is_job() && *health == Health::Ready) {
                let rest = rest.replace("STARTUP", &STARTUP.to_string());
                self.edits.put_key(node, health.probe(), &fragment::probe(*health, &rest))?;
            }
        }
        self.put_hook(workload, container)?;
        if node.text_of(MESSAGE).is_none() {
            self.edits.put_key(node, MESSAGE, "FallbackToLogsOnError")?;
            self.recorded.push(MESSAGE);
        }
        Ok(())
    }

    /// An entry with our name into a list that has none.
    fn put_named(
        &mut self,
        node: Node<'_>,
        list: &str,
        rest: Vec<(&'static str, String)>,
        dashes: usize,
    ) -> Result<(), Problem> {
        if node.entry_of(list, "name", NAME).is_some() {
            return Ok(());
        }
        let item = Item::Mapping([vec![("name", NAME.to_owned())], rest].concat());
        self.edits.put_items(node, list, &[item], dashes)
    }

    fn put_hook(&mut self, workload: &Workload<'_>, container: &Container<'_>) -> Result<(), Problem> {
        let hook = format!("{{ exec: {{ command: [{}, drain] }} }}", quoted(BINARY));
        match (container.node.get("lifecycle"), container.hook("preStop")) {
            (None, _) => self.edits.put_key(container.node, "lifecycle", &format!("{{ preStop: {hook} }}"))?,
            (Some(lifecycle), None) => self.edits.put_key(lifecycle, "preStop", &hook)?,
            (Some(_), Some((_, Handler::Exec(words)))) if words == [BINARY, "drain"] => {}
            (Some(_), Some(_)) => self.note(
                workload,
                container,
                "its preStop hook stays, and takes its time from the grace before softstop hears of the stop; take it out, \
                 and softstop drain goes in there when softstop inject is run again",
            ),
        }
        Ok(())
    }

    fn put_into_pod(&mut self, workload: &Workload<'_>, wanted: &Wanted<'_>) -> Result<(), Problem> {
        let pod = workload.pod.0;
        if workload.pod.stated_grace().is_none() {
            self.edits.put_key(pod, GRACE, &workload.pod.grace().as_secs().to_string())?;
            self.recorded.push(GRACE);
        }
        if workload.pod.volume(NAME).is_some() {
            return Ok(());
        }
        let image = self.image(wanted)?;
        let dashes = self.edits.dashes(pod, "containers").unwrap_or(2);
        let (volume, source) = match wanted.carrier {
            Carrier::Init => ("emptyDir", format!("{{ medium: Memory, sizeLimit: {VOLUME} }}")),
            Carrier::ImageVolume => ("image", format!("{{ reference: {} }}", quoted(image))),
        };
        if wanted.carrier == Carrier::Init {
            let init = vec![
                ("image", quoted(image)),
                ("command", r#"["/softstop", "install", "/target"]"#.to_owned()),
                ("volumeMounts", format!("[{{ name: {NAME}, mountPath: /target }}]")),
                ("resources", format!("{{ requests: {{ cpu: 10m, memory: {VOLUME} }}, limits: {{ memory: 32Mi }} }}")),
                (
                    "securityContext",
                    "{ allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, runAsNonRoot: true, capabilities: { drop: [ALL] } }"
                        .to_owned(),
                ),
            ];
            self.put_named(pod, "initContainers", init, dashes)?;
        }
        self.put_named(pod, "volumes", vec![(volume, source)], dashes)
    }

    fn take(&mut self, objects: &Objects<'_>, workload: &Workload<'_>) -> Result<(), Problem> {
        let containers = workload.pod.containers();
        let its = containers.iter().filter(|c| Launch::new(c, objects).program == Some(BINARY));
        let injected: Vec<_> = its.filter(|c| c.node.entry_of("volumeMounts", "name", NAME).is_some()).collect();
        if injected.is_empty() {
            return Ok(());
        }
        let recorded = workload.annotations().and_then(|all| all.text_of(ANNOTATION));
        for container in injected {
            self.take_from_container(workload, container, recorded)?;
        }
        let pod = workload.pod.0;
        for list in ["initContainers", "volumes"] {
            self.edits.take_items(pod, list, &|_, item| item.has("name", NAME))?;
        }
        if is_recorded(recorded, GRACE) {
            self.edits.take_key(pod, GRACE)?;
        }
        let (Some(metadata), Some(annotations)) = (workload.metadata, workload.annotations()) else { return Ok(()) };
        if annotations.pairs().all(|(name, _)| [ANNOTATION, ASKED].contains(&name)) {
            return self.edits.take_key(metadata, "annotations");
        }
        [ANNOTATION, ASKED].into_iter().try_for_each(|name| self.edits.take_key(annotations, name))
    }

    fn take_from_container(
        &mut self,
        workload: &Workload<'_>,
        container: &Container<'_>,
        recorded: Option<&str>,
    ) -> Result<(), Problem> {
        let node = container.node;
        self.take_from_front(node, COMMAND, recorded)?;
        if recorded.is_none() {
            self.note(workload, container, "its command stays, without softstop");
        }
        self.edits.take_items(node, "env", &|_, item| VARIABLES.iter().any(|v| item.has("name", v)))?;
        for list in ["ports", "volumeMounts"] {
            self.edits.take_items(node, list, &|_, item| item.has("name", NAME))?;
        }
        for probe in container.probes() {
            let Handler::Http { port: Some(port), node: call, .. } = probe.handler else { continue };
            let before = workload.annotations().and_then(|all| all.text_of(ASKED)?.split_once(' '));
            match (before, call.get("path")) {
                _ if port.text() != Some(NAME) => {}
                (Some((own_port, own_path)), Some(path)) if probe.kind == Health::Ready => {
                    self.edits.replace(port, own_port.to_owned())?;
                    self.edits.replace(path, own_path.to_owned())?;
                }
                _ => self.edits.take_key(node, probe.name())?,
            }
        }
        if let Some((_, Handler::Exec(words))) = container.hook("preStop")
            && words == [BINARY, "drain"]
            && let Some(lifecycle) = node.get("lifecycle")
        {
            match lifecycle.pairs().count() {
                1 => self.edits.take_key(node, "lifecycle")?,
                _ => self.edits.take_key(lifecycle, "preStop")?,
            }
        }
        if is_recorded(recorded, MESSAGE) { self.edits.take_key(node, MESSAGE) } else { Ok(()) }
    }

    /// What [`Change::put_in_front`] has put in.
    fn take_from_front(&mut self, node: Node<'_>, key: &str, recorded: Option<&str>) -> Result<(), Problem> {
        if is_recorded(recorded, key) {
            return self.edits.take_key(node, key);
        }
        self.edits.take_items(node, key, &|i, _| i < SOFTSTOP.len())
    }
}

/// Whether a word is among those that were recorded.
fn is_recorded(recorded: Option<&str>, word: &str) -> bool {
    recorded.unwrap_or_default().split(' ').any(|w| w == word)
}

/// What asked the program whether it is ready.
struct Asked {
    /// As softstop asks it.
    url: String,
    /// As it stood in the probe: port and path.
    before: String,
}

/// As `softstop manifest` writes them.
const PROBES: &[(Health, &str)] = &[
    (Health::Startup, ", periodSeconds: 1, failureThreshold: STARTUP"),
    (Health::Ready, ", periodSeconds: 2, failureThreshold: 1"),
    (Health::Live, ""),
];
