//! One call of `grpc.health.v1.Health/Check`, as the kubelet's `grpc` probe makes it: HTTP/2 with prior knowledge and without TLS, one
//! connection for one call. Only what one such call needs is here (RFC 9113, and
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>): 30 kB where an HTTP/2 library brings 500.
//!
//! Headers of the answer are not decoded (no HPACK), so a service that is not known there and a server without a health service cannot be told
//! apart: both end the call without a status, and both are a failure.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::client::unconnected;
use crate::config::{GrpcCall, host_and_port};
use crate::facts::{CallError, ConnectionError, GrpcError};

/// Of everything that a server says, in bytes; an answer has some 200.
const MAX_ANSWER: usize = 64 * 1024;
/// Of the message itself, in bytes; it has two.
const MAX_MESSAGE: usize = 1024;
/// Pings and settings included.
const MAX_FRAMES: usize = 200;
/// What nobody may exceed who was not told otherwise (RFC 9113, section 4.2).
const MAX_FRAME: usize = 16 * 1024;
const FRAME_HEAD: usize = 9;
/// Compressed or not, and the length.
const MESSAGE_HEAD: usize = 5;
const CALL: u32 = 1;

/// Types of frames.
mod kind {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const PING: u8 = 6;
    pub(super) const GOAWAY: u8 = 7;
}

/// Of DATA and HEADERS.
const END_STREAM: u8 = 0x1;
/// Of SETTINGS and PING.
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;

/// Makes the call over a connection that is open. `Err`: why it is not well.
pub(super) async fn check(call: &GrpcCall, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), CallError> {
    let broken = |e: std::io::Error| CallError::Connection(unconnected(&e));
    stream.write_all(&request(call)).await.map_err(broken)?;
    let (mut answer, mut chunk) = (Answer::default(), [0; 4096]);
    loop {
        let n = stream.read(&mut chunk).await.map_err(broken)?;
        if n == 0 {
            return Err(CallError::Connection(ConnectionError::Incomplete));
        }
        let mut reply = Vec::new();
        if let Some(result) = answer.take(&chunk[..n], &mut reply) {
            return result.map_err(CallError::Grpc);
        }
        stream.write_all(&reply).await.map_err(broken)?;
    }
}

// === What is sent ===

fn request(call: &GrpcCall) -> Vec<u8> {
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    frame(&mut sent, kind::SETTINGS, 0, 0, &[]);
    // Indexes are those of RFC 7541, appendix A; no literal is added to the table.
    let mut headers = vec![0x83, 0x86]; // :method POST, :scheme http
    let host = host_and_port(&call.host, call.port);
    let named: [(u8, &str); 4] = [
        (1, &host),                                            // :authority
        (4, "/grpc.health.v1.Health/Check"),                   // :path
        (31, "application/grpc"),                              // content-type
        (58, concat!("softstop/", env!("CARGO_PKG_VERSION"))), // user-agent
    ];
    for (index, value) in named {
        integer(&mut headers, 4, usize::from(index));
        string(&mut headers, value);
    }
    headers.push(0);
    string(&mut headers, "te");
    string(&mut headers, "trailers");
    frame(&mut sent, kind::HEADERS, END_HEADERS, CALL, &headers);
    let mut message = Vec::new();
    if !call.service.is_empty() {
        message.push(0x0a); // field 1, a string
        varint(&mut message, call.service.len());
        message.extend_from_slice(call.service.as_bytes());
    }
    let mut data = vec![0];
    data.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    data.extend_from_slice(&message);
    frame(&mut sent, kind::DATA, END_STREAM, CALL, &data);
    sent
}

/// `payload` is shorter than [`MAX_FRAME`]: a host has 253 bytes at most, a service 1,000.
fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    out.extend_from_slice(&length[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// RFC 7541, section 5.1, with nothing in the bits before the prefix.
fn integer(out: &mut Vec<u8>, prefix: u32, value: usize) {
    let most = (1usize << prefix) - 1;
    if value < most {
        out.push(low_byte(value));
    } else {
        out.push(low_byte(most));
        varint(out, value - most);
    }
}

/// RFC 7541, section 5.2, as it is.
fn string(out: &mut Vec<u8>, text: &str) {
    integer(out, 7, text.len());
    out.extend_from_slice(text.as_bytes());
}

/// Seven bits a byte, the lowest first: HPACK and Protocol Buffers have the same.
fn varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(low_byte(value) | 0x80);
        value >>= 7;
    }
    out.push(low_byte(value));
}

fn low_byte(value: usize) -> u8 {
    value.to_le_bytes()[0]
}

// === What is answered ===

