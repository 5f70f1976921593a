//! split-packet: TCP carries bytes, not messages. The naive server takes what one `read` returns for
//! the whole request.

use std::time::Duration;

use crate::client::NoAnswer;
use crate::subject::Subject;
use crate::tell::{self, Verdict};

/// How long we wait in the middle of the request. An answer in this time is one to half a request.
const PAUSE: Duration = Duration::from_secs(2);

pub(crate) fn run(subject: &Subject) -> anyhow::Result<Verdict> {
    let server = subject.server()?;
    tell::before(
        "A network may cut a request anywhere, and a slow client sends it in pieces. We send a \
         request in one piece, then the same in two with a pause of 2 s between them. A server that \
         takes one read for one request answers before it knows what it was asked.",
    );
    let request = server.request("/get?key=lab");
    let whole = server.say(&request, PAUSE);
    tell::sent(&request);
    tell::came(&whole);

    // The cut is in the middle of the word "Host".
    let cut = request.find("\r\nHo").map_or(0, |at| at + 4);
    let (half, rest) = request.split_at(cut);
    let mut connection = server.connect()?;
    tell::sent(half);
    connection.send(half);
    let early = connection.answer(PAUSE);
    tell::came(&early);
    if early != Err(NoAnswer::Silent(PAUSE)) {
        return Ok(tell::broke(
            "The server did not wait for the rest. One read returns what has arrived so far, and \
             that may be less than a request, or more: read on until the empty line that ends the \
             head is there.",
        ));
    }
    tell::sent(rest);
    connection.send(rest);
    let answer = connection.answer(PAUSE);
    tell::came(&answer);
    if answer.is_err() || answer != whole {
        return Ok(tell::broke(
            "The same bytes got another answer because they came in two pieces: what the first read \
             returned is lost, or was taken for a request.",
        ));
    }
    Ok(tell::stands(
        "The server kept the first piece, and read on until the head was whole. Where the network \
         cut it made no difference.",
    ))
}
