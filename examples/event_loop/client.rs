//! One client: what it waits for, and how its story goes on.
//!
//! Every step ends with [`Client::wait`], or with the client. `src/net/connection.rs` is the same without
//! a state: there, the place in the code says where the story is.

use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::ops::Range;
use std::time::{Duration, Instant};

use dbserver::Failed;
use dbserver::http::answers::Answers;
use dbserver::http::body::Drain;
use dbserver::http::head::HeadSearch;
use dbserver::http::input::Input;
use dbserver::http::refusal::Refusal;
use dbserver::http::request::{Framing, Request};
use rustix::event::{epoll, epoll::EventData, epoll::EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::worker::{Batch, Worker};

/// After the last answer, what still comes is read for so long, or so much of it (RFC 9112 §9.6).
const LINGER_TIME: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 << 10;

/// `None`: the client is gone, or all is said.
pub(crate) type Alive = Option<()>;

pub(crate) struct Client<'s> {
    stream: TcpStream,
    pub(crate) fd: usize,
    input: Input,
    answers: Answers<'s>,
    /// How many bytes of them are written.
    written: usize,
    state: State,
    pub(crate) waits: Waits,
    pub(crate) deadline: Instant,
    /// When its last whole request was there; at first, when it came.
    pub(crate) answered: Instant,
    /// Whether its last read was full.
    pub(crate) was_full: bool,
}

enum State {
    /// Where does the head end?
    Head(HeadSearch),
    /// It ended there, and its body is thrown away.
    Body(Range<usize>, Drain),
    /// It ended at `head`; its pair is in the batch. The answer is in the output, after `before` other
    /// bytes, and all of them stay there until the pair is stored.
    Commit { head: usize, before: usize, closes: bool },
    /// The last answer is in the output. Then so many bytes may still come.
    Last(usize),
}

/// What its deadline is for.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Waits {
    Idle,
    Head,
    Body,
    /// For the system to take more of the output.
    Room,
    /// For the client to read the last answer.
    End,
}

impl<'s> Client<'s> {
    pub(crate) fn new(stream: TcpStream, fd: usize, worker: &Worker<'s>) -> Self {
        let config = &worker.server.config;
        let address = Ipv4Addr::LOCALHOST.into();
        Client {
            stream,
            fd,
            input: Input::default(),
            answers: Answers::new(worker.engine, config, address, worker.date),
            written: 0,
            state: State::Head(HeadSearch::default()),
            waits: Waits::Idle,
            deadline: worker.now + config.limits.idle_time,
            answered: worker.now,
            was_full: false,
        }
    }

    pub(crate) fn is_committing(&self) -> bool {
        matches!(self.state, State::Commit { .. })
    }

    /// The socket can be read from, or written to where that is what the client waits for. It is read
    /// once: where that was not all, the next turn names it again.
    pub(crate) fn ready(&mut self, worker: &Worker<'_>) -> Alive {
        if self.waits != Waits::Room {
            match recv(&self.stream, self.input.space(), RecvFlags::DONTWAIT) {
                Ok((_, 0)) => return None,
                Ok((_, count)) => self.input.filled(count),
                Err(Errno::WOULDBLOCK | Errno::INTR) => return Some(()),
                Err(_) => return None,
            }
            self.was_full = self.input.was_full();
            self.answers.tick(worker.date);
        }
        self.go_on(worker)
    }

    /// The pair is stored, or could not be.
    pub(crate) fn committed(&mut self, outcome: &Result<(), Failed>, worker: &Worker<'_>) -> Alive {
        if let State::Commit { head, before, closes } = self.state {
            self.next(head, closes);
            if let Err(failed) = outcome {
                self.answers.take_back(before);
                return self.end(&Refusal::Failed(failed.clone()), worker);
            }
        }
        self.go_on(worker)
    }

    /// The deadline is over.
    pub(crate) fn late(&mut self, worker: &Worker<'_>) -> Alive {
        match self.waits {
            Waits::Head => self.end(&Refusal::HeadTimeout, worker),
            Waits::Body => self.end(&Refusal::BodyTimeout, worker),
            Waits::Idle | Waits::Room | Waits::End => None,
        }
    }

    /// The last answer is this.
    pub(crate) fn end(&mut self, refusal: &Refusal, worker: &Worker<'_>) -> Alive {
        self.refuse(refusal);
        self.go_on(worker)
    }

    fn refuse(&mut self, refusal: &Refusal) {
        self.answers.refuse(refusal, self.input.unread());
        self.state = State::Last(LINGER_BYTES);
    }

