//! The connection: requests in, answers out, in order, until one side has had enough.
//!
//! ```text
//!  serve() ──▶ next_head() ◀────────────────────────────────┐
//!                │  ▲  └─ reads_on(): flush(), then fill()  │
//!                ▼ a head                                   │
//!              exchange() ──a body──▶ drain() ──┐           │
//!                │ ◀────────────────────────────┘           │
//!                ▼                                          │
//!              Answers::answer() ──stays open── use_up() ───┘
//!                │ last answer     from anywhere: end of input, deadline, refusal
//!                ▼                            │
//!              finish(): refuse(), flush(), linger() ◀──────┘
//! ```
//!
//! 1. A request is answered when all of it is there, and in the order in which it came.
//! 2. Answers are written when nothing more can be answered: a hundred requests in one packet get
//!    one write. This is all that pipelining takes (RFC 9112 §9.3.2).
//! 3. Every wait has an end, and a head or a body has *one* deadline for all its reads.
//! 4. After an error of framing the connection ends: nobody knows where the next request begins.
//!
//! The naive version reads once, answers once, and closes.
//!
//! Next: [`crate::net::socket`], which reads and writes.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::time::{Instant, SystemTime};

use crate::config::{Config, Limits};
use crate::http::answers::Answers;
use crate::http::body::Drain;
use crate::http::head::HeadSearch;
use crate::http::input::Input;
use crate::http::refusal::Refusal;
use crate::http::request::{Framing, Request};
use crate::http::response::{Clock, Persistence, Reply};
use crate::net::placement::Placement;
use crate::net::slots::Seat;
use crate::net::socket::{LONGEST, Socket, Wait};
use crate::store::engine::Engine;
use crate::watch::stage::{Part, Stage, Why, reached};

struct Connection<'s> {
    seat: &'s Seat,
    stream: &'s TcpStream,
    socket: Socket<'s>,
    limits: &'s Limits,
    placement: Placement,
    input: Input,
    answers: Answers<'s>,
}

/// Why a connection ends.
enum End {
    /// One side closes, and nothing is left to say.
    Close(Why),
    /// We close first, and the client may still be sending.
    Linger,
    /// The client did something after which we can't go on; it is told.
    Refuse(Refusal),
    /// The peer is gone, or as good as gone.
    Gone,
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        End::Refuse(refusal)
    }
}

/// Serves a connection from its first byte to its last, and returns why that was the last.
pub(crate) fn serve(
    stream: &TcpStream,
    seat: &Seat,
    peer: SocketAddr,
    engine: &dyn Engine,
    config: &Config,
) -> Why {
    let mut connection = Connection {
        seat,
        stream,
        socket: Socket::new(stream),
        limits: &config.limits,
        placement: Placement::default(),
        input: Input::default(),
        answers: Answers::new(engine, config, peer.ip(), SystemTime::now()),
    };
    loop {
        let exchanged = connection.next_head().and_then(|head| connection.exchange(head));
        if let Err(end) = exchanged {
            return connection.finish(end);
        }
    }
}

/// Tells a client that there is no slot for it, and ends the connection; with some patience, so that
/// the client can read it, or at once.
pub(crate) fn turn_away(stream: &TcpStream, patient: bool) {
    let (mut output, clock) = (Vec::new(), Clock::new(SystemTime::now()));
    let (output, date) = (&mut output, clock.date());
    let sent = Refusal::NoSlot.send(Reply {
        output,
        date,
        persistence: Persistence::Close,
        with_body: true,
    });
    sent.say(output, true);
    let mut socket = Socket::new(stream);
    // So little always fits, and nobody is waited for.
    if socket.send(output).is_ok_and(<[u8]>::is_empty) {
        reached(Stage::Written(output));
        if patient {
            socket.linger(&mut [0; 1024]);
        }
    }
}

