//! The planned stop's picture. Pure.

use std::time::Duration;

use super::{Planned, PlannedSlice};
use crate::picture::{Bar, Kind, Mark, MarkKind, Picture, Remark, Row, Weight, shorten};
use crate::record::Part;
use crate::sorted;
use crate::text::plural;
use crate::time::Human;

/// When whoever runs the container kills it: from the manifest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sigkill {
    /// From the moment when softstop is told; `None`: its preStop hook takes nobody knows how long of it.
    pub after: Option<Duration>,
    /// The pod's whole grace.
    pub grace: Duration,
}

impl Sigkill {
    fn at(&self) -> Duration {
        self.after.unwrap_or(self.grace)
    }
}

impl Planned {
    /// `name`: of the configuration. `kubelet`: what a manifest says. `remarks`: what else is to be said.
    pub fn picture(&self, name: &str, kubelet: Option<Sigkill>, remarks: Vec<Remark>) -> Picture {
        let mut rows = Vec::new();
        let parts = [(Part::Drain, "drain"), (Part::Process, "processes"), (Part::PostStop, "post_stop")];
        for (part, heading) in parts {
            // What is left behind stands with the processes.
            let of =
                |slice: &&PlannedSlice| slice.part == part || part == Part::Process && slice.part == Part::Stragglers;
            let of_part: Vec<&PlannedSlice> = self.parts.iter().filter(of).collect();
            if !of_part.is_empty() {
                rows.push(if part == Part::Process { self.heading_of_processes() } else { Row::heading(heading) });
            }
            rows.extend(of_part.into_iter().map(|slice| self.row(slice)));
        }
        let mut all = self.remarks(kubelet);
        all.extend(remarks);
        all.extend(shorten(&mut rows));
        sorted::by_key(&mut all, |remark| remark.weight);
        let end = kubelet.map_or(self.grace, |kubelet| kubelet.at().max(self.grace));
        Picture {
            title: format!("softstop plan: {name}"),
            subtitle: self.headline(),
            end,
            rows,
            marks: self.marks(kubelet),
            remarks: all,
        }
    }

    /// `stops in 5.0s when all goes well, in 30.0s in the worst case`.
    fn headline(&self) -> String {
        let well = self.parts.iter().filter_map(|slice| Some(slice.least?.1)).max().unwrap_or_default();
        format!(
            "stops in {} when all goes well, and in the worst case within its grace of {}",
            human(well),
            Human(self.grace)
        )
    }

    fn marks(&self, kubelet: Option<Sigkill>) -> Vec<Mark> {
        let mut marks = vec![Mark::stop_request(), Mark::new(self.deadline, MarkKind::Deadline, "deadline")];
        let end = |kind| Mark::new(self.grace, kind, "end of the grace");
        match kubelet {
            None => marks.push(end(MarkKind::Kill)),
            Some(kubelet) => {
                marks.push(Mark::new(kubelet.at(), MarkKind::Kill, "SIGKILL by the kubelet"));
                marks.extend((kubelet.at() > self.grace).then(|| end(MarkKind::Event)));
            }
        }
        marks
    }

    fn heading_of_processes(&self) -> Row {
        let held = self.plan.budget.stop;
        let until = self.deadline.saturating_sub(self.plan.budget.after_stop());
        let bar = Bar { kind: Kind::Reserve, from: until.saturating_sub(held), until };
        let bars = if held.is_zero() { Vec::new() } else { vec![bar] };
        let says = if held.is_zero() { String::new() } else { format!("reserve {}", human(held)) };
        Row { label: "processes".into(), bars, says, ..Row::default() }
    }

