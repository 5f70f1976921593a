//! slow-reader: a client that asks and never reads. The naive server waits in a write, for ever.

use std::time::{Duration, Instant};

use anyhow::bail;

use crate::subject::Subject;
use crate::tell::{self, Verdict};

/// Long, and yet in a head that any server takes.
const VALUE_BYTES: usize = 8_000;

/// How long the system may take none of our bytes before we call it blocked.
const BLOCKED: Duration = Duration::from_secs(1);

/// A server has so much time to give up.
const PATIENCE: Duration = Duration::from_secs(40);

pub(crate) fn run(subject: &Subject) -> anyhow::Result<Verdict> {
    let server = subject.server()?;
    tell::before(
        "We ask for a value of 8,000 bytes again and again, and read none of the answers. They fill \
         the buffers of the system, a few megabytes, and then the server's write waits for us. \
         Without a timeout for writes it waits for ever, with the thread and all. We give it 40 s.",
    );
    let set = server.request(&format!("/set?lab-long={}", "x".repeat(VALUE_BYTES)));
    tell::sent(&set);
    let answer = server.say(&set, crate::client::PATIENCE);
    tell::came(&answer);
    if !answer.is_ok_and(|answer| answer.is_success()) {
        bail!("the server does not take a value of {VALUE_BYTES} bytes, which this lab needs");
    }

    let request = server.request("/get?key=lab-long");
    tell::sent(&request);
    tell::note("and again, and again");
    let requests = request.repeat(1_000);
    let mut connection = server.connect()?;
    // Where in `requests` we are: what was sent of a request must be followed by the rest of it.
    let mut at = 0;
    let begun = Instant::now();
    let mut blocked: Option<Instant> = None;
    let gave_up = loop {
        match connection.send_some(&requests.as_bytes()[at..], BLOCKED) {
            Ok(0) if blocked.is_none() => {
                blocked = Some(Instant::now());
                tell::note("the server does not take our requests any more: it waits in a write");
                let other = server.ask("/get?key=lab");
                if other.is_err() {
                    tell::came(&other);
                    return Ok(tell::broke("All other clients wait with it."));
                }
                tell::note("another client is served");
            }
            Ok(taken) => at = (at + taken) % requests.len(),
            Err(_) => break true,
        }
        if blocked.unwrap_or(begun).elapsed() > PATIENCE {
            break false;
        }
    };
    Ok(match (gave_up, blocked) {
        (true, Some(_)) => {
            tell::note("the server has closed the connection");
            tell::stands(
                "A write that made no progress was given up, and its thread is free. A client that does not read \
                 can hold a connection for a while, and not for ever.",
            )
        }
        (true, None) => {
            tell::note("the server has closed the connection, before any buffer was full");
            tell::stands(
                "It closes after an answer, and one answer fits into the buffers of the system: this \
                 server never waits for a client that does not read.",
            )
        }
        (false, Some(_)) => tell::broke(
            "After 40 s the server still waits in that write. The connection, its thread and its \
             memory are held by a client that does nothing.",
        ),
        (false, None) => tell::broke(
            "For 40 s the server took requests whose answers nobody reads: it keeps them all in memory.",
        ),
    })
}
