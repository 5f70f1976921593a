//! The steps: set this, get that, expect it. Most checks are made of a few of these; one that is not
//! as expected ends the check, with what was said and a sentence.

use crate::checks::run::Run;
use crate::checks::verdict::{Outcome, Pass, Stop, fail};
use crate::client::answer::Answer;
use crate::client::dialect::Shape;
use crate::client::exchange::{Exchange, encode};
use crate::client::likeness::{Likeness, is_missing, judge};
use crate::client::wire::Wire;

impl Run {
    pub(crate) fn connect(&self) -> Result<Wire, Stop> {
        self.client.connect().map_err(|trouble| {
            let expected =
                format!("expected that the server goes on after this request: {trouble}");
            self.client.said_last().iter().fold(fail(expected), Stop::with)
        })
    }

    /// Sets a pair, as it is written in the query; the answer must be a success.
    pub(crate) fn set(&self, key: &str, value: &str) -> Result<Exchange, Stop> {
        self.needs_dialect()?;
        self.stored(self.client.set(key, value))
    }

    /// A set that was answered with success.
    pub(crate) fn stored(&self, set: Exchange) -> Result<Exchange, Stop> {
        if let Some(fatal) = &set.after {
            let expected = "expected that the server goes on after this request";
            return Err(fail(expected).with(fatal));
        }
        match &set.answer {
            Ok(answer) if self.client.dialect.accepts(answer) => Ok(set),
            _ => {
                Err(fail(format!("expected that the set succeeds, got {}", outcome(&set)))
                    .with(&set))
            }
        }
    }

    /// Asks for a key, as it is written in the query; there must be an answer.
    pub(crate) fn get(&self, key: &str) -> Result<(Exchange, Answer), Stop> {
        self.needs_dialect()?;
        let get = self.client.get(key);
        answered(get, "to the get")
    }

    /// Whether a get of `key` brings `value`. `plain` is the key without encoding.
    pub(crate) fn expect(&self, key: &str, plain: &str, value: &str) -> Outcome {
        let (get, answer) = self.get(key)?;
        match judge(&self.client.dialect, &answer, plain, value) {
            Likeness::Value => Ok(Pass::Plainly),
            Likeness::Wrapped(how) => Ok(Pass::Loosely(format!("the value comes {how}"))),
            Likeness::Missing => {
                let expected = format!(
                    "expected the value {}, got the answer for a missing key",
                    short(value)
                );
                Err(fail(expected).with(&get))
            }
            Likeness::Other => {
                let got = String::from_utf8_lossy(&answer.body).into_owned();
                let got = if answer.is_success() { short(&got) } else { outcome(&get) };
                let expected = format!("expected the value {}, got {got}", short(value));
                Err(fail(expected).with(&get).at(self.first_wrong(&answer, plain, value)))
            }
        }
    }

    /// The first byte in which an answer differs from what was expected.
    fn first_wrong(&self, answer: &Answer, key: &str, value: &str) -> usize {
        let begins = match &self.client.dialect.shape {
            Shape::Within(template) => {
                template.value_at(&String::from_utf8_lossy(&answer.body), key)
            }
            _ => 0,
        };
        let rest = answer.body.get(begins..).unwrap_or_default();
        answer.body_at + begins + differ_at(rest, value.as_bytes())
    }

    /// Whether a get of `key` brings what this server says of a missing key.
    pub(crate) fn expect_missing(&self, key: &str, plain: &str, because: &str) -> Outcome {
        self.needs_missing()?;
        let (get, answer) = self.get(key)?;
        if is_missing(&self.client.dialect, &answer, plain) {
            return Ok(Pass::Plainly);
        }
        Err(fail(format!("expected the answer for a missing key: {because}"))
            .with(&get)
            .at(answer.body_at))
    }

    /// Sets and gets a pair of which the value is given as it is written in the query, and as it is
    /// meant.
    pub(crate) fn round_trip(&mut self, encoded: &str, meant: &str) -> Outcome {
        let key = self.fresh("k");
        let set = self.set(&key, encoded)?;
        self.expect(&key, &key, meant).map_err(|stop| stop.after(&set))
    }

    /// The same, with the usual encoding.
    pub(crate) fn keeps(&mut self, value: &str) -> Outcome {
        self.round_trip(&encode(value), value)
    }
}

/// The exchange and its answer, or a failure that shows that there is none.
pub(crate) fn answered(exchange: Exchange, to: &str) -> Result<(Exchange, Answer), Stop> {
    match exchange.answer.clone() {
        Ok(answer) => Ok((exchange, answer)),
        Err(trouble) => {
            let to = if to.is_empty() { String::new() } else { format!(" {to}") };
            let Some(fatal) = &exchange.after else {
                return Err(fail(format!("expected an answer{to}: {trouble}")).with(&exchange));
            };
            // Nobody is there any more: it is not this request that has ended the server.
            let expected =
                format!("expected that the server goes on after this request: {trouble}");
            Err(fail(expected).with(fatal))
        }
    }
}

/// A status, or why there is none.
pub(crate) fn outcome(exchange: &Exchange) -> String {
    match &exchange.answer {
        Ok(answer) => format!("status {}", answer.status),
        Err(trouble) => trouble.to_string(),
    }
}

/// A value as it is shown in a sentence.
pub(crate) fn short(value: &str) -> String {
    let shown: String = value.chars().take(40).collect();
    if shown.len() == value.len() {
        return format!("{value:?}");
    }
    format!("{shown:?}… ({} bytes)", value.len())
}

/// Where two texts begin to differ.
pub(crate) fn differ_at(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

/// Where the status is in an answer.
pub(crate) fn status_at(exchange: &Exchange) -> usize {
    exchange.received.iter().position(|&byte| byte == b' ').map_or(0, |space| space + 1)
}
