//! The exchange: a client's requests in, their answers out, and no socket.
//!
//! Whoever waits for the client, in whatever way, puts in what has come, asks what is next, and takes
//! out what is ready. `net` waits in one way, `examples/event_loop` in another.
//!
//! ```text
//!        ┌─────────────────────────────────────────┐
//!        ▼                                         │
//!  space(), filled() ──▶ proceed() ──Idle, Part──▶ ready(), sent()      and wait
//!                         │  ▲ └──Over──▶ the same once more, and then no more
//!                  Request│  │
//!                         ▼  │
//!                       answer()
//! ```
//!
//! 1. A request is answered when all of it is there, and in the order in which it came.
//! 2. A client that asks before it sends a body (RFC 9110 §10.1.1) is answered at once, and spared the
//!    body.
//! 3. After a refusal of the request's framing nothing more is taken for a request: nobody knows where
//!    the next one begins.
//!
//! The naive version reads from the socket wherever it lacks a byte: then one way to wait is all that
//! it can ever be used with.
//!
//! Next: [`crate::http::input`], where the bytes go.

use std::net::IpAddr;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use crate::config::{Config, LINGER_TIME, Limits};
use crate::http::answers::Answers;
use crate::http::body::Drain;
use crate::http::head::HeadSearch;
use crate::http::input::Input;
use crate::http::refusal::Refusal;
use crate::http::request::{Framing, Request};
use crate::store::engine::Engine;
use crate::watch::stage::{Part, Why};

/// What has come from one client and is not used up, and the answers that are not written.
///
/// # Examples
/// ```
/// use std::net::Ipv4Addr;
/// use std::time::SystemTime;
/// use dbserver::http::exchange::{Exchange, Next};
/// use dbserver::{Config, MemoryStore};
///
/// let (engine, config) = (MemoryStore::new(), Config::default());
/// let client = Ipv4Addr::LOCALHOST.into();
/// let mut exchange = Exchange::new(&engine, &config, client, SystemTime::now());
/// assert_eq!(exchange.proceed(), Next::Idle);
/// // Instead of a read from a socket.
/// let bytes = b"GET /set?a=b HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// exchange.space()[..bytes.len()].copy_from_slice(bytes);
/// exchange.filled(bytes.len());
/// assert_eq!(exchange.proceed(), Next::Request);
/// exchange.answer(false);
/// assert!(exchange.ready().starts_with(b"HTTP/1.1 200 OK\r\n"));
/// ```
pub struct Exchange<'s> {
    limits: &'s Limits,
    input: Input,
    answers: Answers<'s>,
    /// How many bytes of the answers are written.
    written: usize,
    state: State,
}

enum State {
    /// Where does the head end?
    Head(HeadSearch),
    /// It is at `head`, and its body, if it has one, is not read yet or is `drained`.
    Request { head: Range<usize>, drained: bool },
    /// Its body is read and thrown away.
    Body(Range<usize>, Drain),
    /// It had its last answer. Of what it was about, there `may_be_more`.
    Over { why: Why, may_be_more: bool },
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing of a request is there.
    Idle,
    /// A part of a request has begun, and the rest of that part is missing.
    Part(Part),
    /// A request is there: [`Exchange::answer`] it.
    Request,
    /// The last answer was given. What is ready must be written; what still comes is not understood.
    Over(Why),
}

impl Next {
    /// How long a client may take for it: all reads of a head together, and likewise those of a
    /// body.
    #[must_use]
    pub fn time(self, limits: &Limits) -> Duration {
        match self {
            Next::Idle | Next::Request => limits.idle_time,
            Next::Part(Part::Head) => limits.head_time,
            Next::Part(Part::Body) => limits.body_time,
            Next::Over(_) => LINGER_TIME,
        }
    }
}

impl<'s> Exchange<'s> {
    /// Nothing has come yet from a client with this address.
    #[must_use]
    pub fn new(
        engine: &'s dyn Engine,
        config: &'s Config,
        client: IpAddr,
        now: SystemTime,
    ) -> Self {
        Exchange {
            limits: &config.limits,
            input: Input::default(),
            answers: Answers::new(engine, config, client, now),
            written: 0,
            state: State::Head(HeadSearch::default()),
        }
    }

    /// Where to read to.
    pub fn space(&mut self) -> &mut [u8] {
        self.input.space()
    }

