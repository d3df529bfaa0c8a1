//! `schedule`: when a task is started, by the clock on the wall. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::declare::{Declared, Shape, table};
use super::kinds::{Kind, Pause, Word, kind, strings};
use super::process::{OnExit, Process, ProcessKeys};
use super::reader::{Field, Reader};
use super::restart::Restart;
use super::values::Wrong;
use crate::facts::ProcessKind;
use crate::schedule::expression::Expression;
use crate::schedule::zone;

/// When a task is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    pub cron: Expression,
    /// Of a file below /usr/share/zoneinfo; `None` is UTC.
    pub time_zone: Option<String>,
    pub concurrency: Concurrency,
    /// It is started later by a random part of this.
    pub jitter: Duration,
}

/// Kubernetes' concurrencyPolicy, for one that runs still when its time comes; `Allow` would be several processes of one name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Concurrency {
    /// The new run is skipped.
    Forbid,
    /// It is stopped, and started again.
    Replace,
}

table! {
    pub struct ScheduleKeys in "schedule" {
        /// Minute, hour, day of the month, month, day of the week, as in a crontab; or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
        cron: Cron { required: true, help: EXAMPLE };
        /// On whose clock, by the name of its file below /usr/share/zoneinfo.
        time_zone: TimeZone = "UTC";
        /// What happens when its time comes and it still runs: the new run is skipped, or it is stopped and started again.
        concurrency: Word<Concurrency> = Concurrency::Forbid;
        /// It is started later by a random part of this.
        jitter: Pause = Duration::ZERO;
    }
}

pub const EXAMPLE: &str =
    "write schedule = \"*/5 * * * *\", or schedule = { cron = \"0 3 * * *\", time_zone = \"Europe/Berlin\" }";

strings! {
    Cron Expression, "string", r"\s*(@[a-z]+|[^@\s]+(\s+[^@\s]+){4})\s*", ["\"*/5 * * * *\"", "\"@daily\"", "\"0 3 * * mon-fri\""],
        |reader, field, _| reader.parsed(field, EXAMPLE, cron);
    TimeZone String, "string", r"[A-Za-z0-9_+/-]{1,64}", ["\"UTC\"", "\"Europe/Berlin\""],
        |reader, field, _| reader.parsed(field, "write a time zone such as \"Europe/Berlin\"", time_zone);
}

fn cron(text: &str) -> Result<Expression, Wrong> {
    let help =
        "five fields as in a crontab: minute, hour, day of the month, month, day of the week, such as \"*/5 * * * *\"";
    Expression::parse(text).map_err(|why| Wrong::new(why, help))
}

fn time_zone(text: &str) -> Result<String, Wrong> {
    zone::file(text).map(|_| text.to_owned()).map_err(|why| Wrong::new(why, "`timedatectl list-timezones` lists them"))
}

kind! {
    /// `"*/5 * * * *"`, or a table.
    CronOrTable: Schedule = read_cron_or_table, &Shape::Any(&[Cron::SHAPE, &Shape::Table(ScheduleKeys::DESCRIBED)])
}

fn read_cron_or_table(reader: &mut Reader<'_>, field: &Field<'_>, help: &str) -> Option<Schedule> {
    let (concurrency, jitter) = (ScheduleKeys::concurrency, ScheduleKeys::jitter);
    if field.value.get_ref().is_str() {
        return Cron::read(reader, field, "").map(|cron| Schedule { cron, time_zone: None, concurrency, jitter });
    }
    let keys = reader.table::<ScheduleKeys<'_>>(field, help)?;
    let time_zone = keys.time_zone.read(reader).filter(|name| name != ScheduleKeys::time_zone);
    let concurrency = keys.concurrency.read(reader).unwrap_or(concurrency);
    let jitter = keys.jitter.read(reader).unwrap_or(jitter);
    let cron = keys.cron.required(reader, &keys.table, "add cron = \"0 3 * * *\"");
    Some(Schedule { cron: cron?, time_zone, concurrency, jitter })
}

/// What follows from a schedule for the rest of its process, and what does not go with one.
pub fn scheduled(reader: &mut Reader<'_>, keys: &ProcessKeys<'_>, p: &mut Process) {
    p.schedule = keys.schedule.read(reader).map(Box::new);
    let Some(field) = &keys.schedule.field else { return };
    let against = [
        (
            keys.kind.span().filter(|_| p.kind == Some(ProcessKind::Service)),
            "kind = \"service\"",
            "leave `kind` out: what is scheduled is a task",
        ),
        (
            keys.main.span().filter(|_| p.main),
            "main = true",
            "the container goes on after each run: mark another process as main",
        ),
        (
            keys.autostart.span().filter(|_| p.autostart),
            "autostart = true",
            "leave it out: it is started at its times, and by `softstop start`",
        ),
    ];
    for (span, what, help) in against {
        let Some(span) = span else { continue };
        reader.error_beside(&span, (&field.key, ""), format!("`schedule` beside {what}"), help);
    }
    (p.kind, p.autostart) = (Some(ProcessKind::Task), false);
    if !keys.restart.is_given() {
        p.restart = Restart::Never;
    }
    // Each run ends, and the container goes on unless it says otherwise.
    if p.schedule.is_some() && !p.stated.on_exit {
        (p.on_exit, p.stated.on_exit) = (OnExit::Continue, true);
    }
}
