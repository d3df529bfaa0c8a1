//! A connection whose other end has said all it will say, in pieces; and a runtime to talk over it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Gives `input` in reads of at most `piece` bytes, then the end; keeps what is written.
pub struct Trickle<'a> {
    input: &'a [u8],
    piece: usize,
    written: &'a mut Vec<u8>,
    /// Says nothing before it was told something; then this is who waits.
    polite: bool,
    waiting: Option<Waker>,
}

impl<'a> Trickle<'a> {
    /// A client. The first byte of `data` says how large the pieces are, the others are the input.
    pub fn asking(data: &'a [u8], written: &'a mut Vec<u8>) -> Trickle<'a> {
        let (first, input) = data.split_first().unwrap_or((&0, &[]));
        Trickle { input, piece: usize::from(*first) * 16 + 1, written, polite: false, waiting: None }
    }

    /// A server: the same, once it has been asked.
    pub fn answering(data: &'a [u8], written: &'a mut Vec<u8>) -> Trickle<'a> {
        Trickle { polite: true, ..Trickle::asking(data, written) }
    }
}

impl AsyncRead for Trickle<'_> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.polite && self.written.is_empty() {
            self.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let (piece, rest) = self.input.split_at(self.piece.min(self.input.len()).min(buf.remaining()));
        buf.put_slice(piece);
        self.input = rest;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Trickle<'_> {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.written.extend_from_slice(bytes);
        if let Some(reader) = self.waiting.take() {
            reader.wake();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Runs `future` to its end on this thread.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime without I/O needs nothing");
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}
