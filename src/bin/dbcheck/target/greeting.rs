//! The greeting: whether anybody answers.
//!
//! A server is up when it has answered a whole request. A bare connect, the usual way to wait for a
//! port, ends some servers before the first check; and so does a get while nothing was set. So the
//! first words are a user's: a set.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::dialect::Dialect;
use crate::client::exchange::Client;
use crate::client::wire::{Patience, Trouble};
use crate::target::launch::Launched;

/// Why it does not run.
#[derive(Debug)]
pub(crate) struct NotUp {
    pub(crate) sentence: String,
    /// Its last lines of output.
    pub(crate) output: String,
}

pub(crate) fn not_up(sentence: impl Into<String>) -> NotUp {
    NotUp { sentence: sentence.into(), output: String::new() }
}

/// What a whole request is met with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Greeting {
    /// Bytes.
    Answered,
    /// A close without a byte: somebody is there.
    Closed,
    Silent,
    Nobody,
}

/// The request that a server is greeted with.
#[derive(Debug, Clone)]
pub(crate) struct Hello {
    pub(crate) dialect: Dialect,
    pub(crate) key: String,
    pub(crate) value: String,
    /// Whether the key is asked for, and not set: a set changes the file that the server was started
    /// from.
    pub(crate) reads: bool,
}

impl Default for Hello {
    /// A set in the brief's own form.
    fn default() -> Self {
        let (key, value) = ("dbcheckhello".into(), "hello".into());
        Hello { dialect: Dialect::default(), key, value, reads: false }
    }
}

/// Greets whoever is there.
pub(crate) fn greet(address: SocketAddr, patience: &Patience, hello: &Hello) -> Greeting {
    let Hello { dialect, key, value, reads } = hello;
    let client = Client::new(address, patience.clone(), dialect.clone());
    let said = if *reads { client.get(key) } else { client.set(key, value) };
    match said.answer {
        Ok(_) | Err(Trouble::Cut | Trouble::TooMuch) => Greeting::Answered,
        Err(Trouble::Closed) => Greeting::Closed,
        Err(Trouble::Silent(_)) if !said.received.is_empty() => Greeting::Answered,
        Err(Trouble::Silent(_)) => Greeting::Silent,
        Err(Trouble::Connect(_)) => Greeting::Nobody,
    }
}

fn loopback(port: u16) -> [SocketAddr; 2] {
    [(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]
}

/// Waits for an answer, on either address, or for the end of the command.
pub(crate) fn wait_until_up(
    launched: &mut Launched,
    port: u16,
    time: Duration,
    hello: &Hello,
) -> Result<SocketAddr, String> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(4);
    let mut silent = false;
    let patience = Patience::new(Duration::from_secs(5).min(time));
    while begun.elapsed() < time {
        // Asked before it is tried: a wrapper may end and leave a server that answers.
        let ended = launched.ended();
        for address in loopback(port) {
            match greet(address, &patience, hello) {
                Greeting::Answered | Greeting::Closed => return Ok(address),
                Greeting::Silent => silent = true,
                Greeting::Nobody => {}
            }
        }
        if let Some(status) = ended.filter(|status| !status.success()) {
            return Err(format!("the command ended with {status} before it answered"));
        }
        if ended.is_some() && begun.elapsed() > Duration::from_secs(3) {
            return Err("the command ended, and nothing answers".into());
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
    let seconds = time.as_secs();
    Err(if silent {
        format!("it takes connections on port {port} and answers nothing within {seconds} s")
    } else {
        format!("nothing listens on port {port} of 127.0.0.1 or ::1 within {seconds} s")
    })
}

pub(crate) fn answers_at(addresses: &[SocketAddr], hello: &Hello) -> Result<SocketAddr, NotUp> {
    for &address in addresses {
        let greeting = greet(address, &Patience::new(Duration::from_secs(5)), hello);
        if matches!(greeting, Greeting::Answered | Greeting::Closed) {
            return Ok(address);
        }
    }
    let tried: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    Err(not_up(format!("nothing answers at {}", tried.join(" or "))))
}