    /// Answers what is there and writes the answers, as far as that goes.
    fn go_on(&mut self, worker: &Worker<'_>) -> Alive {
        loop {
            let is_full = self.answer_all(worker).unwrap_or_else(|refusal| {
                self.refuse(&refusal);
                false
            });
            if self.is_committing() {
                return Some(());
            }
            let all_written = self.flush()?;
            if let State::Last(left) = &mut self.state
                && all_written
            {
                let count = self.input.unread().len();
                self.input.use_up(count);
                *left = left.checked_sub(count.max(1))?;
                self.stream.shutdown(Shutdown::Write).ok()?;
            }
            if !(is_full && all_written) {
                return self.wait(worker);
            }
        }
    }

    /// Answers requests until none is whole or a pair must be stored, or the output is full: then true.
    fn answer_all(&mut self, worker: &Worker<'_>) -> Result<bool, Refusal> {
        let limits = &worker.server.config.limits;
        while !self.answers.are_full() {
            let (head, drained) = match &mut self.state {
                State::Head(search) => match search.look(self.input.unread(), limits.head_bytes)? {
                    Some(head) => (head, false),
                    None => return Ok(false),
                },
                State::Body(head, drain) => {
                    let (taken, done) = drain.take(&self.input.unread()[head.end..])?;
                    self.input.cut(head.end..head.end + taken);
                    if !done {
                        return Ok(false);
                    }
                    (head.clone(), true)
                }
                State::Commit { .. } | State::Last(_) => return Ok(false),
            };
            let end = head.end;
            let more = self.input.was_full() || self.input.unread().len() > end;
            let request = Request::parse(&mut self.input.unread()[head.clone()])?;
            let has_body = request.framing != Framing::Length(0) && !drained;
            if has_body {
                let drain = Drain::new(request.framing, limits.body_bytes)?;
                if !request.expects_continue {
                    self.state = State::Body(head, drain);
                    continue;
                }
            }
            // A client that asks before sending a body is answered at once, and spared the body.
            let last = has_body || worker.stops && !more;
            let (before, pairs) = (self.answers.ready().len(), worker.batch.map_or(0, Batch::len));
            let closes = !self.answers.answer(&request, last);
            self.answered = worker.now;
            if worker.batch.map_or(0, Batch::len) > pairs {
                self.state = State::Commit { head: end, before, closes };
                return Ok(false);
            }
            self.next(end, closes);
        }
        Ok(true)
    }

    /// The request whose head ends there is answered.
    fn next(&mut self, head_end: usize, closes: bool) {
        self.input.use_up(head_end);
        let search = HeadSearch::default();
        self.state = if closes { State::Last(LINGER_BYTES) } else { State::Head(search) };
    }

    /// Writes what the system takes of the answers; returns whether that was all.
    fn flush(&mut self) -> Option<bool> {
        let rest = &self.answers.ready()[self.written..];
        if !rest.is_empty() {
            match send(&self.stream, rest, SendFlags::DONTWAIT) {
                Ok(count) => self.written += count,
                Err(Errno::WOULDBLOCK | Errno::INTR) => {}
                Err(_) => return None,
            }
            if self.written < self.answers.ready().len() {
                return Some(false);
            }
            self.written = 0;
            self.answers.clear();
        }
        Some(true)
    }

    /// Nothing more can be done in this turn. What is waited for, and until when?
    fn wait(&mut self, worker: &Worker<'_>) -> Alive {
        let limits = &worker.server.config.limits;
        let (waits, time) = match &self.state {
            _ if !self.answers.ready().is_empty() => (Waits::Room, limits.write_time),
            State::Head(search) if search.has_begun(self.input.unread()) => {
                (Waits::Head, limits.head_time)
            }
            State::Head(_) => (Waits::Idle, limits.idle_time),
            State::Body(..) => (Waits::Body, limits.body_time),
            State::Commit { .. } | State::Last(_) => (Waits::End, LINGER_TIME),
        };
        if (waits == Waits::Room) != (self.waits == Waits::Room) {
            let flags = if waits == Waits::Room { EventFlags::OUT } else { EventFlags::IN };
            let data = EventData::new_u64(self.fd as u64);
            epoll::modify(&worker.epoll, &self.stream, data, flags).ok()?;
        }
        // All reads of a head have one deadline together, and so have those of a body.
        if waits != self.waits || self.answered == worker.now {
            (self.waits, self.deadline) = (waits, worker.now + time);
        }
        Some(())
    }
}
