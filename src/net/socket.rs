//! The socket: reads and writes that end, whatever the peer does.
//!
//! A blocking read waits for ever unless it has a timeout, and a timeout for each read is no
//! deadline: a client that sends one byte every nine seconds never meets one of ten. So reads that
//! belong together are given the [`Instant`] by which all of them must be done.
//!
//! A deadline is about the client, and not about us. Where this process was stopped (Ctrl-Z, a frozen
//! container) or had no turn for long, the time is over and the bytes are there. So what has arrived is
//! read before a deadline counts, and what the client has taken counts as taken. A read that a signal
//! interrupts is read again.
//!
//! Next: [`crate::net::placement`].

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use crate::config::LINGER_TIME;

/// What one deadline is for when a lot is written, in bytes.
const PIECE: usize = 64 << 10;

/// How much is read after the last answer, in bytes.
const LINGER_BYTES: usize = 256 << 10;

/// The longest wait: the system's clock cannot tell a moment that is too far away.
pub(crate) const LONGEST: Duration = Duration::from_hours(24 * 365);

/// How long a read may take.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wait {
    /// What has arrived already, and no wait at all.
    No,
    /// Until something arrives, or another thread ends the input.
    Idle,
    /// Until then, together with other reads.
    Until(Instant),
}

/// A connected socket.
#[derive(Debug)]
pub(crate) struct Socket<'s> {
    stream: &'s TcpStream,
    /// The socket's timeout for reads. Setting it is a system call, so it stays until it is in the
    /// way: while requests come whole, there is none.
    timeout: Option<Duration>,
}

impl<'s> Socket<'s> {
    pub(crate) fn new(stream: &'s TcpStream) -> Self {
        Socket { stream, timeout: None }
    }

    /// Reads what has arrived, at most as much as `buffer` takes, or waits for it. 0 is the end.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] when the wait is over; otherwise the peer is gone.
    pub(crate) fn read(&mut self, buffer: &mut [u8], wait: Wait) -> io::Result<usize> {
        loop {
            let timeout = match wait {
                Wait::No => return self.read_now(buffer),
                Wait::Idle => None,
                Wait::Until(deadline) => Some(deadline.saturating_duration_since(Instant::now())),
            };
            if timeout.is_some_and(|time| time.is_zero()) {
                return self.read_now(buffer);
            }
            if self.timeout != timeout {
                self.stream.set_read_timeout(timeout)?;
                self.timeout = timeout;
            }
            match self.stream.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => return self.read_now(buffer),
                result => return result,
            }
        }
    }

    fn read_now(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match rustix::net::recv(self.stream, buffer, RecvFlags::DONTWAIT) {
            Ok((_, read)) => Ok(read),
            Err(Errno::WOULDBLOCK | Errno::INTR) => Err(ErrorKind::TimedOut.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends what the system takes at once, which is almost always everything, and returns the rest.
    ///
    /// # Errors
    /// Where the peer is gone.
    pub(crate) fn send<'b>(&self, bytes: &'b [u8]) -> io::Result<&'b [u8]> {
        match rustix::net::send(self.stream, bytes, SendFlags::DONTWAIT) {
            Ok(sent) => Ok(&bytes[sent..]),
            Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(bytes),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes all of `bytes`; the peer has `time` to take each piece of 64 KiB.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] when it takes longer; otherwise the peer is gone.
    pub(crate) fn write(&mut self, bytes: &[u8], time: Duration) -> io::Result<()> {
        for mut piece in bytes.chunks(PIECE) {
            let deadline = Instant::now() + time.min(LONGEST);
            while !piece.is_empty() {
                let timeout = deadline.saturating_duration_since(Instant::now());
                if timeout.is_zero() {
                    let rest = self.send(piece)?;
                    if rest.len() == piece.len() {
                        return Err(ErrorKind::TimedOut.into());
                    }
                    piece = rest;
                    continue;
                }
                self.stream.set_write_timeout(Some(timeout))?;
                match self.stream.write(piece) {
                    Ok(0) => return Err(ErrorKind::WriteZero.into()),
                    Ok(written) => piece = &piece[written..],
                    Err(error) if error.kind() == ErrorKind::Interrupted || is_timeout(&error) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Ends the connection so that the client can still read the last answer.
    ///
    /// Closing a socket with unread input resets the connection, and a reset may overtake the
    /// answer (RFC 9112 §9.6). So only our side is closed, and what still comes is read, for a
    /// moment.
    pub(crate) fn linger(&mut self, buffer: &mut [u8]) {
        if self.stream.shutdown(Shutdown::Write).is_err() {
            return;
        }
        let deadline = Wait::Until(Instant::now() + LINGER_TIME);
        let mut left = LINGER_BYTES;
        while let Ok(read) = self.read(buffer, deadline)
            && read > 0
            && read <= left
        {
            left -= read;
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    // Which of the two it is depends on the system.
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests;
