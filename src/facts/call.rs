//! Why an HTTP call or a connection came to nothing. Pure.

/// Why an HTTP call or a connection came to nothing.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub enum CallError {
    /// The answer is no success; `said`: the first line of its body, short and printable, if there is any.
    Status { status: u16, said: String },
    /// Behind the answer's head.
    Body { status: u16, error: ConnectionError },
    /// The answer's body has more bytes.
    LongBody { most: usize },
    /// There is none, or it broke.
    Connection(ConnectionError),
    /// It holds, and the health check came to nothing.
    Grpc(GrpcError),
    /// Where it was redirected to.
    Redirected { to: String, error: Box<CallError> },
    /// After so many requests it is redirected still.
    Redirects { requests: usize },
    /// It is redirected to what is no address; its first 120 characters.
    NoLocation { location: String },
    /// softstop was built without TLS.
    NoTls,
    /// One line, by the library.
    TlsSetUp(String),
    /// The host's name has none.
    NoAddress,
    /// A request cannot have it; what the configuration lets through it can.
    Invalid { part: RequestPart, value: String, error: String },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum RequestPart {
    Path,
    Host,
    Header,
    /// The host, as TLS asks for it.
    TlsName,
}

#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub enum ConnectionError {
    Refused,
    Reset,
    TimedOut,
    HostUnreachable,
    NetworkUnreachable,
    /// It was closed before the answer was complete.
    Incomplete,
    /// The answer's head has more bytes.
    LongHead {
        most: usize,
    },
    NotHttp,
    Tls(TlsError),
    /// One line, by the system.
    System(String),
}

#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub enum TlsError {
    NotTls,
    NoCipher,
    NoVersion,
    WantsCertificate,
    /// One line, by the library.
    Library(String),
}

/// Why a gRPC health check came to nothing, over a connection that holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum GrpcError {
    NotHttp2,
    Http1,
    Tls,
    /// The server is about to close the connection, with this error code of HTTP/2.
    GoAway {
        error: u32,
    },
    /// It has ended the call, with this error code of HTTP/2.
    Reset {
        error: u32,
    },
    NoStatus,
    /// The answer is no `HealthCheckResponse`.
    NoHealth,
    /// `HealthCheckResponse.ServingStatus`, other than SERVING.
    Health {
        status: u64,
    },
    /// It says more than an answer has.
    Endless,
}
