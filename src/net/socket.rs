//! The socket: reads and writes that end, whatever the peer does.
//!
//! A blocking read waits for ever unless it has a timeout, and a timeout for each read is no
//! deadline: a client that sends one byte every nine seconds never meets one of ten. So reads that
//! belong together are given the [`Instant`] by which all of them must be done.
//!
//! A timeout is not free either: the system starts a timer when a thread goes to sleep and stops it
//! when it wakes up, for each request. So only what has begun has a deadline here. A connection on
//! which nothing has begun waits without one, and the server's watch ends it when it has been idle
//! for too long ([`crate::net::server`]).
//!
//! A read that a signal interrupts (a stopped process that is continued, for one) is read again.
//!
//! Next: [`crate::net::placement`].

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

/// What one deadline is for when a lot is written, in bytes.
const PIECE: usize = 64 << 10;

/// How much is read after the last answer, in bytes, and for how long.
const LINGER_BYTES: usize = 256 << 10;
const LINGER_TIME: Duration = Duration::from_secs(1);

/// How long a read may take.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wait {
    /// What has arrived already, and no wait at all.
    No,
    /// Until something arrives, or somebody else shuts the socket down.
    Idle,
    /// Until then, together with other reads.
    Until(Instant),
}

/// A connected socket.
#[derive(Debug)]
pub(crate) struct Socket<'s> {
    stream: &'s TcpStream,
    /// Whether the socket has a timeout for reads. Setting it is a system call, so it stays until
    /// it is in the way.
    has_timeout: bool,
}

impl<'s> Socket<'s> {
    pub(crate) fn new(stream: &'s TcpStream) -> Self {
        Socket { stream, has_timeout: false }
    }

    /// Reads what has arrived, at most as much as `buffer` takes, or waits for it. 0 is the end.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] when the wait is over; otherwise the peer is gone.
    pub(crate) fn read(&mut self, buffer: &mut [u8], wait: Wait) -> io::Result<usize> {
        let deadline = match wait {
            Wait::No => return self.read_now(buffer),
            Wait::Idle => None,
            Wait::Until(deadline) => Some(deadline),
        };
        loop {
            self.set_timeout(deadline)?;
            match self.stream.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted || is_timeout(&error) => {}
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

    /// Has the next blocking read end by then.
    fn set_timeout(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        let timeout = deadline.map(|it| it.saturating_duration_since(Instant::now()));
        if timeout.is_some_and(|it| it.is_zero()) {
            return Err(ErrorKind::TimedOut.into());
        }
        if timeout.is_some() || self.has_timeout {
            self.stream.set_read_timeout(timeout)?;
            self.has_timeout = timeout.is_some();
        }
        Ok(())
    }

    /// Writes all of `bytes`; the peer has `time` to take each piece of 64 KiB.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] when it takes longer; otherwise the peer is gone.
    pub(crate) fn write(&mut self, bytes: &[u8], time: Duration) -> io::Result<()> {
        // Almost always the system takes all of it at once.
        let mut rest = match rustix::net::send(self.stream, bytes, SendFlags::DONTWAIT) {
            Ok(written) => &bytes[written..],
            Err(Errno::WOULDBLOCK | Errno::INTR) => bytes,
            Err(error) => return Err(error.into()),
        };
        while !rest.is_empty() {
            let (mut piece, after) = rest.split_at(rest.len().min(PIECE));
            let deadline = Instant::now() + time;
            while !piece.is_empty() {
                let timeout = deadline.saturating_duration_since(Instant::now());
                if timeout.is_zero() {
                    return Err(ErrorKind::TimedOut.into());
                }
                self.stream.set_write_timeout(Some(timeout))?;
                match self.stream.write(piece) {
                    Ok(0) => return Err(ErrorKind::WriteZero.into()),
                    Ok(written) => piece = &piece[written..],
                    Err(error) if error.kind() == ErrorKind::Interrupted || is_timeout(&error) => {}
                    Err(error) => return Err(error),
                }
            }
            rest = after;
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
