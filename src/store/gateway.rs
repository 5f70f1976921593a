//! The gateway: which member of the cluster is asked, how long we wait for it, and what its silence
//! means.
//!
//! Any member will do: it hands a set on to the leader. So they are tried in turn, and the one that
//! works is kept.
//!
//! ```text
//!                        │ may be asked again │ may not (a put)
//!  ──────────────────────┼────────────────────┼──────────────────────────
//!  not connected         │ the next member    │ the next member
//!  sent, and no answer   │ the next member    │ unknown, and that is said
//!  answered: not now     │ the next member    │ unknown: it may have begun
//!  answered: refused     │ that is said       │ that is said: not done
//! ```
//!
//! 1. Only what cannot have been sent is sent again, unless sending it twice does no harm. The
//!    naive client tries again after every error, and once in a while a set comes back from the
//!    dead over a newer one.
//! 2. A call has one deadline over all members, shorter than the time that a stop leaves to the
//!    last requests: those are answered even while the cluster hangs. With a timeout for each
//!    member, three that hang take three times as long.
//! 3. A token that is no longer good (tokens expire after some minutes without a call) is replaced,
//!    and the call made once more: what was refused for its token was not done.
//!
//! Next: [`crate::store::reason`], what went wrong.

use std::fmt::{self, Display, Formatter};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Value, json};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Error};

use crate::lock::lock;
use crate::store::cluster::{Cluster, Login};
use crate::store::reason::{cause, in_words, is_about_the_token, is_before_sending, message};

/// For a call, with all the members that it has to try.
const DEADLINE: Duration = Duration::from_millis(3500);

/// Connections that are kept, in all: one for each request that was under way at a time, as far as
/// that is worth it.
const IDLE: usize = 256;

/// Asks the members of one cluster.
#[derive(Debug)]
pub(crate) struct Gateway {
    agent: Agent,
    members: Vec<String>,
    /// Which of them is asked first.
    current: AtomicUsize,
    login: Option<Login>,
    /// What we show of a login; none before the first, or where none is wanted.
    token: Mutex<Option<String>>,
}

/// Whether a call does no harm when it is done twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    Yes,
    No,
}

/// Why a call brought no answer, in words for the client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It was not done, and never will be.
    NotDone(String),
    /// It may have been done, or still be done.
    Unknown(String),
}

impl Display for Trouble {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let (Trouble::NotDone(why) | Trouble::Unknown(why)) = self;
        formatter.write_str(why)
    }
}

/// What became of a call at one member.
enum Failure {
    /// Nothing was sent.
    NotSent(String),
    /// It was sent, and may or may not be done.
    Open(String),
    /// It was refused, with this status and message.
    Refused(u16, String),
}

