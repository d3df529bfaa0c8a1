//! Who runs the container, as far as the variables say that it sets: what defaults of the wrapper's drain depend on. Pure.

use std::time::Duration;

/// Who runs the container.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub enum Platform {
    Kubernetes,
    /// Amazon ECS, on EC2 or Fargate.
    Ecs,
    /// Docker, Podman, a shell, or another that tells nothing.
    #[default]
    Unknown,
}

/// What people sleep in a preStop hook, and what an endpoint takes to leave the load balancers as a rule.
const LAG: Duration = Duration::from_secs(5);
/// `docker stop` kills after ten seconds unless told otherwise: until then the program has to have been told, and to have ended.
const WITHOUT_GRACE: Duration = Duration::from_secs(6);

impl Platform {
    /// `is_set`: whether the environment has a variable.
    pub fn of(is_set: &dyn Fn(&str) -> bool) -> Platform {
        if is_set("KUBERNETES_SERVICE_HOST") {
            Platform::Kubernetes
        } else if is_set("ECS_CONTAINER_METADATA_URI_V4") || is_set("ECS_CONTAINER_METADATA_URI") {
            Platform::Ecs
        } else {
            Platform::Unknown
        }
    }

    /// How long load balancers may still send new connections after the stop request: they are told at the same time as the container.
    /// Zero where nobody is known to do that.
    pub fn lag(self) -> Duration {
        match self {
            Platform::Kubernetes | Platform::Ecs => LAG,
            Platform::Unknown => Duration::ZERO,
        }
    }

    /// The most that a drain may take where nobody has said what the grace is. `None`: the platform's default is softstop's, 30 s.
    pub fn longest_drain(self) -> Option<Duration> {
        match self {
            Platform::Kubernetes | Platform::Ecs => None,
            Platform::Unknown => Some(WITHOUT_GRACE),
        }
    }
}
