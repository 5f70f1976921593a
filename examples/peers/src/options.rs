//! What the user typed.

use std::ffi::OsString;

use anyhow::{Result, bail, ensure};
use lexopt::{Arg, Parser, ValueExt as _};

use crate::load::SCENARIOS;
use crate::subjects::SUBJECTS;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Compares dbserver with the same server on other stacks, and writes README's section on speed, RESULTS.md and the plots

Usage: cargo run --release [-- OPTIONS]

  --rounds N          how often each server is asked in each way [default: 3]
  --seconds S         how long, each time; fractions will do [default: 0.5]
  --pairs N           how many pairs are loaded at a start [default: 1000000]
  --only SERVER       this one alone; may be repeated
  --scenario NAME     this way to ask alone; may be repeated
  --quick             a look at whether all of this works: few servers, not optimized, one short round
  --draw              no measurement: the tables and plots of the last one, once more
  -h, --help

With --only, --scenario or --quick, nothing in the repository is changed: what comes out is in a folder that is named at
the end. Needs wrk (Debian: apt-get install wrk); Go, Node, Python and redis-server are taken where they are installed.
";

/// What to do.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) rounds: u32,
    pub(crate) seconds: f64,
    pub(crate) pairs: usize,
    /// How many keys there are under load.
    pub(crate) keys: usize,
    /// With how many idle connections the memory is looked at, at most.
    pub(crate) idle: u32,
    /// Empty stands for all.
    only: Vec<String>,
    /// Empty stands for all.
    scenarios: Vec<String>,
    pub(crate) quick: bool,
    pub(crate) draw: bool,
    pub(crate) help: bool,
}

impl Options {
    /// Reads a command line, without the program's name.
    ///
    /// # Errors
    ///
    /// A sentence that names what is wrong.
    pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Options> {
        let mut options = Options {
            rounds: 3,
            seconds: 0.5,
            pairs: 1_000_000,
            keys: 10_000,
            idle: 1000,
            only: Vec::new(),
            scenarios: Vec::new(),
            quick: false,
            draw: false,
            help: false,
        };
        let mut parser = Parser::from_args(words);
        while let Some(arg) = parser.next()? {
            match arg {
                Arg::Long("rounds") => options.rounds = parser.value()?.parse()?,
                Arg::Long("seconds") => options.seconds = parser.value()?.parse()?,
                Arg::Long("pairs") => options.pairs = parser.value()?.parse()?,
                Arg::Long("only") => options.only.push(parser.value()?.string()?),
                Arg::Long("scenario") => options.scenarios.push(parser.value()?.string()?),
                Arg::Long("quick") => {
                    options.quick = true;
                    (options.rounds, options.seconds, options.pairs) = (1, 0.2, 10_000);
                    (options.keys, options.idle) = (1000, 64);
                    options.only = ["dbserver", "plain", "tiny_http"].map(String::from).into();
                    options.scenarios = ["get1", "get16", "pipe64"].map(String::from).into();
                }
                Arg::Long("draw") => options.draw = true,
                Arg::Short('h') | Arg::Long("help") => options.help = true,
                other => return Err(other.unexpected().into()),
            }
        }
        ensure!(options.rounds > 0 && options.pairs > 0, "--rounds and --pairs begin at 1");
        ensure!((0.05..=60.0).contains(&options.seconds), "--seconds goes from 0.05 to 60");
        let servers: Vec<&str> = SUBJECTS.iter().map(|subject| subject.name).collect();
        let scenarios: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        for (given, known) in [(&options.only, servers), (&options.scenarios, scenarios)] {
            if let Some(name) = given.iter().find(|name| !known.contains(&name.as_str())) {
                bail!("no {name} here, but {}", known.join(", "));
            }
        }
        Ok(options)
    }

    /// Whether a server is compared.
    pub(crate) fn takes_server(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }

    /// Whether a way to ask is measured.
    pub(crate) fn takes(&self, scenario: &str) -> bool {
        self.scenarios.is_empty() || self.scenarios.iter().any(|only| only == scenario)
    }

    /// Whether this is the comparison that README shows.
    pub(crate) fn is_whole(&self) -> bool {
        self.only.is_empty() && self.scenarios.is_empty()
    }
}
