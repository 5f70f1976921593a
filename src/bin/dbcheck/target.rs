//! The target: the server that is scored, how it is started, and whether it answers.
//!
//! 1. It is up when it has answered a whole request. A bare connect, the usual way to wait for a
//!    port, ends some servers before the first check.
//! 2. With `{port}` each start gets a new port, so that a server is not kept from starting by the
//!    connections of its former life. With a fixed port the start waits until the port is free.
//! 3. IPv4 or IPv6: whichever answers.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::client::request;
use crate::launch::{self, Launched};
use crate::port;
use crate::wire::{Patience, Trouble, Wire};

/// How long a server may take to start, and to end when it is asked to.
const START: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(8);

/// The same, for one that has let that time pass once: there are some dozens of restarts.
const SHORT_GRACE: Duration = Duration::from_secs(1);

/// Where the server comes from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Origin {
    /// A command, with `{port}`, `{data}` and `{dir}` in it; the port where it has no `{port}`.
    Command { command: String, port: u16 },
    /// It runs already, at one of these.
    Addresses(Vec<SocketAddr>),
}

/// Why it does not run.
#[derive(Debug)]
pub(crate) struct NotUp {
    pub(crate) sentence: String,
    /// Its last lines of output.
    pub(crate) output: String,
}

/// The server under test.
pub(crate) struct Target {
    origin: Origin,
    /// Before the folder, so that it is ended before its files go.
    launched: Option<Launched>,
    folder: Folder,
    /// How long it may take to end.
    grace: Duration,
    /// How long its first start took.
    pub(crate) start_time: Duration,
}

impl Target {
    pub(crate) fn new(origin: Origin) -> std::io::Result<Self> {
        let folder = Folder::new()?;
        Ok(Target { origin, launched: None, folder, grace: GRACE, start_time: Duration::ZERO })
    }

    /// Whether it can be ended and started again.
    pub(crate) fn can_restart(&self) -> bool {
        matches!(self.origin, Origin::Command { .. })
    }

    /// The data file that the command was given, if it was.
    pub(crate) fn own_data(&self) -> Option<PathBuf> {
        match &self.origin {
            Origin::Command { command, .. } if command.contains("{data}") => {
                Some(self.folder.0.join("data"))
            }
            _ => None,
        }
    }

    /// Makes a fresh start possible where the checker made the folder: what is there goes.
    pub(crate) fn forget_data(&self) -> bool {
        let ours = matches!(&self.origin, Origin::Command { command, .. }
            if command.contains("{data}") || command.contains("{dir}"));
        ours && std::fs::remove_dir_all(&self.folder.0).is_ok()
            && std::fs::create_dir(&self.folder.0).is_ok()
    }

    /// Starts it, where that is ours to do, and finds where it answers.
    pub(crate) fn start(&mut self) -> Result<SocketAddr, NotUp> {
        self.start_within(START)
    }

    /// The same, for a server that may rightly refuse to start: no longer than several times what
    /// its first start took.
    pub(crate) fn try_start(&mut self) -> Result<SocketAddr, NotUp> {
        self.start_within(START.min(self.start_time * 5 + Duration::from_secs(4)))
    }

    fn start_within(&mut self, time: Duration) -> Result<SocketAddr, NotUp> {
        let (command, fixed) = match self.origin.clone() {
            Origin::Addresses(addresses) => return answers_at(&addresses),
            Origin::Command { command, port } => (command, port),
        };
        let chooses = command.contains("{port}");
        let port = if chooses { port::free().map_err(|e| not_up(e.to_string()))? } else { fixed };
        wait_until_free(port, Duration::from_secs(5))?;
        let begun = Instant::now();
        let first = self.launch(&command, port, time);
        let taken_by_the_dead = !chooses
            && self.start_time > Duration::ZERO
            && first.as_ref().is_err_and(|not_up| not_up.output.to_lowercase().contains("in use"));
        let address = if taken_by_the_dead {
            // Connections of its former life keep a server from binding that does not set
            // SO_REUSEADDR; the system forgets them after a minute.
            let deadline = Instant::now() + Duration::from_secs(65);
            let mut again = first;
            while again.is_err() && Instant::now() < deadline {
                thread::sleep(Duration::from_secs(2));
                again = self.launch(&command, port, time);
            }
            again?
        } else {
            first?
        };
        if self.start_time.is_zero() {
            self.start_time = begun.elapsed();
        }
        Ok(address)
    }

