//! The target: the server that is scored, how it is started and ended.
//!
//! 1. With `{port}` each start gets a new port, so that a server is not kept from starting by the
//!    connections of its former life. With a fixed port the start waits until the port is free; for
//!    a server that does not set `SO_REUSEADDR` that takes up to a minute each time, so there is a
//!    limit for the whole run.
//! 2. IPv4 or IPv6: whichever answers.
//! 3. What the checker found out on the way, and its reader should know, is noted.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::client::wire;
use crate::target::family::{self, Alone};
use crate::target::files::Files;
use crate::target::free_port::FreePort;
use crate::target::greeting::{Greeting, Hello, Miss, NotUp, Wait, answers_at, not_up};
use crate::target::launch::Launched;
use crate::target::port;

/// How long a server may take to start, and to end when it is asked to.
const START: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(8);

/// The same, for one that has let that time pass once: there are some dozens of restarts.
const SHORT_GRACE: Duration = Duration::from_secs(1);

/// How long to wait in all for a fixed port that is held by connections that are over.
const MOST_HELD: Duration = Duration::from_mins(1);

/// How many ports are tried, where others are faster.
const PORTS: u32 = 3;

/// Where the server comes from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Origin {
    /// A command, with `{port}`, `{data}` and `{dir}` in it; the port where it has no `{port}`.
    Command { command: String, port: u16 },
    /// It runs already, at one of these, which have this name.
    Addresses { name: String, addresses: Vec<SocketAddr> },
}

impl Origin {
    /// Where a reader finds the server after the run: a free port is then another's.
    pub(crate) fn shown(&self) -> String {
        match self {
            Origin::Command { port, .. } => format!("localhost:{port}"),
            Origin::Addresses { name, .. } => name.clone(),
        }
    }
}

/// The server under test.
pub(crate) struct Target {
    origin: Origin,
    /// Before the files, so that it is ended before they go, or are put back.
    launched: Option<Launched>,
    pub(crate) files: Files,
    /// How long it may take to end.
    grace: Duration,
    /// How long its first start took.
    pub(crate) start_time: Duration,
    /// What it is greeted with when it has been started.
    pub(crate) hello: Hello,
    /// The one that it was given, while it has it.
    port: Option<FreePort>,
    /// Where it was found, if it does not listen where it was told.
    found_port: Option<u16>,
    /// Whether closing is all that it does.
    pub(crate) closes: bool,
    /// How long it has waited for a port that was held.
    held: Duration,
}

impl Target {
    /// Makes ready for it: nothing is started yet, and what is the user's is safe afterwards.
    pub(crate) fn new(origin: Origin, data: Option<&str>) -> Result<Self, NotUp> {
        let command = match &origin {
            Origin::Command { command, .. } => Some(&**command),
            Origin::Addresses { .. } => None,
        };
        let files = Files::new(command, data).map_err(not_up)?;
        if command.is_some_and(|command| !command.contains("{port}")) {
            wire::forget_what_is_over();
        }
        Ok(Target {
            origin,
            launched: None,
            files,
            grace: GRACE,
            start_time: Duration::ZERO,
            hello: Hello::default(),
            port: None,
            found_port: None,
            closes: false,
            held: Duration::ZERO,
        })
    }

    /// Whether it can be ended and started again.
    pub(crate) fn can_restart(&self) -> bool {
        matches!(self.origin, Origin::Command { .. })
    }

    /// Starts it, where that is ours to do, and finds where it answers.
    pub(crate) fn start(&mut self) -> Result<SocketAddr, NotUp> {
        self.start_within(START)
    }

    /// Starts it on this port, once: where it can't have that, it is not waited for.
    pub(crate) fn start_on(&mut self, port: u16) -> Result<SocketAddr, NotUp> {
        let Origin::Command { command, .. } = self.origin.clone() else {
            return Err(not_up("it was not started from here"));
        };
        let time = self.start_time * 5 + Duration::from_secs(4);
        self.launch(&command, port, time).map_err(|(miss, output)| {
            let (Miss::Stranger(sentence) | Miss::Other(sentence)) = miss;
            NotUp { sentence, output }
        })
    }

    /// The same, for a server that may rightly refuse to start: no longer than several times what
    /// its first start took.
    pub(crate) fn try_start(&mut self) -> Result<SocketAddr, NotUp> {
        self.start_within(START.min(self.start_time * 5 + Duration::from_secs(4)))
    }

    fn start_within(&mut self, time: Duration) -> Result<SocketAddr, NotUp> {
        let (command, fixed) = match &self.origin {
            Origin::Addresses { name, addresses } => {
                return answers_at(name, addresses, &self.hello);
            }
            Origin::Command { command, port } => (command.clone(), *port),
        };
        let fixed = (!command.contains("{port}")).then_some(fixed);
        let mut tries = 0;
        loop {
            tries += 1;
            let port = if let Some(port) = fixed {
                port
            } else {
                let found = FreePort::find().map_err(|error| not_up(error.to_string()))?;
                self.port.insert(found).number
            };
            wait_until_free(self.found_port.unwrap_or(port), Duration::from_secs(5))?;
            let begun = Instant::now();
            match self.launch(&command, port, time) {
                Ok(address) => {
                    if self.start_time.is_zero() {
                        self.start_time = begun.elapsed();
                    }
                    return Ok(address);
                }
                Err((Miss::Stranger(_), _)) if fixed.is_none() && tries < PORTS => {}
                // Nobody listens on it, and a connection of another program has it.
                Err((_, output)) if fixed.is_none() && tries < PORTS && is_held(port, &output) => {}
                Err((Miss::Stranger(sentence) | Miss::Other(sentence), output)) => {
                    let not_up = NotUp { sentence, output };
                    match fixed {
                        Some(port) if is_held(port, &not_up.output) => {
                            self.wait_held(port, not_up)?;
                        }
                        _ => return Err(not_up),
                    }
                }
            }
        }
    }

