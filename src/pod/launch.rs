//! Which container of a pod runs softstop, and how it is started there. Pure.

use std::collections::BTreeMap;

use super::finding::one_line;
use super::tree::Node;
use super::view::{Container, Objects, Workload};
use crate::config::problem::Span;

/// The names under which softstop is known.
const NAME: &str = "softstop";
/// Inits that somebody may have left in front of it.
const INITS: [&str; 5] = ["tini", "tini-static", "docker-init", "dumb-init", "catatonit"];
const SHELLS: [&str; 6] = ["sh", "bash", "ash", "dash", "zsh", "busybox"];
/// The kernel gives a program no longer argument (MAX_ARG_STRLEN).
const LONGEST_WORD: usize = 128 * 1024;
/// Variables that mean something to the wrapper alone. A test holds them against the flags' declarations.
pub const WRAPPERS: [&str; 11] = [
    "SOFTSTOP_DRAIN",
    "SOFTSTOP_DRAIN_TIMEOUT",
    "SOFTSTOP_PRESTOP",
    "SOFTSTOP_DIAGNOSE",
    "SOFTSTOP_DRAIN_SLEEP",
    "SOFTSTOP_STARTUP",
    "SOFTSTOP_READINESS",
    "SOFTSTOP_LIVENESS",
    "SOFTSTOP_STOP_SIGNAL",
    "SOFTSTOP_SIGNAL_TO",
    "SOFTSTOP_OUTPUT",
];

/// The name behind the last slash.
pub fn program(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

pub fn is_softstop(word: &str) -> bool {
    program(word) == NAME
}

pub fn is_shell(word: &str) -> bool {
    SHELLS.contains(&program(word))
}

/// The container's variables: `None` for a value that the manifest does not say.
pub struct Env<'a>(pub BTreeMap<&'a str, (Option<&'a str>, Node<'a>)>);

impl<'a> Env<'a> {
    fn new(container: &Container<'a>) -> Env<'a> {
        let entry = |n: Node<'a>| {
            let name = n.get("name")?.text()?;
            // A variable without a value is an empty one.
            let refers = |value: &str| value.contains("$(");
            let value = if n.get("valueFrom").is_some() {
                None
            } else {
                // What refers to other variables is not put together here.
                Some(n.get("value").and_then(|v| v.text()).unwrap_or_default()).filter(|v| !refers(v))
            };
            Some((name, (value, n.get("value").unwrap_or(n))))
        };
        Env(container.node.list("env").into_iter().filter_map(entry).collect())
    }

    /// For a value that the manifest does not say: an address (of a documentation's network), something as long as a token, else a
    /// number, which most places take.
    pub fn stand_in(&self, name: &str) -> &'static str {
        let from = self.0.get(name).and_then(|(_, node)| node.get("valueFrom"));
        let field = from.and_then(|f| f.at(&["fieldRef", "fieldPath"])).and_then(|f| f.text());
        match field {
            Some("status.hostIP" | "status.hostIPs" | "status.podIP" | "status.podIPs") => "192.0.2.1",
            _ if name == "SOFTSTOP_PRESTOP" => "token:1111111111111111",
            _ if from.is_some_and(|f| f.get("secretKeyRef").is_some()) => "1111111111111111",
            _ => "1",
        }
    }

    /// `$(NAME)` as Kubernetes expands it in command and args, where the value is known.
    fn expand(&self, word: &str) -> String {
        let mut parts = word.split("$(");
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            // A text that names a long variable again and again would take all memory there is; a program could not be given it, either.
            if text.len() > LONGEST_WORD {
                break;
            }
            let value = part.split_once(')').and_then(|(name, rest)| Some((self.0.get(name)?.0?, rest)));
            match value {
                Some((value, rest)) => text.extend([value, rest]),
                None => text.extend(["$(", part]),
            }
        }
        text
    }
}

/// What stands between the runtime and softstop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Front {
    Nothing,
    /// `sh -c "… softstop …"`; `exec` says whether the shell makes room for it.
    Shell {
        exec: bool,
    },
    Init,
    /// `command` names a program, and softstop is nowhere in it.
    Other,
}

/// How softstop is started in a container.
pub struct Launch<'a> {
    pub env: Env<'a>,
    pub front: Front,
    /// Path of the binary, where the manifest has it.
    pub program: Option<&'a str>,
    /// What follows the program, if the manifest says: else it follows from what else is known.
    pub args: Option<Vec<&'a str>>,
    /// `args` of the manifest with an ENTRYPOINT that it does not say.
    pub cmd: Vec<&'a str>,
    pub mark: Span,
}

