//! The connection: requests in, answers out, in order, until one side has had enough.
//!
//! ```text
//!  serve() ──▶ next_request() ◀────────────────────────────────────┐
//!                │  ▲   └─ more is missing: reads_on(): flush(),   │
//!                │  └────────────────────── then fill()            │
//!                ▼ a head, or all of its body                      │
//!              answer() ────────stays open, or has a body──────────┘
//!                │ last answer     from anywhere: end of input, deadline
//!                ▼                            │
//!              finish(): flush(), linger() ◀──┘
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
use std::time::{Instant, SystemTime};

use crate::config::{Config, Limits};
use crate::http::exchange::{Exchange, Next};
use crate::http::refusal::Refusal;
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
    exchange: Exchange<'s>,
}

/// Why a connection ends.
enum End {
    /// One side closes, and nothing is left to say.
    Close(Why),
    /// This part of a request was not whole in time; the client is told.
    Late(Part),
    /// The peer is gone, or as good as gone.
    Gone,
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
        exchange: Exchange::new(engine, config, peer.ip(), SystemTime::now()),
    };
    loop {
        let answered = connection.next_request().and_then(|()| connection.answer());
        if let Err(end) = answered {
            return connection.finish(&end);
        }
    }
}

/// Tells a client that there is no slot for it, and ends the connection; with some patience, so that
/// the client can read it, or at once.
pub(crate) fn turn_away(stream: &TcpStream, patient: bool) {
    let (mut output, clock) = (Vec::new(), Clock::new(SystemTime::now()));
    let (output, clock) = (&mut output, &clock);
    let persistence = Persistence::Close;
    let sent = Refusal::NoSlot.send(Reply { output, clock, persistence, with_body: true });
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
    /// Waits for a whole head, or for the rest of the body that it has.
    fn next_request(&mut self) -> Result<(), End> {
        let mut since = None;
        loop {
            match self.exchange.proceed() {
                Next::Request => return Ok(()),
                Next::Over(why) => return Err(End::Close(why)),
                Next::Idle | Next::Part(_) if self.reads_on()? => {}
                next @ Next::Part(part) => {
                    let begun = *since.get_or_insert_with(Instant::now);
                    reached(Stage::Partial { part, have: self.exchange.unread(), begun });
                    if !self.seat.begin() {
                        return Err(End::Close(Why::Evicted));
                    }
                    let deadline = begun + next.time(self.limits).min(LONGEST);
                    self.fill(Wait::Until(deadline), End::Late(part))?;
                }
                Next::Idle if self.seat.wait() => {
                    self.read(Wait::Idle)?;
                }
                // What has already come is taken, and nothing is waited for.
                Next::Idle => self.fill(Wait::No, End::Close(Why::Stopping))?,
            }
        }
    }

    /// Answers the request whose head is there, when its body is there too.
    fn answer(&mut self) -> Result<(), End> {
        // What has come is answered, the requests after this one too: where the server stops, all that the
        // socket has; where this connection had to make room, what was read by then.
        let last = if self.seat.answer() {
            self.seat.is_stopping() && !self.has_more()
        } else {
            !self.exchange.has_more()
        };
        self.exchange.answer(last);
        if self.exchange.is_full() {
            self.flush()?;
        }
        Ok(())
    }

    /// Whether something is there that is not answered yet, in the socket if not here.
    fn has_more(&mut self) -> bool {
        self.exchange.has_more() || matches!(self.read(Wait::No), Ok(true))
    }

    /// Waits for more input, or ends as it must when none comes in time.
    fn fill(&mut self, wait: Wait, at_timeout: End) -> Result<(), End> {
        if self.read(wait)? { Ok(()) } else { Err(at_timeout) }
    }

    /// Before a wait: writes the answers that are ready. But where the last read was full, more is
    /// likely to be there; then reads that first, and returns true. Not where this connection had to make
    /// room: a client that sends on and on would keep its thread.
    fn reads_on(&mut self) -> Result<bool, End> {
        if self.exchange.was_full() && self.seat.ended().is_none() && self.read(Wait::No)? {
            return Ok(true);
        }
        self.flush()?;
        Ok(false)
    }

    /// Reads once, and returns whether something came in time.
    fn read(&mut self, wait: Wait) -> Result<bool, End> {
        let unread = self.exchange.unread();
        let space = self.exchange.space();
        match self.socket.read(space, wait) {
            Ok(0) => Err(End::Close(Why::Client)),
            Ok(count) => {
                reached(Stage::BytesRead { bytes: &space[..count], unread });
                self.placement.has_read(self.stream);
                self.exchange.filled(count);
                self.exchange.tick(SystemTime::now());
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::TimedOut => Ok(false),
            Err(_) => Err(End::Gone),
        }
    }

    /// Writes the answers that are ready.
    fn flush(&mut self) -> Result<(), End> {
        let bytes = self.exchange.ready();
        if bytes.is_empty() {
            return Ok(());
        }
        let written = match self.seat.sent(|| self.socket.send(bytes)) {
            Ok(rest) => self.socket.write(rest, self.limits.write_time),
            Err(error) => Err(error),
        };
        if written.is_ok() {
            reached(Stage::Written(bytes));
        }
        self.exchange.sent(bytes.len());
        written.map_err(|_| End::Gone)
    }

    fn finish(&mut self, end: &End) -> Why {
        let why = match end {
            End::Gone => return self.seat.ended().unwrap_or(Why::Gone),
            End::Close(why) => self.seat.ended().unwrap_or(*why),
            End::Late(part) => {
                self.exchange.tick(SystemTime::now());
                self.exchange.refuse(&Refusal::late(*part));
                Why::Late
            }
        };
        if self.flush().is_ok() {
            // A client that is no longer answered makes room like others.
            self.seat.begin();
            // It may still be sending.
            if self.has_more() {
                self.socket.linger(self.exchange.space());
            }
        }
        why
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    use std::io::Read as _;
    use std::io::Write as _;
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::net::slots::Slots;
    use crate::store::memory::MemoryStore;

    /// They may have been read in the moment in which the room was needed. But no client keeps its thread
    /// by sending on and on.
    #[cfg(target_os = "linux")]
    #[test]
    fn requests_that_came_together_are_all_answered_where_the_connection_has_to_make_room() {
        assert_eq!(answers_of_an_evicted_one(3), (3, true));
        let (answers, _) = answers_of_an_evicted_one(1000);
        assert!((10..100).contains(&answers), "{answers}");
    }

    /// How many of so many requests at once are answered, and whether the last answer says that it is the
    /// last.
    #[cfg(target_os = "linux")]
    fn answers_of_an_evicted_one(requests: usize) -> (usize, bool) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, peer) = listener.accept().unwrap();
        let (stream, slots) = (Arc::new(stream), Arc::new(Slots::new(1)));
        let seat = slots.take(&stream).unwrap();
        assert!(slots.evict_one());
        let request = b"GET /get?key=a HTTP/1.1\r\nHost: localhost\r\n\r\n";
        client.write_all(&request.repeat(requests)).unwrap();
        assert_eq!(
            serve(&stream, &seat, peer, &MemoryStore::new(), &Config::default()),
            Why::Evicted
        );
        drop((stream, seat));
        let mut answers = String::new();
        client.read_to_string(&mut answers).unwrap();
        (
            answers.matches("HTTP/1.1 404 ").count(),
            answers.ends_with("close\r\nContent-Length: 0\r\n\r\n"),
        )
    }

    #[test]
    fn says_why_it_has_ended() {
        let get = "GET /get?key=a HTTP/1.1\r\nHost: localhost\r\n";
        let closing = format!("{get}Connection: close\r\n\r\n");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (engine, config) = (MemoryStore::new(), Config::default());
        for (sent, resets, why) in [
            ("", false, Why::Client),
            (get, false, Why::Client),
            (&closing, false, Why::Done),
            ("nonsense\r\n", false, Why::Refused),
            ("", true, Why::Gone),
            (get, true, Why::Gone),
        ] {
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (stream, peer) = listener.accept().unwrap();
            let stream = Arc::new(stream);
            let seat = Arc::new(Slots::new(1)).take(&stream).unwrap();
            client.write_all(sent.as_bytes()).unwrap();
            if resets {
                rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
            }
            drop(client);
            assert_eq!(serve(&stream, &seat, peer, &engine, &config), why, "{sent:?}, {resets}");
        }
    }
}
