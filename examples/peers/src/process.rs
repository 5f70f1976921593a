//! A server in a process of its own, seen from outside: it is started on a free port, waited for,
//! read off `/proc`, put on one processor, and ended.
//!
//! Next: [`crate::client`], which asks it.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// How long a server may take to start, with its data.
const START: Duration = Duration::from_mins(1);
/// How long it may take to stop when it is asked to.
const STOP: Duration = Duration::from_secs(6);

/// A server that runs until this value is dropped.
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) port: u16,
    started: Instant,
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts a program. Its arguments are split at spaces; in them `{port}` is replaced by a free port
    /// of 127.0.0.1, and `{data}` by the path of its data. What it prints goes to a file in `folder`.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub(crate) fn start(
        name: &str,
        words: &[PathBuf],
        arguments: &str,
        folder: &Path,
        data: &Path,
    ) -> Result<Server> {
        let port = free_port()?;
        let put_in = |word: &str| {
            let word = word.replace("{port}", &port.to_string());
            word.replace("{data}", &data.display().to_string())
        };
        let log = folder.join(format!("{}.log", name.replace(' ', "-")));
        let file = fs::File::create(&log).with_context(|| log.display().to_string())?;
        let (program, first) = words.split_first().context("a server without a program")?;
        let mut command = Command::new(program);
        command.args(first).args(arguments.split(' ').map(put_in));
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let started = Instant::now();
        let child =
            command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Server { name: name.to_owned(), port, started, child, log })
    }

    /// Waits until `is_ready` says so; returns how long that was after the start.
    ///
    /// # Errors
    ///
    /// If the program ends before, or takes too long.
    pub(crate) fn wait_until(&mut self, mut is_ready: impl FnMut(u16) -> bool) -> Result<Duration> {
        loop {
            if is_ready(self.port) {
                return Ok(self.started.elapsed());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended, {status}: {}", self.name, self.said());
            }
            if self.started.elapsed() > START {
                bail!("{} does not answer on port {}: {}", self.name, self.port, self.said());
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// The end of what it has printed.
    pub(crate) fn said(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }

    /// The CPU time that it has used, with all its threads, in seconds.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        stat(&self.child.id().to_string()).map_or(0.0, |[own, _]| own)
    }

    /// Waits until it uses no CPU time, five seconds at the longest: some go on for a while after their
    /// clients have left, and would be measured as a part of the next server.
    pub(crate) fn wait_until_idle(&self) {
        let begun = Instant::now();
        let mut before = f64::NEG_INFINITY;
        // The system counts in hundredths of a second.
        while self.cpu_seconds() > before && begun.elapsed() < Duration::from_secs(5) {
            before = self.cpu_seconds();
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// A figure of `/proc/PID/status`: KiB, or a count.
    pub(crate) fn status(&self, field: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let text = text.unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    /// Lets all its threads run on these processors only. Threads that they make later do too.
    pub(crate) fn run_on(&self, processors: &CpuSet) {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id()));
        for thread in threads.into_iter().flatten().flatten() {
            let id = thread.file_name().to_str().and_then(|id| id.parse().ok());
            // A thread may have ended since it was listed.
            let _ = sched_setaffinity(id.and_then(Pid::from_raw), processors);
        }
    }
}

impl Drop for Server {
    /// Asks it to stop, waits, and kills it if it does not.
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let asked = Instant::now();
        while asked.elapsed() < STOP {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody has at the moment.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port")?;
    Ok(listener.local_addr()?.port())
}

/// The processors that this program may run on, and the last of them alone.
pub(crate) fn processors() -> Result<(CpuSet, CpuSet)> {
    let all = sched_getaffinity(None)?;
    let last = (0..CpuSet::MAX_CPU).rev().find(|&cpu| all.is_set(cpu)).unwrap_or(0);
    let mut one = CpuSet::new();
    one.set(last);
    Ok((all, one))
}

/// The CPU seconds that the programs have used that this one has started and that have ended.
pub(crate) fn children_cpu_seconds() -> f64 {
    stat("self").map_or(0.0, |[_, children]| children)
}

/// The CPU seconds that the whole machine has spent.
pub(crate) fn machine_cpu_seconds() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = text.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let ticks: Vec<u64> = fields.filter_map(|field| field.parse().ok()).collect();
    // user, nice, system, then idle, waiting for disks, and interrupts of two kinds.
    seconds([0, 1, 2, 5, 6].iter().filter_map(|&field| ticks.get(field)).sum())
}

/// CPU seconds of a process, and of its ended children, from fields 14 to 17 of its `stat`. The
/// second field is its name, in brackets, and may hold anything.
fn stat(process: &str) -> Option<[f64; 2]> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    let fields = rest.split_whitespace().skip(11).take(4);
    let ticks: Vec<u64> = fields.filter_map(|field| field.parse().ok()).collect();
    let [user, system, children_user, children_system] = ticks[..] else { return None };
    Some([seconds(user + system), seconds(children_user + children_system)])
}

fn seconds(ticks: u64) -> f64 {
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}