impl Connection<'_> {
    /// Waits for a whole head, and returns where in the input it is.
    fn next_head(&mut self) -> Result<Range<usize>, End> {
        let mut search = HeadSearch::default();
        let mut since = None;
        loop {
            let input = self.input.unread();
            if let Some(head) = search.look(input, self.limits.head_bytes)? {
                return Ok(head);
            }
            let (begun, have) = (search.has_begun(input), input.len());
            if self.reads_on()? {
                continue;
            }
            if begun {
                let begun = *since.get_or_insert_with(Instant::now);
                reached(Stage::Partial { part: Part::Head, have, begun });
                if !self.seat.begin() {
                    return Err(End::Gone);
                }
                let deadline = begun + self.limits.head_time.min(LONGEST);
                self.fill(Wait::Until(deadline), End::Refuse(Refusal::HeadTimeout))?;
            } else if self.seat.wait() {
                self.read(Wait::Idle)?;
            } else {
                // What has already come is taken, and nothing is waited for.
                self.fill(Wait::No, End::Close(Why::Stopping))?;
            }
        }
    }

    /// Answers the request whose head is there, when its body is there too.
    fn exchange(&mut self, head: Range<usize>) -> Result<(), End> {
        let mut request = Request::parse(&mut self.input.unread()[head.clone()])?;
        let has_body = request.framing != Framing::Length(0);
        // A client that asks before sending a body is answered at once, and spared the body.
        let unread_body = has_body && request.expects_continue;
        if has_body {
            let drain = Drain::new(request.framing, self.limits.body_bytes)?;
            if !unread_body {
                self.drain(drain, head.end)?;
                // Read again: the bytes may have moved meanwhile.
                request = Request::parse(&mut self.input.unread()[head.clone()])?;
            }
        }
        let mut last = !self.seat.answer() || unread_body;
        // A server that stops answers what has come: also the requests behind this one.
        if self.seat.is_stopping() && !last {
            last = !self.has_more(head.end);
            request = Request::parse(&mut self.input.unread()[head.clone()])?;
        }
        let open = self.answers.answer(&request, last);
        self.input.use_up(head.end);
        if !open {
            return Err(if unread_body { End::Linger } else { End::Close(Why::Done) });
        }
        if self.answers.are_full() {
            self.flush()?;
        }
        Ok(())
    }

    /// Whether something is there after the first `count` unread bytes, in the socket if not here.
    fn has_more(&mut self, count: usize) -> bool {
        self.input.unread().len() > count || matches!(self.read(Wait::No), Ok(true))
    }

    /// Reads the body that begins at `start`, and takes it out of the input.
    fn drain(&mut self, mut drain: Drain, start: usize) -> Result<(), End> {
        let begun = Instant::now();
        let deadline = Wait::Until(begun + self.limits.body_time.min(LONGEST));
        loop {
            let (taken, done) = drain.take(&self.input.unread()[start..])?;
            self.input.cut(start..start + taken);
            if done {
                return Ok(());
            }
            if self.reads_on()? {
                continue;
            }
            if !self.seat.begin() {
                return Err(End::Gone);
            }
            let have = self.input.unread().len();
            reached(Stage::Partial { part: Part::Body, have, begun });
            self.fill(deadline, End::Refuse(Refusal::BodyTimeout))?;
        }
    }

    /// Waits for more input, or ends as it must when none comes in time.
    fn fill(&mut self, wait: Wait, at_timeout: End) -> Result<(), End> {
        if self.read(wait)? { Ok(()) } else { Err(at_timeout) }
    }

    /// Before a wait: writes the answers that are ready. But where the last read was full, more is
    /// likely to be there; then reads that first, and returns true.
    fn reads_on(&mut self) -> Result<bool, End> {
        if self.input.was_full() && self.read(Wait::No)? {
            return Ok(true);
        }
        self.flush()?;
        Ok(false)
    }

    /// Reads once, and returns whether something came in time.
    fn read(&mut self, wait: Wait) -> Result<bool, End> {
        let unread = self.input.unread().len();
        let space = self.input.space();
        match self.socket.read(space, wait) {
            Ok(0) => Err(End::Close(Why::Client)),
            Ok(count) => {
                reached(Stage::BytesRead { bytes: &space[..count], unread });
                self.placement.has_read(self.stream);
                self.answers.tick(SystemTime::now());
                self.input.filled(count);
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::TimedOut => Ok(false),
            Err(_) => Err(End::Gone),
        }
    }

    /// Writes the answers that are ready.
    fn flush(&mut self) -> Result<(), End> {
        let bytes = self.answers.ready();
        if bytes.is_empty() {
            return Ok(());
        }
        let has_begun = !self.input.unread().is_empty();
        let written = match self.seat.sent(has_begun, || self.socket.send(bytes)) {
            Ok(rest) => self.socket.write(rest, self.limits.write_time),
            Err(error) => Err(error),
        };
        if written.is_ok() {
            reached(Stage::Written(bytes));
        }
        self.answers.clear();
        written.map_err(|_| End::Gone)
    }

    fn finish(&mut self, end: End) -> Why {
        let (linger, why) = match end {
            End::Gone => return self.seat.ended().unwrap_or(Why::Gone),
            End::Close(why) => (false, self.seat.ended().unwrap_or(why)),
            End::Linger => (true, Why::Done),
            End::Refuse(refusal) => {
                self.answers.tick(SystemTime::now());
                self.answers.refuse(&refusal, self.input.unread());
                let late = matches!(refusal, Refusal::HeadTimeout | Refusal::BodyTimeout);
                (true, if late { Why::Late } else { Why::Refused })
            }
        };
        if self.flush().is_ok() {
            // A client that is no longer answered makes room like others.
            self.seat.begin();
            if linger || self.has_more(0) {
                self.socket.linger(self.input.space());
            }
        }
        why
    }
}
