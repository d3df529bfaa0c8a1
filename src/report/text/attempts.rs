//! The words of attempts that failed and of what is waited for. Pure.

use std::fmt;

use crate::facts::{
    Awaited, CallError, ConnectionError, Connections, Failure, FileState, GrpcError, Listening, RequestPart, Several,
    TlsError, Unfinished, Unfit, Unseen,
};
use crate::time::Human;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Ended { exit, said } if said.is_empty() => exit.fmt(f),
            Failure::Ended { exit, said } => write!(f, "{exit}: {said}"),
            Failure::NoAnswer { within } => write!(f, "no answer within {}", Human(*within)),
            Failure::NotRunning { process } => write!(f, "{process} is not running"),
            Failure::NotProbed => f.write_str("not probed yet"),
            Failure::Call(error) => error.fmt(f),
            Failure::NotResolved { why } => write!(f, "the host's name cannot be resolved: {why}"),
            Failure::NotLookedUp { host, why } => write!(f, "{host} cannot be looked up: {why}"),
            Failure::NoProcess { command } => write!(f, "no process {command} is running"),
            Failure::NotPermitted { signal, command, pid } => write!(
                f,
                "{signal} to {command} (pid {pid}) is not permitted: it runs as another user; add the capability KILL or run \
                 softstop as that user"
            ),
            Failure::Unseen { what, error } => write!(f, "{what} cannot be seen: {error}"),
            Failure::Helper { exit } => write!(f, "the look ended with {exit}"),
            Failure::Cancelled => f.write_str("cancelled"),
            Failure::NothingToDo => f.write_str("nothing to do"),
            Failure::Said(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unseen::Processes => "processes",
            Unseen::Connections => "connections",
            Unseen::Listeners => "what listens",
        })
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Status { status, said } if said.is_empty() => write!(f, "answered {status}"),
            CallError::Status { status, said } => write!(f, "answered {status}: {said}"),
            CallError::Body { status, error } => write!(f, "answered {status}, then {error}"),
            CallError::LongBody { most } => write!(f, "answered with more than {most} bytes"),
            CallError::Connection(error) => error.fmt(f),
            CallError::Grpc(error) => error.fmt(f),
            CallError::Redirected { to, error } => write!(f, "redirected to {to}: {error}"),
            CallError::Redirects { requests } => write!(f, "still redirected after {requests} requests"),
            CallError::NoLocation { location } => write!(f, "redirected to {location:?}, which is no address"),
            CallError::NoTls => f.write_str("this softstop was built without https"),
            CallError::TlsSetUp(error) => write!(f, "cannot set up TLS: {error}"),
            CallError::NoAddress => f.write_str("no address to connect to"),
            CallError::Invalid { part, value, error } => {
                let (what, place) = match part {
                    RequestPart::Path => ("path", " in a request"),
                    RequestPart::Host => ("host", " in a request"),
                    RequestPart::Header => ("header", ""),
                    RequestPart::TlsName => ("host", " in TLS"),
                };
                write!(f, "{what} {value:?} is not valid{place}: {error}")
            }
        }
    }
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ConnectionError::Refused => "connection refused",
            ConnectionError::Reset => "connection reset",
            ConnectionError::TimedOut => "connection timed out",
            ConnectionError::HostUnreachable => "host unreachable",
            ConnectionError::NetworkUnreachable => "network unreachable",
            ConnectionError::Incomplete => "connection closed before the answer was complete",
            ConnectionError::LongHead { most } => {
                return write!(f, "answered with more than {} KiB of headers", most / 1024);
            }
            ConnectionError::NotHttp => "answered something that is not HTTP/1.1",
            ConnectionError::Tls(error) => return error.fmt(f),
            ConnectionError::System(text) => text,
        })
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::NotTls => f.write_str("answered something that is not TLS: is it plain http there?"),
            TlsError::NoCipher => {
                f.write_str("no TLS cipher in common: softstop has TLS 1.2 and 1.3 with ECDHE and AES-GCM")
            }
            TlsError::NoVersion => f.write_str("no TLS version in common: softstop has 1.2 and 1.3"),
            TlsError::WantsCertificate => {
                f.write_str("the server wants a client's certificate, which softstop does not have")
            }
            TlsError::Library(error) => write!(f, "TLS: {error}"),
        }
    }
}

