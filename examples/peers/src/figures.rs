//! What was measured, as it is kept in a file: everything that the tables and the plots show, so
//! that they can be made again without measuring again.
//!
//! Next: [`crate::cells`], and how they are shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::load::Run;

/// One comparison.
#[derive(Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) conditions: Conditions,
    /// Ours is the first one.
    pub(crate) servers: Vec<ServerFigures>,
    pub(crate) durable: Vec<Durable>,
    pub(crate) loading: Vec<Loading>,
    /// What is not installed.
    pub(crate) left_out: Vec<String>,
}

/// When and where.
#[derive(Serialize, Deserialize)]
pub(crate) struct Conditions {
    pub(crate) date: String,
    pub(crate) cores: usize,
    pub(crate) system: String,
    pub(crate) rounds: u32,
    /// Of each run.
    pub(crate) seconds: f64,
    pub(crate) pairs: usize,
    /// How many pairs were loaded at a start.
    pub(crate) loaded: usize,
}

/// One server.
#[derive(Serialize, Deserialize)]
pub(crate) struct ServerFigures {
    pub(crate) name: String,
    pub(crate) what: String,
    /// Points of dbcheck, and how many there are.
    pub(crate) score: Option<(u64, u64)>,
    /// Lines of code.
    pub(crate) lines: usize,
    /// None where there are no crates.
    pub(crate) crates: Option<usize>,
    /// Resident memory in KiB with so many idle connections.
    pub(crate) memory: Vec<(u32, u64)>,
    /// For each scenario one run in each round; None where it failed.
    pub(crate) runs: BTreeMap<String, Vec<Option<Run>>>,
    /// What a reader of the tables must know.
    pub(crate) notes: Vec<String>,
}

/// Sets that are on the disk before they are answered.
#[derive(Serialize, Deserialize)]
pub(crate) struct Durable {
    pub(crate) name: String,
    pub(crate) connections: u32,
    pub(crate) runs: Vec<Run>,
}

/// A start with a file full of pairs.
#[derive(Serialize, Deserialize)]
pub(crate) struct Loading {
    pub(crate) name: String,
    /// From the start of the process until a value can be read, in each round.
    pub(crate) seconds: Vec<f64>,
    /// The most resident memory until then, in KiB.
    pub(crate) memory: Vec<f64>,
}

impl ServerFigures {
    /// The median of a figure over the rounds of a scenario.
    pub(crate) fn median(&self, scenario: &str, figure: impl Fn(&Run) -> f64) -> Option<f64> {
        let runs = self.runs.get(scenario)?;
        median(runs.iter().flatten().map(figure).collect())
    }

    /// How many times the requests per second of another one this one has: the median of the
    /// rounds' ratios, so that each compares runs that were neighbours in time.
    pub(crate) fn ratio(&self, to: &ServerFigures, scenario: &str) -> Option<f64> {
        let (ours, theirs) = (self.runs.get(scenario)?, to.runs.get(scenario)?);
        let pairs = ours.iter().zip(theirs).filter_map(|(a, b)| Some((a.as_ref()?, b.as_ref()?)));
        let pairs = pairs.filter(|(_, b)| b.per_second > 0.0);
        median(pairs.map(|(a, b)| a.per_second / b.per_second).collect())
    }

    /// KiB of resident memory for each idle connection: with the most, less with none.
    pub(crate) fn idle_connection(&self) -> Option<f64> {
        let (&(0, none), &(most, with)) = (self.memory.first()?, self.memory.last()?) else {
            return None;
        };
        (most > 0).then(|| with.saturating_sub(none) as f64 / f64::from(most))
    }
}

impl Durable {
    pub(crate) fn median(&self, figure: impl Fn(&Run) -> f64) -> f64 {
        median(self.runs.iter().map(figure).collect()).unwrap_or(0.0)
    }

    /// As [`ServerFigures::ratio`].
    pub(crate) fn ratio(&self, to: &Durable) -> Option<f64> {
        let pairs = self.runs.iter().zip(&to.runs).filter(|(_, b)| b.per_second > 0.0);
        median(pairs.map(|(a, b)| a.per_second / b.per_second).collect())
    }
}

impl Loading {
    pub(crate) fn ratio(&self, to: &Loading) -> Option<f64> {
        median(self.seconds.iter().zip(&to.seconds).map(|(a, b)| a / b).collect())
    }
}

/// The middle of some figures; None of none.
pub(crate) fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(figures[middle]),
        _ => Some(f64::midpoint(figures[middle - 1], figures[middle])),
    }
}
