//! Which container of a pod runs softstop, and how it is started there. Pure.

use super::env::Env;
use super::objects::Objects;
use super::view::{Container, Workload};
use crate::config::problem::Span;
use crate::text;

pub use crate::programs::{file_name as program, is_shell};

/// The names under which softstop is known.
const NAME: &str = "softstop";
/// Inits that somebody may have left in front of it.
const INITS: [&str; 5] = ["tini", "tini-static", "docker-init", "dumb-init", "catatonit"];

pub fn is_softstop(word: &str) -> bool {
    program(word) == NAME
}

/// What stands between the runtime and softstop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Front {
    Nothing,
    /// `sh -c "… softstop …"`.
    Shell(Room),
    Init,
    /// `command` names a program, and softstop is nowhere in it.
    Other,
}

/// Whether a shell makes room for softstop: it has to, or it is PID 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Room {
    /// By `exec`, or because this shell does so for a script that is one plain command.
    Made,
    /// softstop is the script's last command: bash 5.2 and busybox 1.35 make room then, dash 0.5.12 (Debian's sh) does not.
    Perhaps,
    /// Something comes after it.
    No,
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
    pub fn new(container: &Container<'a>, objects: &Objects<'a>) -> Launch<'a> {
        let env = Env::new(container, objects);
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
            launch.front = Front::Shell(room(words[0], script));
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
        let named = self.env.values.keys().any(|name| name.starts_with("SOFTSTOP_"));
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
        self.env.values.iter().find(|(name, _)| named(name)).map(|(_, (_, node))| node.mark())
    }

    /// softstop's own arguments, without the program; `run`: a configuration is meant where the manifest leaves it open.
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
        if run || self.env.values.contains_key("SOFTSTOP_CONFIG") {
            return vec!["run".to_owned()];
        }
        let program = if self.cmd.is_empty() { vec!["program"] } else { self.cmd.clone() };
        std::iter::once("--".to_owned()).chain(own(&program)).collect()
    }
}

fn room(shell: &str, script: &str) -> Room {
    let commands = commands(script);
    let Some(at) = commands.iter().position(|c| c.split_whitespace().any(is_softstop)) else { return Room::Perhaps };
    if commands[at].split_whitespace().take_while(|w| !is_softstop(w)).any(|w| w == "exec") {
        return Room::Made;
    }
    let plain = commands.len() == 1 && !script.contains(['<', '>', '&', '|', '(', '{', '`']);
    match (at + 1 == commands.len(), plain && !matches!(program(shell), "sh" | "dash")) {
        (true, true) => Room::Made,
        (true, false) => Room::Perhaps,
        (false, _) => Room::No,
    }
}

