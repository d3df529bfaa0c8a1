//! preStop hooks of the kind httpGet that mean softstop, in any container of the pod (docs/control/prestop.md, "As a preStop hook over HTTP").

use std::net::IpAddr;

use super::asking::{no_such_port, nothing_answers};
use super::{DRAIN, Found};
use crate::config::Http;
use crate::config::listen::Listen;
use crate::config::network::Network;
use crate::config::prestop::{PreStop, Secret, Token};
use crate::config::problem::Span;
use crate::pod::Case;
use crate::pod::launch;
use crate::pod::tree::Node;
use crate::pod::view::{Container, Handler};

const PATH: &str = "/prestop";
/// kubernetes-lifecycle.md, section 2: the hook's status is never looked at.
const ANSWERED: &str = "the kubelet takes any answer, 404 too, for a success: SIGTERM follows at once, and nobody sees that the hook did nothing";
const UNANSWERED: &str = "the hook fails (event FailedPreStopHook), SIGTERM follows at once";

/// A preStop hook that makes a GET.
struct Call<'a> {
    container: Container<'a>,
    port: Node<'a>,
    /// `None` for a name that its own container does not have.
    number: Option<u16>,
    path: &'a str,
    /// Below `httpGet`.
    node: Node<'a>,
}

impl<'a> Call<'a> {
    fn new(container: Container<'a>) -> Option<Call<'a>> {
        match container.hook("preStop") {
            Some((_, Handler::Http { port: Some(port), path, node })) => {
                Some(Call { container, port, number: container.port(port), path, node })
            }
            _ => None,
        }
    }

    fn asks_prestop(&self) -> bool {
        self.path.split(['?', '#']).next() == Some(PATH)
    }

    fn mark(&self) -> Span {
        self.node.mark_at(&["path"])
    }

    /// To softstop's own port.
    fn arrives(&self, case: &Case<'_>) -> bool {
        self.number.is_some() && self.number == case.port()
    }

    fn is_own(&self, case: &Case<'_>) -> bool {
        self.container.name == case.container.name
    }

    /// The header's value and the token in it; the scheme's name in any case (RFC 6750, section 2.1).
    fn token(&self) -> Option<(Node<'a>, &'a str)> {
        self.node.list("httpHeaders").into_iter().find_map(|header| {
            let name = header.get("name")?.text()?;
            let value = header.get("value")?;
            let (scheme, token) = value.text()?.split_at_checked(7)?;
            let is = name.eq_ignore_ascii_case("authorization") && scheme.eq_ignore_ascii_case("bearer ");
            is.then_some((value, token))
        })
    }
}

fn calls<'a>(case: &Case<'a>) -> Vec<Call<'a>> {
    case.workload.pod.containers().into_iter().filter_map(Call::new).collect()
}

/// softstop listens, and answers GET /prestop.
pub fn guard<'a>(case: &'a Case<'_>) -> Option<(&'a Http, &'a PreStop)> {
    let http = case.config().http.as_ref()?;
    Some((http, http.prestop.as_ref()?))
}

/// softstop hears of the stop at the kubelet's own beginning, as far as the manifest tells.
pub fn is_called(case: &Case<'_>) -> bool {
    guard(case).is_some_and(|(http, prestop)| {
        calls(case).iter().any(|c| c.asks_prestop() && c.arrives(case) && turned_away(case, c, http, prestop).is_none())
    })
}

/// Where a hook of the pod asks softstop for /prestop.
pub fn called_at(case: &Case<'_>) -> Option<Span> {
    calls(case).iter().find(|c| c.asks_prestop() && c.arrives(case)).map(Call::mark)
}

pub fn http(case: &Case<'_>, found: &mut Found<'_>) {
    for call in calls(case) {
        if !call.arrives(case) {
            misses(case, &call, found);
        } else if !call.asks_prestop() {
            let help = match (guard(case), call.is_own(case)) {
                (Some(_), _) => "write path: /prestop, or remove preStop".to_owned(),
                (None, true) => {
                    format!("write {DRAIN}, or remove preStop")
                }
                (None, false) => format!("write path: /prestop and {}, or remove preStop", enable(case)),
            };
            found.error(call.mark(), format!("softstop does nothing on GET {}", call.path), ANSWERED, help);
        } else if guard(case).is_none() {
            let sentence = "softstop answers 404 on /prestop: it is not enabled";
            let help = match (&case.settings.file, call.is_own(case)) {
                (None, true) => format!("write {DRAIN}"),
                _ => enable(case),
            };
            found.error(call.mark(), sentence, ANSWERED, help);
        }
    }
}

/// For sentences: what makes a GET the hook.
pub fn hook(port: u16) -> String {
    format!("lifecycle: {{ preStop: {{ httpGet: {{ path: {PATH}, port: {port} }} }} }}")
}

/// "add [http.prestop] …"
pub fn enable(case: &Case<'_>) -> String {
    match &case.settings.file {
        Some(file) => {
            format!("add to {file}: [http.prestop] from = \"10.244.0.0/16\", the network that the kubelet calls from")
        }
        None => "set SOFTSTOP_PRESTOP=10.244.0.0/16, the network that the kubelet calls from".to_owned(),
    }
}

