//! Reading the configuration again, and going over to what it has become. It is read by a process of softstop's own, as its file system may
//! hang; what follows from it is the machine's to say.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::notify;
use super::shell::{Shell, is_due};
use super::sockets::Held;
use super::sources;
use crate::config::Config;
use crate::config::sources::Sources;
use crate::lifecycle::event::{Event, RequestId};
use crate::output::log;
use crate::plan::Plan;
use crate::schedule::zone::Zone;

/// So long the files may take to be read: no file system that works takes a tenth of it.
const LIMIT: Duration = Duration::from_secs(10);
/// Whoever sends a thousand signals has it read once in so long.
const PAUSE: Duration = Duration::from_secs(1);
/// What is said of a configuration with mistakes, in bytes: some twenty of them.
const TOLD: usize = 8 * 1024;

/// Where the configuration is, and what its texts amount to with the flags and variables that softstop was started with.
pub struct Configuration {
    pub file: PathBuf,
    pub load: Loader,
}

/// The configuration and its warnings, or what is wrong with it; lines.
pub type Loader = Box<dyn Fn(&Sources) -> Result<(Config, Vec<String>), String>>;

/// Who asked for it; `true`: only to say what it would do.
type Request = (Option<RequestId>, bool);

#[derive(Default)]
pub(super) struct Reloads {
    configuration: Option<Configuration>,
    /// For whom it is being read.
    reading: Vec<Request>,
    /// For whom it will be read then.
    asked: Vec<Request>,
    began: Option<Instant>,
    prepared: Prepared,
}

/// What a new configuration needs of the system before anything is changed for it.
#[derive(Default)]
pub(super) struct Prepared {
    sockets: Vec<Held>,
    pub zones: BTreeMap<String, Zone>,
    notify: Option<notify::Socket>,
}

impl Reloads {
    pub(super) fn new(configuration: Option<Configuration>) -> Reloads {
        Reloads { configuration, ..Reloads::default() }
    }

    /// When it is to be read, if somebody waits for that.
    pub(super) fn next(&self) -> Option<Instant> {
        if self.asked.is_empty() || !self.reading.is_empty() {
            return None;
        }
        // An order is one at a time.
        let ordered = self.asked.iter().any(|(ask, _)| ask.is_some());
        let now = Instant::now();
        Some(if ordered { now } else { self.began.map_or(now, |began| began + PAUSE) })
    }
}

impl Shell {
    /// The answer comes with [`Event::Reread`].
    #[inline(never)] // its frame is not its caller's
    pub(super) fn reread(&mut self, ask: Option<RequestId>, dry_run: bool) {
        // Of signals one stands for all.
        if ask.is_some() || !self.reloads.asked.contains(&(None, dry_run)) {
            self.reloads.asked.push((ask, dry_run));
        }
    }

    /// Begins to read, if somebody waits for it.
    pub(super) fn go_on_rereading(&mut self) {
        if !is_due(self.reloads.next(), Instant::now()) {
            return;
        }
        self.reloads.reading = std::mem::take(&mut self.reloads.asked);
        self.reloads.began = Some(Instant::now());
        if let Err(why) = self.begin_reading() {
            self.was_read(Err(why));
        }
    }

    fn begin_reading(&mut self) -> Result<(), String> {
        let Some(configuration) = &self.reloads.configuration else {
            return Err("there is none".into());
        };
        let file = configuration.file.clone();
        let words = ["__sources".into(), file.clone().into()];
        let started = self.start_helper(&words, &[], file, LIMIT, |shell, _, said| shell.sources_arrived(said));
        started.map_err(|why| format!("no process to read it: {why}"))
    }

    /// The reader has sent all of it. `None`: it has not, in its time.
    fn sources_arrived(&mut self, bytes: Option<Vec<u8>>) {
        let read = match bytes {
            Some(bytes) => sources::received(&bytes),
            None => Err(format!("its files were not read within {} s: their file system hangs", LIMIT.as_secs())),
        };
        self.was_read(read);
    }

    fn was_read(&mut self, read: Result<Sources, String>) {
        let requests = std::mem::take(&mut self.reloads.reading);
        let load = |sources: Sources| match &self.reloads.configuration {
            Some(configuration) => (configuration.load)(&sources),
            None => Err("there is none".into()),
        };
        let in_earnest = requests.iter().any(|(_, dry_run)| !dry_run);
        let read = read.and_then(load).and_then(|(config, warnings)| {
            if in_earnest && !self.machine.borrow().stopping() {
                self.reloads.prepared = self.prepare(&config)?;
            }
            warnings.iter().flat_map(|warning| warning.lines()).filter(|line| !line.is_empty()).for_each(|line| {
                tracing::warn!("{line}");
            });
            Ok(Rc::new(config))
        });
        let read = read.map_err(|mut why| {
            let end = (0..=TOLD).rev().find(|end| why.is_char_boundary(*end)).unwrap_or_default();
            why.truncate(end);
            why
        });
        for (ask, dry_run) in requests {
            self.push(Event::Reread { ask, dry_run, read: read.clone() });
        }
    }

    /// What may be refused by the system is had before anything is changed.
    fn prepare(&mut self, config: &Config) -> Result<Prepared, String> {
        let sockets = self.sockets.missing(config)?;
        let zones = self.missing_zones(config)?;
        let notify = if self.notices.has_socket() { None } else { notify::Socket::make(config)? };
        Ok(Prepared { sockets, zones, notify })
    }

    /// The machine goes by another plan: so does everything here.
    #[inline(never)] // its frame is not its caller's
    pub(super) fn adopt(&mut self, plan: Rc<Plan>) {
        let before = std::mem::replace(&mut self.plan, Rc::clone(&plan));
        let (old, new) = (&before.config, &plan.config);
        let differs = |id: &usize| old.processes.get(*id).is_some_and(|p| p.name != new.processes[*id].name);
        let others: Vec<usize> = (0..new.processes.len()).filter(differs).collect();
        self.groups.adopt(new.processes.len(), &others);
        self.monitor.borrow_mut().adopt(new.processes.len(), &others);
        self.outputs.adopt(old, new, &others);
        if old.log.level != new.log.level {
            log::set_level(new.log.level);
        }
        self.reporter.adopt(Rc::clone(&plan));
        let Prepared { sockets, zones, notify } = std::mem::take(&mut self.reloads.prepared);
        self.sockets.adopt(sockets, new);
        self.notices.adopt(notify);
        self.schedules.adopt(zones, &plan);
        if old.on_change != new.on_change {
            self.changes.adopt(new);
        }
        self.monitor.borrow_mut().scheduled(self.schedules.times());
    }
}