    fn row(&self, slice: &PlannedSlice) -> Row {
        let mut bars = Vec::new();
        let well = slice.least.unwrap_or((slice.most.0, slice.most.0));
        if slice.most.1 > well.1 {
            bars.push(Bar { kind: Kind::Most, from: well.1, until: slice.most.1 });
        }
        if slice.least.is_some() {
            bars.push(Bar { kind: Kind::Least, from: well.0, until: well.1 });
        }
        if !slice.reserve.is_zero() {
            let from = slice.most.1.saturating_sub(slice.reserve);
            bars.push(Bar { kind: Kind::Reserve, from, until: slice.most.1 });
        }
        let least = well.1.saturating_sub(well.0);
        let most = match slice.part {
            Part::Stragglers => slice.most.1.saturating_sub(slice.most.0),
            // One that is short may still have all of it when what is before it goes well.
            _ => slice.asks.unwrap_or(slice.may),
        };
        let (least, most) = (human(least), human(most.max(least)));
        let takes = if slice.part == Part::Stragglers {
            format!("up to {most}")
        } else if least == most {
            least
        } else {
            format!("{least} to {most}")
        };
        let says = if slice.reserve.is_zero() { takes } else { format!("{takes}, reserve {}", human(slice.reserve)) };
        let label = match slice.part {
            Part::Stragglers => "what they leave behind".to_owned(),
            _ => slice.name.clone(),
        };
        Row { label, depth: 1, bars, says, ..Row::default() }
    }

    fn remarks(&self, kubelet: Option<Sigkill>) -> Vec<Remark> {
        let mut list = Vec::new();
        if let Some(kubelet) = kubelet.filter(|kubelet| kubelet.at() < self.grace) {
            let text = format!(
                "the kubelet sends SIGKILL {} after softstop is told, {} before its grace is over",
                Human(kubelet.at()),
                Human(self.grace.saturating_sub(kubelet.at()))
            );
            let secs = (kubelet.grace + self.grace.saturating_sub(kubelet.at())).as_secs_f64().ceil();
            let help = format!("terminationGracePeriodSeconds: {secs}, or a grace of {}", Human(kubelet.at()));
            list.push(Remark { weight: Weight::Error, text, help });
        }
        for slice in self.short() {
            let what = match slice.part {
                Part::Drain => format!("drain step {:?}", slice.name),
                Part::PostStop => format!("post_stop step {:?}", slice.name),
                Part::Process | Part::Stragglers => format!("the stop of {}", slice.name),
            };
            let asks = Human(slice.asks.unwrap_or_default());
            let text = if slice.gets.is_zero() {
                format!("in the worst case {what} has no time at all; it asks for {asks}")
            } else {
                format!("in the worst case {what} has {} of the {asks} that it asks for", Human(slice.gets))
            };
            list.push(Remark { weight: Weight::Warning, text, help: String::new() });
        }
        if let Some(last) = list.iter_mut().rfind(|remark| remark.weight == Weight::Warning) {
            last.help = match self.fits_in() {
                Some(fits) => {
                    let secs = fits.as_secs();
                    format!(
                        "grace = \"{secs}s\" has room for all of it (and terminationGracePeriodSeconds: {secs}); or lower timeouts and waits"
                    )
                }
                None => self.no_grace_is_enough(),
            };
        }
        list
    }

    /// What is open takes whatever nobody holds, however much that is.
    fn no_grace_is_enough(&self) -> String {
        let open = self.parts.iter().filter(|slice| slice.part == Part::Drain && slice.asks.is_none());
        let open: Vec<String> = open.map(|slice| format!("{:?}", slice.name)).collect();
        if open.is_empty() {
            return "no longer grace gives it more: raise its `reserve` (of the processes: `stop_reserve`)".to_owned();
        }
        let names = open.join(", ");
        let (what, has) = plural(open.len(), ("drain step", "has"), ("drain steps", "have"));
        format!(
            "{what} {names} {has} no `timeout`, and may take all that no reserve keeps: give one, or raise `reserve` and `stop_reserve`"
        )
    }
}

fn human(time: Duration) -> String {
    if time.is_zero() { "0s".to_owned() } else { Human(time).to_string() }
}
