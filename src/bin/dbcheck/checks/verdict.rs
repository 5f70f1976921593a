//! The verdict: how a check ends, and what is said about it.
//!
//! A check is a function that returns an [`Outcome`], so that `?` ends it at the first thing that
//! is wrong, with the bytes that show it.

use crate::client::exchange::Exchange;

/// How a check ends.
pub(crate) type Outcome = Result<Pass, Stop>;

/// It holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pass {
    Plainly,
    /// In a way that another tier, or a client, may mind.
    Loosely(String),
}

impl Pass {
    /// Both hold; what is noted about the first is kept.
    pub(crate) fn and(self, other: Pass) -> Pass {
        if self == Pass::Plainly { other } else { self }
    }
}

/// It does not hold, or nobody can tell.
#[derive(Debug)]
pub(crate) enum Stop {
    Failed(Box<Failure>),
    /// It does not apply to this server, or to this way of running.
    Skipped(String),
    /// Something else that is wrong stands in the way.
    NotReached(String),
}

/// What was expected, and what came instead.
#[derive(Debug, Default)]
pub(crate) struct Failure {
    /// One sentence, with both.
    pub(crate) expected: String,
    pub(crate) exchanges: Vec<Exchange>,
    /// The first wrong byte of what was received in the last exchange.
    pub(crate) caret: Option<usize>,
    /// The server's last lines of output, where they may explain it.
    pub(crate) output: Option<String>,
    /// A part of the data file that the server was started from.
    pub(crate) file: Option<Vec<u8>>,
}

impl Failure {
    /// The exchanges, each with its caret: the last one has it.
    pub(crate) fn with_carets(&self) -> impl Iterator<Item = (&Exchange, Option<usize>)> {
        let last = self.exchanges.len();
        let caret = move |number| if number + 1 == last { self.caret } else { None };
        self.exchanges.iter().enumerate().map(move |(number, exchange)| (exchange, caret(number)))
    }
}

/// A failure without bytes to show.
pub(crate) fn fail(expected: impl Into<String>) -> Stop {
    Stop::Failed(Box::new(Failure { expected: expected.into(), ..Failure::default() }))
}

impl Stop {
    /// With an exchange to show, after those that are there.
    pub(crate) fn with(mut self, exchange: &Exchange) -> Self {
        if let Stop::Failed(failure) = &mut self {
            failure.exchanges.push(exchange.clone());
        }
        self
    }

    /// With an exchange that came before those that are there.
    pub(crate) fn after(mut self, exchange: &Exchange) -> Self {
        if let Stop::Failed(failure) = &mut self {
            failure.exchanges.insert(0, exchange.clone());
        }
        self
    }

    /// With a caret under this byte of what was received last.
    pub(crate) fn at(mut self, byte: usize) -> Self {
        if let Stop::Failed(failure) = &mut self {
            failure.caret = Some(byte);
        }
        self
    }

    /// With the server's last lines.
    pub(crate) fn with_output(mut self, output: String) -> Self {
        if let Stop::Failed(failure) = &mut self {
            failure.output = Some(output).filter(|output| !output.is_empty());
        }
        self
    }

    /// With a part of the data file.
    pub(crate) fn with_file(mut self, bytes: &[u8]) -> Self {
        if let Stop::Failed(failure) = &mut self {
            failure.file = Some(bytes.to_vec());
        }
        self
    }

    /// With the circumstances before the sentence.
    pub(crate) fn because(mut self, circumstances: &str) -> Self {
        if let Stop::Failed(failure) = &mut self {
            failure.expected = format!("from {circumstances}: {}", failure.expected);
        }
        self
    }
}
