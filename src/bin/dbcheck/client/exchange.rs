//! The client: one request, one answer, on a connection of its own, as curl would do it.
//!
//! It speaks the server's [`Dialect`], which was learned before. It can be copied to other threads.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::client::answer::Answer;
use crate::client::dialect::{Dialect, Place};
use crate::client::wire::{Patience, Trouble, Wire};

/// Everything but the unreserved characters (RFC 3986 §2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How long to wait for a server that is known to be silent.
const MOMENT: Duration = Duration::from_millis(200);

/// A text as it is written in a query.
pub(crate) fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// What was said on a connection, to be judged and shown.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(crate) sent: Vec<u8>,
    pub(crate) received: Vec<u8>,
    pub(crate) answer: Result<Answer, Trouble>,
    /// The same request with curl, where curl can send it.
    pub(crate) curl: Option<String>,
    /// What was said before, where nobody is there any more to hear this.
    pub(crate) after: Option<Box<Exchange>>,
}

impl Exchange {
    /// One that ends with this answer, or without one.
    pub(crate) fn of(wire: &Wire, answer: Result<Answer, Trouble>) -> Self {
        let (sent, received) = (wire.sent.clone(), wire.received.clone());
        Exchange { sent, received, answer, curl: None, after: None }
    }

    /// Whether the server said of this set that the pair is stored.
    pub(crate) fn is_stored(&self, dialect: &Dialect) -> bool {
        self.answer.as_ref().is_ok_and(|answer| dialect.accepts(answer))
    }
}

/// A request without a body.
pub(crate) fn request(method: &str, target: &str, fields: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\n{fields}\r\n")
}

/// The keys that were set, or may have been, by all who share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<HashSet<String>>>);

impl Ledger {
    fn note(&self, key: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.into());
    }

    /// How many pairs there are, or a few more: of some sets nobody waits for the answer.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// How to reach the server, and what was learned of it.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    pub(crate) patience: Patience,
    pub(crate) dialect: Dialect,
    /// What was said last, by this client or a copy of it.
    last: Arc<Mutex<Option<Exchange>>>,
    /// Whether a path that is not in the spec had no answer.
    silent_elsewhere: Arc<AtomicBool>,
    pub(crate) ledger: Ledger,
    /// Where the reader of a report will find the server, once this run is over.
    pub(crate) shown: String,
}

impl Client {
    pub(crate) fn new(address: SocketAddr, patience: Patience, dialect: Dialect) -> Self {
        let (ledger, shown) = (Ledger::default(), format!("localhost:{}", address.port()));
        let (last, silent_elsewhere) = (Arc::default(), Arc::default());
        Client { address, patience, dialect, last, silent_elsewhere, ledger, shown }
    }