/// What has been answered so far.
#[derive(Default)]
struct Answer {
    /// Not yet a whole frame.
    rest: Vec<u8>,
    taken: usize,
    frames: usize,
    /// Of the call's message.
    message: Vec<u8>,
}

impl Answer {
    /// More of it, in pieces of any size. What has to be answered at once goes into `reply`; `Some`: the result.
    fn take(&mut self, bytes: &[u8], reply: &mut Vec<u8>) -> Option<Result<(), GrpcError>> {
        self.rest.extend_from_slice(bytes);
        self.taken += bytes.len();
        loop {
            match self.next_frame(reply) {
                Ok(Some(result)) => return Some(Ok(result)),
                Ok(None) => {}
                Err(Pause::Result(why)) => return Some(Err(why)),
                Err(Pause::More) if self.taken > MAX_ANSWER => return Some(Err(GrpcError::Endless)),
                Err(Pause::More) => return None,
            }
        }
    }

    /// `Some`: it is well.
    fn next_frame(&mut self, reply: &mut Vec<u8>) -> Result<Option<()>, Pause> {
        let Frame { kind, flags, stream, payload } = self.frame()?;
        match (kind, stream) {
            (kind::SETTINGS, _) if flags & ACK == 0 => frame(reply, kind::SETTINGS, ACK, 0, &[]),
            (kind::PING, _) if flags & ACK == 0 => frame(reply, kind::PING, ACK, 0, &payload),
            (kind::GOAWAY, _) => {
                let last = number(&payload, 0).unwrap_or(0) & 0x7fff_ffff;
                let error = number(&payload, 4).unwrap_or(0);
                // Without an error, and with this call among those that will be answered, it only says that no others will be.
                if error != 0 || last < CALL {
                    return Err(GrpcError::GoAway { error }.into());
                }
            }
            (kind::RST_STREAM, CALL) => {
                let error = number(&payload, 0).unwrap_or(0);
                return Err(GrpcError::Reset { error }.into());
            }
            (kind::HEADERS, CALL) if flags & END_STREAM != 0 => return Err(GrpcError::NoStatus.into()),
            (kind::DATA, CALL) => {
                let data = unpadded(&payload, flags)?;
                self.message.extend_from_slice(data);
                if let Some(message) = self.message()? {
                    return judge(message).map(Some).map_err(Pause::Result);
                }
                if flags & END_STREAM != 0 {
                    return Err(GrpcError::NoStatus.into());
                }
            }
            _ => {}
        }
        Ok(None)
    }

    /// Takes one off what has come.
    fn frame(&mut self) -> Result<Frame, Pause> {
        if self.frames == 0 {
            self.first_bytes()?;
        }
        let head: &[u8; FRAME_HEAD] = self.rest.first_chunk().ok_or(Pause::More)?;
        let [a, b, c, kind, flags, stream @ ..] = *head;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        let stream = u32::from_be_bytes(stream) & 0x7fff_ffff;
        if self.frames == 0 && (kind != kind::SETTINGS || stream != 0) || length > MAX_FRAME {
            return Err(GrpcError::NotHttp2.into());
        }
        if self.rest.len() < FRAME_HEAD + length {
            return Err(Pause::More);
        }
        let payload: Vec<u8> = self.rest.drain(..FRAME_HEAD + length).skip(FRAME_HEAD).collect();
        self.frames += 1;
        if self.frames > MAX_FRAMES {
            return Err(GrpcError::Endless.into());
        }
        Ok(Frame { kind, flags, stream, payload })
    }

    /// What is no HTTP/2 is told from it by its first bytes: what looks like the length of a long frame would be waited for.
    fn first_bytes(&self) -> Result<(), Pause> {
        if self.rest.starts_with(b"HTTP/1.") {
            return Err(GrpcError::Http1.into());
        }
        // An alert of TLS (RFC 8446, section 5.1).
        if self.rest.starts_with(&[0x15, 0x03]) {
            return Err(GrpcError::Tls.into());
        }
        Ok(())
    }

    /// The call's message, once it is whole.
    fn message(&self) -> Result<Option<&[u8]>, Pause> {
        let Some((head, rest)) = self.message.split_at_checked(MESSAGE_HEAD) else { return Ok(None) };
        let length = number(head, 1).unwrap_or(0) as usize;
        if head[0] != 0 || length > MAX_MESSAGE {
            return Err(GrpcError::NoHealth.into());
        }
        Ok(rest.get(..length))
    }
}

/// One of the answer.
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// Why there is no next frame.
enum Pause {
    More,
    Result(GrpcError),
}

