//! What the `wait_…` handlers wait for, as valid settings. Pure.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::HttpCall;
use super::network::Network;

/// Long enough to see that clients and load balancers have stopped coming, shorter than the pause between two probes of a kubelet
/// (10 s by default), which would otherwise count as arrivals.
pub const DEFAULT_QUIET: Duration = Duration::from_secs(2);
/// A client that is being served hears or says something within this time as a rule.
pub const DEFAULT_SILENT: Duration = Duration::from_secs(2);

/// `wait_idle`: until the connections of a service are idle and no new ones come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WaitIdle {
    /// Local ports; at least one, unless `listening`.
    pub ports: Vec<u16>,
    /// Also the ports that softstop's own processes listen on when the stop begins.
    pub listening: bool,
    /// So many may be left active.
    pub connections: u32,
    /// A connection on which nothing has been sent or received for so long, and no answer is due, is not active.
    pub silent: Duration,
    /// No new connection, and no request on one that is open, for so long.
    pub quiet: Duration,
    /// Never done earlier than this.
    pub minimum: Duration,
    /// Peers whose connections count for nothing.
    pub ignore: Vec<Network>,
    /// Somebody is expected to listen: not where every process has ended.
    pub served: bool,
}

impl WaitIdle {
    /// It takes so long however idle everything is.
    pub fn least(&self) -> Duration {
        self.minimum.max(self.quiet)
    }

    /// As it is when nothing but the ports is said.
    pub fn on(ports: Vec<u16>) -> WaitIdle {
        WaitIdle {
            ports,
            listening: false,
            connections: 0,
            silent: DEFAULT_SILENT,
            quiet: DEFAULT_QUIET,
            minimum: Duration::ZERO,
            ignore: Vec::new(),
            served: true,
        }
    }
}

/// `wait_http`: until the answer to a GET is as it should be. All that is given must hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WaitHttp {
    pub call: HttpCall,
    /// The lowest and the highest status.
    pub status: (u16, u16),
    pub json: Option<JsonValue>,
    pub metric: Option<Metric>,
}

/// A value in a JSON body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JsonValue {
    /// RFC 6901: empty for the whole, else it begins with `/`.
    pub pointer: String,
    pub is: Is,
}

/// What a value is to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Is {
    /// A string, a number or a boolean.
    Equal(serde_json::Value),
    AtMost(Finite),
}

/// The sum of a metric's samples in the text format of Prometheus.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Metric {
    pub name: String,
    /// A sample has at least these.
    pub labels: Vec<(String, String)>,
    pub at_most: Finite,
}

/// A number that is one: neither NaN nor infinite.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Finite(f64);

impl Eq for Finite {}

impl Finite {
    pub fn new(number: f64) -> Option<Finite> {
        number.is_finite().then_some(Finite(number))
    }

    pub fn get(self) -> f64 {
        self.0
    }
}

/// `wait_file`: until a file is there, or is not, or has a text in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WaitFile {
    pub path: PathBuf,
    /// What is waited for: that it is there, or that it is gone.
    pub exists: bool,
    pub contains: Option<String>,
}

/// When a process of the configuration is what is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// It does not run.
    Ended,
    /// As `after = { x = "ready" }` has it.
    Ready,
}

/// When processes that are found by their command are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// There is none.
    Ended,
    /// There is at least one.
    Running,
}
