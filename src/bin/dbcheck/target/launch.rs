//! The launch: a command in a process group of its own, what it printed, and its end.
//!
//! 1. The command runs under `sh -c`, so it may be `cd app && npm start`. Whatever it forks is in
//!    its group, and a signal goes to the whole group.
//! 2. Its output is always read, whether or not anybody wants it: a full pipe stops a server. Only
//!    the last of it is kept.
//! 3. Wrappers end before their server, and some servers leave the group. So the end is when no
//!    process is left in the group, and none that has the run's mark; these get the same signal.

use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};

use crate::target::family::{self, Alone};
use crate::target::{port, process};

/// This much of a server's output is kept.
const MOST_OUTPUT: usize = 16 << 10;

/// The group that runs, for whoever must end it when the checker itself is ended.
static RUNNING: Mutex<Option<Pid>> = Mutex::new(None);

/// Ends what runs, at once, and waits until it has no file open any more. From then on nothing is
/// started: whoever tries waits until the checker itself is over.
pub(crate) fn abandon() {
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    let group = *running;
    std::mem::forget(running);
    let Some(group) = group else { return };
    let strays = process::marked();
    let _ = kill_process_group(group, Signal::KILL);
    for &stray in &strays {
        let _ = kill_process(stray, Signal::KILL);
    }
    let deadline = Instant::now() + Duration::from_secs(2);
    let runs = || process::group_runs(group) || strays.iter().any(|&stray| process::runs(stray));
    while runs() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(3));
    }
}

/// A command that was started.
pub(crate) struct Launched {
    child: Child,
    group: Pid,
    ended: Option<ExitStatus>,
    /// Whether nothing is left of it.
    is_over: bool,
    output: Arc<Mutex<Vec<u8>>>,
}

impl Launched {
    /// Starts it. `PORT` in its environment is the port, for servers that look there.
    pub(crate) fn start(command: &str, port: u16) -> std::io::Result<Self> {
        let (mark, run) = process::mark();
        // Held from before the start: a signal finds all that runs, or nothing is started any more.
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut child = Command::new("sh")
            .args(["-c", command])
            .env(mark, run)
            .env("PORT", port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let group = Pid::from_child(&child);
        *running = Some(group);
        drop(running);
        let output = Arc::default();
        if let Some(pipe) = child.stdout.take() {
            keep_last(pipe, Arc::clone(&output))?;
        }
        if let Some(pipe) = child.stderr.take() {
            keep_last(pipe, Arc::clone(&output))?;
        }
        Ok(Launched { child, group, ended: None, is_over: false, output })
    }

    /// How the command ended, if it did. A server that left it behind may go on.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended
    }

    /// The last lines that it printed, without what a terminal would act on.
    pub(crate) fn last_lines(&self) -> String {
        // The last words of what has ended may still be in the pipe. Whoever is left may hold that.
        let deadline = Instant::now() + Duration::from_secs(1);
        let has_readers = || Arc::strong_count(&self.output) > 1;
        while self.ended.is_some() && has_readers() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        let output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&output).into_owned();
        let lines: Vec<String> = text
            .lines()
            .rev()
            .filter(|line| !line.trim().is_empty())
            .take(12)
            .map(|line| line.chars().filter(|c| !c.is_control()).take(200).collect())
            .collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Sends a signal to the server alone, which listens on `port`, as a service manager does, and looks
    /// what is left. That is ended too.
    pub(crate) fn stop_alone(&mut self, signal: Signal, port: u16, grace: Duration) -> Alone {
        let Some(server) = family::server(&port::listeners(port), self.group) else {
            self.stop(Signal::KILL, grace);
            return Alone::Unknown;
        };
        let _ = kill_process(server, signal);
        let deadline = Instant::now() + grace;
        while process::runs(server) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(3));
        }
        let strays = self.strays();
        let alone = if process::runs(server) {
            Alone::Ignored
        } else if self.wait_for_end(Duration::from_secs(1), &strays) {
            Alone::Ended
        } else {
            Alone::Left(self.processes().into_iter().map(family::describe).collect())
        };
        self.stop(Signal::KILL, grace);
        alone
    }

    /// Sends a signal to the whole group, and waits for the end; after `grace` it is SIGKILL. Says
    /// whether the first signal was enough.
    pub(crate) fn stop(&mut self, signal: Signal, grace: Duration) -> bool {
        if self.is_over {
            return true;
        }
        // Looked up before: afterwards the wrapper's children have other parents.
        let strays = self.strays();
        self.send(signal, &strays);
        let in_time = self.wait_for_end(grace, &strays);
        // What ignores its parent's end, or was started meanwhile, is not left behind.
        let strays = self.strays();
        self.is_over = in_time && strays.is_empty();
        if !self.is_over {
            self.send(Signal::KILL, &strays);
            self.is_over = self.wait_for_end(Duration::from_secs(5), &strays);
        }
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) = None;
        in_time
    }

    /// All that it has started and that still runs.
    pub(crate) fn processes(&self) -> Vec<Pid> {
        let mut all = process::members(self.group);
        all.extend(self.strays().into_iter().filter(|&one| process::runs(one)));
        all
    }

    /// Those of them that have left the group.
    fn strays(&self) -> Vec<Pid> {
        let mut marked = process::marked();
        marked.retain(|&one| !process::is_in(self.group, one));
        marked
    }

    fn send(&mut self, signal: Signal, strays: &[Pid]) {
        // Once nobody is left in the group its number may be another's.
        if self.ended().is_none() || test_kill_process_group(self.group).is_ok() {
            let _ = kill_process_group(self.group, signal);
        }
        for &stray in strays {
            let _ = kill_process(stray, signal);
        }
    }

    fn wait_for_end(&mut self, time: Duration, strays: &[Pid]) -> bool {
        let deadline = Instant::now() + time;
        loop {
            let is_over = self.ended().is_some() && !strays.iter().any(|&one| process::runs(one));
            if is_over && !process::group_runs(self.group) {
                process::bury(self.group, strays);
                return true;
            }
            if Instant::now() > deadline {
                return false;
            }
            thread::sleep(Duration::from_millis(3));
        }
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        self.stop(Signal::KILL, Duration::from_secs(5));
    }
}

/// Reads a pipe to its end, on a thread that ends with the last process that holds it.
fn keep_last(
    mut pipe: impl Read + Send + 'static,
    output: Arc<Mutex<Vec<u8>>>,
) -> std::io::Result<()> {
    let read = move || {
        let mut buffer = [0; 8 << 10];
        while let Ok(read @ 1..) = pipe.read(&mut buffer) {
            let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
            output.extend_from_slice(&buffer[..read]);
            let surplus = output.len().saturating_sub(MOST_OUTPUT);
            output.drain(..surplus);
        }
    };
    thread::Builder::new().name("output".into()).spawn(read).map(drop)
}
