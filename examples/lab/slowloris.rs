//! slowloris: a client that is slow on purpose. The naive server gives each read a timeout, and every
//! byte starts it anew.

use std::time::Duration;

use crate::client::{Answer, NoAnswer};
use crate::subject::Subject;
use crate::tell::{self, Verdict};

/// From one byte to the next.
const PAUSE: Duration = Duration::from_secs(1);

/// A server has so many seconds to end this.
const SECONDS: usize = 15;

pub(crate) fn run(subject: &Subject) -> anyhow::Result<Verdict> {
    let server = subject.server()?;
    tell::before(
        "We send a head, a byte each second. A timeout for each read starts anew with every byte, so \
         it never ends this, and the client holds the connection and its thread for as long as it \
         likes. A deadline for the whole head ends it. We give the server 15 s.",
    );
    let request = server.request("/get?key=lab");
    let mut slow = server.connect()?;
    let mut end = Err(NoAnswer::Silent(PAUSE));
    let mut other = None;
    let mut sent = 0;
    tell::raw("  >");
    for byte in request.bytes().take(SECONDS) {
        tell::raw(&format!(" {}", tell::readable(&[byte])));
        slow.send([byte]);
        // This is the pause: an answer or the end may come in it.
        end = slow.answer(PAUSE);
        if end != Err(NoAnswer::Silent(PAUSE)) {
            break;
        }
        sent += 1;
        if sent == 1 {
            other = Some(server.ask("/get?key=lab"));
        }
    }
    tell::raw("\n");
    if end == Err(NoAnswer::Silent(PAUSE)) {
        tell::note("15 s are over, and the server still waits");
    } else {
        tell::came(&end);
    }
    match other {
        None => {}
        Some(Ok(_)) => tell::note("another client was served meanwhile"),
        Some(Err(no_answer)) => {
            tell::note(&format!("another client, meanwhile: {no_answer}"));
            return Ok(tell::broke("One client that is slow keeps all others from being served."));
        }
    }
    Ok(match end {
        Ok(_) | Err(NoAnswer::Closed) if sent == 0 => {
            tell::broke("The server did not wait for the second byte: see the lab split-packet.")
        }
        Ok(Answer { status: 408, .. }) | Err(NoAnswer::Closed) => tell::stands(
            "The server gave the client a time for the whole head, and ended the connection when it \
             was over. A slow client can hold it for ten seconds or so, and not for ever.",
        ),
        Err(_) => tell::broke(
            "It would wait for days, since each byte is in time. A few thousand connections like this \
             one, which cost the client nothing, take all the threads that a machine has.",
        ),
        Ok(_) => tell::broke("The server answered before the head was whole."),
    })
}
