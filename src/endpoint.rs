//! What softstop answers over HTTP, each path declared once: the server, `softstop probe`, the rules and the writer of manifests, `--http`'s help and
//! the page go by these rows. What the answer is stands in [`crate::http::endpoints`]. Pure.

/// Of [`crate::http::prestop`].
pub const PRESTOP: &str = "/prestop";

/// A path, and what is answered there.
pub struct Endpoint {
    pub path: &'static str,
    pub answers: Answers,
    /// What `GET /` says of it. Empty: nothing.
    pub index: &'static str,
}

/// The page's line of an endpoint. No program has any: only tests name them, and what nobody names is not linked.
pub struct Line {
    /// When it is 200, in Markdown.
    pub fine: &'static str,
    /// When it is 503.
    pub not: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answers {
    /// `?verbose`, `?exclude=NAME` and `/NAME` behind it, too.
    Health(Health),
    Status,
    Metrics,
    PreStop,
    Index,
}

/// What a probe may want to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Health {
    Startup,
    Ready,
    Live,
}

macro_rules! endpoints {
    ($($path:literal $answers:expr, index: $index:literal, fine: $fine:literal, not: $not:literal;)+) => {
        pub const ALL: &[Endpoint] = &[$(Endpoint { path: $path, answers: $answers, index: $index }),+];
        pub const PAGE: &[Line] = &[$(Line { fine: $fine, not: $not }),+];
    };
}

endpoints! {
    "/startupz" Answers::Health(Health::Startup),
        index: "200 when the start is complete",
        fine: "init tasks are done and every process has started (a one-shot one: started or completed)",
        not: "until then";
    "/readyz" Answers::Health(Health::Ready),
        index: "200 when ready for traffic",
        fine: "every process is ready, or was one-shot and has completed",
        not: "before that, when one is no longer ready, when one with [probes](configuration/probes.md#probes) does not run, and \
            from the stop request on unless `readiness_on_drain = \"keep\"`; after `softstop unready` until `ready`";
    "/livez" Answers::Health(Health::Live),
        index: "200 when nothing needs a restart (also /healthz)",
        fine: "no liveness check fails; stays 200 during a stop",
        not: "a process needs a restart that softstop cannot give it: one with a liveness probe has ended for good, or its \
            result stands until it runs again. One that a [reload](reload.md) has removed counts no more";
    "/healthz" Answers::Health(Health::Live),
        index: "",
        fine: "the same as `/livez`, under its old name",
        not: "";
    "/status" Answers::Status,
        index: "everything, as JSON",
        fine: "always: the whole state as JSON; `?pretty` for people",
        not: "";
    "/metrics" Answers::Metrics,
        index: "everything, for Prometheus",
        fine: "always: the same for Prometheus",
        not: "";
    "/prestop" Answers::PreStop,
        index: "",
        fine: "begins the stop and answers when the drain is over: [a preStop \
            hook](control/prestop.md#as-a-prestop-hook-over-http). 404 unless `[http.prestop]` is there",
        not: "";
    "/" Answers::Index,
        index: "",
        fine: "always: this list, short",
        not: "";
}

/// What answers at a path, and the name of a single check behind it: `/readyz/web`.
pub fn find(path: &str) -> Option<(&'static Endpoint, Option<&str>)> {
    if let Some(exact) = ALL.iter().find(|endpoint| endpoint.path == path) {
        return Some((exact, None));
    }
    let (end, _) = path.match_indices('/').nth(1)?;
    let (path, check) = path.split_at(end);
    let endpoint = ALL.iter().find(|e| e.path == path && matches!(e.answers, Answers::Health(_)))?;
    Some((endpoint, check.strip_prefix('/')))
}

/// What is answered whenever something listens, for one line.
pub fn served() -> String {
    let own = ALL.iter().filter(|e| !matches!(e.answers, Answers::PreStop | Answers::Index));
    own.map(|e| e.path).collect::<Vec<_>>().join(" ")
}

impl Answers {
    /// All that is known: it takes longer to gather than the answer to a probe, and those are many.
    pub fn is_everything(self) -> bool {
        matches!(self, Answers::Status | Answers::Metrics)
    }
}

impl Health {
    pub const ALL: [Health; 3] = [Health::Startup, Health::Ready, Health::Live];

    /// That of the three which is its own.
    pub fn of<T>(self, startup: T, ready: T, live: T) -> T {
        match self {
            Health::Startup => startup,
            Health::Ready => ready,
            Health::Live => live,
        }
    }

    /// As `softstop probe` takes it.
    pub fn word(self) -> &'static str {
        self.of("startup", "ready", "live")
    }

    /// What a container calls the probe of it.
    pub fn probe(self) -> &'static str {
        self.of("startupProbe", "readinessProbe", "livenessProbe")
    }

    /// Where it is answered over HTTP.
    pub fn path(self) -> &'static str {
        ALL.iter().find(|e| e.answers == Answers::Health(self)).map_or("/", |e| e.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_and_the_check_behind_it() {
        let found = |path| find(path).map(|(endpoint, check)| (endpoint.path, check));
        assert_eq!(found("/readyz"), Some(("/readyz", None)));
        assert_eq!(found("/readyz/web/1"), Some(("/readyz", Some("web/1"))));
        assert_eq!(found("/readyz/"), Some(("/readyz", Some(""))));
        assert_eq!(found("/"), Some(("/", None)));
        for nowhere in ["", "readyz", "//", "/status/web", "/prestop/", "/READYZ", "/nope/x", "//readyz"] {
            assert_eq!(found(nowhere), None, "{nowhere}");
        }
        assert!(ALL.iter().any(|e| e.path == PRESTOP && e.answers == Answers::PreStop));
        assert!(Health::ALL.iter().all(|health| find(health.path()).is_some()));
    }
}