/// Asks for /prestop where nobody has it: unless another softstop of the pod may.
fn misses(case: &Case<'_>, call: &Call<'_>, found: &mut Found<'_>) {
    let several = launch::containers(case.objects, case.workload, None).is_some_and(|containers| containers.len() > 1);
    if !call.asks_prestop() || (several && !call.is_own(case)) {
        return;
    }
    let Some(number) = call.number else {
        let own = case.port().map_or_else(|| "number".to_owned(), |own| format!("number, port: {own}"));
        found.error(
            call.port.mark(),
            no_such_port(&call.container, call.port),
            UNANSWERED,
            format!("write its {own}: a name is looked up among the ports of the hook's own container"),
        );
        return;
    };
    let declared = |c: Container<'_>| c.ports().iter().any(|(_, port)| *port == Some(number));
    // A program may have such a path itself.
    if case.workload.pod.containers().into_iter().any(declared) && !(call.is_own(case) && case.port().is_none()) {
        return;
    }
    let listen = || format!("add [http] listen = \":{number}\", and {}", enable(case));
    let (sentence, help) = nothing_answers(case, PATH, number, listen);
    found.error(call.port.mark(), sentence, UNANSWERED, help);
}

pub fn guarded(case: &Case<'_>, found: &mut Found<'_>) {
    let Some((http, prestop)) = guard(case) else { return };
    for call in calls(case).iter().filter(|c| c.asks_prestop() && c.arrives(case)) {
        if let Some(wrong) = turned_away(case, call, http, prestop) {
            found.error(wrong.at, wrong.sentence, wrong.why, wrong.help);
        }
    }
}

struct Wrong {
    at: Span,
    sentence: String,
    why: &'static str,
    help: String,
}

impl Wrong {
    fn new(at: Span, sentence: impl Into<String>, why: &'static str, help: impl Into<String>) -> Wrong {
        Wrong { at, sentence: sentence.into(), why, help: help.into() }
    }
}

/// The header beside the configuration's token, where that is known: a Secret's is not. Neither is ever shown.
fn wrong_token(case: &Case<'_>, call: &Call<'_>, token: &Token) -> Option<Wrong> {
    let Some((node, sent)) = call.token() else {
        let sentence = "softstop turns this hook away: it wants a token, and the hook sends none";
        let help = "add httpHeaders: [{ name: Authorization, value: \"Bearer TOKEN\" }] beside the path";
        return Some(Wrong::new(call.mark(), sentence, ANSWERED, help));
    };
    let known = match token {
        Token::Value(secret) => Some(secret.bytes()).filter(|bytes| {
            let holds = |part: &&str| bytes.windows(part.len()).any(|piece| piece == part.as_bytes());
            !case.settings.assumed.iter().any(holds)
        }),
        Token::File(_) => None,
    };
    // As the header's reader takes it.
    let sent = sent.trim();
    if known == Some(sent.as_bytes()) {
        return None;
    }
    let file = case.settings.file.as_deref().unwrap_or("SOFTSTOP_PRESTOP");
    let (why, help) = if sent.contains("$(") || sent.contains("${") {
        (
            "the kubelet puts no variables into httpHeaders and sends this as it stands".to_owned(),
            "write the token itself (helm or kustomize can put it in), or guard the endpoint by `from` instead"
                .to_owned(),
        )
    } else if known.is_some() {
        (
            format!("the token in its header is not that of {file}"),
            format!("write the same token into the header and {file}"),
        )
    } else {
        let why = Secret::new(sent).err()?;
        let help = "write the token itself behind \"Bearer \"";
        (format!("what stands for the token in its header {why}"), help.to_owned())
    };
    Some(Wrong::new(node.mark(), format!("softstop turns this hook away: {why}"), ANSWERED, help))
}

/// What can be known: where the kubelet calls from is the network's business.
fn turned_away(case: &Case<'_>, call: &Call<'_>, http: &Http, prestop: &PreStop) -> Option<Wrong> {
    let file = case.settings.file.as_deref().unwrap_or("the configuration");
    let on_node = case.workload.pod.has("hostNetwork");
    let listen = http.listen;
    let host = call.node.get("host").filter(|_| !on_node);
    if let Some(host) = host.filter(|h| h.text().is_some_and(is_loopback)) {
        let sentence = format!("host: {} is the node, not the pod", host.text().unwrap_or_default());
        let help = "remove host: the kubelet asks the pod's address then";
        return Some(Wrong::new(host.mark(), sentence, UNANSWERED, help));
    }
    if listen.is_loopback() && !(on_node && call.node.get("host").is_some()) {
        let sentence = format!("softstop listens on {listen} alone, and the kubelet calls the pod's address");
        let help = format!("write listen = \"{}\" in {file}", Listen::everywhere(listen.port()));
        return Some(Wrong::new(call.mark(), sentence, UNANSWERED, help));
    }
    if let Some(wrong) = prestop.token.as_ref().and_then(|token| wrong_token(case, call, token)) {
        return Some(wrong);
    }
    let possible =
        |network: &Network| on_node || !network.is_loopback() && (network.is_ipv4() || !listen.is_ipv4_alone());
    if prestop.from.is_empty() || prestop.from.iter().any(possible) {
        return None;
    }
    let sentence = "softstop turns this hook away: no network of `from` can have the kubelet in it";
    let help = format!(
        "write the network that the kubelet calls from into {file}: from = \"10.244.0.0/16\", or the node's address; \
         loopback is the pod itself, and on an IPv4 address nobody calls from IPv6"
    );
    Some(Wrong::new(call.mark(), sentence, ANSWERED, help))
}

pub fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
