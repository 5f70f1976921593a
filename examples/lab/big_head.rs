//! big-head: a server that reads until the head is whole needs a limit. The naive server has none, or
//! has one by accident: the size of its buffer.

use std::time::Duration;

use crate::client::{Answer, NoAnswer, PATIENCE};
use crate::subject::{Server, Subject};
use crate::tell::{self, Verdict};

/// How long we wait before we go on sending, at first: an answer now is one to the beginning.
const PAUSE: Duration = Duration::from_secs(1);

/// So much is sent of a head that has no end.
const ENDLESS: usize = 4 << 20;

pub(crate) fn run(subject: &Subject) -> anyhow::Result<Verdict> {
    let server = subject.server()?;
    tell::before(
        "A head ends with an empty line. We send one that goes on for 4 MB and never has it: a server \
         without a limit keeps it all in memory, for each client that does this, and one that looks \
         at the first bytes alone answers to them. Then a head of 6,000 bytes, which is long and legal.",
    );
    let answer = send_endless(&server);
    tell::came(&answer);
    match answer {
        Ok(answer) if answer.is_success() => {
            return Ok(tell::broke(
                "The server took the beginning of the head for the whole: it answered a request that \
                 it has not seen.",
            ));
        }
        Err(NoAnswer::Silent(_)) => {
            return Ok(tell::broke(
                "The server refuses nothing: it keeps what came, and waits for more. A thousand such \
                 clients need 4 GB of its memory.",
            ));
        }
        _ => {}
    }

    let short = server.ask("/get?key=lab");
    tell::sent(server.request("/get?key=lab"));
    tell::came(&short);
    let long_target = server.request(&format!("/get?key={}", "x".repeat(5_900)));
    let fields: String = (0..60).map(|number| format!("X-{number}: {:90}\r\n", "x")).collect();
    let many_fields = server.request_with("/get?key=lab", &fields);
    for request in [long_target, many_fields] {
        let long = server.say(&request, PATIENCE);
        tell::sent(&request);
        tell::came(&long);
        if long.map(|answer| answer.status) != short.clone().map(|answer| answer.status) {
            return Ok(tell::broke(
                "A long head is not an endless one: this one is legal (RFC 9112 §3 recommends to take \
                 request lines of 8,000 bytes), and got another answer than a short one.",
            ));
        }
    }
    Ok(tell::stands(
        "The endless head was refused when it passed the limit, and the long ones were served: the \
         limit is there, and large enough.",
    ))
}

/// Sends field lines until there is an answer, or an end.
fn send_endless(server: &Server) -> Result<Answer, NoAnswer> {
    let mut connection = server.connect()?;
    let whole = server.request("/get?key=lab");
    let beginning = whole.strip_suffix("\r\n").unwrap_or(&whole);
    tell::sent(beginning);
    connection.send(beginning);
    let mut answer = connection.answer(PAUSE);
    let line = format!("X-Filling: {}\r\n", "x".repeat(1_011));
    let lines = line.repeat(64);
    for number in 0..ENDLESS / lines.len() {
        if !matches!(answer, Err(NoAnswer::Silent(_))) {
            return answer;
        }
        if number == 0 {
            tell::sent(&line);
            tell::note("and again, and again");
        }
        if !connection.send(&lines) {
            break;
        }
        answer = connection.answer(Duration::from_millis(2));
    }
    // It has all of it, or has had enough and closes. What it said can be read now.
    connection.answer(PATIENCE)
}
