//! The load: what is asked, by how many connections, and wrk, which asks.
//!
//! Next: [`crate::rounds`], which asks all servers in turn.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::sched_setaffinity;
use serde::{Deserialize, Serialize};

use crate::answers::{Abilities, Closing};
use crate::options::Options;
use crate::process::{self, Server};
use crate::subjects;

/// A way to ask.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) connections: u32,
    /// As `scenario.lua` calls it.
    pub(crate) mode: &'static str,
    /// How many requests are sent at once.
    pub(crate) depth: usize,
    pub(crate) closes: bool,
    /// Server and wrk share one processor: nobody waits for another one to wake up, which on an
    /// idle virtual machine takes longer than the request.
    pub(crate) on_one_core: bool,
}

const GET: Scenario = Scenario {
    name: "",
    what: "",
    connections: 1,
    mode: "get",
    depth: 1,
    closes: false,
    on_one_core: false,
};

/// All of them. The first six are what the plots show.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "get1", what: "get, 1 connection", ..GET },
    Scenario { name: "get4", what: "get, 4 connections", connections: 4, ..GET },
    Scenario { name: "get16", what: "get, 16 connections", connections: 16, ..GET },
    Scenario { name: "get64", what: "get, 64 connections", connections: 64, ..GET },
    Scenario { name: "get256", what: "get, 256 connections", connections: 256, ..GET },
    Scenario { name: "get1000", what: "get, 1,000 connections", connections: 1000, ..GET },
    Scenario {
        name: "get1core",
        what: "get, 1 connection, server and client on one core",
        on_one_core: true,
        ..GET
    },
    Scenario {
        name: "pipe64",
        what: "get, 64 connections, 16 requests at once on each",
        connections: 64,
        depth: 16,
        ..GET
    },
    Scenario {
        name: "mixed64",
        what: "90 % get, 10 % set, 64 connections",
        connections: 64,
        mode: "mixed",
        ..GET
    },
    Scenario {
        name: "set64",
        what: "set, in memory, 64 connections",
        connections: 64,
        mode: "set",
        ..GET
    },
    Scenario {
        name: "close16",
        what: "get, 16 connections, each closed after one answer",
        connections: 16,
        closes: true,
        ..GET
    },
];

impl Scenario {
    /// Whether a server can do what is asked.
    pub(crate) fn fits(&self, can: Abilities) -> bool {
        (self.depth == 1 || can.pipelines) && (!self.closes || can.closing != Closing::No)
    }
}

/// What came of one run.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) per_second: f64,
    /// Seconds. wrk adds what clients would have waited that it could not send in time, assuming
    /// that they send evenly: with several requests at once that is wrong, and nothing is shown.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// CPU seconds of the server for each request.
    pub(crate) cpu: f64,
    /// Answers other than 2xx and 3xx, and errors of sockets.
    pub(crate) errors: u64,
    /// How many processors other programs were using meanwhile.
    pub(crate) others: f64,
}

/// What `scenario.lua` prints at the end.
#[derive(Deserialize)]
struct Said {
    requests: u64,
    seconds: f64,
    p50: f64,
    p99: f64,
    errors: u64,
}

/// Has wrk ask one server for some time. `number` is another one each time.
///
/// # Errors
///
/// If wrk cannot be run, or does not say what came.
pub(crate) fn run(
    server: &Server,
    scenario: &Scenario,
    options: &Options,
    number: u32,
) -> Result<Run> {
    // With many connections a good part of a short run would be spent on making them.
    let seconds = if scenario.connections > 100 { 2.0 } else { 1.0 } * options.seconds;
    let (all, one) = process::processors()?;
    if scenario.on_one_core {
        server.run_on(&one);
        // wrk inherits it.
        sched_setaffinity(None, &one)?;
    }
    let machine = process::machine_cpu_seconds();
    let wrk_before = process::children_cpu_seconds();
    let server_before = server.cpu_seconds();
    let begun = Instant::now();
    let said = start_wrk(server.port, scenario, options.keys, number, seconds)
        .and_then(|wrk| finish(wrk, seconds));
    let wall = begun.elapsed().as_secs_f64();
    let cpu = server.cpu_seconds() - server_before;
    let wrk = process::children_cpu_seconds() - wrk_before;
    let machine = process::machine_cpu_seconds() - machine;
    if scenario.on_one_core {
        sched_setaffinity(None, &all)?;
        server.run_on(&all);
    }
    let said = said.with_context(|| format!("wrk, {} on {}", scenario.name, server.name))?;
    let requests = said.requests.max(1) as f64;
    Ok(Run {
        per_second: said.requests as f64 / said.seconds,
        p50: said.p50,
        p99: said.p99,
        cpu: cpu / requests,
        errors: said.errors,
        others: ((machine - cpu - wrk) / wall).max(0.0),
    })
}

fn start_wrk(
    port: u16,
    scenario: &Scenario,
    keys: usize,
    number: u32,
    seconds: f64,
) -> Result<Child> {
    let threads = scenario.connections.min(2);
    let mut wrk = Command::new("wrk");
    wrk.args(["-t", &threads.to_string(), "-c", &scenario.connections.to_string()]);
    // The end is ours to say; this is for the case that we are not there any more.
    wrk.args(["-d", &format!("{}s", seconds.ceil() + 1.0), "-s"]);
    wrk.arg(subjects::root().join("examples/peers/src/scenario.lua"));
    wrk.arg(format!("http://127.0.0.1:{port}/"));
    wrk.args(["--", scenario.mode, &keys.to_string(), &scenario.depth.to_string()]);
    wrk.arg(number.to_string()).args(scenario.closes.then_some("close"));
    wrk.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    wrk.spawn().context("cannot run wrk (Debian: apt-get install wrk)")
}

/// wrk takes whole seconds. Interrupted, it says what it has counted until then.
fn finish(mut wrk: Child, seconds: f64) -> Result<Said> {
    let begun = Instant::now();
    while !catches_interrupt(&wrk) && matches!(wrk.try_wait(), Ok(None)) {
        if begun.elapsed() > Duration::from_secs(10) {
            bail!("wrk does not begin");
        }
        thread::sleep(Duration::from_millis(1));
    }
    thread::sleep(Duration::from_secs_f64(seconds));
    let _ = kill_process(Pid::from_child(&wrk), Signal::INT);
    let output = wrk.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix('@'));
    let line = line
        .with_context(|| format!("it failed: {text}{}", String::from_utf8_lossy(&output.stderr)))?;
    Ok(serde_json::from_str(line)?)
}

/// Whether wrk is at work: right before it begins to count, it sets a handler for SIGINT.
fn catches_interrupt(wrk: &Child) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", wrk.id())).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    caught.is_some_and(|mask| mask & (1 << (Signal::INT.as_raw() - 1)) != 0)
}
