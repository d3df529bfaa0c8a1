//! As much of WebSocket (RFC 6455) as the application and its clients need: the handshake, short frames, the close.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The RFC's own example of a nonce and the answer to it (section 1.3): a handshake that every proxy accepts, without SHA-1.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

pub const TEXT: u8 = 1;
pub const CLOSE: u8 = 8;

const MASKED: u8 = 0x80;
const FINAL: u8 = 0x80;
const MASK: [u8; 4] = [7, 11, 13, 17];

/// One whole frame of at most 125 bytes. A client has to mask what it sends.
pub async fn write(to: &mut (impl AsyncWrite + Unpin), opcode: u8, payload: &[u8], client: bool) -> io::Result<()> {
    let length = u8::try_from(payload.len()).ok().filter(|n| *n < 126).expect("the bench sends short messages");
    let mut frame = vec![FINAL | opcode, length];
    if client {
        frame[1] |= MASKED;
        frame.extend(MASK);
        frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    } else {
        frame.extend(payload);
    }
    to.write_all(&frame).await
}

/// The next frame: its opcode and payload.
pub async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    from.read_exact(&mut head).await?;
    let length = usize::from(head[1] & !MASKED);
    if head[0] & FINAL == 0 || length > 125 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "no frame of this bench"));
    }
    let mut mask = [0; 4];
    if head[1] & MASKED != 0 {
        from.read_exact(&mut mask).await?;
    }
    let mut payload = vec![0; length];
    from.read_exact(&mut payload).await?;
    for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    Ok((head[0] & 0x0f, payload))
}
