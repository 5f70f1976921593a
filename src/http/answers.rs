//! The answers: from a whole request to the bytes of its answer, without a socket.
//!
//! 1. Every request gets one answer, in the order of the requests: what its handler says, or the
//!    refusal of a step before that.
//! 2. A panic in a handler is the problem of that request. What it had written is taken back, and it
//!    is answered with 500.
//! 3. Answers are collected until the connection writes them.
//!
//! The naive version lets the panic end the thread, and the client waits for an answer that never
//! comes.
//!
//! Next: [`crate::http::access`], the first that a request meets here.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::SystemTime;

use crate::config::Config;
use crate::http::access;
use crate::http::access_log;
use crate::http::refusal::Refusal;
use crate::http::request::Request;
use crate::http::response::{Clock, Persistence, Reply};
use crate::store::engine::Engine;
use crate::watch::stage::{Stage, reached};

/// Answers are written when they have grown to this many bytes, even if more could be answered.
const OUTPUT_FULL: usize = 64 << 10;

/// The answers of one connection that are not written yet, and what it takes to make them.
///
/// # Examples
/// ```
/// use std::net::Ipv4Addr;
/// use std::time::SystemTime;
/// use dbserver::http::answers::Answers;
/// use dbserver::http::request::Request;
/// use dbserver::{Config, MemoryStore};
///
/// let (engine, config) = (MemoryStore::new(), Config::default());
/// let client = Ipv4Addr::LOCALHOST.into();
/// let mut answers = Answers::new(&engine, &config, client, SystemTime::now());
/// let mut head = *b"GET /set?a=b HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// let open = answers.answer(&Request::parse(&mut head).unwrap(), false);
/// assert!(open && answers.ready().starts_with(b"HTTP/1.1 200 OK\r\n"));
/// // Once these bytes are written:
/// answers.clear();
/// ```
pub struct Answers<'s> {
    engine: &'s dyn Engine,
    config: &'s Config,
    output: Vec<u8>,
    clock: Clock,
    log: Option<access_log::Lines>,
}

impl<'s> Answers<'s> {
    /// No answers yet, for a client with this address.
    #[must_use]
    pub fn new(
        engine: &'s dyn Engine,
        config: &'s Config,
        client: IpAddr,
        now: SystemTime,
    ) -> Self {
        let log = config.log.then(|| access_log::Lines::new(client));
        Answers { engine, config, output: Vec::new(), clock: Clock::new(now), log }
    }

    /// Gives the answers from now on this time.
    pub fn tick(&mut self, now: SystemTime) {
        self.clock.tick(now);
    }

    /// The bytes that are to be written.
    #[must_use]
    pub fn ready(&self) -> &[u8] {
        &self.output
    }

    /// Whether there is enough for a write: of answers, or of lines about them.
    #[must_use]
    pub fn are_full(&self) -> bool {
        let log_is_full = self.log.as_ref().is_some_and(access_log::Lines::are_full);
        log_is_full || self.output.len() >= OUTPUT_FULL
    }

    /// They have been written, or never will be.
    pub fn clear(&mut self) {
        self.output.clear();
        if self.output.capacity() > OUTPUT_FULL {
            self.output = Vec::new();
        }
        if let Some(log) = &mut self.log {
            log.print();
        }
    }

    /// Takes back what was appended after the first `length` bytes.
    pub fn take_back(&mut self, length: usize) {
        self.output.truncate(length);
    }

    /// Appends the answer to the output, and returns whether the connection stays open: not where the
    /// client wants it closed, and not where we do (`last`).
    pub fn answer(&mut self, request: &Request<'_>, last: bool) -> bool {
        let Request { method, path, query, .. } = *request;
        reached(Stage::Parsed { method, path, query, head: request.head_bytes });
        let persistence = if last { Persistence::Close } else { request.persistence };
        let with_body = method != "HEAD";
        let clock = &self.clock;
        let output = &mut self.output;
        let before = output.len();
        // A panic in a handler is that request's problem alone.
        let served = catch_unwind(AssertUnwindSafe(|| {
            access::check(request, &self.config.allow_hosts)?;
            let handler = self.config.routes.find(method, path)?;
            handler(self.engine, query, Reply { output, clock, persistence, with_body })
        }));
        let sent = served.unwrap_or(Err(Refusal::Panic)).unwrap_or_else(|refusal| {
            let output = &mut self.output;
            output.truncate(before);
            refusal.send(Reply { output, clock, persistence, with_body })
        });
        sent.say(&self.output[before..], persistence == Persistence::Close);
        if let Some(log) = &mut self.log {
            log.add(request.line, sent, clock.date());
        }
        persistence != Persistence::Close
    }

