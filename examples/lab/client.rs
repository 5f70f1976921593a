//! A client on a raw socket: it sends the bytes that it is given, in the pieces that it is given,
//! and every wait has an end.
//!
//! Two things are easy to get wrong here. TCP has no messages: one `read` may return half an answer
//! or three of them, so bytes are kept until a whole answer is there. And a timeout on a socket
//! starts anew with each read, so the time that is left is worked out before each.

use std::fmt::{self, Display, Formatter};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long an answer, a connection, or a piece that is sent may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// No answer of these labs is longer; reading stops here.
const MOST_BYTES: usize = 1 << 20;

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The whole status line, such as `HTTP/1.1 200 OK`.
    pub(crate) line: String,
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// Nothing, or no whole answer, came in this time.
    Silent(Duration),
    Closed,
    /// Nobody listens there.
    NoConnection,
}

impl std::error::Error for NoAnswer {}

impl Display for NoAnswer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            NoAnswer::Silent(time) => write!(f, "no answer within {} s", time.as_secs()),
            NoAnswer::Closed => write!(f, "closed without an answer"),
            NoAnswer::NoConnection => write!(f, "no connection: nobody listens there"),
        }
    }
}

/// A connection.
pub(crate) struct Connection {
    stream: TcpStream,
    /// What came, and is not taken by [`Connection::answer`] yet.
    received: Vec<u8>,
    /// Whether the server closed its side.
    is_over: bool,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Result<Self, NoAnswer> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE);
        let stream = stream.map_err(|_| NoAnswer::NoConnection)?;
        // A piece is sent when we say so, and not when the system has collected more.
        let _ = stream.set_nodelay(true);
        let _ = stream.set_write_timeout(Some(PATIENCE));
        Ok(Connection { stream, received: Vec::new(), is_over: false })
    }

    /// Sends all of this. Says whether the system took it: where the server has closed, it does not,
    /// and what the server said before that can still be read.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Sends as much of this as the system takes within this time.
    ///
    /// # Errors
    /// The connection is gone.
    pub(crate) fn send_some(&mut self, bytes: &[u8], time: Duration) -> std::io::Result<usize> {
        self.stream.set_write_timeout(Some(time))?;
        match self.stream.write(bytes) {
            Err(error) if is_timeout(error.kind()) => Ok(0),
            result => result,
        }
    }

    /// The next answer, if it comes within this time.
    pub(crate) fn answer(&mut self, time: Duration) -> Result<Answer, NoAnswer> {
        let deadline = Instant::now() + time;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            // Where nothing says how long the body is, it ends with the connection, or our patience.
            let is_all = self.is_over || left.is_zero();
            if let Some((answer, length)) = first_answer(&self.received, is_all) {
                self.received.drain(..length);
                return Ok(answer);
            }
            if self.is_over {
                return Err(NoAnswer::Closed);
            }
            if left.is_zero() {
                return Err(NoAnswer::Silent(time));
            }
            self.read_within(left);
        }
    }

    /// Reads once.
    fn read_within(&mut self, time: Duration) {
        // A timeout of zero would mean none at all.
        let _ = self.stream.set_read_timeout(Some(time.max(Duration::from_millis(1))));
        let mut buffer = [0; 8 << 10];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.is_over = true,
            Ok(read) => self.received.extend_from_slice(&buffer[..read]),
            Err(error) if is_timeout(error.kind()) => {}
            Err(_) => self.is_over = true,
        }
        self.is_over |= self.received.len() > MOST_BYTES;
    }
}

/// A socket whose timeout is over says `WouldBlock` on Unix.
fn is_timeout(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// The first answer in these bytes and its length, `None` while it is not whole. `is_all` says that
/// no more will come.
fn first_answer(bytes: &[u8], is_all: bool) -> Option<(Answer, usize)> {
    let head_length = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let (head, rest) = bytes.split_at(head_length);
    let head = String::from_utf8_lossy(head);
    let (line, fields) = head.split_once("\r\n")?;
    let content_length = fields.lines().find_map(|field| {
        let (name, value) = field.split_once(':')?;
        let is_it = name.eq_ignore_ascii_case("Content-Length");
        is_it.then(|| value.trim().parse::<usize>().ok())?
    });
    let body_length = match content_length {
        Some(length) if length <= rest.len() => length,
        _ if is_all => rest.len(),
        _ => return None,
    };
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = rest[..body_length].to_vec();
    Some((Answer { line: line.into(), status, body }, head_length + body_length))
}
