//! What a hospital's line may be asked for: reading waits, so the sender's window fills and it sends no faster.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::stream::{BoxedStream, TunedTcp};

/// What was not used is not saved up for longer.
const BURST: Duration = Duration::from_millis(100);

/// Bytes a second that several connections share.
#[derive(Debug)]
pub struct Bandwidth {
    bytes_per_s: u64,
    /// Until when what was read takes the line.
    taken_until: Mutex<Instant>,
}

impl Bandwidth {
    pub fn new(bytes_per_s: u64) -> Arc<Self> {
        Arc::new(Self {
            bytes_per_s: bytes_per_s.max(1),
            taken_until: Mutex::new(Instant::now()),
        })
    }

    /// Counts bytes that were read, and waits until there is room for more.
    pub(crate) async fn pass(&self, bytes: usize) {
        if let Some(until) = self.take(bytes) {
            sleep_until(until).await;
        }
    }

    /// Counts bytes that were read; until when to wait before the next, if at all.
    fn take(&self, bytes: usize) -> Option<Instant> {
        let now = Instant::now();
        let nanos = (bytes as u128).saturating_mul(1_000_000_000) / u128::from(self.bytes_per_s);
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let mut until = self.taken_until.lock();
        let begin = now
            .checked_sub(BURST)
            .map_or(*until, |earliest| (*until).max(earliest));
        *until = begin + takes;
        (*until > now).then_some(*until)
    }
}

/// A connection that shares a bandwidth with others.
pub(super) fn paced(tcp: TunedTcp, bandwidth: Arc<Bandwidth>) -> BoxedStream {
    Box::new(Paced {
        inner: tcp,
        bandwidth,
        pause: None,
    })
}

struct Paced<T> {
    inner: T,
    bandwidth: Arc<Bandwidth>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Paced<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let read = buf.filled().len().saturating_sub(before);
        self.pause = self
            .bandwidth
            .take(read)
            .map(|until| Box::pin(sleep_until(until)));
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Paced<T> {
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
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn connections_share_what_there_is() {
        // Given 2 MB/s, and two connections with 0.4 MB each
        let bandwidth = Bandwidth::new(2_000_000);
        let data = vec![0u8; 400_000];
        let read = || {
            let mut paced = Paced {
                inner: data.as_slice(),
                bandwidth: Arc::clone(&bandwidth),
                pause: None,
            };
            async move {
                let mut piece = vec![0u8; 64 << 10];
                while paced.read(&mut piece).await.unwrap() > 0 {}
            }
        };
        // When both are read
        let begun = Instant::now();
        tokio::join!(read(), read());
        // Then it took as long as both together take, less what may come at once
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(400) - 2 * BURST, "{took:?}");
    }
}
