//! The wire: one connection to the server, and all that went over it.
//!
//! 1. Every wait has an end, and every answer a largest size: a server that is silent, or never
//!    stops, costs a known time and no memory.
//! 2. What was sent and what came is kept, to be shown.
//! 3. Errors of writing are not reported: a server may answer and close before it has read all.
//!    What counts is what then can be read.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::client::answer::{Answer, End};
use crate::client::reader;

/// No answer of this task is longer; reading stops here.
const MOST_BYTES: usize = 1 << 20;

/// How long to wait for what.
#[derive(Debug, Clone)]
pub(crate) struct Patience {
    /// For a connection, and from the request to the end of its answer.
    pub(crate) answer: Duration,
    /// In milliseconds: how long a connection is silent after a head before what is there is
    /// taken for all. Shared, and shortened when it was needed once: a server that leaves out the
    /// length leaves it out every time, and a run must end.
    quiet: Arc<AtomicU64>,
}

impl Patience {
    pub(crate) fn new(answer: Duration) -> Self {
        let quiet = answer.min(Duration::from_secs(2)).as_millis();
        let quiet = Arc::new(AtomicU64::new(u64::try_from(quiet).unwrap_or(u64::MAX)));
        Patience { answer, quiet }
    }

    /// The same, with another time for answers.
    pub(crate) fn with(&self, answer: Duration) -> Self {
        Patience { answer, quiet: Arc::clone(&self.quiet) }
    }

    fn quiet(&self) -> Duration {
        Duration::from_millis(self.quiet.load(Ordering::Relaxed))
    }

    fn was_needed(&self) {
        self.quiet.fetch_min(100, Ordering::Relaxed);
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No connection came about.
    Connect(String),
    /// The server closed without a byte.
    Closed,
    /// It closed in the middle of the head.
    Cut,
    /// Nothing, or not enough, came in this time.
    Silent(Duration),
    /// It goes on and on.
    TooMuch,
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::Connect(why) => write!(f, "no connection ({why})"),
            Trouble::Closed => write!(f, "the connection was closed without an answer"),
            Trouble::Cut => write!(f, "the connection was closed in the middle of the answer"),
            Trouble::Silent(time) => write!(f, "no whole answer within {} s", time.as_secs_f32()),
            Trouble::TooMuch => write!(f, "more than {MOST_BYTES} bytes, and no end"),
        }
    }
}

/// Whether connections that the server has closed leave no trace.
static FORGETS: AtomicBool = AtomicBool::new(false);

/// From now on a connection that the server has closed is reset when we are done with it. Then the
/// system does not keep the server's port for a minute (TIME-WAIT, RFC 9293 §3.3.2), which would
/// keep a server with a fixed port from starting again, if it does not set `SO_REUSEADDR`.
pub(crate) fn forget_what_is_over() {
    FORGETS.store(true, Ordering::Relaxed);
}

/// A connection.
pub(crate) struct Wire {
    stream: TcpStream,
    patience: Patience,
    pub(crate) sent: Vec<u8>,
    pub(crate) received: Vec<u8>,
    /// How much of `received` was taken by [`Wire::answer`].
    taken: usize,
    pub(crate) end: End,
}

impl Wire {
    pub(crate) fn connect(address: SocketAddr, patience: &Patience) -> Result<Self, Trouble> {
        let stream = TcpStream::connect_timeout(&address, patience.answer);
        let stream = stream.map_err(|error| Trouble::Connect(error.kind().to_string()))?;
        let _ = stream.set_nodelay(true);
        let _ = stream.set_write_timeout(Some(patience.answer));
        Ok(Wire {
            stream,
            patience: patience.clone(),
            sent: Vec::new(),
            received: Vec::new(),
            taken: 0,
            end: End::Open,
        })
    }

