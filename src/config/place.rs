//! What a task may mean and what holds when nothing is said, by its place. Pure.

use std::time::Duration;

use super::{OnFailure, When};
pub use crate::facts::Place;
use crate::facts::ProbeKind;

impl Place {
    /// Those of tasks.
    pub const ALL: [Place; 7] = [
        Place::Init,
        Place::PostStart(()),
        Place::PreStop(()),
        Place::PostExit(()),
        Place::Drain,
        Place::PostStop,
        Place::OnChange,
    ];

    /// As the file has it.
    pub fn header(self) -> &'static str {
        match self {
            Place::Init => "[[init]]",
            Place::PostStart(()) => "[[process.post_start]]",
            Place::PreStop(()) => "[process.pre_stop]",
            Place::PostExit(()) => "[[process.post_exit]]",
            Place::Drain => "[[drain]]",
            Place::PostStop => "[[post_stop]]",
            Place::OnChange => "[[on_change]]",
            Place::Follow => "[sidecar]",
            Place::Probe((), ProbeKind::Startup) => "[process.startup]",
            Place::Probe((), ProbeKind::Readiness) => "[process.readiness]",
            Place::Probe((), ProbeKind::Liveness) => "[process.liveness]",
        }
    }

    /// It is one of steps: `parallel`, `reserve` and the like are possible.
    pub fn has_steps(self) -> bool {
        matches!(self, Place::Drain | Place::PostStop)
    }

    /// What a failure may mean; the default first.
    pub fn on_failure(self) -> &'static [OnFailure] {
        match self {
            Place::Init => &[OnFailure::Stop, OnFailure::Ignore],
            Place::PostStart(()) => &[OnFailure::Restart, OnFailure::Ignore, OnFailure::Stop],
            Place::Drain => &[OnFailure::Ignore, OnFailure::Stop],
            Place::PreStop(())
            | Place::PostExit(())
            | Place::PostStop
            | Place::OnChange
            | Place::Follow
            | Place::Probe(..) => &[OnFailure::Ignore],
        }
    }

    /// The default; `None`: its slice of the budget.
    pub fn timeout(self) -> Option<Duration> {
        match self {
            Place::Init => Some(Duration::from_secs(5 * 60)),
            Place::PostStart(()) | Place::OnChange => Some(Duration::from_secs(60)),
            // As that of s6's finish.
            Place::PostExit(()) => Some(Duration::from_secs(5)),
            _ => None,
        }
    }

    /// The default.
    pub fn when(self) -> When {
        if self == Place::PostStop { When::Always } else { When::Requested }
    }
}
