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
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// The two ends of a new connection: the client's, and the server's.
    fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    #[test]
    fn what_has_arrived_is_read_when_the_time_is_over() {
        let (mut client, stream) = connection();
        let mut socket = Socket::new(&stream);
        let over = Instant::now();
        let soon = over + Duration::from_millis(20);
        for wait in [Wait::No, Wait::Until(soon), Wait::Until(over)] {
            let kind = socket.read(&mut [0], wait).unwrap_err().kind();
            assert_eq!(kind, ErrorKind::TimedOut, "{wait:?}");
            client.write_all(b"1").unwrap();
            stream.peek(&mut [0]).unwrap();
            assert_eq!(socket.read(&mut [0], wait).unwrap(), 1, "{wait:?}");
        }
    }

    #[test]
    fn what_the_client_has_taken_counts_when_the_time_is_over() {
        let (mut client, stream) = connection();
        let mut socket = Socket::new(&stream);
        let bytes = vec![7; 100_000];
        let mut sent = 0;
        let rest = loop {
            let rest = socket.send(&bytes).unwrap();
            sent += bytes.len() - rest.len();
            if !rest.is_empty() {
                break rest;
            }
        };
        let error = socket.write(rest, Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        // Now it takes everything.
        let reader = thread::scope(|scope| {
            let reader = scope.spawn(|| client.read_exact(&mut vec![0; sent]));
            reader.join().unwrap()
        });
        reader.unwrap();
        socket.write(rest, Duration::ZERO).unwrap();
    }

    /// So much fits in no buffer between the two.
    const A_LOT: usize = 32 << 20;

    #[test]
    fn a_client_that_takes_its_time_gets_everything() {
        let (mut client, stream) = connection();
        let bytes = vec![7; A_LOT];
        thread::scope(|scope| {
            scope.spawn(move || {
                Socket::new(&stream).write(&bytes, Duration::from_mins(1)).unwrap();
            });
            let mut piece = vec![0; 1 << 20];
            for _ in 0..A_LOT / piece.len() {
                thread::yield_now();
                client.read_exact(&mut piece).unwrap();
            }
        });
    }

    #[test]
    fn a_client_that_takes_nothing_more_is_given_up() {
        let (_client, stream) = connection();
        let mut socket = Socket::new(&stream);
        let written = socket.write(&vec![7; A_LOT], Duration::from_millis(20));
        assert_eq!(written.unwrap_err().kind(), ErrorKind::TimedOut);
        for _ in 0..5 {
            // A buffer on the way may still grow a little.
            if let Err(error) = socket.write(b"1", Duration::from_millis(10)) {
                assert_eq!(error.kind(), ErrorKind::TimedOut);
            }
        }
    }

    #[test]
    fn a_reset_ends_a_read_and_a_write_at_once() {
        let time = Duration::from_secs(20);
        for wait in [Wait::No, Wait::Idle, Wait::Until(Instant::now() + time)] {
            let (client, stream) = connection();
            let mut socket = Socket::new(&stream);
            rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
            drop(client);
            let begun = Instant::now();
            let error = socket.read(&mut [0], wait).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{wait:?}");
            assert_eq!(socket.write(b"1", time).unwrap_err().kind(), ErrorKind::BrokenPipe);
            assert!(begun.elapsed() < time / 2, "{wait:?}");
        }
    }

    #[test]
    fn the_last_answer_is_waited_for_a_moment_and_some_bytes() {
        // What the client sends when it has read our end, and how much of it stays unread.
        for (sends, is_read) in [(LINGER_BYTES / 2, true), (2 * LINGER_BYTES, false)] {
            let (mut client, stream) = connection();
            client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let unread = thread::scope(|scope| {
                let client = scope.spawn(move || {
                    assert_eq!(client.read(&mut [0]).unwrap(), 0);
                    client.write_all(&vec![7; sends]).unwrap();
                });
                Socket::new(&stream).linger(&mut [0; 1000]);
                let mut unread = Vec::new();
                (&stream).read_to_end(&mut unread).unwrap();
                client.join().unwrap();
                unread.len()
            });
            assert_eq!(unread == 0, is_read, "{unread}");
            assert!(unread <= LINGER_BYTES, "{unread}");
        }
        // One that keeps its side open, and says nothing.
        let (_client, stream) = connection();
        let begun = Instant::now();
        Socket::new(&stream).linger(&mut [0; 1000]);
        assert!(begun.elapsed() >= LINGER_TIME);
    }

    #[test]
    fn a_client_that_has_closed_is_not_waited_for() {
        let is_quick = |_| {
            let (client, stream) = connection();
            drop(client);
            let begun = Instant::now();
            Socket::new(&stream).linger(&mut [0; 1000]);
            begun.elapsed() < LINGER_TIME
        };
        // On a busy machine a moment may pass all the same.
        assert!((0..5).any(is_quick));
    }

    #[test]
    fn no_time_is_too_long() {
        let (mut client, stream) = connection();
        let mut socket = Socket::new(&stream);
        let far = Instant::now() + Duration::MAX.min(LONGEST);
        client.write_all(b"123").unwrap();
        for wait in [Wait::Until(far), Wait::Idle] {
            assert_eq!(socket.read(&mut [0], wait).unwrap(), 1);
        }
        socket.write(b"answer", Duration::MAX).unwrap();
    }
}
