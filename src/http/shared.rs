//! A connection that the server talks over while somebody else watches whether the client is still there.

use std::io;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nix::sys::socket::{Shutdown, shutdown};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::sleep;

/// How often a client that has sent something nobody reads yet is looked for.
const LOOK: Duration = Duration::from_millis(250);

pub struct Shared(pub Rc<TcpStream>);

/// Until the client has closed the connection, or its sending side. It cannot be told which; an HTTP client closes both.
pub async fn gone(stream: &TcpStream) {
    while stream.peek(&mut [0]).await.is_ok_and(|n| n > 0) {
        // Behind what nobody reads the end does not show so.
        if !stream.ready(Interest::READABLE).await.is_ok_and(|ready| !ready.is_read_closed()) {
            return;
        }
        sleep(LOOK).await;
    }
}

impl AsyncRead for Shared {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read(buf.initialize_unfilled()) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read.map(|n| buf.advance(n))),
            }
        }
    }
}

impl AsyncWrite for Shared {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match self.0.try_write(buf) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(shutdown(self.0.as_raw_fd(), Shutdown::Write).map_err(io::Error::from))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(60);

    fn with_pair(test: impl AsyncFnOnce(Rc<TcpStream>, TcpStream)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            test(Rc::new(listener.accept().await.unwrap().0), client).await;
        });
    }

    #[test]
    fn who_has_sent_what_nobody_reads_has_not_gone_before_it_closes() {
        with_pair(async |stream, mut client| {
            client.write_all(b"GET /next").await.unwrap();
            assert!(timeout(2 * LOOK, gone(&stream)).await.is_err(), "it is still there");
            drop(client);
            timeout(SOON, gone(&stream)).await.expect("it has gone");
        });
    }

    #[test]
    fn more_than_the_socket_takes_at_once_arrives_whole() {
        with_pair(async |stream, mut client| {
            let sent: Vec<u8> = (0..16 << 20).map(|i: u32| (i >> 8) as u8).collect();
            let (mut ours, mut read) = (Shared(stream), vec![0; sent.len()]);
            let (written, taken) = tokio::join!(ours.write_all(&sent), client.read_exact(&mut read));
            written.unwrap();
            taken.unwrap();
            assert!(read == sent);
        });
    }

    #[test]
    fn a_client_that_goes_with_its_answer_unread_is_an_error_and_no_endless_try() {
        with_pair(async |stream, client| {
            let mut ours = Shared(stream);
            ours.write_all(b"unread").await.unwrap();
            drop(client);
            let write = async { while ours.write_all(&[b'x'; 4096]).await.is_ok() {} };
            timeout(SOON, write).await.expect("it has gone");
        });
    }
}
