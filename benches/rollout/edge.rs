//! What stands between the clients and the instances, and keeps the list of those that serve.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::grpc;
use crate::haproxy::Haproxy;
use crate::load::{Load, Target};
use crate::nginx;
use crate::server::Server;

/// The kinds of edges, which keep connections to an instance in ways of their own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Behind {
    /// A balancer that soon closes what it does not use.
    Haproxy,
    /// haproxy as it is installed: half of what is idle goes every five seconds.
    HaproxyPool,
    /// nginx as an ingress controller has it: what is idle goes after 60 s.
    NginxPool,
    /// As behind kube-proxy: every request comes over a connection of its own, which the client closes first.
    Direct,
    /// The same through a proxy beside the instance, as in a mesh: it alone talks to the application, over loopback.
    Sidecar,
    /// A long-lived channel from each client to each instance.
    Grpc,
    /// Clients that keep their connection to an instance, balancers or not, until it is closed; that is a failure unless an answer has said so.
    Endless,
}

impl Behind {
    /// Rows that show what an edge's connections do to a drain.
    pub const EDGES: [Behind; 5] =
        [Behind::NginxPool, Behind::HaproxyPool, Behind::Direct, Behind::Grpc, Behind::Sidecar];

    pub fn name(self) -> &'static str {
        match self {
            Behind::Haproxy => "haproxy",
            Behind::HaproxyPool => "haproxy pool",
            Behind::NginxPool => "nginx pool",
            Behind::Direct => "connection per request",
            Behind::Sidecar => "proxy on loopback",
            Behind::Grpc => "gRPC",
            Behind::Endless => "endless connections",
        }
    }
}

/// The programs that edges are made of.
pub struct Tools {
    pub haproxy: PathBuf,
    pub nginx: Option<PathBuf>,
    /// One that has grpcio.
    pub python: Option<PathBuf>,
}

/// Which instances serve, for clients that choose for themselves. By the place in the list that the edge was started with.
pub type Serving = Arc<Mutex<Vec<usize>>>;

pub enum Edge {
    Haproxy { haproxy: Haproxy, port: u16 },
    Nginx { _nginx: Server, port: u16, serving: Serving },
    Direct { ports: Vec<u16>, serving: Serving, endless: bool },
    Grpc { clients: grpc::Clients, ports: Vec<u16> },
}

impl Edge {
    /// `port` is its own, if it has one; `servers` are the ports of the instances that [`Edge::add`] will name by their place.
    pub fn start(behind: Behind, tools: &Tools, dir: &Path, port: u16, servers: &[u16]) -> Result<Edge, String> {
        let balancer = |of_server| {
            let haproxy = Haproxy::start(&tools.haproxy, dir, port, servers, of_server)?;
            Ok(Edge::Haproxy { haproxy, port })
        };
        match behind {
            Behind::Haproxy => balancer("pool-purge-delay 1s disabled"),
            Behind::HaproxyPool => balancer("disabled"),
            Behind::NginxPool => {
                let path = tools.nginx.as_ref().ok_or("nginx is not installed")?;
                Ok(Edge::Nginx { _nginx: nginx::start(path, dir, port, servers)?, port, serving: Serving::default() })
            }
            Behind::Direct | Behind::Sidecar | Behind::Endless => {
                let endless = behind == Behind::Endless;
                Ok(Edge::Direct { ports: servers.to_vec(), serving: Serving::default(), endless })
            }
            Behind::Grpc => {
                let python = tools.python.as_ref().ok_or("there is no grpcio")?;
                Ok(Edge::Grpc { clients: grpc::Clients::start(python, dir)?, ports: servers.to_vec() })
            }
        }
    }

    pub fn add(&self, server: usize) -> Result<(), String> {
        match self {
            Edge::Haproxy { haproxy, .. } => haproxy.add(server),
            Edge::Nginx { serving, .. } | Edge::Direct { serving, .. } => {
                serving.lock().unwrap().push(server);
                Ok(())
            }
            Edge::Grpc { clients, ports } => clients.order(&format!("add {}", ports[server])).map(drop),
        }
    }

    /// Nothing new goes there any more; what is under way is finished.
    pub fn remove(&self, server: usize) -> Result<(), String> {
        match self {
            Edge::Haproxy { haproxy, .. } => haproxy.remove(server),
            Edge::Nginx { serving, .. } | Edge::Direct { serving, .. } => {
                serving.lock().unwrap().retain(|s| *s != server);
                Ok(())
            }
            Edge::Grpc { clients, ports } => clients.order(&format!("remove {}", ports[server])).map(drop),
        }
    }

    /// The traffic begins; `long`: not short requests alone.
    pub fn load(&self, long: bool) -> Result<Load<'_>, String> {
        Ok(match self {
            Edge::Haproxy { port, .. } => Load::begin(Target::Balancer(*port), long),
            Edge::Nginx { port, serving, .. } => Load::begin(Target::Named(*port, Arc::clone(serving)), long),
            Edge::Direct { ports, serving, endless } => {
                let target = if *endless { Target::Endless } else { Target::Direct };
                Load::begin(target(ports.clone(), Arc::clone(serving)), long)
            }
            Edge::Grpc { clients, .. } => {
                clients.order(&format!("begin {}", u8::from(long)))?;
                Load::Grpc(clients)
            }
        })
    }
}
