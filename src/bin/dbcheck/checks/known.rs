//! What is known: how this server does the things that many checks build on.
//!
//! One mistake must not fail ten checks. So what a check needs, and does not look at itself, is found
//! out once: where the server lacks it, one check says so, and the others go another way, or are not
//! reached.

use rustix::process::Signal;

use crate::checks::run::{Keeping, Run, looks_ours};
use crate::checks::verdict::{Outcome, Pass, Stop, fail};
use crate::client::dialect::Missing;
use crate::client::likeness::is_missing;

/// A key of which it is known what a get of it brings: nothing, or a value from before where nobody
/// can tell that a key is missing.
pub(crate) struct Untouched {
    pub(crate) key: String,
    before: Option<String>,
}

impl Run {
    pub(crate) fn needs_dialect(&self) -> Result<(), Stop> {
        if self.client.dialect.works {
            return Ok(());
        }
        Err(Stop::NotReached("needs a set and a get that work (see set-then-get)".into()))
    }

    /// Whether a key that is not the run's own may be set: never on a server that runs already, and
    /// not where there is such a pair.
    pub(crate) fn may_set(&self, key: &str) -> Result<(), Stop> {
        if !self.target.can_restart() {
            let why = format!("needs --cmd: a pair with the key {key} may be somebody's");
            return Err(Stop::Skipped(why));
        }
        if self.target.files.can_forget() {
            return Ok(());
        }
        let (_, answer) = self.get(key)?;
        let body = String::from_utf8_lossy(&answer.body);
        if is_missing(&self.client.dialect, &answer, key) || looks_ours(&body) {
            return Ok(());
        }
        Err(Stop::Skipped(format!("there is a pair with the key {key} already")))
    }

    pub(crate) fn needs_command(&self) -> Result<(), Stop> {
        if self.target.can_restart() {
            return Ok(());
        }
        Err(Stop::Skipped("needs --cmd, to start the server again".into()))
    }

    /// Whether this check did not fail before, in this run.
    pub(crate) fn needs(&self, check: &str) -> Result<(), Stop> {
        if self.wanting.contains(&check) {
            return Err(Stop::NotReached(format!("needs what {check} looks at")));
        }
        Ok(())
    }

    /// Whether a missing key is told from one that is there.
    pub(crate) fn needs_missing(&self) -> Result<(), Stop> {
        self.needs_dialect()?;
        match &self.client.dialect.missing {
            Some(Missing::Untold(what)) => {
                Err(Stop::NotReached(format!("a missing key {what} (see missing-key)")))
            }
            _ => Ok(()),
        }
    }

    /// A key that nothing may happen to.
    pub(crate) fn untouched(&mut self, word: &str) -> Result<Untouched, Stop> {
        self.needs_dialect()?;
        let key = self.fresh(word);
        let mut before = None;
        if self.needs_missing().is_err() {
            let value = self.fresh("before");
            self.set(&key, &value)?;
            before = Some(value);
        }
        Ok(Untouched { key, before })
    }

    /// Whether nothing has happened to it.
    pub(crate) fn expect_untouched(
        &self,
        Untouched { key, before }: &Untouched,
        why: &str,
    ) -> Outcome {
        match before {
            None => self.expect_missing(key, key, why),
            Some(before) => self.expect(key, key, before).map_err(|stop| stop.because(why)),
        }
    }

    /// The bytes of a get that has an answer: of a key that is there, as some servers are silent about
    /// others.
    pub(crate) fn some_get(&self) -> Vec<u8> {
        self.client.get_bytes(&self.some_key())
    }

    /// A key that is there, if this server can keep one.
    pub(crate) fn some_key(&self) -> String {
        match self.first_pair.clone().filter(|_| self.client.dialect.works) {
            Some((key, value)) => {
                // Set again: the server may have been started since, and forgotten it.
                self.client.set(&key, &value);
                key
            }
            None => "nobody".into(),
        }
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
            let request = self.some_get();
            let keeps = (0..2).all(|_| wire.send(&request) && wire.answer(false).is_ok());
            *self.keeps_alive.insert(keeps)
        };
        let why = "needs a connection that stays open (see keep-alive)";
        if keeps { Ok(()) } else { Err(Stop::NotReached(why.into())) }
    }

    /// Whether a second set of a key replaces the value.
    pub(crate) fn overwrites(&mut self) -> Result<bool, Stop> {
        if let Some(known) = self.overwrites {
            return Ok(known);
        }
        let (key, first, second) = (self.fresh("k"), self.fresh("first"), self.fresh("second"));
        self.set(&key, &first)?;
        // A server may refuse what it does not do.
        let is_stored = self.client.set(&key, &second).is_stored(&self.client.dialect);
        let overwrites = is_stored && self.expect(&key, &key, &second).is_ok();
        Ok(*self.overwrites.insert(overwrites))
    }

    /// Ends the server, and starts it without the pairs of this run, where its file is known: what one
    /// check has stored must not decide about the next.
    pub(crate) fn start_clean(&mut self) -> Result<(), Stop> {
        self.needs_command()?;
        self.needs_dialect()?;
        if !self.target.files.can_forget() {
            return Ok(());
        }
        self.target.stop(Signal::KILL);
        self.target.files.forget();
        // As a user would: a set first.
        self.target.hello.reads = false;
        let started = self.start_again();
        self.target.hello.reads = matches!(self.keeping, Some(Keeping::After(_)));
        started
    }

    /// The signal after which the pairs are there again. Where there is none, the first that asks
    /// fails, and says why; the others are not reached.
    pub(crate) fn needs_keeping(&mut self) -> Result<Signal, Stop> {
        self.needs_command()?;
        self.needs_dialect()?;
        match self.keeping {
            Some(Keeping::After(signal)) => return Ok(signal),
            Some(Keeping::Nothing(check)) => {
                let why = format!("needs pairs that outlive a restart (see {check})");
                return Err(Stop::NotReached(why));
            }
            None => {}
        }
        let mut lost = fail(
            "expected that pairs outlive a restart; none is there after SIGTERM, and none after \
             SIGINT: they are kept in memory alone",
        );
        for signal in [Signal::TERM, Signal::INT] {
            let (key, value) = (self.fresh("k"), self.fresh("v"));
            self.set(&key, &value)?;
            self.restart(signal)?;
            if self.expect(&key, &key, &value).is_ok() {
                self.keeping = Some(Keeping::After(signal));
                // From now on a start is greeted without a change to the file.
                self.target.hello.reads = true;
                return Ok(signal);
            }
            lost = lost.with(&self.client.get(&key));
        }
        self.keeping = Some(Keeping::Nothing(self.checking));
        Err(lost)
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
                let mut expected =
                    format!("expected that the server starts again: {}", not_up.sentence);
                if !self.target.files.can_forget() {
                    expected += "; its file holds what all checks have stored, as the command has \
                                 no {dir} or {data}, and no --data tells the file, to begin each with a new one";
                }
                Err(fail(expected).with_output(not_up.output))
            }
        }
    }
}
