//! Durability, second part: what survives a crash.

use std::time::Duration;

use rustix::process::Signal;

use crate::checks::check::{Check, Tier};
use crate::checks::run::{Run, Storm};
use crate::checks::torn::{damaged_middle, empty_file, torn_line};
use crate::checks::verdict::{Outcome, Pass, Stop, fail};
use crate::client::load::{Kept, Order, lost, wait, write};

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "kill-keeps-answered",
        tier: Tier::Durable,
        what: "A kill -9 right after an answer keeps that pair.",
        why: "Who was answered relies on it: write before you answer, not at the end.",
        rfc: None,
        chapter: 10,
        run: kill_keeps_answered,
    },
    Check {
        name: "kill-storm",
        tier: Tier::Durable,
        what: "Kills under concurrent writers never lose an acknowledged pair.",
        why: "A file that is rewritten for each set is empty for a moment; only a kill in that moment shows it.",
        rfc: None,
        chapter: 10,
        run: kill_storm,
    },
    Check {
        name: "storm-starts",
        tier: Tier::Durable,
        what: "After each of these kills the server starts from what is there.",
        why: "A crash that needs a person to repair the file is an outage.",
        rfc: None,
        chapter: 10,
        run: storm_starts,
    },
    Check {
        name: "empty-file",
        tier: Tier::Durable,
        what: "The server starts from a file of zero bytes.",
        why: "This is what a crash right after making the file leaves.",
        rfc: None,
        chapter: 10,
        run: empty_file,
    },
    Check {
        name: "torn-line",
        tier: Tier::Durable,
        what: "The server starts from a file that ends anywhere in its last line.",
        why: "This is what a crash in the middle of a write leaves: all but the last pair must be there.",
        rfc: None,
        chapter: 10,
        run: torn_line,
    },
    Check {
        name: "damaged-middle",
        tier: Tier::Durable,
        what: "A file damaged in the middle is never thrown away.",
        why: "Refuse to start or serve the rest; overwriting it destroys what could have been repaired.",
        rfc: None,
        chapter: 10,
        run: damaged_middle,
    },
];

fn kill_keeps_answered(run: &mut Run) -> Outcome {
    run.start_clean()?;
    run.needs_keeping()?;
    let rounds = if run.target.start_time < Duration::from_secs(1) { 5 } else { 2 };
    let mut pass = Pass::Plainly;
    for round in 0..rounds {
        let pairs: Vec<_> = (0..=round).map(|_| (run.fresh("k"), run.fresh("v"))).collect();
        for (key, value) in &pairs {
            run.set(key, value)?;
        }
        run.target.stop(Signal::KILL);
        run.start_again()?;
        for (key, value) in &pairs {
            pass = pass.and(run.expect(key, key, value)?);
        }
    }
    Ok(pass)
}

fn kill_storm(run: &mut Run) -> Outcome {
    let storm = storm(run)?;
    let Some((expected, exchanges)) = &storm.lost else { return Ok(Pass::Plainly) };
    Err(exchanges.iter().fold(fail(expected), Stop::with))
}

fn storm_starts(run: &mut Run) -> Outcome {
    let storm = storm(run)?;
    let Some((expected, output)) = storm.stuck else { return Ok(Pass::Plainly) };
    Err(fail(expected).with_output(output))
}

/// The storm, which is made once and judged twice.
fn storm(run: &mut Run) -> Result<Storm, Stop> {
    run.needs_command()?;
    run.needs("kill-keeps-answered")?;
    run.needs("restarts-add-up")?;
    if run.storm.is_none() {
        run.start_clean()?;
        run.needs_keeping()?;
        let overwrites = run.overwrites()?;
        let storm = make_storm(run, overwrites);
        run.storm = Some(storm);
    }
    Ok(run.storm.clone().unwrap_or_default())
}

fn make_storm(run: &mut Run, overwrites: bool) -> Storm {
    let mut storm = Storm::default();
    let mut all: Vec<Kept> = Vec::new();
    let rounds = run.setup.rounds;
    for round in 1..=rounds {
        let (tag, reads) = (run.fresh("storm"), false);
        let order = Order { tag, writers: 8, requests: 200, reads, overwrites };
        // Other moments in each round; the answers have fewer than the writers would send.
        let time = Duration::from_millis(20 + u64::from(round * 37 % 100));
        let target = &mut run.target;
        let seen = write(&run.client, &order, |acknowledged| {
            wait(time, acknowledged, 20);
            target.stop(Signal::KILL);
        });
        all.extend(seen.kept.iter().cloned());
        match run.target.start() {
            Ok(address) => run.client.address = address,
            Err(not_up) => {
                let sentence = format!(
                    "expected that the server starts after kill {round} of {rounds}: {}",
                    not_up.sentence
                );
                storm.stuck = Some((sentence, not_up.output));
                return storm;
            }
        }
        // The last round asks for the pairs of all rounds.
        let asked = if round == rounds { &all } else { &seen.kept };
        if let (count @ 1.., first) = lost(&run.client, asked) {
            let sentence = format!(
                "expected all {} acknowledged pairs after kill {round} of {rounds}, {count} are not there",
                asked.len()
            );
            storm.lost = Some((sentence, first.into_iter().map(|(_, get)| get).collect()));
            return storm;
        }
    }
    storm
}
