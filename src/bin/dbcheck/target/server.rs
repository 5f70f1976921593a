//! The target: the server that is scored, how it is started and ended.
//!
//! 1. With `{port}` each start gets a new port, so that a server is not kept from starting by the
//!    connections of its former life. With a fixed port the start waits until the port is free.
//! 2. IPv4 or IPv6: whichever answers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::target::folder::Folder;
use crate::target::greeting::{Hello, NotUp, answers_at, not_up, wait_until_up};
use crate::target::launch::Launched;
use crate::target::port;

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
    /// What it is greeted with when it has been started.
    pub(crate) hello: Hello,
}

impl Target {
    pub(crate) fn new(origin: Origin) -> std::io::Result<Self> {
        let folder = Folder::new()?;
        let (start_time, hello) = (Duration::ZERO, Hello::default());
        Ok(Target { origin, launched: None, folder, grace: GRACE, start_time, hello })
    }

    /// Whether it can be ended and started again.
    pub(crate) fn can_restart(&self) -> bool {
        matches!(self.origin, Origin::Command { .. })
    }

    /// The data file that the command was given, if it was.
    pub(crate) fn own_data(&self) -> Option<PathBuf> {
        match &self.origin {
            Origin::Command { command, .. } if command.contains("{data}") => {
                Some(self.folder.path().join("data"))
            }
            _ => None,
        }
    }

    /// Whether its files are in a folder that the checker has made.
    pub(crate) fn owns_data(&self) -> bool {
        matches!(&self.origin, Origin::Command { command, .. }
            if command.contains("{data}") || command.contains("{dir}"))
    }

    /// Makes a fresh start possible where the checker made the folder: what is there goes.
    pub(crate) fn forget_data(&self) -> bool {
        self.owns_data()
            && std::fs::remove_dir_all(self.folder.path()).is_ok()
            && std::fs::create_dir(self.folder.path()).is_ok()
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
            Origin::Addresses(addresses) => return answers_at(&addresses, &self.hello),
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
        let folder = self.folder.path().to_string_lossy();
        let command = command
            .replace("{port}", &port.to_string())
            .replace("{data}", &self.folder.path().join("data").to_string_lossy())
            .replace("{dir}", &folder);
        let mut launched = Launched::start(&command, port).map_err(|e| not_up(e.to_string()))?;
        match wait_until_up(&mut launched, port, time, &self.hello) {
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