    fn launch(
        &mut self,
        command: &str,
        port: u16,
        time: Duration,
    ) -> Result<SocketAddr, (Miss, String)> {
        let filled = self.files.places(port).in_command(command);
        let mut launched = Launched::start(&filled, port)
            .map_err(|error| (Miss::Other(error.to_string()), String::new()))?;
        let told = self.found_port.unwrap_or(port);
        let mut wait = Wait {
            launched: &mut launched,
            port: told,
            time,
            closes: self.closes,
            hello: &self.hello,
        };
        match wait.until_up() {
            Ok((address, greeting)) => {
                self.launched = Some(launched);
                self.closes = greeting == Greeting::Closed;
                if address.port() != port {
                    self.found_port = Some(address.port());
                }
                Ok(address)
            }
            Err(miss) => {
                launched.stop(Signal::KILL, GRACE);
                Err((miss, launched.last_lines()))
            }
        }
    }

    /// Waits until nothing holds the port any more, as long as there is time for that.
    fn wait_held(&mut self, port: u16, not_up: NotUp) -> Result<(), NotUp> {
        let begun = Instant::now();
        let left = MOST_HELD.saturating_sub(self.held);
        loop {
            // Where the system does not tell, it is tried again from time to time.
            thread::sleep(Duration::from_secs(1));
            if !port::is_held(port) || begun.elapsed() > left {
                break;
            }
        }
        let is_over = begun.elapsed() > left;
        self.held += begun.elapsed();
        if !is_over {
            return Ok(());
        }
        let sentence = format!("{}; {}", not_up.sentence, held_sentence(port, self.held));
        Err(NotUp { sentence, ..not_up })
    }

    /// Ends it. Says whether the signal was enough.
    pub(crate) fn stop(&mut self, signal: Signal) -> bool {
        let in_time = self.launched.take().is_none_or(|mut l| l.stop(signal, self.grace));
        if !in_time {
            self.grace = SHORT_GRACE;
        }
        in_time
    }

    /// Sends the signal to the server alone, which listens on this port, and ends what is left then.
    pub(crate) fn stop_alone(&mut self, signal: Signal, port: u16) -> Alone {
        let launched = self.launched.take();
        launched.map_or(Alone::Unknown, |mut l| l.stop_alone(signal, port, self.grace))
    }

    /// The folders that the processes which listen on this port work in.
    pub(crate) fn working_folders(&self, port: u16) -> Vec<PathBuf> {
        if self.launched.is_some() { family::folders(&port::listeners(port)) } else { Vec::new() }
    }

    /// Whether it was started, and not ended by us since.
    pub(crate) fn is_started(&self) -> bool {
        self.launched.is_some()
    }

    /// How the command ended, if it has, or does so soon.
    pub(crate) fn ended_within(&mut self, time: Duration) -> Option<String> {
        let begun = Instant::now();
        let launched = self.launched.as_mut()?;
        loop {
            if let Some(status) = launched.ended() {
                return Some(status.to_string());
            }
            if begun.elapsed() > time {
                return None;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn last_lines(&self) -> String {
        self.launched.as_ref().map(Launched::last_lines).unwrap_or_default()
    }

    /// What the reader of a report should know of how the server was run.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let (Some(found), Origin::Command { command, port }) = (self.found_port, &self.origin) {
            let told = if command.contains("{port}") {
                "the one that {port} and PORT told it".into()
            } else {
                port.to_string()
            };
            notes.push(format!("The server listens on port {found}, not on {told}."));
        }
        if let (false, Origin::Command { port, .. }) = (self.held.is_zero(), &self.origin) {
            notes.push(format!("{}.", held_sentence(*port, self.held)));
        }
        notes.extend(self.files.note());
        notes
    }
}

fn held_sentence(port: u16, time: Duration) -> String {
    format!(
        "port {port} was held by connections that were over (TIME-WAIT) for {} s in all, as the \
         server does not set SO_REUSEADDR",
        time.as_secs()
    )
}

/// Whether it failed to start because of its former life.
fn is_held(port: u16, output: &str) -> bool {
    port::is_held(port) || output.to_lowercase().contains("in use")
}

fn wait_until_free(port: u16, time: Duration) -> Result<(), NotUp> {
    let deadline = Instant::now() + time;
    while port::is_taken(port) {
        if Instant::now() > deadline {
            return Err(not_up(format!(
                "port {port} is in use by another program; end that, or check it with --addr"
            )));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
