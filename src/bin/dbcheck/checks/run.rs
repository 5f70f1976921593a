//! The run: what checks share. The server, the client that speaks its dialect, and keys that nobody
//! else uses. The usual steps with them are in `steps`, what is found out on the way in `known`.

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;

use crate::client::dialect::{Dialect, Missing};
use crate::client::exchange::{Client, Exchange};
use crate::client::learn::{learn, missing};
use crate::client::wire::Patience;
use crate::target::greeting::{Greeting, Hello, NotUp, greet};
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
    /// The data file, where the command has no `{data}`; `{dir}` may be in it.
    pub(crate) data: Option<String>,
    /// How long an answer may take.
    pub(crate) timeout: Duration,
    /// Whether a server that closes each connection is up: after chapter 1 none does more.
    pub(crate) closes: bool,
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

/// What is there after a restart.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Keeping {
    /// The pairs, when this signal has ended the server.
    After(Signal),
    /// Nothing, as the check of this name has said.
    Nothing(&'static str),
}

/// Everything that a check may use.
pub(crate) struct Run {
    pub(crate) target: Target,
    pub(crate) client: Client,
    pub(crate) setup: Setup,
    /// What was said in the brief's own form, before another was tried.
    pub(crate) first_words: Vec<Exchange>,
    /// What was said when a missing key was asked for.
    pub(crate) first_missing: Option<Exchange>,
    /// A pair that was set before all checks.
    pub(crate) first_pair: Option<(String, String)>,
    pub(crate) deaths: Vec<Death>,
    /// What the kills showed: two checks judge it.
    pub(crate) storm: Option<Storm>,
    /// Whether a connection takes a second request, once that is known.
    pub(super) keeps_alive: Option<bool>,
    /// Whether `%61` is an a, once that is known.
    pub(super) decodes: Option<bool>,
    /// Whether a second set of a key counts, once that is known.
    pub(super) overwrites: Option<bool>,
    /// What a restart leaves, once that is known.
    pub(super) keeping: Option<Keeping>,
    /// The check that runs.
    pub(super) checking: &'static str,
    /// Checks that failed, or were not reached.
    pub(super) wanting: Vec<&'static str>,
    tag: String,
    count: u32,
}

impl Run {
    /// Starts the server and learns its dialect. `before` is told what will be written that is not
    /// ours, before that is done.
    pub(crate) fn begin(setup: Setup, before: impl Fn(&str)) -> Result<Self, NotUp> {
        let mut target = Target::new(setup.origin.clone(), setup.data.as_deref())?;
        let tag = tag();
        match &setup.origin {
            Origin::Addresses { name, .. } => before(&format!(
                "Pairs are written to the server at {name} and stay there; all their keys begin \
                 with {tag}."
            )),
            Origin::Command { .. } => {
                target.files.notice().iter().for_each(|notice| before(notice.as_str()));
            }
        }
        target.hello.key = format!("{tag}hello");
        target.closes = setup.closes;
        let address = target.start()?;
        let patience = Patience::new(setup.timeout);
        let mut client = Client::new(address, patience, Dialect::default());
        client.shown = setup.origin.shown();
        let (dialect, first_words) = learn(&client, &tag, |client| revive(&mut target, client));
        // Nothing that it says makes sense: that is not worth the full time for every check.
        let time = if dialect.works { setup.timeout } else { Duration::from_secs(1) };
        client.patience = client.patience.with(time.min(setup.timeout));
        client.dialect = dialect;
        revive(&mut target, &mut client);
        let pair = (format!("{tag}first"), format!("{tag}firstvalue"));
        let mut first_missing = None;
        if client.dialect.works {
            let (key, value) = pair.clone();
            target.hello = Hello { dialect: client.dialect.clone(), key, value, reads: false };
            let (missing, shown) = learn_missing(&mut target, &mut client, &tag);
            client.dialect.missing = Some(missing);
            first_missing = shown;
        }
        let first_pair = client.set(&pair.0, &pair.1).is_stored(&client.dialect).then_some(pair);
        Ok(Run {
            target,
            client,
            setup,
            first_words,
            first_missing,
            first_pair,
            deaths: Vec::new(),
            storm: None,
            keeps_alive: None,
            decodes: None,
            overwrites: None,
            keeping: None,
            checking: "",
            wanting: Vec::new(),
            tag,
            count: 0,
        })
    }

    /// What the reader of a report should know besides what was found.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = self.target.notes();
        if !self.target.can_restart() {
            notes.push(format!(
                "{} pairs were left in the server, with keys that begin with {}.",
                self.client.ledger.count(),
                self.tag
            ));
        }
        notes
    }

    /// A text that occurs nowhere else, of letters and digits.
    pub(crate) fn fresh(&mut self, word: &str) -> String {
        self.count += 1;
        format!("{}{}{word}", self.tag, self.count)
    }

    /// Whether the server is there for others, right now.
    pub(crate) fn is_up(&self, time: Duration) -> bool {
        let patience = self.client.patience.with(time);
        for _ in 0..3 {
            match greet(self.client.address, &patience, &self.target.hello) {
                Greeting::Answered | Greeting::Unready(_) => return true,
                Greeting::Silent | Greeting::Nobody => return false,
                // A server that is about to end takes connections a little longer.
                Greeting::Closed => thread::sleep(Duration::from_millis(50)),
            }
        }
        // Closing is all that some servers do.
        !self.client.dialect.works
    }
}

/// Starts the server again where it has ended, while its dialect is learned. Says whether somebody is
/// there.
fn revive(target: &mut Target, client: &mut Client) -> bool {
    let greeting = greet(client.address, &client.patience, &target.hello);
    if greeting == Greeting::Answered {
        return true;
    }
    if !target.can_restart() || target.ended_within(Duration::from_millis(300)).is_none() {
        // It is there, and says nothing; or nobody can start it again.
        return greeting != Greeting::Nobody;
    }
    target.stop(Signal::KILL);
    target.start().map(|address| client.address = address).is_ok()
}

/// What a missing key is answered with. A server that does not live through the question is started
/// again, and never asked that again.
fn learn_missing(
    target: &mut Target,
    client: &mut Client,
    tag: &str,
) -> (Missing, Option<Exchange>) {
    let (learned, shown) = missing(client, tag);
    let after = client.set(&format!("{tag}after"), "there");
    if after.answer.is_ok() || !target.can_restart() {
        return (learned, shown);
    }
    let how = match target.ended_within(Duration::from_millis(300)) {
        Some(status) => format!("ends the server ({status})"),
        None => "keeps the server from answering anybody".into(),
    };
    target.stop(Signal::KILL);
    if let Ok(address) = target.start() {
        client.address = address;
    }
    (Missing::Untold(how), shown)
}

/// What all keys and values of a run begin with. It is different in every run: a server that keeps
/// its data has those of the last one.
fn tag() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{PREFIX}{:07x}x", (now.as_millis() / 64) & 0xfff_ffff)
}

/// What the keys of all runs begin with.
const PREFIX: &str = "dbcheck";

/// Whether a value looks like one that a run of this checker has made.
pub(crate) fn looks_ours(text: &str) -> bool {
    text.match_indices(PREFIX).any(|(at, _)| {
        let rest = &text.as_bytes()[at + PREFIX.len()..];
        rest.get(7) == Some(&b'x') && rest[..7].iter().all(u8::is_ascii_hexdigit)
    })
}