impl<'a> Launch<'a> {
    pub fn new(container: &Container<'a>) -> Launch<'a> {
        let env = Env::new(container);
        let (command, args) = (container.node.get("command"), container.node.get("args"));
        let mark = command.or(args).or(container.node.get("name")).unwrap_or(container.node).mark();
        let words: Vec<&str> = command.into_iter().chain(args).flat_map(|n| n.texts()).collect();
        let mut launch = Launch { env, front: Front::Nothing, program: None, args: None, cmd: Vec::new(), mark };
        let shell = words.first().is_some_and(|w| is_shell(w));
        // Behind two dashes stands what softstop or another program runs, which may be anything; an init's own stand before it.
        let at = words.iter().position(|w| is_softstop(w)).filter(|i| !shell && (*i == 0 || has_init(&words[..*i])));
        if let Some(at) = at {
            launch.program = Some(words[at]);
            launch.front = if at > 0 { Front::Init } else { Front::Nothing };
            launch.args = Some(words[at + 1..].to_vec());
        } else if let Some(script) = words.iter().find(|w| shell && mentions(w)) {
            let exec = script.split([';', '&', '|', '\n']).any(|part| {
                let mut words = part.split_whitespace();
                words.next() == Some("exec") && words.next().is_some_and(is_softstop)
            });
            launch.front = Front::Shell { exec };
            let mut behind = script.split_whitespace().skip_while(|w| !is_softstop(w));
            launch.program = behind.next();
            launch.args = Some(behind.map(|w| w.trim_matches(['"', '\''])).collect());
        } else if command.is_some() {
            launch.front = Front::Other;
        } else {
            launch.cmd = words;
        }
        launch
    }

    /// What the manifest alone says for softstop in this container.
    pub fn is_evident(&self, image: &str) -> bool {
        let named = self.env.0.keys().any(|name| name.starts_with("SOFTSTOP_"));
        self.program.is_some() || named || image.contains(NAME)
    }

    /// The value of the variable that stands for the flag which a message about the command line names.
    pub fn variable_behind(&self, message: &str) -> Option<Span> {
        let flag = |name: &str| match name.strip_prefix("SOFTSTOP_")? {
            "EXIT_CODE_MAP" => Some("--exit-code".to_owned()),
            name => Some(format!("--{}", name.to_lowercase().replace('_', "-"))),
        };
        let named = |name: &str| {
            let Some(flag) = flag(name) else { return false };
            let given = self.args.iter().flatten().chain(&self.cmd).any(|w| w.starts_with(&flag));
            !given && message.split([' ', '\'']).any(|word| word == flag)
        };
        self.env.0.iter().find(|(name, _)| named(name)).map(|(_, (_, node))| node.mark())
    }

    /// softstop's own arguments, without the program; `run`: whether a configuration is meant where the manifest leaves it open.
    pub fn arguments(&self, run: bool) -> Vec<String> {
        let own = |words: &[&str]| words.iter().map(|w| self.env.expand(w)).collect::<Vec<_>>();
        if let Some(args) = &self.args
            && !args.is_empty()
        {
            return own(args);
        }
        if self.cmd.first().is_some_and(|first| *first == "run" || first.starts_with('-')) {
            return own(&self.cmd);
        }
        let run = run && !WRAPPERS.iter().any(|name| self.env.0.contains_key(name));
        if run || self.env.0.contains_key("SOFTSTOP_CONFIG") {
            return vec!["run".to_owned()];
        }
        let program = if self.cmd.is_empty() { vec!["program"] } else { self.cmd.clone() };
        std::iter::once("--".to_owned()).chain(own(&program)).collect()
    }
}

fn has_init(words: &[&str]) -> bool {
    words.first().is_some_and(|w| INITS.contains(&program(w)))
}

fn mentions(script: &str) -> bool {
    script.split(|c: char| c.is_whitespace() || ";&|\"'".contains(c)).any(is_softstop)
}

/// The containers of a workload that run softstop. `alone`: it is the only workload of its file, so that an only container
/// is taken for one whose ENTRYPOINT is softstop.
///
/// # Errors
/// When nothing in the manifest tells and there are several.
pub fn containers<'a>(
    workload: &Workload<'a>,
    wanted: Option<&str>,
    alone: bool,
) -> Result<Vec<Container<'a>>, Vec<Container<'a>>> {
    let all = workload.pod.containers();
    if let Some(name) = wanted {
        return Ok(all.into_iter().filter(|c| c.name == name).collect());
    }
    let image = |c: &Container<'a>| c.text("image").map_or("", |i| program(i).split([':', '@']).next().unwrap_or(""));
    let evident: Vec<_> = all.iter().copied().filter(|c| Launch::new(c).is_evident(image(c))).collect();
    match (evident.is_empty(), all.as_slice()) {
        (false, _) => Ok(evident),
        // Its ENTRYPOINT may be softstop: nothing here says otherwise.
        (true, [one]) if alone && Launch::new(one).front == Front::Nothing => Ok(vec![*one]),
        (true, _) => Err(all),
    }
}