impl Gateway {
    /// For this cluster. Nothing is asked yet.
    ///
    /// # Errors
    /// Where a file that `cluster` names can't be read.
    pub(crate) fn new(cluster: &Cluster) -> anyhow::Result<Self> {
        anyhow::ensure!(!cluster.members.is_empty(), "a cluster has at least one member");
        let roots = cluster.ca.as_ref().map(|file| {
            let pem = std::fs::read(file).context("cannot read it")?;
            let certificates = parse_pem(&pem).filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(Ok(certificate)),
                Ok(_) => None,
                Err(error) => Some(Err(error)),
            });
            let certificates = certificates.collect::<Result<Vec<_>, _>>()?;
            anyhow::ensure!(!certificates.is_empty(), "it has no certificate in PEM");
            Ok(RootCerts::new_with_certs(&certificates))
        });
        let roots = roots.transpose().with_context(|| {
            format!("--etcd-ca: {}", cluster.ca.as_deref().unwrap_or("".as_ref()).display())
        })?;
        let tls = TlsConfig::builder().root_certs(roots.unwrap_or(RootCerts::WebPki)).build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            // What is between us and the cluster is for the user to say, not for a variable.
            .proxy(None)
            // A redirect would send a request a second time.
            .max_redirects(0)
            .http_status_as_error(false)
            .max_idle_connections(IDLE)
            .max_idle_connections_per_host(IDLE)
            .build()
            .new_agent();
        Ok(Gateway {
            agent,
            members: cluster.members.clone(),
            current: AtomicUsize::new(0),
            login: cluster.login()?,
            token: Mutex::new(None),
        })
    }

    /// Posts `body` to `path`, and returns what was answered.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub(crate) fn ask(&self, path: &str, body: &Value, again: Again) -> Result<String, Trouble> {
        let deadline = Instant::now() + DEADLINE;
        let token = self.token_after(None, deadline)?;
        match self.go_round(path, body, again, token.as_deref(), deadline) {
            Err(Failure::Refused(status, message))
                if self.login.is_some() && is_about_the_token(status, &message) =>
            {
                let token = self.token_after(token.as_deref(), deadline)?;
                self.go_round(path, body, again, token.as_deref(), deadline)
            }
            answer => answer,
        }
        .map_err(Trouble::from)
    }

    /// The token to show, which is not `old`. Threads that need a new one at the same time get the
    /// same.
    fn token_after(&self, old: Option<&str>, deadline: Instant) -> Result<Option<String>, Trouble> {
        let Some(login) = &self.login else { return Ok(None) };
        let current = lock(&self.token).clone();
        if current.is_some() && current.as_deref() != old {
            return Ok(current);
        }
        let body = json!({ "name": login.user, "password": login.password });
        let answer = self
            .go_round("/v3/auth/authenticate", &body, Again::Yes, None, deadline)
            // Nothing of the call itself was sent.
            .map_err(|failure| Trouble::NotDone(Trouble::from(failure).to_string()))?;
        let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
        let token = answer.get("token").and_then(Value::as_str).map(str::to_string);
        lock(&self.token).clone_from(&token);
        Ok(token)
    }

    /// Asks one member after another, until one answers or the call must not be made again.
    fn go_round(
        &self,
        path: &str,
        body: &Value,
        again: Again,
        token: Option<&str>,
        deadline: Instant,
    ) -> Result<String, Failure> {
        let first = self.current.load(Ordering::Relaxed);
        let mut failure = Failure::NotSent("no member of the cluster answers".into());
        for turn in 0..self.members.len() {
            let at = (first + turn) % self.members.len();
            let left = deadline.saturating_duration_since(Instant::now());
            let to_try = u32::try_from(self.members.len() - turn).unwrap_or(u32::MAX);
            // Each of those that can still be tried gets its share; a put has only one try.
            let share = left / to_try;
            let whole = if again == Again::Yes { share } else { left };
            if share.is_zero() {
                break;
            }
            failure = match self.post(&self.members[at], path, body, token, share / 2, whole) {
                Err(failure @ (Failure::NotSent(_) | Failure::Open(_))) => failure,
                answered => return answered,
            };
            // Whoever comes next begins with the next member, unless somebody else has seen to that.
            let next = (at + 1) % self.members.len();
            let _ = self.current.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
            if again == Again::No && matches!(failure, Failure::Open(_)) {
                break;
            }
        }
        Err(failure)
    }

    /// One call to one member, with a time to connect in and a time for the whole call.
    fn post(
        &self,
        member: &str,
        path: &str,
        body: &Value,
        token: Option<&str>,
        to_connect: Duration,
        whole: Duration,
    ) -> Result<String, Failure> {
        let mut request = self.agent.post(format!("{member}{path}"));
        if let Some(token) = token {
            request = request.header("Authorization", token);
        }
        let configured =
            request.config().timeout_connect(Some(to_connect)).timeout_global(Some(whole)).build();
        let failed = |error: &Error| {
            let why = format!("{member}: {}", cause(error));
            if is_before_sending(error) { Failure::NotSent(why) } else { Failure::Open(why) }
        };
        let mut answer = configured.send(body.to_string()).map_err(|error| failed(&error))?;
        let status = answer.status().as_u16();
        // From here on it was sent, whatever fails.
        let text = answer.body_mut().read_to_string();
        let text = text.map_err(|error| Failure::Open(format!("{member}: {}", cause(&error))))?;
        match status {
            200 => Ok(text),
            // Bad argument, no token, no permission, no such call, precondition, no space: etcd has
            // looked at the call and not done it.
            400 | 401 | 403 | 404 | 412 | 429 => Err(Failure::Refused(status, message(&text))),
            // No leader, a leader that has changed, a timeout in there: it may yet be done.
            _ => Err(Failure::Open(format!("{member}: {}", message(&text)))),
        }
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotSent(why) => Trouble::NotDone(why),
            Failure::Open(why) => Trouble::Unknown(why),
            Failure::Refused(status, message) => Trouble::NotDone(in_words(status, &message)),
        }
    }
}
