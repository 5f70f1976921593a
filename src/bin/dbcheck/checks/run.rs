//! The run: what checks share. The server, the client that speaks its dialect, keys that nobody
//! else uses, and the usual steps: set this, expect that.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;

use crate::checks::verdict::{Outcome, Pass, Stop, fail};
use crate::client::answer::Answer;
use crate::client::dialect::{Dialect, KEY, Shape};
use crate::client::exchange::{Client, Exchange, encode};
use crate::client::learn::learn;
use crate::client::likeness::{Likeness, is_missing, judge};
use crate::client::wire::{Patience, Wire};
use crate::target::greeting::{Greeting, NotUp, greet};
use crate::target::server::{Origin, Target};

/// A moment in which the server ended, or stopped answering, without being asked to.
#[derive(Debug, Clone)]
pub(crate) struct Death {
    /// The check that it happened in.
    pub(crate) during: &'static str,
    /// `it ended with …` or `it stopped answering`.
    pub(crate) how: String,
    pub(crate) output: String,
}

/// What the user says about the run.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) origin: Origin,
    /// The data file, where the command has no `{data}`.
    pub(crate) data: Option<PathBuf>,
    /// How long an answer may take.
    pub(crate) timeout: Duration,
    /// How many kills under load.
    pub(crate) rounds: u32,
}

/// What kills under concurrent writers showed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Storm {
    /// Pairs that were acknowledged and are not there, in a sentence, with a get that shows it.
    pub(crate) lost: Option<(String, Vec<Exchange>)>,
    /// Why the server did not start, and what it printed.
    pub(crate) stuck: Option<(String, String)>,
}

/// Everything that a check may use.
pub(crate) struct Run {
    pub(crate) target: Target,
    pub(crate) client: Client,
    pub(crate) setup: Setup,
    /// What was said in the brief's own form, before another was tried.
    pub(crate) first_words: Vec<Exchange>,
    /// A pair that was set before all checks.
    pub(crate) first_pair: Option<(String, String)>,
    pub(crate) deaths: Vec<Death>,
    /// What the kills showed: two checks judge it.
    pub(crate) storm: Option<Storm>,
    /// Whether a connection takes a second request, once that is known.
    keeps_alive: Option<bool>,
    /// Whether `%61` is an a, once that is known.
    decodes: Option<bool>,
    tag: String,
    count: u32,
}

impl Run {
    /// Starts the server and learns its dialect.
    pub(crate) fn begin(setup: Setup) -> Result<Self, NotUp> {
        let mut target = Target::new(setup.origin.clone()).map_err(|error| NotUp {
            sentence: format!("no temporary folder: {error}"),
            output: String::new(),
        })?;
        let address = target.start()?;
        let patience = Patience::new(setup.timeout);
        let client = Client { address, patience, dialect: Dialect::default() };
        // Other in every run: a server that keeps its data has those of the last one.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let tag = format!("q{:010x}x", now.as_millis() & 0xff_ffff_ffff);
        let (dialect, first_words) = learn(&client, &tag);
        // Nothing that it says makes sense: that is not worth the full time for every check.
        let time = if dialect.works { setup.timeout } else { Duration::from_secs(1) };
        let patience = client.patience.with(time.min(setup.timeout));
        let client = Client { address, patience, dialect };
        let (keeps_alive, decodes) = (None, None);
        let (deaths, storm, count) = (Vec::new(), None, 0);
        let pair = (format!("{tag}first"), format!("{tag}firstvalue"));
        let first_pair = client.set(&pair.0, &pair.1).is_success().then_some(pair);
        Ok(Run {
            target,
            client,
            setup,
            first_words,
            first_pair,
            deaths,
            storm,
            keeps_alive,
            decodes,
            tag,
            count,
        })
    }

    /// A text that occurs nowhere else, of letters and digits.
    pub(crate) fn fresh(&mut self, word: &str) -> String {
        self.count += 1;
        format!("{}{}{word}", self.tag, self.count)
    }

    pub(crate) fn needs_dialect(&self) -> Result<(), Stop> {
        if self.client.dialect.works {
            return Ok(());
        }
        Err(Stop::NotReached("needs a set and a get that work (see set-then-get)".into()))
    }

    pub(crate) fn connect(&self) -> Result<Wire, Stop> {
        self.client.connect().map_err(|trouble| fail(format!("expected a connection: {trouble}")))
    }

    /// Sets a pair, as it stands in the query; the answer must be a success.
    pub(crate) fn set(&self, key: &str, value: &str) -> Result<Exchange, Stop> {
        self.needs_dialect()?;
        let set = self.client.set(key, value);
        match &set.answer {
            Ok(answer) if answer.is_success() => Ok(set),
            _ => {
                Err(fail(format!("expected that the set succeeds, got {}", outcome(&set)))
                    .with(&set))
            }
        }
    }