    /// Appends the last answer: what was wrong with `input`.
    pub fn refuse(&mut self, refusal: &Refusal, input: &[u8]) {
        // What was asked for is known even where the rest is not: HEAD gets no body (RFC 9110 §9.3.2).
        let with_body = !input.trim_ascii_start().starts_with(b"HEAD ");
        let (output, clock) = (&mut self.output, &self.clock);
        let before = output.len();
        let sent =
            refusal.send(Reply { output, clock, persistence: Persistence::Close, with_body });
        sent.say(&self.output[before..], true);
        if let Some(log) = &mut self.log {
            log.add(input, sent, clock.date());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::store::memory::MemoryStore;

    const GET: &[u8] = b"GET /get?key=a HTTP/1.1\r\nHost: localhost\r\n\r\n";

    fn answered(answers: &mut Answers<'_>, head: &[u8]) -> bool {
        answers.answer(&Request::parse(&mut head.to_vec()).unwrap(), false)
    }

    #[test]
    fn a_clock_that_is_wrong_by_millennia_ends_no_connection() {
        let (engine, config) = (MemoryStore::new(), Config { log: true, ..Config::default() });
        // Before 1970, in the year 36812, and as far as the type can tell.
        let far = Duration::from_secs(i64::MAX as u64);
        for now in [UNIX_EPOCH - far, UNIX_EPOCH + Duration::from_secs(1 << 40), UNIX_EPOCH + far] {
            let mut answers = Answers::new(&engine, &config, Ipv4Addr::LOCALHOST.into(), now);
            answers.tick(now);
            assert!(answered(&mut answers, GET));
            answers.refuse(&Refusal::BadRequestLine, b"nonsense");
            let text = String::from_utf8_lossy(answers.ready());
            let year = if now < UNIX_EPOCH { " 1970 " } else { " 9999 " };
            assert_eq!(text.matches(year).count(), 2, "{text}");
        }
    }

    #[test]
    fn an_answer_bears_the_time_of_the_last_tick_until_it_is_taken_back() {
        let (engine, config) = (MemoryStore::new(), Config::default());
        let client = Ipv4Addr::LOCALHOST.into();
        let mut answers = Answers::new(&engine, &config, client, UNIX_EPOCH);
        assert!(answered(&mut answers, GET));
        let first = answers.ready().to_vec();
        assert!(String::from_utf8_lossy(&first).contains(" 00:00:00 GMT"));
        answers.tick(UNIX_EPOCH + Duration::from_secs(61));
        assert!(answered(&mut answers, GET));
        let second = String::from_utf8_lossy(&answers.ready()[first.len()..]).into_owned();
        assert!(second.contains(" 00:01:01 GMT"), "{second}");
        answers.take_back(first.len());
        assert_eq!(answers.ready(), first);
    }

    #[test]
    fn a_large_answer_is_a_reason_to_write_and_its_room_is_given_back() {
        let (engine, config) = (MemoryStore::new(), Config::default());
        engine.set("large", &"v".repeat(OUTPUT_FULL)).unwrap();
        let client = Ipv4Addr::LOCALHOST.into();
        let mut answers = Answers::new(&engine, &config, client, UNIX_EPOCH);
        for (key, is_large) in [("small", false), ("large", true)] {
            let head = format!("GET /get?key={key} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            assert!(answered(&mut answers, head.as_bytes()));
            assert_eq!(answers.are_full(), is_large);
            answers.clear();
            assert_eq!(answers.ready(), b"");
            assert_eq!(answers.output.capacity() == 0, is_large);
        }
    }

    #[test]
    fn long_lines_in_the_log_are_a_reason_to_write() {
        let config = Config { log: true, ..Config::default() };
        let engine = MemoryStore::new();
        let client = Ipv4Addr::LOCALHOST.into();
        let mut answers = Answers::new(&engine, &config, client, UNIX_EPOCH);
        let target = "x".repeat(8 << 10);
        let head = format!("GET /get?key={target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let mut count = 0;
        while !answers.are_full() {
            assert!(answered(&mut answers, head.as_bytes()));
            count += 1;
        }
        assert!(count <= 9 && answers.ready().len() < OUTPUT_FULL, "{count}");
    }
}
