//! A check: its name, what it looks at, and why that matters.
//!
//! Names are stable: they are what `--only` takes, what a CI keeps, and what the tutorial cites.

use crate::checks::run::Run;
use crate::checks::verdict::Outcome;

/// The steps that a candidate climbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tier {
    /// What the task says.
    Brief,
    /// Its conventions for status and body.
    Conventions,
    /// What HTTP/1.1 asks of any server.
    Http,
    /// Other clients' misfortune and malice.
    Robust,
    /// What is there after a restart or a crash.
    Durable,
}

impl Tier {
    pub(crate) const ALL: [Tier; 5] =
        [Tier::Brief, Tier::Conventions, Tier::Http, Tier::Robust, Tier::Durable];

    /// As `--tier` takes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Tier::Brief => "brief",
            Tier::Conventions => "conventions",
            Tier::Http => "http",
            Tier::Robust => "robust",
            Tier::Durable => "durable",
        }
    }
}

/// One thing to find out about a server.
#[derive(Debug)]
pub(crate) struct Check {
    /// Stable, in lower case with hyphens.
    pub(crate) name: &'static str,
    pub(crate) tier: Tier,
    /// One sentence: what holds when it passes.
    pub(crate) what: &'static str,
    /// One sentence: what goes wrong for somebody when it does not.
    pub(crate) why: &'static str,
    /// Where it is written.
    pub(crate) rfc: Option<&'static str>,
    /// The chapter of TUTORIAL.md that teaches it.
    pub(crate) chapter: u8,
    pub(crate) run: fn(&mut Run) -> Outcome,
}

impl Check {
    /// Where to read more about it.
    pub(crate) fn read_on(&self) -> String {
        let rfc = self.rfc.map(|rfc| format!("{rfc}, ")).unwrap_or_default();
        format!("({rfc}TUTORIAL.md chapter {})", self.chapter)
    }
}
