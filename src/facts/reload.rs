//! What a reload changes: one configuration against another, by names. Pure.

use serde::Serialize;

/// What is not named stays as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Hash, Serialize)]
pub struct Difference {
    /// Processes.
    pub added: Vec<String>,
    pub removed: Vec<String>,
    /// Stopped by their ladder and started with what is new.
    pub restarted: Vec<Changed>,
    /// Without a restart.
    pub changed: Vec<Changed>,
    /// Keys of the container's that hold at once.
    pub settings: Vec<&'static str>,
    /// What only the next start of softstop itself can change.
    pub later: Vec<Later>,
}

/// What an `[[on_change]]` does.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Reaction {
    Task {
        name: String,
    },
    #[serde(rename = "restart")]
    Again {
        process: String,
    },
    Reload,
    /// The process is down: it finds what is new when it starts.
    Nothing {
        process: String,
    },
}

/// Keys of a process that have another value.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize)]
pub struct Changed {
    pub process: String,
    pub keys: Vec<&'static str>,
}

#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Later {
    /// A table or a key of the container's.
    Setting(&'static str),
    /// A key of one process.
    Process { process: String, key: &'static str },
    /// A socket that is held already, elsewhere or otherwise.
    Socket(String),
}

impl Difference {
    /// Nothing is done; what has to wait for the next start may be named all the same.
    pub fn changes_nothing(&self) -> bool {
        let Difference { added, removed, restarted, changed, settings, later: _ } = self;
        added.is_empty() && removed.is_empty() && restarted.is_empty() && changed.is_empty() && settings.is_empty()
    }
}
