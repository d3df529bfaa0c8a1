//! Where a task stands: the settings, the machine and the report mean the same by it. Pure.

use super::ProbeKind;

/// Where a task, a step's task or a probe stands. `P`: its process, where it has one; the settings' kind of place names none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place<P = ()> {
    Init,
    PostStart(P),
    PreStop(P),
    PostExit(P),
    Drain,
    PostStop,
    /// Files have changed.
    OnChange,
    /// What a sidecar follows.
    Follow,
    Probe(P, ProbeKind),
}

impl<P> Place<P> {
    pub fn process(&self) -> Option<&P> {
        match self {
            Place::PostStart(p) | Place::PreStop(p) | Place::PostExit(p) | Place::Probe(p, _) => Some(p),
            Place::Init | Place::Drain | Place::PostStop | Place::OnChange | Place::Follow => None,
        }
    }

    /// The same place, its process told otherwise.
    pub fn map<Q>(self, f: impl FnOnce(P) -> Q) -> Place<Q> {
        match self {
            Place::Init => Place::Init,
            Place::PostStart(p) => Place::PostStart(f(p)),
            Place::PreStop(p) => Place::PreStop(f(p)),
            Place::PostExit(p) => Place::PostExit(f(p)),
            Place::Drain => Place::Drain,
            Place::PostStop => Place::PostStop,
            Place::OnChange => Place::OnChange,
            Place::Follow => Place::Follow,
            Place::Probe(p, kind) => Place::Probe(f(p), kind),
        }
    }

    /// As its table in the file is called.
    pub fn key(&self) -> &'static str {
        match self {
            Place::Init => "init",
            Place::PostStart(_) => "post_start",
            Place::PreStop(_) => "pre_stop",
            Place::PostExit(_) => "post_exit",
            Place::Drain => "drain",
            Place::PostStop => "post_stop",
            Place::OnChange => "on_change",
            Place::Follow => "sidecar",
            Place::Probe(_, kind) => kind.name(),
        }
    }
}
