//! The greeting: whether anybody answers, and whether that is the server that was started.
//!
//! 1. A server is up when it has answered a whole request. A bare connect, the usual way to wait for
//!    a port, ends some servers before the first check; and so does a get while nothing was set. So
//!    the first words are a user's: a set.
//! 2. A proxy in front of a server is up before it: it closes, or answers 502 to 504, until the
//!    server behind it is there. That is waited for. Some servers do nothing but close; these are
//!    taken as they are after a while.
//! 3. A server that does not listen where it was told is found through the processes that were
//!    started, and a stranger that was faster at the port is known by not being one of them.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::dialect::Dialect;
use crate::client::exchange::Client;
use crate::client::wire::{Patience, Trouble};
use crate::target::launch::Launched;
use crate::target::port;

/// How long a server that closes all connections may be one that is about to start.
const CLOSES: Duration = Duration::from_secs(10);

/// After this time a server is looked for on other ports than the one that it was told.
const ELSEWHERE: Duration = Duration::from_secs(1);

/// After this time somebody who listens, and was not seen to be started by the command, is taken for
/// the server: it may be a container, or the child of a service that ran before.
const OUTSIDE: Duration = Duration::from_secs(2);

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
    /// 502, 503 or 504: a proxy is in front of a server that is not there yet.
    Unready(u16),
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
        Ok(answer) if (502..=504).contains(&answer.status) => Greeting::Unready(answer.status),
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

/// Why nothing came of a start.
pub(crate) enum Miss {
    /// Somebody else listens on the port.
    Stranger(String),
    Other(String),
}

/// A start that is waited for.
pub(crate) struct Wait<'a> {
    pub(crate) launched: &'a mut Launched,
    /// Where it was told to listen, or was found last time.
    pub(crate) port: u16,
    pub(crate) time: Duration,
    /// Whether closing is all that it is known to do.
    pub(crate) closes: bool,
    pub(crate) hello: &'a Hello,
}

impl Wait<'_> {
    /// Waits for an answer, on either address, or for the end of the command. Returns where it is,
    /// and how it answers: by closing, at worst.
    pub(crate) fn until_up(&mut self) -> Result<(SocketAddr, Greeting), Miss> {
        let begun = Instant::now();
        let mut pause = Duration::from_millis(4);
        let patience = Patience::new(Duration::from_secs(5).min(self.time));
        let mut last = Greeting::Nobody;
        let mut closed_since = None;
        while begun.elapsed() < self.time {
            // Asked before it is tried: a wrapper may end and leave a server that answers.
            let ended = self.launched.ended();
            for address in loopback(self.port) {
                let greeting = greet(address, &patience, self.hello);
                if greeting == Greeting::Nobody {
                    continue;
                }
                last = greeting;
                let is_over = match greeting {
                    Greeting::Answered => true,
                    Greeting::Closed => {
                        let since = *closed_since.get_or_insert_with(Instant::now);
                        self.closes || since.elapsed() > CLOSES
                    }
                    _ => false,
                };
                if is_over && (self.is_ours() || begun.elapsed() > OUTSIDE) {
                    return Ok((address, greeting));
                }
            }
            if last == Greeting::Nobody
                && begun.elapsed() > ELSEWHERE
                && let Some(address) = self.elsewhere(&patience)
            {
                return Ok((address, Greeting::Answered));
            }
            if let Some(status) = ended {
                self.is_hopeless(status, begun.elapsed())?;
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(100));
        }
        Err(Miss::Other(self.sentence(last)))
    }

    /// Whether one of the processes that were started listens there, as far as the system tells.
    fn is_ours(&self) -> bool {
        let started = self.launched.processes();
        port::of_processes(&started).any(|port| port == self.port)
            || port::listeners(self.port).is_empty()
    }

    /// Where else something that was started answers.
    fn elsewhere(&self, patience: &Patience) -> Option<SocketAddr> {
        let ports: BTreeSet<u16> = port::of_processes(&self.launched.processes()).collect();
        let others = ports.into_iter().filter(|&port| port != self.port);
        others
            .flat_map(loopback)
            .find(|&address| greet(address, patience, self.hello) == Greeting::Answered)
    }

    /// Whether nothing is to be expected of a command that has ended.
    fn is_hopeless(&self, status: ExitStatus, elapsed: Duration) -> Result<(), Miss> {
        if status.success() && elapsed <= Duration::from_secs(3) {
            return Ok(());
        }
        if !self.is_ours() {
            let pids: Vec<String> =
                port::listeners(self.port).iter().map(ToString::to_string).collect();
            return Err(Miss::Stranger(format!(
                "the command ended with {status}, and another program has taken port {} (process {})",
                self.port,
                pids.join(", ")
            )));
        }
        Err(Miss::Other(if status.success() {
            "the command ended, and nothing answers".into()
        } else {
            format!("the command ended with {status} before it answered")
        }))
    }

    fn sentence(&self, last: Greeting) -> String {
        let (port, seconds) = (self.port, self.time.as_secs());
        match last {
            Greeting::Nobody => {
                format!("nothing listens on port {port} of 127.0.0.1 or ::1 within {seconds} s")
            }
            Greeting::Unready(status) => format!(
                "port {port} answers {status} for {seconds} s: the server behind it is not there"
            ),
            _ => format!(
                "it takes connections on port {port} and answers nothing within {seconds} s"
            ),
        }
    }
}

/// Which of the addresses of a server that runs already answers.
pub(crate) fn answers_at(
    name: &str,
    addresses: &[SocketAddr],
    hello: &Hello,
) -> Result<SocketAddr, NotUp> {
    for &address in addresses {
        let greeting = greet(address, &Patience::new(Duration::from_secs(5)), hello);
        if !matches!(greeting, Greeting::Silent | Greeting::Nobody) {
            return Ok(address);
        }
    }
    let tried: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    Err(not_up(format!("nothing answers at {name} ({})", tried.join(" or "))))
}
