//! One rolling restart of two instances under traffic, and what it cost.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::edge::{Edge, Tools};
use crate::inits::Row;
use crate::instance::Instance;
use crate::load::Tallies;

/// Instances that serve, each of which is replaced.
pub const INSTANCES: usize = 2;
/// One for the edge, one for each instance, and one for each application that has a proxy beside it.
pub const PORTS: u16 = 1 + 4 * INSTANCES as u16;
/// Traffic before the first stop.
const BEFORE: Duration = Duration::from_millis(1500);
/// Between the end of one instance and the start of the next one's successor.
const BETWEEN: Duration = Duration::from_millis(500);

/// The stop of one instance; durations since it was asked for.
#[derive(Clone, Debug)]
pub struct Stop {
    pub asked: Instant,
    /// When the application itself got SIGTERM, if it says so, else its end.
    pub told: Duration,
    pub ended: Duration,
}

#[derive(Clone, Debug)]
pub struct Outcome {
    pub tallies: Tallies,
    pub stops: Vec<Stop>,
    /// From the start of the first new instance to the end of the last old one.
    pub took: Duration,
}

/// Restarts every instance under the row's init: a new one is started and added first (a surge of one), then the old one is stopped.
/// Whoever keeps the list of those that serve removes the old one `lag` after its stop was asked for, whatever else happens. Ports from
/// `ports` on, [`PORTS`] of them.
pub fn run(row: &Row, lag: Duration, tools: &Tools, ports: u16, dir: &Path) -> Result<Outcome, String> {
    std::fs::create_dir_all(dir).map_err(|e| format!("cannot make {}: {e}", dir.display()))?;
    let port = |slot: usize| ports + 1 + u16::try_from(slot).expect("there are four");
    let servers: Vec<u16> = (0..2 * INSTANCES).map(port).collect();
    let edge = Edge::start(row.behind, tools, dir, ports, &servers)?;
    let start = |slot: usize| {
        let instance = Instance::start(row, tools, port(slot), dir)?;
        edge.add(slot)?;
        Ok::<Instance, String>(instance)
    };
    let old = (0..INSTANCES).map(start).collect::<Result<Vec<_>, _>>()?;
    let load = edge.load(row.long)?;
    std::thread::sleep(BEFORE);
    let begun = Instant::now();
    let (stops, took) = std::thread::scope(|scope| {
        let (mut new, mut stops, mut removals) = (Vec::new(), Vec::new(), Vec::new());
        for (slot, old) in old.into_iter().enumerate() {
            if slot > 0 {
                std::thread::sleep(BETWEEN);
            }
            new.push(start(slot + INSTANCES)?);
            let (asked, edge) = (Instant::now(), &edge);
            removals.push(scope.spawn(move || {
                std::thread::sleep(lag);
                edge.remove(slot)
            }));
            std::thread::sleep(row.init.pre_stop);
            old.stop()?;
            let (ended, told) = old.ended()?;
            stops.push(Stop { asked, told: told.unwrap_or(ended) - asked, ended: ended - asked });
        }
        let took = begun.elapsed();
        removals.into_iter().try_for_each(|r| r.join().expect("it does not panic"))?;
        // What is under way is finished while the new instances live.
        let tallies = load.end()?;
        Ok::<_, String>(((stops, tallies), took))
    })?;
    let (stops, tallies) = stops;
    Ok(Outcome { tallies, stops, took })
}
