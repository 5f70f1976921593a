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
    let mut other = Ok(());
    tell::raw("  >");
    for (second, byte) in request.bytes().take(SECONDS).enumerate() {
        tell::raw(&format!(" {}", tell::readable(&[byte])));
        slow.send([byte]);
        // This is the pause: an answer or the end may come in it.
        end = slow.answer(PAUSE);
        if end != Err(NoAnswer::Silent(PAUSE)) {
            break;
        }
        if second == 2 {
            other = server.ask("/get?key=lab").map(drop);
        }
    }
    tell::raw("\n");
    if end == Err(NoAnswer::Silent(PAUSE)) {
        tell::note("15 s are over, and the server still waits");
    } else {
        tell::came(&end);
    }
    if let Err(no_answer) = other {
        tell::note(&format!("another client, meanwhile: {no_answer}"));
        return Ok(tell::broke("One client that is slow keeps all others from being served."));
    }
    tell::note("another client was served meanwhile");
    Ok(match end {
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
