//! The response: what goes out on the wire, and the only place that knows how it looks.
//!
//! ```text
//! HTTP/1.1 200 OK                              status line      RFC 9112 §4
//! Content-Type: text/plain; charset=utf-8      what it is       RFC 9110 §8.3
//! X-Content-Type-Options: nosniff              and nothing else Fetch Standard
//! Cache-Control: no-store                      ask us each time RFC 9111 §5.2.2.5
//! Date: Mon, 23 Nov 2026 07:15:00 GMT          when             RFC 9110 §6.6.1
//! Content-Length: 9                            where it ends    RFC 9110 §8.6
//!                                              an empty line
//! somevalue                                    the body, byte for byte
//! ```
//!
//! 1. Every response has these fields, in this order, whatever its status; Connection and
//!    Retry-After come before Content-Length when there is something to say.
//! 2. Content-Length is always there and always right. A client knows where the body ends without
//!    waiting for the connection to close; the naive version, without it, makes browsers hang.
//! 3. An answer to HEAD has the fields of the answer to GET, and no body (RFC 9110 §9.3.2).
//! 4. Everything is appended to the connection's output and sent later, with the other answers
//!    that are ready. Nothing here touches a socket.
//!
//! A handler is given a [`Reply`] and must return the [`Sent`] that only [`Reply::send`] makes: it
//! can't forget to answer, nor answer twice.
//!
//! Next: [`crate::http::refusal`], the responses to what we do not serve.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use httpdate::HttpDate;

use crate::watch::stage::{Stage, reached};

/// The status codes that this server sends (RFC 9110 §15).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// 200
    Ok,
    /// 400
    BadRequest,
    /// 403
    Forbidden,
    /// 404
    NotFound,
    /// 408
    RequestTimeout,
    /// 413
    ContentTooLarge,
    /// 414
    UriTooLong,
    /// 431
    FieldsTooLarge,
    /// 500
    Internal,
    /// 501
    NotImplemented,
    /// 503
    Unavailable,
    /// 505
    VersionNotSupported,
}

impl Status {
    /// Code and reason phrase, as in the status line.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Status::Ok => "200 OK",
            Status::BadRequest => "400 Bad Request",
            Status::Forbidden => "403 Forbidden",
            Status::NotFound => "404 Not Found",
            Status::RequestTimeout => "408 Request Timeout",
            Status::ContentTooLarge => "413 Content Too Large",
            Status::UriTooLong => "414 URI Too Long",
            Status::FieldsTooLarge => "431 Request Header Fields Too Large",
            Status::Internal => "500 Internal Server Error",
            Status::NotImplemented => "501 Not Implemented",
            Status::Unavailable => "503 Service Unavailable",
            Status::VersionNotSupported => "505 HTTP Version Not Supported",
        }
    }

    /// The three digits.
    pub(crate) fn code(self) -> &'static str {
        &self.text()[..3]
    }
}

/// What the Connection field of a response says (RFC 9110 §7.6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// Nothing: HTTP/1.1 connections stay open by default.
    Default,
    /// `keep-alive`, for an HTTP/1.0 client that asked for it.
    KeepAlive,
    /// `close`: this is the last response.
    Close,
}

/// The fields that every response begins with, up to the date.
const FIELDS: &str = "\r\nContent-Type: text/plain; charset=utf-8\
                      \r\nX-Content-Type-Options: nosniff\
                      \r\nCache-Control: no-store\
                      \r\nDate: ";

/// The promise of one response, to be kept with [`Reply::send`].
#[derive(Debug)]
pub struct Reply<'c> {
    pub(crate) output: &'c mut Vec<u8>,
    pub(crate) clock: &'c Clock,
    pub(crate) persistence: Persistence,
    pub(crate) with_body: bool,
}

/// The proof that a request was answered, and what the access log says of it.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    pub(crate) status: Status,
    pub(crate) body_bytes: usize,
}

impl Sent {
    /// Tells those who watch: `answer` is what was appended, and `close` whether it is the connection's last.
    pub(crate) fn say(self, answer: &[u8], close: bool) {
        let (status, body) = (self.status.text(), self.body_bytes);
        reached(Stage::Answered { status, bytes: answer, body, close });
    }
}

