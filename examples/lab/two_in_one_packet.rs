//! two-in-one-packet: the other half of split-packet. One `read` may return two requests, and the
//! naive server looks at the first.

use crate::client::PATIENCE;
use crate::subject::Subject;
use crate::tell::{self, Verdict};

pub(crate) fn run(subject: &Subject) -> anyhow::Result<Verdict> {
    let server = subject.server()?;
    tell::before(
        "A client may send its next request before it has the answer to the last: that is pipelining \
         (RFC 9112 §9.3.2). We set two pairs, and ask for both in one write. A server that closes \
         after one answer, or drops what follows the first request, leaves the second \
         unanswered.",
    );
    for (key, value) in PAIRS {
        let set = format!("/set?{key}={value}");
        tell::sent(server.request(&set));
        tell::came(&server.ask(&set));
    }
    let requests: String =
        PAIRS.iter().map(|(key, _)| server.request(&format!("/get?key={key}"))).collect();
    let mut connection = server.connect()?;
    tell::sent(&requests);
    connection.send(&requests);
    for (_, value) in PAIRS {
        let answer = connection.answer(PATIENCE);
        tell::came(&answer);
        match answer {
            Ok(answer) if answer.body == value.as_bytes() => {}
            Ok(_) => {
                return Ok(tell::broke(
                    "That is not the answer that is due now. A client has nothing but the order to \
                     tell which answer belongs to which request.",
                ));
            }
            Err(_) => {
                return Ok(tell::broke(
                    "A request came whole and was never answered. What one read returned after the \
                     first request is the beginning of the next: keep it, and the connection open.",
                ));
            }
        }
    }
    Ok(tell::stands(
        "Both came, in the order in which they were asked for. The server keeps what it has read and \
         not used yet, and looks there first.",
    ))
}

const PAIRS: [(&str, &str); 2] = [("lab-a", "first"), ("lab-b", "second")];
