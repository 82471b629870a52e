//! The TCP stream under an association, tuned so that neither side waits for the other's delayed acknowledgement.
//!
//! A stock sender writes a PDU in several small pieces and leaves Nagle's algorithm on: it holds each small piece
//! until we acknowledge the one before, and the kernel delays that by 40 ms. TCP_QUICKACK asks for the acknowledgement
//! at once, but the kernel forgets it after a while, so it is set again after every read. TCP_NODELAY does the same
//! for our own answers. Both are done on our side alone; senders need no change.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What an association runs over: plain TCP, TLS, or a pipe in a test.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// Any stream, behind one pointer; the virtual call is nothing beside the system call under it.
pub type BoxedStream = Box<dyn ByteStream>;

/// A TCP stream with TCP_NODELAY, and with TCP_QUICKACK set again after every read.
#[derive(Debug)]
pub struct TunedTcp {
    inner: TcpStream,
}

impl TunedTcp {
    pub fn new(inner: TcpStream) -> io::Result<Self> {
        inner.set_nodelay(true)?;
        let tuned = Self { inner };
        tuned.acknowledge_at_once();
        Ok(tuned)
    }

    /// A failure only costs speed, so it is not reported.
    fn acknowledge_at_once(&self) {
        let _ = rustix::net::sockopt::set_tcp_quickack(&self.inner, true);
    }
}

impl AsyncRead for TunedTcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        if let Poll::Ready(Ok(())) = polled {
            self.acknowledge_at_once();
        }
        polled
    }
}

impl AsyncWrite for TunedTcp {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
