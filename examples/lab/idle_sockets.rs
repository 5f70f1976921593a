//! idle-sockets: a connection on which nothing is said. The naive server serves one after another,
//! and waits.

use std::time::Duration;

use crate::client::Connection;
use crate::subject::Subject;
use crate::tell::{self, Verdict};

/// How long the client waits that does ask something.
const PATIENCE: Duration = Duration::from_secs(3);

pub(crate) fn run(subject: &Subject) -> anyhow::Result<Verdict> {
    let server = subject.server()?;
    tell::before(
        "Browsers open connections before they need them, and say nothing on them yet. We open four \
         such connections, and ask on a fifth. A server that serves one client after another waits \
         for the first to speak.",
    );
    let idle: Vec<Connection> = (0..4).map(|_| server.connect()).collect::<Result<_, _>>()?;
    tell::note("four connections are open, and nothing is said on them");
    let request = server.request("/get?key=lab");
    let mut fifth = server.connect()?;
    tell::sent(&request);
    fifth.send(&request);
    let answer = fifth.answer(PATIENCE);
    tell::came(&answer);
    if answer.is_ok() {
        return Ok(tell::stands(
            "Four clients that say nothing cost the server four threads, and the fifth nothing.",
        ));
    }
    // Where they were the reason, their end is the end of it.
    drop(idle);
    tell::note("we close the four");
    tell::came(&fifth.answer(PATIENCE));
    Ok(tell::broke(
        "The server was reading from a client that says nothing, and all others waited with it. Any \
         browser does this without meaning harm. The answer is a thread for each connection.",
    ))
}