/// The text of a configuration that a ConfigMap of the same file mounts at a path, with its name for messages.
pub fn config_map<'a>(
    objects: &Objects<'a>,
    workload: &Workload<'a>,
    container: &Container<'a>,
    path: &str,
) -> Option<(String, &'a str)> {
    let (mount, _) = container.mount(path)?;
    let at = mount.get("mountPath")?.text()?.trim_end_matches('/');
    let file = match mount.get("subPath").and_then(|s| s.text()) {
        Some(key) => key,
        None => path.strip_prefix(at)?.trim_start_matches('/'),
    };
    let volume = workload.pod.volume(mount.get("name")?.text()?)?.get("configMap")?;
    let item = volume.list("items").into_iter().find(|i| i.get("path").and_then(|p| p.text()) == Some(file));
    let key = item.and_then(|i| i.get("key")?.text()).unwrap_or(file);
    let name = volume.get("name")?.text()?;
    let map = objects.config_maps.iter().find(|m| m.at(&["metadata", "name"]).and_then(|n| n.text()) == Some(name))?;
    Some((one_line(format!("ConfigMap {name}, {key}")), map.get("data")?.get(key)?.text()?))
}

#[cfg(test)]
#[cfg(feature = "yaml")]
mod tests {
    use super::*;
    use crate::config::problem::Source;
    use crate::pod::tree::Stream;
    use crate::pod::view::{Container, Role};

    fn stream(text: &str) -> Stream {
        crate::pod::yaml::read(&Source::new("f", text)).unwrap_or_else(|p| panic!("{p}"))
    }

    #[track_caller]
    fn expect(text: &str, front: Front, arguments: &[&str]) {
        let stream = stream(text);
        let node = stream.documents().next().unwrap();
        let launch = Launch::new(&Container { node, name: "x", role: Role::Main });
        assert_eq!(launch.front, front, "{text}");
        assert_eq!(launch.arguments(false), arguments, "{text}");
    }

    #[test]
    fn every_way_to_start_it_is_understood() {
        let wrapped = &["--", "/app"][..];
        expect("command: [/softstop, --]\nargs: [/app]", Front::Nothing, wrapped);
        expect("command: [softstop, run, -c, /a.toml]", Front::Nothing, &["run", "-c", "/a.toml"]);
        expect("args: [/app]", Front::Nothing, wrapped);
        expect("args: [run, -c, /a.toml]", Front::Nothing, &["run", "-c", "/a.toml"]);
        expect("args: [--grace, 5s, --, /app]", Front::Nothing, &["--grace", "5s", "--", "/app"]);
        expect("env: [{ name: SOFTSTOP_CONFIG, value: /a }]", Front::Nothing, &["run"]);
        expect("image: x", Front::Nothing, &["--", "program"]);
        expect("command: [/tini, -g, --, /softstop, --, /app]", Front::Init, wrapped);
        expect("command: [sh, -c, 'sleep 1; /softstop -- /app']", Front::Shell { exec: false }, wrapped);
        expect("command: [sh, -c, 'x && exec /softstop -- /app']", Front::Shell { exec: true }, wrapped);
        expect(
            "command: [softstop, '--grace=$(G)s', --, x, '$(UNKNOWN)']\nenv: [{ name: G, value: '9' }]",
            Front::Nothing,
            &["--grace=9s", "--", "x", "$(UNKNOWN)"],
        );
        expect("command: [/app, softstop]", Front::Other, &["--", "program"]);
    }
}
