//! Which signals may stand where. Pure.

use super::Wrong;
use crate::signal::Signal;

/// A signal that may ask softstop to stop.
///
/// # Errors
/// It cannot be caught, the kernel sends it for its own reasons, or softstop ignores it.
pub fn stop_request(signal: Signal) -> Result<Signal, Wrong> {
    let help = "name signals such as SIGTERM, SIGINT, SIGQUIT or SIGRTMIN+3";
    let faults = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGABRT, libc::SIGSYS];
    match signal {
        Signal::KILL | Signal::STOP => Err(Wrong::new(format!("{signal} cannot be caught, by no process"), help)),
        Signal::TTIN | Signal::TTOU => {
            Err(Wrong::new(format!("{signal} cannot ask for a stop: softstop ignores it, to use the terminal"), help))
        }
        _ if [Signal::CHLD, Signal::CONT].contains(&signal) || faults.contains(&signal.number()) => {
            Err(Wrong::new(format!("{signal} cannot ask for a stop: the kernel sends it for its own reasons"), help))
        }
        _ => Ok(signal),
    }
}

/// A signal that may stand in a ladder.
///
/// # Errors
/// It ends nothing, or comes by itself at the end.
pub fn ladder_signal(signal: Signal) -> Result<Signal, Wrong> {
    let help = match signal {
        Signal::KILL => "leave it out: SIGKILL follows when the ladder ends",
        Signal::STOP | Signal::CONT => "write a signal that asks the process to end, such as \"SIGTERM\"",
        _ => return Ok(signal),
    };
    Err(Wrong::new(format!("{signal} cannot be a stop signal"), help))
}

/// What to write for a signal.
pub const A_SIGNAL: &str = "write a name such as \"SIGTERM\" or \"SIGRTMIN+3\", or its number as a string";

/// A signal that softstop passes on, and so can pass on as another.
///
/// # Errors
/// softstop passes no such signal on.
pub fn rewritten(text: &str) -> Result<Signal, Wrong> {
    let help = "write a signal that softstop passes on or stops upon, such as SIGHUP or SIGTERM";
    let signal = Signal::parse(text).map_err(|sentence| Wrong::new(sentence, help))?;
    let own = [4, 5, 6, 7, 8, 11, 31, 32, 33].contains(&signal.number());
    if own || matches!(signal, Signal::KILL | Signal::STOP | Signal::CHLD | Signal::URG | Signal::TTIN | Signal::TTOU) {
        return Err(Wrong::new(format!("{signal} is not passed on, so it cannot be rewritten"), help));
    }
    Ok(signal)
}

/// What is sent in place of one; `None`: nothing.
///
/// # Errors
/// It is no signal, or none that a process can be sent in another's place.
pub fn in_its_place(text: &str) -> Result<Option<Signal>, Wrong> {
    let help = "write a signal such as \"SIGQUIT\", or \"none\"";
    if ["", "0", "none"].contains(&text.trim()) {
        return Ok(None);
    }
    Signal::parse(text).map(Some).map_err(|sentence| Wrong::new(sentence, help))
}

/// What may be asked of a process before SIGKILL, so that it says what it is doing.
///
/// # Errors
/// No process can answer to it.
pub fn dump_signal(signal: Signal) -> Result<Signal, Wrong> {
    if matches!(signal, Signal::KILL | Signal::STOP | Signal::CONT) {
        let help =
            "write the signal upon which the program tells what it is doing, such as \"SIGQUIT\" for a JVM or Go";
        return Err(Wrong::new(format!("{signal} cannot be a diagnostic signal"), help));
    }
    Ok(signal)
}
