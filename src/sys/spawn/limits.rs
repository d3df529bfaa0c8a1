//! What a child may: worked out before the fork, and set in the child in an order in which each step still has the right that it needs.
//!
//! Before the change of user: the out-of-memory score, limits, niceness and the bounding set, which take rights that root has. With it: the
//! capabilities that are to be kept. At the very end, after which nothing can be had any more: `no_new_privs`.

use nix::fcntl::{OFlag, open};
use nix::sys::prctl::{set_keepcaps, set_no_new_privs};
use nix::sys::stat::{Mode, umask};

use super::error::{Context, Failure, Stage};
use crate::config::{self, CapabilitySet, Limits};
use crate::facts::SpawnError;
use crate::sys::capabilities::{self, Sets};
use crate::sys::limits::{self, Raised};
use crate::sys::process;

pub(super) struct Prepared {
    umask: Option<Mode>,
    oom_score_adj: Option<String>,
    rlimits: Vec<(limits::Resource, libc::rlimit)>,
    nice: Option<i32>,
    capabilities: Option<Capabilities>,
    no_new_privs: bool,
}

struct Capabilities {
    /// Taken out of the bounding set, each.
    from_bounding: CapabilitySet,
    /// What may stay in the other sets.
    keep: CapabilitySet,
    /// What another user than root has.
    ambient: CapabilitySet,
    becomes_root: bool,
    changes_user: bool,
}

/// `inherited`: the limits that are to be given back; those that are set are taken out of it. `uid`: who it becomes, if that is another.
///
/// # Errors
/// What softstop does not have and so cannot give.
pub(super) fn prepare(
    wanted: &Limits,
    uid: Option<u32>,
    inherited: &mut Raised,
    context: &Context,
) -> Result<Prepared, SpawnError> {
    let mut rlimits = Vec::with_capacity(wanted.rlimits.len());
    for limit in &wanted.rlimits {
        let (resource, now) = limits::of(limit.resource, inherited);
        let hard = limit.hard.unwrap_or(now.rlim_max);
        let soft = limit.soft.unwrap_or(now.rlim_cur.min(hard));
        rlimits.push((resource, libc::rlimit { rlim_cur: soft, rlim_max: hard.max(soft) }));
    }
    let capabilities = wanted.capabilities.map(|wanted| Capabilities::of(wanted, uid, context)).transpose()?;
    Ok(Prepared {
        umask: wanted.umask.map(|mask| Mode::from_bits_truncate(mask.into())),
        oom_score_adj: wanted.oom_score_adj.map(|score| score.to_string()),
        rlimits,
        nice: wanted.nice.map(i32::from),
        capabilities,
        no_new_privs: wanted.no_new_privs,
    })
}

impl Capabilities {
    fn of(wanted: config::Capabilities, uid: Option<u32>, context: &Context) -> Result<Capabilities, SpawnError> {
        let unknown = |errno| context.setup(&format!("capabilities: softstop's own cannot be read: {errno}"));
        let bounding = capabilities::bounding();
        let own = Sets::own().map_err(unknown)?.permitted.and(bounding);
        let add = if wanted.add == CapabilitySet::ALL { own } else { wanted.add };
        let lacking = add.without(own);
        if !lacking.is_empty() {
            return Err(context.setup(&format!(
                "capabilities.add: softstop itself does not have {lacking}: give it to the container (--cap-add, \
                 securityContext.capabilities.add)"
            )));
        }
        let drop = wanted.drop.without(add);
        let becomes_root = uid.unwrap_or_else(|| nix::unistd::geteuid().as_raw()) == 0;
        Ok(Capabilities {
            from_bounding: bounding.and(drop),
            keep: CapabilitySet::ALL.without(drop),
            ambient: if becomes_root { CapabilitySet::default() } else { add },
            becomes_root,
            changes_user: uid.is_some(),
        })
    }
}

// === in the child: async-signal-safe calls alone ===

impl Prepared {
    pub(super) fn before_the_user(&self) -> Result<(), Failure> {
        if let Some(score) = &self.oom_score_adj {
            Stage::OomScore.step(set_oom_score(score.as_bytes()))?;
        }
        for (n, (resource, limit)) in (0..).zip(&self.rlimits) {
            Stage::Rlimit.step_about(n, limits::set(*resource, *limit))?;
        }
        if let Some(nice) = self.nice {
            Stage::Nice.step(process::set_niceness(nice))?;
        }
        if let Some(mask) = self.umask {
            umask(mask);
        }
        let Some(wanted) = &self.capabilities else { return Ok(()) };
        for number in wanted.from_bounding.numbers() {
            Stage::Bounding.step_about(number as u16, capabilities::drop_from_bounding(number))?;
        }
        if wanted.changes_user && !wanted.ambient.is_empty() {
            // The permitted set outlives the change to another user.
            Stage::Capabilities.step(set_keepcaps(true))?;
        }
        Ok(())
    }

    pub(super) fn after_the_user(&self) -> Result<(), Failure> {
        let Some(wanted) = &self.capabilities else { return Ok(()) };
        let now = Stage::Capabilities.step(Sets::own())?;
        let stays = |set: CapabilitySet| set.and(wanted.keep);
        let inheritable = stays(now.inheritable).with(wanted.ambient);
        let sets = if wanted.changes_user && !wanted.becomes_root {
            Sets { effective: wanted.ambient, permitted: wanted.ambient, inheritable }
        } else {
            Sets { effective: stays(now.effective), permitted: stays(now.permitted), inheritable }
        };
        Stage::Capabilities.step(sets.take())?;
        for number in wanted.ambient.numbers() {
            Stage::Ambient.step_about(number as u16, capabilities::raise_ambient(number))?;
        }
        Ok(())
    }

    pub(super) fn last(&self) -> Result<(), Failure> {
        if self.no_new_privs {
            Stage::NoNewPrivs.step(set_no_new_privs())?;
        }
        Ok(())
    }

    pub(super) fn sets_niceness(&self) -> bool {
        self.nice.is_some()
    }
}

fn set_oom_score(score: &[u8]) -> nix::Result<()> {
    let file = open(c"/proc/self/oom_score_adj", OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    nix::unistd::write(&file, score).map(drop)
}
