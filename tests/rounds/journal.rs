//! What the actors wrote down.

use std::collections::BTreeMap;

use crate::sys::Time;

#[derive(Clone, Debug)]
pub struct Record {
    pub at: Time,
    /// `web`, `web/1` (its first fork), `d0.1`, `web.pre_stop`, `web.liveness`.
    pub name: String,
    /// As its own PID namespace counts, softstop's too.
    pub pid: i32,
    pub what: Did,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Did {
    Start(Start),
    Signal {
        signal: i32,
        sender: i32,
    },
    /// About to exit with it.
    End(u8),
    /// About to end by this signal's default action.
    Dies(i32),
    /// So many numbered lines have been written.
    Mark(u64),
    /// softstop's answer, and when it was asked.
    Readyz {
        status: Option<u16>,
        asked: Time,
    },
    Tick,
    Up,
    Other(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    pub parent: i32,
    /// `main`, `fork`, `session`, `orphan`.
    pub kind: String,
    /// In clock ticks since the boot; 0: not known.
    pub born: i64,
    pub reason: Option<String>,
    pub remaining_ms: Option<u64>,
}

/// One process from its start to its end.
#[derive(Clone, Debug)]
pub struct Life {
    pub name: String,
    pub pid: i32,
    pub start: Start,
    pub records: Vec<Record>,
}

pub fn parse(text: &str) -> Vec<Record> {
    // The last line may have been cut by SIGKILL: a write to a file is not, but the disk may be full.
    let mut all: Vec<Record> = text.lines().filter_map(record).collect();
    all.sort_by_key(|record| record.at);
    all
}

fn record(line: &str) -> Option<Record> {
    let mut parts = line.splitn(5, ' ');
    let (at, name, pid) = (parts.next()?.parse().ok()?, parts.next()?.to_owned(), parts.next()?.parse().ok()?);
    let (verb, rest) = (parts.next()?, parts.next().unwrap_or_default());
    let mut words = rest.split(' ');
    let mut word = || words.next().filter(|word| *word != "-" && !word.is_empty());
    let what = match verb {
        "start" => {
            let (parent, kind) = (word()?.parse().ok()?, word()?.to_owned());
            let born = word().and_then(|n| n.parse().ok()).unwrap_or(0);
            let reason = words.next().filter(|w| *w != "-").map(str::to_owned);
            let remaining_ms = words.next().and_then(|n| n.parse().ok());
            Did::Start(Start { parent, kind, born, reason, remaining_ms })
        }
        "signal" => Did::Signal { signal: word()?.parse().ok()?, sender: word()?.parse().ok()? },
        "end" => Did::End(word()?.parse::<i32>().ok()? as u8),
        "dies" => Did::Dies(word()?.parse().ok()?),
        "mark" => Did::Mark(word()?.parse().ok()?),
        "readyz" => Did::Readyz { status: word()?.parse().ok(), asked: word()?.parse().ok()? },
        "tick" => Did::Tick,
        "up" => Did::Up,
        other => Did::Other(format!("{other} {rest}")),
    };
    Some(Record { at, name, pid, what })
}

/// In the order of their starts. A pid that is used again begins a new life.
pub fn lives(records: &[Record]) -> Vec<Life> {
    let mut lives: Vec<Life> = Vec::new();
    let mut now: BTreeMap<i32, usize> = BTreeMap::new();
    for record in records {
        if let Did::Start(start) = &record.what {
            now.insert(record.pid, lives.len());
            lives.push(Life { name: record.name.clone(), pid: record.pid, start: start.clone(), records: Vec::new() });
        }
        if let Some(life) = now.get(&record.pid) {
            lives[*life].records.push(record.clone());
        }
    }
    lives
}

impl Life {
    pub fn began(&self) -> Time {
        self.records.first().map_or(0, |record| record.at)
    }

    pub fn last(&self) -> Time {
        self.records.last().map_or(0, |record| record.at)
    }

    /// How it ended by itself, as an exit code, and when. `None`: SIGKILL, or it still ran.
    pub fn ended(&self) -> Option<(Time, u8)> {
        self.records.iter().find_map(|record| match record.what {
            Did::End(code) => Some((record.at, code)),
            Did::Dies(signal) => Some((record.at, 128 + signal as u8)),
            _ => None,
        })
    }

    pub fn signals(&self) -> impl Iterator<Item = (Time, i32, i32)> {
        self.records.iter().filter_map(|record| match record.what {
            Did::Signal { signal, sender } => Some((record.at, signal, sender)),
            _ => None,
        })
    }

    /// The process, hook or probe itself and nothing that it forked.
    pub fn is_main(&self) -> bool {
        self.start.kind == "main"
    }

    /// The name without what marks its forks.
    pub fn root(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }
}
