//! One client: its story as far as it goes without waiting, and what it waits for then.

use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dbserver::http::{exchange::Exchange, exchange::Next, refusal::Refusal};
use dbserver::{Batch, Failed};
use rustix::event::{epoll, epoll::EventData, epoll::EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::worker::Turn;

/// After the last answer, what still comes is read for so long, or so much of it (RFC 9112 §9.6).
const LINGER_TIME: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 << 10;

/// `None`: the client is gone, or all is said.
pub(crate) type Alive = Option<()>;

pub(crate) struct Client<'s> {
    stream: TcpStream,
    name: u64,
    exchange: Exchange<'s>,
    /// What is to come from it; `None` where the system must first take more of the output.
    pub(crate) waits: Option<Next>,
    pub(crate) deadline: Instant,
    /// When its last request was there; at first, when it came.
    pub(crate) answered: Instant,
    /// Whether its last read was full.
    pub(crate) was_full: bool,
    /// Its pair is in the batch. The output after so many bytes, the answer, may be taken back.
    pub(crate) held: Option<usize>,
    linger: usize,
    _counted: Arc<()>,
}

impl<'s> Client<'s> {
    pub(crate) fn new(stream: TcpStream, name: u64, address: IpAddr, turn: &Turn<'s>) -> Self {
        let (server, now) = (turn.server, turn.now);
        Client {
            stream,
            name,
            exchange: Exchange::new(server.engine, &server.config, address, turn.date),
            waits: Some(Next::Idle),
            deadline: now + server.config.limits.idle_time,
            answered: now,
            was_full: false,
            held: None,
            linger: LINGER_BYTES,
            _counted: Arc::clone(&server.clients),
        }
    }

    /// The socket can be read from, or written to where that is what is waited for. It is read once:
    /// where that was not all, the next turn names it again.
    pub(crate) fn ready(&mut self, turn: &Turn<'_>) -> Alive {
        if self.waits.is_some() {
            match recv(&self.stream, self.exchange.space(), RecvFlags::DONTWAIT) {
                Ok((_, 0)) => return None,
                Ok((_, count)) => self.exchange.filled(count),
                Err(Errno::WOULDBLOCK | Errno::INTR) => return Some(()),
                Err(_) => return None,
            }
            self.was_full = self.exchange.was_full();
        }
        self.go_on(turn)
    }

    /// The pair is stored, or could not be.
    pub(crate) fn committed(&mut self, outcome: &Result<(), Failed>, turn: &Turn<'_>) -> Alive {
        if let (Some(before), Err(failed)) = (self.held.take(), outcome) {
            self.exchange.take_back(before);
            return self.end(&Refusal::Failed(failed.clone()), turn);
        }
        self.go_on(turn)
    }

    /// The deadline is over.
    pub(crate) fn late(&mut self, turn: &Turn<'_>) -> Alive {
        let Some(Next::Part(part)) = self.waits else { return None };
        self.end(&Refusal::late(part), turn)
    }

    /// The last answer is this.
    pub(crate) fn end(&mut self, refusal: &Refusal, turn: &Turn<'_>) -> Alive {
        self.exchange.refuse(refusal);
        self.go_on(turn)
    }

    /// Answers what is there and writes the answers, as far as that goes.
    fn go_on(&mut self, turn: &Turn<'_>) -> Alive {
        self.exchange.tick(turn.date);
        loop {
            let next = self.answer_all(turn);
            if self.held.is_some() {
                return Some(());
            }
            if !self.exchange.ready().is_empty() {
                match send(&self.stream, self.exchange.ready(), SendFlags::DONTWAIT) {
                    Ok(count) => self.exchange.sent(count),
                    Err(Errno::WOULDBLOCK | Errno::INTR) => {}
                    Err(_) => return None,
                }
            }
            let all_sent = self.exchange.ready().is_empty();
            if all_sent && let Next::Over(_) = next {
                self.linger = self.linger.checked_sub(self.exchange.discard().max(1))?;
                self.stream.shutdown(Shutdown::Write).ok()?;
            }
            if !all_sent || next != Next::Request {
                return self.wait(all_sent.then_some(next), turn);
            }
        }
    }

    /// Answers requests until none is whole, a pair must be stored, or there is enough for a write.
    fn answer_all(&mut self, turn: &Turn<'_>) -> Next {
        loop {
            let next = self.exchange.proceed();
            if next != Next::Request || self.exchange.is_full() || self.held.is_some() {
                return next;
            }
            let sets = || turn.server.batch.map_or(0, Batch::waiting);
            let (before, sets_before) = (self.exchange.ready().len(), sets());
            let more = self.exchange.was_full() || self.exchange.has_more();
            self.exchange.answer(turn.stops.is_some() && !more);
            self.answered = turn.now;
            self.held = (sets() > sets_before).then_some(before);
        }
    }

    /// Nothing more can be done in this turn. What is waited for, and until when?
    fn wait(&mut self, waits: Option<Next>, turn: &Turn<'_>) -> Alive {
        if waits.is_some() != self.waits.is_some() {
            let flags = if waits.is_some() { EventFlags::IN } else { EventFlags::OUT };
            epoll::modify(&turn.epoll, &self.stream, EventData::new_u64(self.name), flags).ok()?;
        }
        // All reads of a head have one deadline together, and so have those of a body.
        if waits != self.waits || self.answered == turn.now {
            let limits = &turn.server.config.limits;
            let time = match waits {
                None => limits.write_time,
                Some(Next::Part(part)) => limits.time(part),
                Some(Next::Over(_)) => LINGER_TIME,
                Some(Next::Idle | Next::Request) => limits.idle_time,
            };
            (self.waits, self.deadline) = (waits, turn.now + time);
        }
        Some(())
    }
}