/// A script's commands, as far as its operators tell; what is in quotes is no operator. One in the background, or in a pipe, is not the
/// last: an empty one follows it.
fn commands(script: &str) -> Vec<&str> {
    let (mut commands, mut begin, mut quote, mut before) = (Vec::new(), 0, None, ' ');
    for (at, c) in script.char_indices() {
        let operator = matches!(c, ';' | '&' | '|' | '\n') && before != '\\';
        // `2>&1`, `>|`
        if quote.is_none() && operator && !matches!(before, '>' | '<') && !script[at..].starts_with("&>") {
            commands.push(&script[begin..at]);
            begin = at + 1;
        }
        match (quote, c) {
            (None, '"' | '\'') if before != '\\' => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
        before = c;
    }
    let rest = &script[begin..];
    let ends = script[..begin].trim_end().ends_with('&') && !script[..begin].trim_end().ends_with("&&");
    if !rest.trim().is_empty() || ends {
        commands.push(rest);
    }
    commands
}

fn has_init(words: &[&str]) -> bool {
    words.first().is_some_and(|w| INITS.contains(&program(w)))
}

fn mentions(script: &str) -> bool {
    script.split(|c: char| c.is_whitespace() || ";&|\"'".contains(c)).any(is_softstop)
}

/// The containers of a workload that run softstop. Where it is the only workload of its file, an only container is taken for one whose
/// ENTRYPOINT is softstop. `None`: nothing in the manifest tells and there are several.
pub fn containers<'a>(
    objects: &Objects<'a>,
    workload: &Workload<'a>,
    wanted: Option<&str>,
) -> Option<Vec<Container<'a>>> {
    let all = workload.pod.containers();
    if let Some(name) = wanted {
        return Some(all.into_iter().filter(|c| c.name == name).collect());
    }
    let image =
        |c: &Container<'a>| c.node.text_of("image").map_or("", |i| program(i).split([':', '@']).next().unwrap_or(""));
    let evident: Vec<_> = all.iter().copied().filter(|c| Launch::new(c, objects).is_evident(image(c))).collect();
    match (evident.is_empty(), all.as_slice()) {
        (false, _) => Some(evident),
        // Its ENTRYPOINT may be softstop: nothing here says otherwise.
        (true, [one]) if objects.workloads.len() == 1 && Launch::new(one, objects).front == Front::Nothing => {
            Some(vec![*one])
        }
        (true, _) => None,
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
    let at = mount.text_of("mountPath")?.trim_end_matches('/');
    let file = match mount.text_of("subPath") {
        Some(key) => key,
        None => path.strip_prefix(at)?.trim_start_matches('/'),
    };
    let volume = workload.pod.volume(mount.text_of("name")?)?.get("configMap")?;
    let key = volume.entry_of("items", "path", file).and_then(|i| i.text_of("key")).unwrap_or(file);
    let name = volume.text_of("name")?;
    let data = objects.config_map(name)?.get("data")?;
    Some((text::sentence(&format!("ConfigMap {name}, {key}")), data.text_of(key)?))
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
        let launch = Launch::new(&Container { node, name: "x", role: Role::Main }, &Objects::default());
        assert_eq!(launch.front, front, "{text}");
        assert_eq!(launch.arguments(false), arguments, "{text}");
    }

    /// As bash 5.2, busybox 1.35 and dash 0.5.12 did.
    #[test]
    fn a_shell_makes_room_or_may_or_does_not() {
        for (shell, script, expected) in [
            ("sh", "/softstop -- /app", Room::Perhaps),
            ("/bin/bash", "/softstop -- /app", Room::Made),
            ("ash", "/softstop -- nginx -g 'daemon off;'", Room::Made),
            ("sh", "/softstop -- nginx -g 'daemon off;'", Room::Perhaps),
            ("bash", "/softstop -- /app >/log 2>&1", Room::Perhaps),
            ("bash", "cd /app && /softstop -- /app", Room::Perhaps),
            ("bash", "/softstop -- /app;", Room::Made),
            ("sh", "set -e\n. /env\nexec /softstop -- /app\n", Room::Made),
            ("sh", "if x; then exec env A=1 /softstop -- /app; fi", Room::Made),
            ("sh", "if x; then /softstop -- /app; fi", Room::No),
            ("bash", "/softstop -- /app; echo done", Room::No),
            ("bash", "/softstop -- /app | tee /log", Room::No),
            ("bash", "/softstop -- /app &", Room::No),
            ("bash", "/softstop -- /app & wait", Room::No),
            ("bash", "/softstop -- /app || exit 0", Room::No),
            ("sh", "/softstop -- sh -c \"a; b\"", Room::Perhaps),
        ] {
            assert_eq!(room(shell, script), expected, "{shell} {script:?}: {:?}", commands(script));
        }
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
        expect("command: [sh, -c, 'sleep 1; /softstop -- /app']", Front::Shell(Room::Perhaps), wrapped);
        expect("command: [sh, -c, 'x && exec /softstop -- /app']", Front::Shell(Room::Made), wrapped);
        expect(
            "command: [softstop, '--grace=$(G)s', --, x, '$(UNKNOWN)']\nenv: [{ name: G, value: '9' }]",
            Front::Nothing,
            &["--grace=9s", "--", "x", "$(UNKNOWN)"],
        );
        expect("command: [/app, softstop]", Front::Other, &["--", "program"]);
    }
}
