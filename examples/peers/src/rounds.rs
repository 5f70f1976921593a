//! The rounds: all servers run side by side and are asked in turn, scenario by scenario.
//!
//! A neighbour on the machine then slows all of them down alike, more or less; first one and then
//! the next for a minute each would compare the neighbours. The order is another one in each round.
//! Next: [`crate::durable`].

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::answers::{self, Abilities, Closing};
use crate::building::Built;
use crate::client::Client;
use crate::figures::ServerFigures;
use crate::load::{self, Run, SCENARIOS, Scenario};
use crate::options::Options;
use crate::process::Server;
use crate::progress::say;
use crate::size;
use crate::subjects::Subject;

/// With how many idle connections the memory is looked at.
const IDLE: [u32; 6] = [1, 4, 16, 64, 256, 1000];

/// A server that runs, and what is known of it.
struct Entry {
    server: Server,
    can: Abilities,
    figures: ServerFigures,
}

/// Starts all servers, checks and fills them, and measures the rounds.
///
/// # Errors
///
/// If a server does not start or answers wrongly. One that fails under load gets a note.
pub(crate) fn measure(
    subjects: &[&'static Subject],
    built: &Built,
    options: &Options,
    folder: &Path,
) -> Result<Vec<ServerFigures>> {
    let mut entries = Vec::new();
    for subject in subjects {
        if let Some(words) = built.words(subject) {
            let server = Server::start(subject.name, words, subject.memory, folder, folder)?;
            entries.push(prepare(subject, server, options)?);
        }
    }
    let scenarios: Vec<&Scenario> = SCENARIOS.iter().filter(|s| options.takes(s.name)).collect();
    let mut number = 0;
    for round in 0..options.rounds {
        for scenario in &scenarios {
            say(format!("round {} of {}: {}", round + 1, options.rounds, scenario.what));
            let count = entries.len();
            for turn in 0..count {
                number += 1;
                let entry = &mut entries[(turn + round as usize) % count];
                entry.ask(scenario, options, number);
            }
        }
    }
    Ok(entries.into_iter().map(|entry| entry.figures).collect())
}

/// Before the clock runs. `plain` answers everything with 200: there is nothing to check or fill.
fn prepare(subject: &Subject, mut server: Server, options: &Options) -> Result<Entry> {
    server.wait_until(|port| {
        Client::connect(port).is_ok_and(|mut client| client.get("/get?key=alpha").is_ok())
    })?;
    let is_reference = subject.name == "plain";
    if !is_reference {
        answers::check(&server)?;
    }
    let can = answers::abilities(&server);
    if !is_reference {
        answers::fill(&server, can, options.keys)?;
    }
    let mut notes = Vec::new();
    for (can, cannot) in [
        (can.keeps_open, "closes the connection after each answer"),
        (can.pipelines, "does not answer pipelined requests"),
        (can.closing != Closing::No, "keeps a connection open that it was asked to close"),
        (
            can.closing != Closing::Silent,
            "closes when asked to, but does not say so, an error to wrk",
        ),
    ] {
        notes.extend((!can).then(|| cannot.to_owned()));
    }
    let figures = ServerFigures {
        name: subject.name.to_owned(),
        what: subject.what.to_owned(),
        score: None,
        lines: size::lines(subject)?,
        crates: size::crates(subject)?,
        memory: if can.keeps_open { memory(&server, options.idle) } else { Vec::new() },
        runs: BTreeMap::new(),
        notes,
    };
    say(format!("{} answers rightly", subject.name));
    Ok(Entry { server, can, figures })
}

/// The resident memory without connections, and with more and more that have had an answer each.
/// Ends early where the server takes no more.
fn memory(server: &Server, most: u32) -> Vec<(u32, u64)> {
    let mut clients = Vec::new();
    let mut found = vec![(0, server.status("VmRSS"))];
    let target = format!("/get?key={}", answers::key(0));
    for count in IDLE.into_iter().filter(|&count| count <= most) {
        while clients.len() < count as usize {
            let Ok(mut client) = Client::connect(server.port) else { return found };
            if client.get(&target).is_err() {
                return found;
            }
            clients.push(client);
        }
        // What a thread does after its answer is not ours to wait for, but takes no time either.
        thread::sleep(Duration::from_millis(20));
        found.push((count, server.status("VmRSS")));
    }
    found
}

impl Entry {
    fn ask(&mut self, scenario: &Scenario, options: &Options, number: u32) {
        if !scenario.fits(self.can) {
            return;
        }
        let run = match load::run(&self.server, scenario, options, number) {
            Ok(run) => Some(run).filter(|run| run.per_second > 0.0),
            Err(error) => {
                say(format!("{error:#}"));
                None
            }
        };
        if let Some(Run { per_second, errors, .. }) = run {
            let failed = if errors == 0 { String::new() } else { format!(", {errors} errors") };
            say(format!("      {:<10} {per_second:>9.0}/s{failed}", self.figures.name));
        }
        self.figures.runs.entry(scenario.name.to_owned()).or_default().push(run);
        self.server.wait_until_idle();
    }
}
