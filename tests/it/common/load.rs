//! Clients that set counted values on a server that is about to end, and keep account of it.
//!
//! The harness in `mod.rs` fails a test when a connection ends; here that is what is waited for.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Instant;

use memchr::memmem;

use crate::common::{PATIENCE, Server};

/// A connection that may end at any time.
pub(crate) struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    Answered {
        status: u16,
        body: String,
        /// Whether the server said that it closes.
        closes: bool,
    },
    /// The connection ended, with these bytes where the answer should be.
    Ended { received: String, sent_at: Option<Instant> },
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Client { stream, received: Vec::new() })
    }

    /// Sends a GET and waits for what becomes of it.
    pub(crate) fn ask(&mut self, target: &str) -> Outcome {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.received.clear();
        let sent = self.stream.write_all(request.as_bytes());
        let sent_at = sent.is_ok().then(Instant::now);
        let mut buffer = [0; 4096];
        loop {
            if let Some(outcome) = whole(&self.received) {
                return outcome;
            }
            match self.stream.read(&mut buffer) {
                Ok(read) if read > 0 => self.received.extend_from_slice(&buffer[..read]),
                end => {
                    if let Err(error) = &end {
                        let kind = error.kind();
                        assert!(kind != io::ErrorKind::WouldBlock, "{target}: no answer, no end");
                    }
                    let received = self.received.escape_ascii().to_string();
                    return Outcome::Ended { received, sent_at };
                }
            }
        }
    }
}

/// The answer, if all of it is there.
fn whole(received: &[u8]) -> Option<Outcome> {
    let end = memmem::find(received, b"\r\n\r\n")?;
    let head = std::str::from_utf8(&received[..end]).unwrap();
    let length: usize =
        head.split("Content-Length: ").nth(1)?.lines().next()?.parse().expect("a length");
    let body = received.get(end + 4..end + 4 + length)?;
    Some(Outcome::Answered {
        status: head[9..12].parse().unwrap(),
        body: String::from_utf8(body.to_vec()).unwrap(),
        closes: head.contains("Connection: close"),
    })
}

/// What a writer knows of one of its keys.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Count {
    /// The last value that was sent.
    pub(crate) sent: u64,
    /// The last value that was answered with 200, or read.
    pub(crate) kept: u64,
}

/// Keys and what is known of them.
pub(crate) type Ledger = BTreeMap<String, Count>;

/// The value for a count: long enough that a line cut short shows.
pub(crate) fn value(count: u64) -> String {
    format!("{count}-{}-{count}", "v".repeat(usize::try_from(count % 90).unwrap()))
}

/// Sets the keys of `ledger` in turn, each to its next value, on one connection, until that ends.
/// Adds to `answered` as it goes, and returns how it ended.
pub(crate) fn set_until_the_end(
    address: SocketAddr,
    ledger: &mut Ledger,
    answered: &AtomicUsize,
) -> Option<Outcome> {
    let mut client = Client::connect(address).ok()?;
    loop {
        for (key, count) in &mut *ledger {
            count.sent += 1;
            match client.ask(&format!("/set?{key}={}", value(count.sent))) {
                Outcome::Answered { status: 200, closes, .. } => {
                    count.kept = count.sent;
                    answered.fetch_add(1, SeqCst);
                    if closes {
                        return None;
                    }
                }
                other @ Outcome::Answered { .. } => panic!("{key}: {other:?}"),
                ended @ Outcome::Ended { .. } => return Some(ended),
            }
        }
    }
}

/// A ledger for each of so many writers, of four keys each.
pub(crate) fn ledgers(writers: usize) -> Vec<Ledger> {
    let keys = |writer| (0..4).map(move |key| (format!("key{writer}-{key}"), Count::default()));
    (0..writers).map(|writer| keys(writer).collect()).collect()
}

/// Checks that the server has for each key a value that was sent, and none older than the last
/// that was answered. What it has now counts as answered from now on.
pub(crate) fn check(server: &Server, ledgers: &mut [Ledger]) {
    let mut client = Client::connect(server.address()).unwrap();
    for (key, count) in ledgers.iter_mut().flatten() {
        let found = match client.ask(&format!("/get?key={key}")) {
            Outcome::Answered { status: 200, body, .. } => body,
            Outcome::Answered { status: 404, .. } if count.kept == 0 => continue,
            other => panic!("{key}, {count:?}: {other:?}"),
        };
        let number = found.split('-').next().and_then(|number| number.parse().ok()).unwrap_or(0);
        assert_eq!(found, value(number), "{key}: not a value that was sent");
        assert!(
            (count.kept..=count.sent).contains(&number),
            "{key}: {number} where {} was answered and {} sent",
            count.kept,
            count.sent
        );
        count.kept = number;
    }
}