    fn launch(&mut self, command: &str, port: u16, time: Duration) -> Result<SocketAddr, NotUp> {
        let folder = self.folder.0.to_string_lossy();
        let command = command
            .replace("{port}", &port.to_string())
            .replace("{data}", &self.folder.0.join("data").to_string_lossy())
            .replace("{dir}", &folder);
        let mut launched = Launched::start(&command, port).map_err(|e| not_up(e.to_string()))?;
        match wait_until_up(&mut launched, port, time) {
            Ok(address) => {
                self.launched = Some(launched);
                Ok(address)
            }
            Err(sentence) => {
                launched.stop(Signal::KILL, GRACE);
                Err(NotUp { sentence, output: launched.last_lines() })
            }
        }
    }

    /// Ends it. Says whether the signal was enough.
    pub(crate) fn stop(&mut self, signal: Signal) -> bool {
        let in_time = self.launched.take().is_none_or(|mut l| l.stop(signal, self.grace));
        if !in_time {
            self.grace = SHORT_GRACE;
        }
        in_time
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
}

fn not_up(sentence: impl Into<String>) -> NotUp {
    NotUp { sentence: sentence.into(), output: String::new() }
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

fn loopback(port: u16) -> [SocketAddr; 2] {
    [(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]
}

/// Waits for an answer, on either address, or for the end of the command.
fn wait_until_up(launched: &mut Launched, port: u16, time: Duration) -> Result<SocketAddr, String> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(4);
    let mut silent = false;
    let patience = Patience::new(Duration::from_secs(5).min(time));
    while begun.elapsed() < time {
        // Asked before it is tried: a wrapper may end and leave a server that answers.
        let ended = launched.ended();
        for address in loopback(port) {
            match greet(address, &patience) {
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

fn answers_at(addresses: &[SocketAddr]) -> Result<SocketAddr, NotUp> {
    for &address in addresses {
        let greeting = greet(address, &Patience::new(Duration::from_secs(5)));
        if matches!(greeting, Greeting::Answered | Greeting::Closed) {
            return Ok(address);
        }
    }
    let tried: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    Err(not_up(format!("nothing answers at {}", tried.join(" or "))))
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

/// Asks for a key that nobody has set, as any client would.
pub(crate) fn greet(address: SocketAddr, patience: &Patience) -> Greeting {
    let Ok(mut wire) = Wire::connect(address, patience) else {
        return Greeting::Nobody;
    };
    let fields = format!("Host: localhost:{}\r\nConnection: close\r\n", address.port());
    wire.send(request("GET", "/get?key=dbcheck-are-you-there", &fields).as_bytes());
    match wire.answer(false) {
        Ok(_) | Err(Trouble::Cut | Trouble::TooMuch) => Greeting::Answered,
        Err(Trouble::Closed) => Greeting::Closed,
        Err(Trouble::Silent(_)) if !wire.received.is_empty() => Greeting::Answered,
        Err(Trouble::Silent(_)) => Greeting::Silent,
        Err(Trouble::Connect(_)) => Greeting::Nobody,
    }
}

/// The folder, for whoever must remove it when the checker itself is ended.
static OURS: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Ends the server and removes its files, at once.
pub(crate) fn abandon() {
    launch::abandon();
    if let Some(folder) = OURS.lock().unwrap_or_else(PoisonError::into_inner).take() {
        let _ = std::fs::remove_dir_all(folder);
    }
}

/// A folder for the server's files, removed afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new() -> std::io::Result<Self> {
        let base: &Path = &std::env::temp_dir();
        for number in 0..1000 {
            let folder = base.join(format!("dbcheck-{}-{number}", std::process::id()));
            match std::fs::create_dir(&folder) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                made => {
                    made?;
                    *OURS.lock().unwrap_or_else(PoisonError::into_inner) = Some(folder.clone());
                    return Ok(Folder(folder));
                }
            }
        }
        Err(std::io::Error::other("no name for a temporary folder is free"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