impl fmt::Display for GrpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GrpcError::NotHttp2 => f.write_str("answered something that is not HTTP/2"),
            GrpcError::Http1 => f.write_str("answered in HTTP/1.1: no gRPC server is there"),
            GrpcError::Tls => f.write_str("answered with TLS, which the kubelet's gRPC probes do not have either"),
            GrpcError::GoAway { error } => write!(f, "closed the connection before it answered (GOAWAY, error {error})"),
            GrpcError::Reset { error } => write!(f, "refused the call (RST_STREAM, error {error})"),
            GrpcError::NoStatus => f.write_str(
                "ended the call without a status: no grpc.health.v1 service is there, or it does not know this `service`",
            ),
            GrpcError::NoHealth => f.write_str("answered with something that is not a health status"),
            GrpcError::Health { status: 0 } => f.write_str("answered UNKNOWN"),
            GrpcError::Health { status: 2 } => f.write_str("answered NOT_SERVING"),
            GrpcError::Health { status: 3 } => f.write_str("answered SERVICE_UNKNOWN"),
            GrpcError::Health { status } => write!(f, "answered with status {status}"),
            GrpcError::Endless => f.write_str("talks without answering"),
        }
    }
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.awaited.fmt(f)?;
        self.detail.as_ref().map_or(Ok(()), |detail| write!(f, ": {detail}"))
    }
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Awaited::End { process } => write!(f, "{process} is still running"),
            Awaited::Readiness { process } => write!(f, "{process} is not ready"),
            Awaited::Success(failure) => failure.fmt(f),
            Awaited::EndOf { command, pids } => write!(f, "{command} is still running (pid {pids})"),
            Awaited::StartOf { command } => write!(f, "{command} is not running"),
            Awaited::Signalled { signal, command, pids } => write!(f, "{signal} sent to {command} (pid {pids})"),
            Awaited::File { path, is } => write!(f, "{path} {is}"),
            Awaited::Answer(unfit) => unfit.fmt(f),
            Awaited::Idle(connections) => connections.fmt(f),
            Awaited::NoListener => f.write_str("nothing here listens on TCP, so there is nothing to wait for"),
            Awaited::Listening { ports, unsure, most } => {
                write!(f, "listening on TCP {ports}")?;
                if let Some(why) = unsure {
                    write!(f, "; {why}, so this is all that listens in the network namespace")?;
                }
                most.map_or(Ok(()), |most| write!(f, "; only the first {most} are waited for"))
            }
            Awaited::Listener { ports, beside } => {
                write!(f, "nothing listens on TCP {ports}: correct `port`, or leave it out")?;
                beside.as_ref().map_or(Ok(()), |connections| write!(f, " ({connections})"))
            }
        }
    }
}

impl<T: fmt::Display> fmt::Display for Several<T> {
    /// `a, b and 7 more`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, one) in self.named.iter().enumerate() {
            write!(f, "{}{one}", if n > 0 { ", " } else { "" })?;
        }
        match self.all.saturating_sub(self.named.len()) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl fmt::Display for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.open, self.active) {
            (0, _) => f.write_str("no connection")?,
            (open, None) => write!(f, "{open} open, activity unknown")?,
            (open, Some(active)) => write!(f, "{open} open, {active} active")?,
        }
        if self.new > 0 {
            write!(f, ", {} new since the beginning", self.new)?;
        }
        if self.probes {
            f.write_str(", the node's probes aside")?;
        }
        self.quiet.map_or(Ok(()), |quiet| write!(f, ", to be quiet for {}", Human(quiet)))
    }
}

impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.by {
            Some((name, pid)) => write!(f, "{} ({name}, pid {pid})", self.port),
            None => self.port.fmt(f),
        }
    }
}

impl fmt::Display for FileState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileState::Missing => f.write_str("is not there"),
            FileState::StillThere => f.write_str("is still there"),
            FileState::NoFile => f.write_str("is there, but is no file to look into"),
            FileState::Without { text } => write!(f, "is there, without {text:?} in it"),
            FileState::Hangs => f.write_str("cannot be looked at yet: its file system does not answer"),
            FileState::Unseen(error) => write!(f, "cannot be looked at: {error}"),
            FileState::Unread(error) => write!(f, "cannot be read: {error}"),
        }
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |pointer: &'_ str| if pointer.is_empty() { "the value".to_owned() } else { pointer.to_owned() };
        match self {
            Unfit::NotAnswered(error) => error.fmt(f),
            Unfit::NoAnswer(within) => write!(f, "no answer within {}s", within.as_secs()),
            Unfit::Status { status, wanted: (low, high) } if low == high => write!(f, "answers {status}, not {low}"),
            Unfit::Status { status, wanted: (low, high) } => write!(f, "answers {status}, not {low} to {high}"),
            Unfit::Unreadable(error) => write!(f, "answers what cannot be read: {error}"),
            Unfit::NoValue { pointer } => write!(f, "there is no {}", named(pointer)),
            Unfit::Value { pointer, is } => write!(f, "{} is {is}", named(pointer)),
            Unfit::NoSample { metric } => write!(f, "there is no sample of {metric}"),
            Unfit::Sum { metric, is } => write!(f, "{metric} is {is}"),
        }
    }
}
