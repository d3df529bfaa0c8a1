//! What happened, put into words: each note is one line whatever is in its names and reasons, the report is JSON, and the
//! termination message has at most 4096 bytes and no line that was not meant.

use std::time::Duration;

use arbitrary::{Result, Unstructured};
use softstop::facts::{
    Awaited, Cause, Failure, Fault, FileState, Hopeless, How, KillReason, Needless, NextCtrlC, NotPassedOn, Place,
    Sender, Several, Unfinished, Who,
};
use softstop::lifecycle::action::ProbeKind;
use softstop::lifecycle::event::Exit;
use softstop::report::{History, MainExit, Note, Secs, StepReport, StopResult, TaskResult};
use softstop::signal::Signal;
use softstop::text::one_line;
use softstop::time::At;

/// The kubelet reads so much.
const TERMINATION_MESSAGE: usize = 4096;

pub fn target(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let mut history = History::default();
    let (mut at, mut bad, mut records) = (0, 0, 0);
    while !u.is_empty() {
        let Ok(note) = note(&mut u) else { break };
        super::assert_one_line(&one_line(&note.to_string()));
        let _process = note.process();
        bad += usize::from(note.level() <= softstop::report::Level::Warn);
        records += 1;
        at += u64::from(u8::try_from(u.len() % 251).unwrap_or(0)) * 1000;
        history.push(At::from_millis(at), note);
    }
    let json: serde_json::Value = serde_json::from_str(&history.json()).expect("the report is JSON");
    let kept = json["timeline"].as_array().map_or(0, Vec::len);
    assert_eq!(kept as u64 + json["forgotten_records"].as_u64().unwrap_or(0), records, "records are kept or counted");
    let message = history.termination_message();
    assert!(message.len() <= TERMINATION_MESSAGE, "{} bytes", message.len());
    assert!(!message.contains(|c: char| c.is_control() && c != '\n'), "{message:?}");
    assert!(message.lines().count() <= bad + 2, "a forged line in {message:?}");
}

