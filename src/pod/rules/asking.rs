//! Probes of the pod that ask softstop, and what they ask: by httpGet, by `softstop probe`, by curl. Pure.

use crate::config::problem::Span;
use crate::endpoint::{self, Answers, Health};
use crate::pod::Case;
use crate::pod::launch::is_softstop;
use crate::pod::tree::Node;
use crate::pod::view::{Container, Handler, Probe};

/// What answers behind a path of softstop's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Endpoint {
    Health(Health),
    /// Always 200: /status, /metrics, /.
    Always,
}

/// `None` for a path that softstop answers with 404, whatever the name of the check below it.
pub fn endpoint(path: &str) -> Option<Endpoint> {
    let path = path.split(['?', '#']).next().unwrap_or(path);
    let (found, _) = endpoint::find(&format!("/{}", path.trim_start_matches('/')))?;
    match found.answers {
        Answers::Health(health) => Some(Endpoint::Health(health)),
        Answers::PreStop => None,
        _ => Some(Endpoint::Always),
    }
}

/// A probe that asks softstop.
pub struct Asking<'a> {
    pub probe: Probe<'a>,
    /// `None`: a path that softstop does not have.
    pub endpoint: Option<Endpoint>,
    /// How it asks, for messages: `/readyz`, `softstop probe ready`.
    pub shown: &'a str,
    /// Where it says so.
    pub mark: Span,
    /// A program in the container asks, and not the kubelet.
    pub by_program: bool,
}

impl<'a> Asking<'a> {
    fn new(case: &Case<'a>, container: Container<'a>, probe: Probe<'a>) -> Option<Asking<'a>> {
        let is_own = |number: Option<u16>| number.is_some() && number == case.port();
        let (endpoint, shown, mark, by_program) = match &probe.handler {
            Handler::Http { port, path, node } => {
                let mark = node.mark_at(&["path"]);
                is_own(container.port((*port)?)).then(|| (endpoint(path), *path, mark, false))?
            }
            Handler::Exec(words) => {
                let mark = probe.node.mark_at(&["exec", "command"]);
                let (endpoint, shown) = by_words(words, container.name == case.container.name, case.port())?;
                (endpoint, shown, mark, true)
            }
            Handler::Tcp(_) | Handler::Sleep(_) | Handler::Grpc | Handler::None => return None,
        };
        Some(Asking { probe, endpoint, shown, mark, by_program })
    }

    /// What to write for this kind of question instead.
    pub fn instead(&self, right: &str) -> String {
        if !self.by_program {
            return format!("write path: {right}");
        }
        let Some(Endpoint::Health(health)) = endpoint(right) else { return format!("write path: {right}") };
        let target = health.word();
        format!("write exec: {{ command: [\"/softstop\", \"probe\", \"{target}\"] }}, or httpGet with path: {right}")
    }
}

/// `softstop probe ready`, alone or in a shell's script, and what asks softstop's port by a URL (`curl localhost:9180/readyz`).
/// `own`: in softstop's own container, where its control socket is.
fn by_words<'a>(words: &[&'a str], own: bool, port: Option<u16>) -> Option<(Option<Endpoint>, &'a str)> {
    let pieces: Vec<&str> = words.iter().flat_map(|w| w.split_whitespace()).collect();
    let bare = |word: &'a str| word.trim_matches(['"', '\'', ';', ')']);
    let asks = pieces.windows(2).position(|pair| is_softstop(pair[0]) && pair[1] == "probe");
    let behind = asks.map_or(&pieces[..], |at| &pieces[at + 2..]);
    if asks.is_some()
        && let Some(named) = behind.iter().find_map(|w| match bare(w) {
            "ready" => Some((Endpoint::Health(Health::Ready), "softstop probe ready")),
            "live" => Some((Endpoint::Health(Health::Live), "softstop probe live")),
            "startup" => Some((Endpoint::Health(Health::Startup), "softstop probe startup")),
            _ => None,
        })
    {
        return own.then_some((Some(named.0), named.1));
    }
    behind.iter().find_map(|word| {
        let rest = bare(word).strip_prefix("http://").unwrap_or(bare(word));
        let (authority, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
        let number = authority.rsplit_once(':')?.1.parse::<u16>().ok()?;
        (Some(number) == port).then(|| (endpoint(path), path))
    })
}

/// Every probe of the pod.
pub fn probes<'a>(case: &Case<'a>) -> impl Iterator<Item = (Container<'a>, Probe<'a>)> + use<'a> {
    case.workload.pod.containers().into_iter().flat_map(|c| c.probes().map(move |p| (c, p)))
}

/// The probes of the pod that ask softstop: those of other containers may, too.
pub fn asking<'a>(case: &Case<'a>) -> Vec<Asking<'a>> {
    probes(case).filter_map(|(container, probe)| Asking::new(case, container, probe)).collect()
}

/// For sentences: a port by a name that the container does not have.
pub fn no_such_port(container: &Container<'_>, port: Node<'_>) -> String {
    format!("no port of container {} is named {}", container.name, port.text().unwrap_or_default())
}

/// A port on which nobody has such a path, and what to write; `listen`: where softstop does not listen.
pub fn nothing_answers(case: &Case<'_>, path: &str, number: u16, listen: impl FnOnce() -> String) -> (String, String) {
    let (state, help) = match case.port() {
        Some(own) => (format!("softstop listens on {own}"), format!("write port: {own}")),
        None => ("softstop does not listen".to_owned(), listen()),
    };
    (format!("nothing answers {path} on port {number}: {state}"), help)
}

/// Those of the kubelet, over HTTP.
pub fn by_kubelet<'a>(case: &Case<'a>) -> impl Iterator<Item = Asking<'a>> {
    asking(case).into_iter().filter(|a| !a.by_program)
}

/// The same of one probe of softstop's own container.
pub fn own<'a>(case: &Case<'a>, kind: Health) -> Option<Asking<'a>> {
    Asking::new(case, *case.container, case.container.probe(kind)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_softstops_endpoints() {
        for (path, expected) in [
            ("/readyz", Some(Endpoint::Health(Health::Ready))),
            ("/readyz/web?verbose", Some(Endpoint::Health(Health::Ready))),
            ("/healthz", Some(Endpoint::Health(Health::Live))),
            ("/startupz?x", Some(Endpoint::Health(Health::Startup))),
            ("/", Some(Endpoint::Always)),
            ("/status", Some(Endpoint::Always)),
            ("/status/x", None),
            ("/ready", None),
        ] {
            assert_eq!(endpoint(path), expected, "{path}");
        }
    }
}