    /// The value of Host.
    pub(crate) fn host(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    /// The same client, with another time to wait for an answer.
    pub(crate) fn with_timeout(&self, time: Duration) -> Self {
        Client { patience: self.patience.with(time), ..self.clone() }
    }

    pub(crate) fn connect(&self) -> Result<Wire, Trouble> {
        Wire::connect(self.address, &self.patience)
    }

    /// The bytes of an ordinary request, on a connection that stays open.
    pub(crate) fn bytes(&self, method: &str, target: &str, body: Option<&str>) -> Vec<u8> {
        self.bytes_with(method, target, body, "")
    }

    fn bytes_with(&self, method: &str, target: &str, body: Option<&str>, more: &str) -> Vec<u8> {
        let mut fields = format!("Host: {}\r\n{more}", self.host());
        if body.is_some() {
            fields.push_str("Content-Type: application/x-www-form-urlencoded\r\n");
        }
        if body.is_some() || matches!(method, "POST" | "PUT") {
            let _ = write!(fields, "Content-Length: {}\r\n", body.map_or(0, str::len));
        }
        (request(method, target, &fields) + body.unwrap_or_default()).into_bytes()
    }

    /// Sends these bytes on a connection of their own and reads one answer.
    pub(crate) fn say(&self, bytes: &[u8]) -> Exchange {
        let to_head = bytes.starts_with(b"HEAD ");
        match self.connect() {
            Ok(mut wire) => {
                wire.send(bytes);
                let answer = wire.answer(to_head);
                let said = Exchange::of(&wire, answer);
                *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(said.clone());
                said
            }
            Err(trouble) => Exchange {
                sent: bytes.to_vec(),
                received: Vec::new(),
                answer: Err(trouble),
                curl: None,
                after: self.said_last().map(Box::new),
            },
        }
    }

    /// What was said last to somebody who was there.
    pub(crate) fn said_last(&self) -> Option<Exchange> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// An ordinary request that asks the server to close afterwards.
    pub(crate) fn ask(&self, method: &str, target: &str) -> Exchange {
        self.ask_with(method, target, None)
    }

    /// The same, with a form in its body.
    pub(crate) fn ask_with(&self, method: &str, target: &str, body: Option<&str>) -> Exchange {
        let bytes = self.bytes_with(method, target, body, "Connection: close\r\n");
        // Nobody copies a command of six thousand bytes.
        let curl = (target.len() < 200).then(|| self.curl(method, target, body));
        Exchange { curl, ..self.say(&bytes) }
    }

    /// Asks for a path that is not in the spec. A server that was silent about one is silent about the
    /// others: it is given little time for each, as there may be dozens.
    pub(crate) fn ask_elsewhere(&self, method: &str, target: &str) -> Exchange {
        let is_silent = self.silent_elsewhere.load(Ordering::Relaxed);
        let time = if is_silent { self.patience.answer.min(MOMENT) } else { self.patience.answer };
        let ask = self.with_timeout(time).ask(method, target);
        if matches!(ask.answer, Err(Trouble::Silent(_))) {
            self.silent_elsewhere.store(true, Ordering::Relaxed);
        }
        ask
    }

    /// Sets a pair; key and value as they are written in the query. Where the server is known to
    /// store it later than it says so, that time is waited for: one check speaks of it, and no
    /// other.
    pub(crate) fn set(&self, key: &str, value: &str) -> Exchange {
        let (target, body) = self.dialect.set(key, value);
        let set = self.ask_with(self.dialect.method, &target, body.as_deref());
        if set.is_stored(&self.dialect) {
            self.ledger.note(key);
            self.settle();
        }
        set
    }

    /// Waits until what was set is stored.
    pub(crate) fn settle(&self) {
        if let Some(time) = self.dialect.settles_in() {
            thread::sleep(time);
        }
    }

    /// Asks for a key, as it is written in the query.
    pub(crate) fn get(&self, key: &str) -> Exchange {
        self.ask("GET", &self.dialect.get(key))
    }

    /// The bytes of a set, on a connection that stays open.
    pub(crate) fn set_bytes(&self, key: &str, value: &str) -> Vec<u8> {
        self.ledger.note(key);
        let (target, body) = self.dialect.set(key, value);
        self.bytes(self.dialect.method, &target, body.as_deref())
    }

    /// The bytes of a get, on a connection that stays open.
    pub(crate) fn get_bytes(&self, key: &str) -> Vec<u8> {
        self.bytes("GET", &self.dialect.get(key), None)
    }

    /// Whether the pair can be put into a query, and not only into a body.
    pub(crate) fn sets_by_query(&self) -> bool {
        self.dialect.place != Place::Body
    }

    fn curl(&self, method: &str, target: &str, body: Option<&str>) -> String {
        let mut curl = String::from("curl -i");
        match method {
            "GET" if body.is_none() => {}
            "HEAD" => curl.push_str(" --head"),
            _ => {
                let _ = write!(curl, " -X {method}");
            }
        }
        if let Some(body) = body {
            let _ = write!(curl, " -d '{body}'");
        }
        let quoted = target.replace('\'', "%27");
        let _ = write!(curl, " 'http://{}{quoted}'", self.shown);
        curl
    }
}