    /// Sends these bytes; says whether the system took them.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.sent.extend_from_slice(bytes);
        self.stream.write_all(bytes).is_ok()
    }

    /// Ends our side.
    pub(crate) fn end_sending(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }

    /// How long a write may take from now on.
    pub(crate) fn write_within(&mut self, time: Duration) {
        let _ = self.stream.set_write_timeout(Some(time));
    }

    /// The next answer.
    pub(crate) fn answer(&mut self, to_head: bool) -> Result<Answer, Trouble> {
        let deadline = Instant::now() + self.patience.answer;
        let begins = self.taken;
        loop {
            // Passed over once, and not again after each read: there may be thousands.
            self.taken = reader::after_interim(&self.received, self.taken);
            if let Some(answer) = reader::read(&self.received, self.taken, to_head, self.end) {
                if self.end == End::Quiet {
                    self.patience.was_needed();
                }
                self.taken = answer.end;
                return Ok(answer);
            }
            let new = self.received.len() - begins;
            if new > MOST_BYTES {
                return Err(Trouble::TooMuch);
            }
            match self.end {
                End::Open => {}
                End::Closed if new == 0 => return Err(Trouble::Closed),
                End::Closed => return Err(Trouble::Cut),
                End::Quiet => return Err(Trouble::Silent(self.patience.answer)),
            }
            // After its first bytes an answer does not take long to end.
            let left = deadline.saturating_duration_since(Instant::now());
            let would_do =
                new > 0 && reader::read(&self.received, self.taken, to_head, End::Quiet).is_some();
            let wait = if would_do { left.min(self.patience.quiet()) } else { left };
            self.read_for(wait);
        }
    }

    /// Reads until something came, or the server has closed, or `time` is over.
    pub(crate) fn until_answered(&mut self, time: Duration) {
        let before = self.received.len();
        let deadline = Instant::now() + time;
        self.end = if self.end == End::Quiet { End::Open } else { self.end };
        while self.end == End::Open && self.received.len() == before {
            self.read_for(deadline.saturating_duration_since(Instant::now()));
        }
    }

    /// Reads until the server closes, `time` is over or enough came. What came is in `received`.
    pub(crate) fn until_closed(&mut self, time: Duration) -> End {
        let deadline = Instant::now() + time;
        self.end = if self.end == End::Quiet { End::Open } else { self.end };
        while self.end == End::Open && self.received.len() - self.taken <= MOST_BYTES {
            self.read_for(deadline.saturating_duration_since(Instant::now()));
        }
        self.end
    }

    /// What came after the answers that were taken.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.received[self.taken..]
    }

    /// Where [`Wire::rest`] begins.
    pub(crate) fn rest_at(&self) -> usize {
        self.taken
    }

    /// Leaves without a goodbye: the server's next read or write on it fails.
    pub(crate) fn reset(self) {
        // Dropped at the end of this.
        let _ = rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO));
    }

    /// One read, which sets `end` if it brings nothing.
    fn read_for(&mut self, time: Duration) {
        if time.is_zero() {
            self.end = End::Quiet;
            return;
        }
        // A server that sends head and body in two writes waits, between them, for the system to say
        // that the head has come; by default that takes 40 ms.
        #[cfg(target_os = "linux")]
        let _ = rustix::net::sockopt::set_tcp_quickack(&self.stream, true);
        let mut buffer = [0; 16 << 10];
        let _ = self.stream.set_read_timeout(Some(time.max(Duration::from_millis(1))));
        match self.stream.read(&mut buffer) {
            Ok(0) => self.end = End::Closed,
            Ok(read) => self.received.extend_from_slice(&buffer[..read]),
            Err(error) => match error.kind() {
                ErrorKind::Interrupted => {}
                ErrorKind::WouldBlock | ErrorKind::TimedOut => self.end = End::Quiet,
                // A reset: the server closed with our bytes unread. What came before it counts.
                _ => self.end = End::Closed,
            },
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if !FORGETS.load(Ordering::Relaxed) {
            return;
        }
        // A server that has answered is about to close, if it does. Two ends that close at the same
        // time both keep the memory of it: so its end is waited for, a moment.
        let moment = Duration::from_millis(if self.received.is_empty() { 1 } else { 30 });
        let _ = self.stream.set_read_timeout(Some(moment));
        let has_ended = self.end == End::Closed || self.stream.peek(&mut [0]).is_ok_and(|n| n == 0);
        if has_ended {
            let _ = rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO));
        }
    }
}