    /// Asks for a key, as it stands in the query; there must be an answer.
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
        let whole = match &self.client.dialect.shape {
            Shape::Within(before, _) => before.replace(KEY, key) + value,
            _ => value.to_string(),
        };
        answer.body_at + differ_at(&answer.body, whole.as_bytes())
    }

    /// Whether a get of `key` brings what this server says of a missing key.
    pub(crate) fn expect_missing(&self, key: &str, plain: &str, because: &str) -> Outcome {
        let (get, answer) = self.get(key)?;
        if is_missing(&self.client.dialect, &answer, plain) {
            return Ok(Pass::Plainly);
        }
        Err(fail(format!("expected the answer for a missing key: {because}"))
            .with(&get)
            .at(answer.body_at))
    }

    /// Sets and gets a pair of which the value is given as it stands in the query, and as it is
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

    /// Whether this server decodes at all. What needs it is not reached where it does not, rather
    /// than failed: it is one mistake.
    pub(crate) fn needs_decoding(&mut self) -> Result<(), Stop> {
        let decodes = if let Some(known) = self.decodes {
            known
        } else {
            let key = self.fresh("k");
            let value = self.fresh("abc");
            self.set(&key, &value.replace("abc", "%61%62%63"))?;
            let decodes = self.expect(&key, &key, &value).is_ok();
            *self.decodes.insert(decodes)
        };
        let why = "needs percent-decoding (see decode-space)";
        if decodes { Ok(()) } else { Err(Stop::NotReached(why.into())) }
    }

    /// Whether a connection takes two requests, one after the other.
    pub(crate) fn needs_keep_alive(&mut self) -> Result<(), Stop> {
        let keeps = if let Some(known) = self.keeps_alive {
            known
        } else {
            let mut wire = self.connect()?;
            let request = self.client.bytes("GET", &self.client.dialect.get("nobody"), None);
            let keeps = (0..2).all(|_| wire.send(&request) && wire.answer(false).is_ok());
            *self.keeps_alive.insert(keeps)
        };
        let why = "needs a connection that stays open (see keep-alive)";
        if keeps { Ok(()) } else { Err(Stop::NotReached(why.into())) }
    }

    /// Ends the server and starts it again. A note says if the signal was not enough.
    pub(crate) fn restart(&mut self, signal: Signal) -> Outcome {
        self.needs_command()?;
        let in_time = self.target.stop(signal);
        self.start_again()?;
        if in_time {
            return Ok(Pass::Plainly);
        }
        Ok(Pass::Loosely("the signal did not end the server; SIGKILL did".into()))
    }

    /// Starts the server that was ended.
    pub(crate) fn start_again(&mut self) -> Result<(), Stop> {
        match self.target.start() {
            Ok(address) => {
                self.client.address = address;
                Ok(())
            }
            Err(not_up) => {
                let expected =
                    format!("expected that the server starts again: {}", not_up.sentence);
                Err(fail(expected).with_output(not_up.output))
            }
        }
    }

    pub(crate) fn needs_command(&self) -> Result<(), Stop> {
        if self.target.can_restart() {
            return Ok(());
        }
        Err(Stop::Skipped("needs --cmd, to start the server again".into()))
    }

    /// Whether the server is there for others, right now.
    pub(crate) fn is_up(&self, time: Duration) -> bool {
        let patience = self.client.patience.with(time);
        for _ in 0..3 {
            match greet(self.client.address, &patience) {
                Greeting::Answered => return true,
                Greeting::Silent | Greeting::Nobody => return false,
                // A server that is about to end takes connections a little longer.
                Greeting::Closed => thread::sleep(Duration::from_millis(50)),
            }
        }
        // Closing is all that some servers do.
        !self.client.dialect.works
    }
}

/// The exchange and its answer, or a failure that shows that there is none.
pub(crate) fn answered(exchange: Exchange, to: &str) -> Result<(Exchange, Answer), Stop> {
    match exchange.answer.clone() {
        Ok(answer) => Ok((exchange, answer)),
        Err(trouble) => {
            let to = if to.is_empty() { String::new() } else { format!(" {to}") };
            Err(fail(format!("expected an answer{to}: {trouble}")).with(&exchange))
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

/// A value as it stands in a sentence.
pub(crate) fn short(value: &str) -> String {
    let shown: String = value.chars().take(40).collect();
    if shown.len() == value.len() {
        return format!("{value:?}");
    }
    format!("{shown:?}… ({} bytes)", value.len())
}

/// Whether a value looks like one that a run of this checker has made.
pub(crate) fn looks_ours(text: &str) -> bool {
    text.as_bytes().windows(12).any(|window| {
        window[0] == b'q' && window[11] == b'x' && window[1..11].iter().all(u8::is_ascii_hexdigit)
    })
}

/// Where two texts begin to differ.
pub(crate) fn differ_at(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

/// Where the status is in an answer.
pub(crate) fn status_at(exchange: &Exchange) -> usize {
    exchange.received.iter().position(|&byte| byte == b' ').map_or(0, |space| space + 1)
}
