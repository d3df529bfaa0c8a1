//! Signals as values: names and numbers, and nothing else. Pure.

use std::fmt;

/// A signal number, 1 to 64. Real-time signals are 34 to 64 as the kernel numbers them: glibc's and musl's `SIGRTMIN`
/// differ in what they keep for themselves, the number on the wire does not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(u8);

/// The kernel's real-time range as users name it: glibc keeps 32 and 33, so `SIGRTMIN` is 34.
const RTMIN: u8 = 34;
const RTMAX: u8 = 64;

/// Each by the C library's name, without `SIG`.
macro_rules! named {
    ($($NAME:ident = $number:ident),+ $(,)?) => {
        const NAMES: &[(&str, Signal)] = &[$((stringify!($NAME), Signal::$NAME)),+];

        impl Signal {
            $(pub const $NAME: Signal = Signal(libc::$number as u8);)+
        }
    };
}

named! {
    HUP = SIGHUP, INT = SIGINT, QUIT = SIGQUIT, ILL = SIGILL, TRAP = SIGTRAP, ABRT = SIGABRT, BUS = SIGBUS, FPE = SIGFPE,
    KILL = SIGKILL, USR1 = SIGUSR1, SEGV = SIGSEGV, USR2 = SIGUSR2, PIPE = SIGPIPE, ALRM = SIGALRM, TERM = SIGTERM,
    CHLD = SIGCHLD, CONT = SIGCONT, STOP = SIGSTOP, TSTP = SIGTSTP, TTIN = SIGTTIN, TTOU = SIGTTOU, URG = SIGURG,
    XCPU = SIGXCPU, XFSZ = SIGXFSZ, VTALRM = SIGVTALRM, PROF = SIGPROF, WINCH = SIGWINCH, IO = SIGIO, PWR = SIGPWR, SYS = SIGSYS,
}

impl Signal {
    /// The highest number.
    pub const MAX: u8 = RTMAX;
    /// `SIGRTMIN+3`: an order to systemd to halt, and the STOPSIGNAL of images with it in them.
    pub const SYSTEMD_HALT: Signal = Signal(RTMIN + 3);

    /// `None` outside 1 to 64.
    pub fn from_number(n: i32) -> Option<Signal> {
        u8::try_from(n).ok().filter(|n| (1..=RTMAX).contains(n)).map(Signal)
    }

    pub fn number(self) -> i32 {
        i32::from(self.0)
    }

    /// `SIGTERM`, `TERM`, `term`, `15`, `SIGRTMIN+3`, `RTMAX-1`, `SIGCLD`, `SIGIOT`, `SIGPOLL`; else what is wrong and what to write.
    ///
    /// # Errors
    /// One sentence naming the text and the nearest signal.
    pub fn parse(text: &str) -> Result<Signal, String> {
        let upper = text.trim().to_ascii_uppercase();
        let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Ok(n) = upper.parse::<i32>() {
            return Signal::from_number(n).ok_or_else(|| format!("signal number {n} is not in 1 to 64"));
        }
        if let Some((_, signal)) = NAMES.iter().find(|(name, _)| *name == bare) {
            return Ok(*signal);
        }
        match bare {
            "CLD" => return Ok(Signal::CHLD),
            "IOT" => return Ok(Signal::ABRT),
            "POLL" => return Ok(Signal::IO),
            "RTMIN" => return Ok(Signal(RTMIN)),
            "RTMAX" => return Ok(Signal(RTMAX)),
            _ => {}
        }
        let offset = |digits: &str| digits.parse::<u8>().ok().filter(|n| *n <= RTMAX - RTMIN);
        let real_time = match (bare.strip_prefix("RTMIN+"), bare.strip_prefix("RTMAX-")) {
            (Some(n), _) => offset(n).map(|n| Signal(RTMIN + n)),
            (_, Some(n)) => offset(n).map(|n| Signal(RTMAX - n)),
            _ => None,
        };
        real_time.ok_or_else(|| {
            if bare.starts_with("RT") {
                return format!("unknown signal {text:?}: real-time signals are SIGRTMIN to SIGRTMIN+30");
            }
            match crate::nearest::nearest(bare, NAMES.iter().map(|(name, _)| *name)) {
                Some(name) => format!("unknown signal {text:?}: did you mean SIG{name}?"),
                None => format!("unknown signal {text:?}: write a name like SIGTERM or a number from 1 to 64"),
            }
        })
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, _)) = NAMES.iter().find(|(_, signal)| signal == self) {
            return write!(f, "SIG{name}");
        }
        match self.0 {
            RTMIN => f.write_str("SIGRTMIN"),
            RTMAX => f.write_str("SIGRTMAX"),
            n if n > RTMIN => write!(f, "SIGRTMIN+{}", n - RTMIN),
            n => write!(f, "signal {n}"),
        }
    }
}

/// By its name.
impl serde::Serialize for Signal {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_has_a_name_that_parses_back() {
        for n in 1..=64 {
            let signal = Signal::from_number(n).unwrap();
            let name = signal.to_string();
            match Signal::parse(&name) {
                Ok(back) => assert_eq!(back, signal),
                // 16 (STKFLT), 32 and 33 have no portable name; their number does.
                Err(_) => assert_eq!(Signal::parse(&n.to_string()).unwrap(), signal),
            }
        }
    }

    #[test]
    fn names_are_read_as_people_write_them() {
        for text in ["SIGTERM", "TERM", "sigterm", "term", "15", " TERM "] {
            assert_eq!(Signal::parse(text).unwrap(), Signal::TERM, "{text}");
        }
        assert_eq!(Signal::parse("SIGRTMIN+3").unwrap().number(), 37);
        assert_eq!(Signal::parse("RTMAX-0").unwrap().number(), 64);
    }

    #[test]
    fn a_wrong_name_says_what_to_write() {
        assert!(Signal::parse("SIGTREM").unwrap_err().contains("did you mean SIGTERM?"));
        assert!(Signal::parse("99").unwrap_err().contains("1 to 64"));
        assert!(Signal::parse("RTMIN+31").unwrap_err().contains("SIGRTMIN+30"));
        assert!(Signal::parse("").is_err());
    }
}