    /// This many bytes were read into the space.
    pub fn filled(&mut self, count: usize) {
        self.input.filled(count);
    }

    /// Gives the answers from now on this time.
    pub fn tick(&mut self, now: SystemTime) {
        self.answers.tick(now);
    }

    /// Whether the last read took all the space there was: then more is likely to be there.
    #[must_use]
    pub fn was_full(&self) -> bool {
        self.input.was_full()
    }

    /// How many bytes have come and are not used up.
    #[must_use]
    pub fn unread(&mut self) -> usize {
        self.input.unread().len()
    }

    /// Whether something has come after the request that is there, or may still come.
    #[must_use]
    pub fn has_more(&mut self) -> bool {
        let (used, may_be_more) = match &self.state {
            State::Request { head, .. } => (head.end, false),
            State::Over { may_be_more, .. } => (0, *may_be_more),
            State::Head(_) | State::Body(..) => (0, false),
        };
        may_be_more || self.unread() > used
    }

    /// What comes next, as far as can be told from what has come. If that can't become a request,
    /// the last answer says so.
    pub fn proceed(&mut self) -> Next {
        self.look().unwrap_or_else(|refusal| self.refuse(&refusal))
    }

    fn look(&mut self) -> Result<Next, Refusal> {
        let input = self.input.unread();
        let (head, drained) = match &mut self.state {
            State::Head(search) => match search.look(input, self.limits.head_bytes)? {
                Some(head) => (head, false),
                None if search.has_begun(input) => return Ok(Next::Part(Part::Head)),
                None => return Ok(Next::Idle),
            },
            State::Body(head, drain) => {
                let (taken, done) = drain.take(&input[head.end..])?;
                self.input.cut(head.end..head.end + taken);
                if !done {
                    return Ok(Next::Part(Part::Body));
                }
                (head.clone(), true)
            }
            State::Request { .. } => return Ok(Next::Request),
            State::Over { why, .. } => return Ok(Next::Over(*why)),
        };
        self.state = State::Request { head, drained };
        Ok(Next::Request)
    }

    /// Answers the request that is there; it is the `last` one, or the client decides. Where it has a
    /// body that has to be read first, [`Exchange::proceed`] goes on with that.
    pub fn answer(&mut self, last: bool) {
        if let Err(refusal) = self.try_to_answer(last) {
            self.refuse(&refusal);
        }
    }

    fn try_to_answer(&mut self, last: bool) -> Result<(), Refusal> {
        let State::Request { head, drained } = &self.state else { return Ok(()) };
        let end = head.end;
        let request = Request::parse(&mut self.input.unread()[head.clone()])?;
        let mut spared = false;
        if request.framing != Framing::Length(0) && !drained {
            let drain = Drain::new(request.framing, self.limits.body_bytes)?;
            if !request.expects_continue {
                self.state = State::Body(head.clone(), drain);
                return Ok(());
            }
            // It may come all the same.
            spared = true;
        }
        let open = self.answers.answer(&request, last || spared);
        self.input.use_up(end);
        self.state = if open {
            State::Head(HeadSearch::default())
        } else {
            State::Over { why: Why::Done, may_be_more: spared }
        };
        Ok(())
    }

    /// Says what is wrong, as the last answer.
    pub fn refuse(&mut self, refusal: &Refusal) -> Next {
        self.answers.refuse(refusal, self.input.unread());
        let is_late = matches!(refusal, Refusal::HeadTimeout | Refusal::BodyTimeout);
        let why = if is_late { Why::Late } else { Why::Refused };
        self.state = State::Over { why, may_be_more: true };
        Next::Over(why)
    }

    /// Takes back the answers after the first `length` bytes that are ready.
    pub fn take_back(&mut self, length: usize) {
        self.answers.take_back(self.written + length);
    }

    /// Throws away what has come, and returns how many bytes that was.
    pub fn discard(&mut self) -> usize {
        let count = self.unread();
        self.input.use_up(count);
        count
    }

    /// The bytes that are to be written.
    #[must_use]
    pub fn ready(&self) -> &[u8] {
        &self.answers.ready()[self.written..]
    }

    /// Whether there is enough for a write.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.answers.are_full()
    }

    /// The first `count` of the bytes that were ready have been written, or never will be.
    pub fn sent(&mut self, count: usize) {
        self.written += count;
        if self.ready().is_empty() {
            self.written = 0;
            self.answers.clear();
        }
    }
}

#[cfg(test)]
mod tests;