fn text(u: &mut Unstructured<'_>) -> Result<String> {
    let bytes: &[u8] = u.arbitrary()?;
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

fn secs(u: &mut Unstructured<'_>) -> Result<Secs> {
    Ok(Secs(Duration::from_micros(u.arbitrary()?)))
}

fn signal(u: &mut Unstructured<'_>) -> Result<Signal> {
    Ok(Signal::from_number(u.int_in_range(1..=64)?).expect("in range"))
}

fn exit(u: &mut Unstructured<'_>) -> Result<Exit> {
    let signalled: bool = u.arbitrary()?;
    let exit =
        if signalled { Exit::Signal { signal: signal(u)?, core: u.arbitrary()? } } else { Exit::Code(u.arbitrary()?) };
    Ok(exit)
}

fn result(u: &mut Unstructured<'_>) -> Result<TaskResult> {
    Ok(match u.int_in_range(0..=5)? {
        0 => TaskResult::Done,
        1 => TaskResult::Failed { reason: failure(u)?, code: u.arbitrary()? },
        2 => TaskResult::TimedOut {
            reason: Some(Unfinished {
                awaited: Awaited::File { path: text(u)?, is: FileState::Unseen(text(u)?) },
                detail: Some(Several { named: vec![([10, 0, 0, 7], 41234).into()], all: 2 }),
            }),
        },
        3 => TaskResult::Cut { reason: None },
        4 => TaskResult::Cancelled { why: Needless::ProcessEnded },
        _ => TaskResult::NoTime,
    })
}

fn failure(u: &mut Unstructured<'_>) -> Result<Failure> {
    Ok(Failure::Said(text(u)?))
}

fn kind(u: &mut Unstructured<'_>) -> Result<Place> {
    Ok(if u.arbitrary()? { Place::Drain } else { Place::PostStop })
}

fn note(u: &mut Unstructured<'_>) -> Result<Note> {
    let process = text(u)?;
    Ok(match u.int_in_range(0..=20)? {
        0 => Note::TaskBegan { place: Place::PostStart(process), name: text(u)? },
        1 => Note::TaskEnded {
            place: Place::Init,
            name: process,
            attempts: u.arbitrary()?,
            took: secs(u)?,
            result: result(u)?,
        },
        2 => Note::Started { process, pid: u.arbitrary()?, restarts: u.arbitrary()? },
        3 => Note::StartFailed { process, error: text(u)?, retry_in: None },
        4 => Note::NotReady { process, reason: Fault::PostStartFailed { task: text(u)? } },
        5 => Note::ProbeFailed {
            process,
            probe: ProbeKind::Liveness,
            failures: u.arbitrary()?,
            threshold: u.arbitrary()?,
            reason: failure(u)?,
        },
        6 => {
            let reason = Fault::ProbeFailed { probe: ProbeKind::Startup, threshold: 3, last: failure(u)? };
            Note::Unhealthy { process, reason }
        }
        7 => Note::Exited { process, exit: exit(u)?, ran: secs(u)?, success: u.arbitrary()? },
        8 => Note::BackOff { process, restarts: u.arbitrary()?, delay: secs(u)? },
        9 => Note::GaveUp { process, restarts: u.arbitrary()? },
        10 => Note::CannotStart { process, on: text(u)?, why: Hopeless::Failed },
        11 => {
            let (from, why) = (Sender::Process(u.arbitrary()?), NotPassedOn::MainNotRunning);
            Note::SignalIgnored { signal: signal(u)?, from, why, times: 1 }
        }
        12 => Note::StopBegan {
            cause: Cause::StartFailed { process, code: 1 },
            requested: u.arbitrary()?,
            others: u.arbitrary()?,
            grace: secs(u)?,
            deadline: secs(u)?,
            next: u.arbitrary::<bool>()?.then_some(NextCtrlC::EndsDrain),
        },
        13 => Note::StepEnded { kind: kind(u)?, name: process, slice: secs(u)?, took: secs(u)?, result: result(u)? },
        14 => Note::StepSkipped { kind: kind(u)?, name: process, result: result(u)? },
        15 => Note::Stopping { process, how: How::Signal(signal(u)?), slice: secs(u)? },
        16 => {
            let because = KillReason {
                after: Some(signal(u)?),
                waited: secs(u)?.0,
                out_of_time: u.arbitrary()?,
                stragglers: u.arbitrary()?,
            };
            Note::Killed { process, because, appeared_as: text(u)?, look: None }
        }
        17 => Note::Stopped { process, exit: Some(exit(u)?), took: secs(u)?, forced: u.arbitrary()? },
        18 => Note::LeftBehind { count: u.arbitrary()?, which: vec![process, text(u)?] },
        19 => Note::OutOfTime { still_running: vec![Who::Named(process), Who::Stragglers] },
        _ => Note::Finished(Box::new(stop_result(process, u)?)),
    })
}

fn stop_result(name: String, u: &mut Unstructured<'_>) -> Result<StopResult> {
    let main = u.arbitrary::<bool>()?.then(|| exit(u)).transpose()?;
    let step = StepReport { kind: kind(u)?, name: text(u)?, slice: secs(u)?, took: secs(u)?, result: result(u)? };
    Ok(StopResult {
        exit_code: u.arbitrary()?,
        cause: Cause::InitFailed { task: text(u)?, code: 1 },
        grace: secs(u)?,
        took: secs(u)?,
        within_grace: u.arbitrary()?,
        main: main.map(|exit| MainExit { process: name.clone(), exit }),
        steps: vec![step],
        forced: vec![Who::Named(name)],
        drain_took: None,
        processes_took: secs(u)?,
        post_stop_took: Some(secs(u)?),
        orphans_reaped: u.arbitrary()?,
        nothing_ran: u.arbitrary()?,
    })
}