impl From<GrpcError> for Pause {
    fn from(why: GrpcError) -> Pause {
        Pause::Result(why)
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_be_bytes)
}

fn unpadded(payload: &[u8], flags: u8) -> Result<&[u8], Pause> {
    if flags & PADDED == 0 {
        return Ok(payload);
    }
    let data = payload.split_first().and_then(|(pad, rest)| rest.get(..rest.len().checked_sub(usize::from(*pad))?));
    data.ok_or(Pause::Result(GrpcError::NotHttp2))
}

/// `HealthCheckResponse`: field 1 is the status. What else stands in it is passed over.
fn judge(message: &[u8]) -> Result<(), GrpcError> {
    let wrong = || GrpcError::NoHealth;
    let (mut rest, mut status) = (message, 0);
    while !rest.is_empty() {
        let tag = read_varint(&mut rest).ok_or_else(wrong)?;
        match (tag >> 3, tag & 7) {
            (1, 0) => status = read_varint(&mut rest).ok_or_else(wrong)?,
            (_, 0) => drop(read_varint(&mut rest).ok_or_else(wrong)?),
            (_, wire @ (1 | 2 | 5)) => {
                let length = match wire {
                    1 => 8,
                    5 => 4,
                    _ => usize::try_from(read_varint(&mut rest).ok_or_else(wrong)?).map_err(|_| wrong())?,
                };
                rest = rest.get(length..).ok_or_else(wrong)?;
            }
            _ => return Err(wrong()),
        }
    }
    match status {
        1 => Ok(()),
        status => Err(GrpcError::Health { status }),
    }
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        frame(&mut out, kind, flags, stream, payload);
        out
    }

    /// SETTINGS, and then `frames`.
    fn answer(frames: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = framed(kind::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]);
        frames.iter().for_each(|f| bytes.extend_from_slice(f));
        bytes
    }

    fn status(status: &[u8]) -> Vec<u8> {
        let mut data = vec![0, 0, 0, 0, u8::try_from(status.len()).unwrap()];
        data.extend_from_slice(status);
        framed(kind::DATA, 0, CALL, &data)
    }

    fn result(bytes: &[u8]) -> Option<Result<(), GrpcError>> {
        Answer::default().take(bytes, &mut Vec::new())
    }

    fn refused(bytes: &[u8]) -> String {
        result(bytes).expect("a result").expect_err("a refusal").to_string()
    }

    #[test]
    fn a_request_is_what_a_grpc_client_sends() {
        let call = GrpcCall { host: "::1".into(), port: 9090, service: "a.B".into() };
        let sent = request(&call);
        let text = String::from_utf8_lossy(&sent).into_owned();
        for part in
            ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "[::1]:9090", "/grpc.health.v1.Health/Check", "application/grpc"]
        {
            assert!(text.contains(part), "{part} in {text:?}");
        }
        // The last frame, whole: 10 bytes of DATA that end the call, an uncompressed message of 5, field 1 with 3 bytes.
        let data = [0, 0, 10, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 5, 0x0a, 3, b'a', b'.', b'B'];
        assert!(sent.ends_with(&data), "{sent:?}");
        let whole = GrpcCall { service: String::new(), ..call };
        assert!(request(&whole).ends_with(&[0, 0, 5, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0]));
    }

    #[test]
    fn integers_are_hpacks() {
        // RFC 7541, appendix C.1.
        for (prefix, value, bytes) in
            [(5, 10, &[10][..]), (5, 1337, &[31, 154, 10]), (7, 127, &[127, 0]), (4, 31, &[15, 16])]
        {
            let mut out = Vec::new();
            integer(&mut out, prefix, value);
            assert_eq!(out, bytes, "{value}");
        }
    }

    #[test]
    fn serving_is_well_and_nothing_else_is() {
        let headers = framed(kind::HEADERS, END_HEADERS, CALL, &[0x88]);
        assert_eq!(result(&answer(&[headers, status(&[8, 1])])), Some(Ok(())));
        assert_eq!(result(&answer(&[status(&[0x12, 2, 8, 2, 8, 1])])), Some(Ok(())), "a field that is not known");
        for (message, said) in [
            (&[8, 2][..], "answered NOT_SERVING"),
            (&[], "answered UNKNOWN"),
            (&[8, 3], "answered SERVICE_UNKNOWN"),
            (&[8, 0x81, 1], "answered with status 129"),
            (&[8], "answered with something that is not a health status"),
            (&[0x12, 9, 1], "answered with something that is not a health status"),
            (&[0x0b], "answered with something that is not a health status"),
        ] {
            assert_eq!(refused(&answer(&[status(message)])), said, "{message:?}");
        }
    }

    #[test]
    fn a_call_that_ends_without_a_status_has_failed() {
        let trailers = framed(kind::HEADERS, END_HEADERS | END_STREAM, CALL, &[0x88]);
        assert_eq!(refused(&answer(&[trailers])), GrpcError::NoStatus.to_string());
        assert_eq!(refused(&answer(&[framed(kind::DATA, END_STREAM, CALL, &[0, 0])])), GrpcError::NoStatus.to_string());
        let reset = framed(kind::RST_STREAM, 0, CALL, &[0, 0, 0, 7]);
        assert_eq!(refused(&answer(&[reset])), "refused the call (RST_STREAM, error 7)");
        let gone = |last: u8, error: u8| answer(&[framed(kind::GOAWAY, 0, 0, &[0, 0, 0, last, 0, 0, 0, error])]);
        assert_eq!(refused(&gone(0, 0)), "closed the connection before it answered (GOAWAY, error 0)");
        assert_eq!(refused(&gone(1, 11)), "closed the connection before it answered (GOAWAY, error 11)");
        assert_eq!(result(&gone(1, 0)), None, "this call is still answered");
    }

    #[test]
    fn what_is_no_grpc_server_is_named() {
        assert_eq!(refused(b"HTTP/1.1 400 Bad Request\r\n"), "answered in HTTP/1.1: no gRPC server is there");
        assert_eq!(refused(b"+OK redis here\r\n"), "answered something that is not HTTP/2");
        assert_eq!(refused(&framed(kind::PING, 0, 0, &[0; 8])), "answered something that is not HTTP/2");
        assert!(refused(&[0x15, 3, 1, 0, 2, 2, 70]).starts_with("answered with TLS"));
        let padded = framed(kind::DATA, PADDED, CALL, &[9, 0]);
        assert_eq!(refused(&answer(&[padded])), "answered something that is not HTTP/2");
        let compressed = framed(kind::DATA, 0, CALL, &[1, 0, 0, 0, 2, 8, 1]);
        assert_eq!(refused(&answer(&[compressed])), "answered with something that is not a health status");
    }

    #[test]
    fn padding_and_pieces_are_put_together() {
        let (one, two) = ([4, 0, 0, 0, 0, 1, 1, 1, 1], [0, 2, 8, 1]);
        let padded = framed(kind::DATA, PADDED, CALL, &[&one[..], &[]].concat());
        let split = [padded, framed(kind::DATA, PADDED, CALL, &[&[0][..], &two[1..]].concat())];
        assert_eq!(result(&answer(&split)), Some(Ok(())));
    }

    #[test]
    fn settings_and_pings_are_answered() {
        let mut reply = Vec::new();
        let ping = framed(kind::PING, 0, 0, b"12345678");
        assert_eq!(Answer::default().take(&answer(&[ping]), &mut reply), None);
        assert_eq!(reply, [framed(kind::SETTINGS, ACK, 0, &[]), framed(kind::PING, ACK, 0, b"12345678")].concat());
        reply.clear();
        let acks = [framed(kind::SETTINGS, ACK, 0, &[]), framed(kind::PING, ACK, 0, &[0; 8])];
        assert_eq!(Answer::default().take(&answer(&acks), &mut reply), None);
        assert_eq!(reply.len(), FRAME_HEAD, "acknowledgements are not acknowledged");
    }

    #[test]
    fn an_endless_talker_is_left() {
        let pings = answer(&vec![framed(kind::PING, 0, 0, &[0; 8]); MAX_FRAMES]);
        assert_eq!(refused(&pings), "talks without answering");
        let long = answer(&vec![framed(kind::HEADERS, 0, 3, &[0; MAX_FRAME]); 3]);
        let mut taken = Answer::default();
        assert_eq!(taken.take(&long, &mut Vec::new()), None);
        assert_eq!(taken.take(&long, &mut Vec::new()), Some(Err(GrpcError::Endless)));
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(bytes in prop::collection::vec(any::<u8>(), 0..300), good in any::<bool>(), piece in 1usize..20) {
            let bytes = if good { answer(&[bytes.get(..200).unwrap_or(&bytes).to_vec()]) } else { bytes };
            let mut whole_reply = Vec::new();
            let whole = Answer::default().take(&bytes, &mut whole_reply);
            let (mut answer, mut reply) = (Answer::default(), Vec::new());
            let pieces = bytes.chunks(piece).find_map(|piece| answer.take(piece, &mut reply));
            prop_assert_eq!(whole, pieces);
            prop_assert_eq!(whole_reply, reply);
            prop_assert!(answer.rest.len() <= FRAME_HEAD + MAX_FRAME);
        }
    }
}