impl Reply<'_> {
    /// Answers with `status` and `body`, UTF-8 text sent byte for byte.
    #[must_use = "a handler returns this to its caller"]
    pub fn send(self, status: Status, body: &str) -> Sent {
        let shown = if self.with_body { body } else { "" };
        for part in [
            "HTTP/1.1 ",
            status.text(),
            &self.clock.fields,
            match self.persistence {
                Persistence::Default => "",
                Persistence::KeepAlive => "\r\nConnection: keep-alive",
                Persistence::Close => "\r\nConnection: close",
            },
            if status == Status::Unavailable { "\r\nRetry-After: 1" } else { "" },
            "\r\nContent-Length: ",
            itoa::Buffer::new().format(body.len()),
            "\r\n\r\n",
            shown,
        ] {
            self.output.extend_from_slice(part.as_bytes());
        }
        Sent { status, body_bytes: shown.len() }
    }
}

/// The last second that the format of Date can tell, of the year 9999, in seconds since 1970.
const LAST_SECOND: u64 = 253_402_300_799;

/// What all responses of a second begin with after their status line: made once a second and not once
/// a response.
#[derive(Debug)]
pub(crate) struct Clock {
    second: u64,
    /// [`FIELDS`] and the date.
    fields: String,
}

impl Clock {
    /// The date as of the last [`Clock::tick`]: `Mon, 23 Nov 2026 07:15:00 GMT` (RFC 9110 §5.6.7).
    pub(crate) fn date(&self) -> &str {
        &self.fields[FIELDS.len()..]
    }

    /// Sets the date to that of `now`.
    pub(crate) fn tick(&mut self, now: SystemTime) {
        let second = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        let second = second.min(LAST_SECOND);
        if second != self.second {
            self.second = second;
            self.fields.truncate(FIELDS.len());
            // Writing to a String does not fail.
            let _ =
                write!(self.fields, "{}", HttpDate::from(UNIX_EPOCH + Duration::from_secs(second)));
        }
    }

    /// A clock that shows `now`.
    pub(crate) fn new(now: SystemTime) -> Self {
        let mut clock = Clock { second: u64::MAX, fields: FIELDS.into() };
        clock.tick(now);
        clock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(status: Status, body: &str, persistence: Persistence, with_body: bool) -> String {
        let mut output = Vec::new();
        let sent = Reply {
            output: &mut output,
            clock: &Clock::new(UNIX_EPOCH + Duration::from_secs(1_795_418_101)),
            persistence,
            with_body,
        }
        .send(status, body);
        assert_eq!(sent.status, status);
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn a_value_goes_out_byte_for_byte_after_an_exact_length() {
        assert_eq!(
            sent(Status::Ok, "é\r\n\0", Persistence::Default, true),
            "HTTP/1.1 200 OK\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\
             X-Content-Type-Options: nosniff\r\n\
             Cache-Control: no-store\r\n\
             Date: Mon, 23 Nov 2026 07:15:01 GMT\r\n\
             Content-Length: 5\r\n\
             \r\n\
             é\r\n\0"
        );
    }

    #[test]
    fn head_has_the_length_of_get_and_no_body() {
        let get = sent(Status::Ok, "abc", Persistence::Default, true);
        let head = sent(Status::Ok, "abc", Persistence::Default, false);
        assert_eq!(get, format!("{head}abc"));
    }

    #[test]
    fn connection_and_retry_after_come_where_they_belong() {
        let last = sent(Status::Unavailable, "", Persistence::Close, true);
        assert!(last.contains("\r\nConnection: close\r\nRetry-After: 1\r\n"));
        let old = sent(Status::NotFound, "", Persistence::KeepAlive, true);
        assert!(old.contains("\r\nConnection: keep-alive\r\n") && !old.contains("Retry"));
    }

    #[test]
    fn the_clock_tells_the_time() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let mut clock = Clock::new(at(0));
        assert_eq!(clock.date(), "Thu, 01 Jan 1970 00:00:00 GMT");
        clock.tick(at(1_795_418_100));
        assert_eq!(clock.date(), "Mon, 23 Nov 2026 07:15:00 GMT");
        // The format has four digits for the year.
        clock.tick(at(1 << 40));
        assert_eq!(clock.date(), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
