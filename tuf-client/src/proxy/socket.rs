//! A connection whose end can be told from the end of a file.
//!
//! A plain close in the middle of a body looks like its end to clients that do not compare what they got with
//! Content-Length: pip 22.3 and 23.2 are such, and 22.3 checks no hash either. A forged wheel can be built to be
//! a valid archive without its last 64 KiB, and that pip then installs it (tried). So while a file is not verified,
//! its connection ends only with a reset. The kernel is told before the first byte goes out, so that
//! this holds even when this process is killed.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Whether the body now being sent is not verified yet: shared by the body and its connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Unverified(Arc<AtomicBool>);

impl Unverified {
    pub(super) fn set(&self, unverified: bool) {
        self.0.store(unverified, Ordering::Release);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A TCP connection that is reset, not closed, while what it carries is unverified.
pub(super) struct Socket {
    stream: TcpStream,
    unverified: Unverified,
    /// What the kernel was last told.
    resets: bool,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, unverified: Unverified) -> Self {
        Self { stream, unverified, resets: false }
    }

    /// Tells the kernel how to end this connection, before anything more is written.
    fn settle(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        let resets = self.unverified.get();
        if resets != self.resets {
            if resets {
                self.stream.set_zero_linger()?;
            } else {
                #[expect(
                    deprecated,
                    reason = "only a linger time blocks on close; none does not, and there is no other way back"
                )]
                self.stream.set_linger(None)?;
            }
            self.resets = resets;
        }
        Ok(Pin::new(&mut self.stream))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.settle()?.poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.settle()?.poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.settle()?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A shutdown would send the very end of stream that must not be seen.
        if self.unverified.get() { Poll::Ready(Ok(())) } else { self.settle()?.poll_shutdown(context) }
    }
}
