//! The access log: a line on standard error for each request, in the Common Log Format.
//!
//! ```text
//! 127.0.0.1 - - [23/Nov/2026:07:15:00 +0000] "GET /get?key=a HTTP/1.1" 200 5
//! ```
//!
//! The request line is the client's, so it is escaped: no client can forge a line, or send control
//! sequences to a terminal. The naive version prints it as it came.
//!
//! Lines are collected, like the answers that they are about, and printed in one write with them. A
//! line may be a hundred times as long as its answer, so they have a limit of their own.
//!
//! Next: [`crate::handlers`], for which all of this was done.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;

use crate::http::response::Sent;

/// A longer request line is cut in the log.
const MAX_LINE: usize = 8 << 10;

/// Lines are printed when they have grown to this many bytes.
const LINES_FULL: usize = 64 << 10;

/// The lines of one connection that are not printed yet.
#[derive(Debug)]
pub(crate) struct Lines {
    client: IpAddr,
    text: String,
}

impl Lines {
    pub(crate) fn new(client: IpAddr) -> Self {
        Lines { client, text: String::new() }
    }

    /// Adds the line of a request that begins with these bytes, answered at `date`, an HTTP date.
    pub(crate) fn add(&mut self, request: &[u8], sent: Sent, date: &str) {
        // "Mon, 23 Nov 2026 07:15:00 GMT"
        let mut parts = date.split(' ').skip(1);
        let mut part = || parts.next().unwrap_or("-");
        let (day, month, year, time) = (part(), part(), part(), part());
        let end = memchr::memchr2(b'\r', b'\n', request).unwrap_or(request.len());
        let line = match request[..end.min(MAX_LINE)].escape_ascii().to_string() {
            line if line.is_empty() => "-".to_string(),
            line => line,
        };
        // Writing to a String does not fail.
        let _ = writeln!(
            self.text,
            "{} - - [{day}/{month}/{year}:{time} +0000] \"{line}\" {} {}",
            self.client,
            sent.status.code(),
            sent.body_bytes
        );
    }

    /// Whether there is enough for a write.
    pub(crate) fn are_full(&self) -> bool {
        self.text.len() >= LINES_FULL
    }

    /// Prints what was added, in one write. A closed standard error is no reason to stop.
    pub(crate) fn print(&mut self) {
        let _ = std::io::stderr().write_all(self.text.as_bytes());
        self.clear();
    }

    /// Most connections are idle, and keep no memory for what they once had to say.
    fn clear(&mut self) {
        self.text.clear();
        if self.text.capacity() > LINES_FULL {
            self.text = String::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::response::Status;

    #[test]
    fn a_line_is_in_the_common_log_format_and_can_not_be_forged() {
        let mut lines = Lines::new("127.0.0.1".parse().unwrap());
        let sent = Sent { status: Status::Ok, body_bytes: 5 };
        let date = "Mon, 23 Nov 2026 07:15:00 GMT";
        lines.add(b"GET /get?key=\"\x1b\xc3\xa9 HTTP/1.1\r\nHost: a\r\n", sent, date);
        lines.add(b"", sent, date);
        assert_eq!(
            lines.text,
            "127.0.0.1 - - [23/Nov/2026:07:15:00 +0000] \
             \"GET /get?key=\\\"\\x1b\\xc3\\xa9 HTTP/1.1\" 200 5\n\
             127.0.0.1 - - [23/Nov/2026:07:15:00 +0000] \"-\" 200 5\n"
        );
    }

    #[test]
    fn they_are_full_before_they_are_large_and_then_leave_no_memory_behind() {
        let mut lines = Lines::new("127.0.0.1".parse().unwrap());
        let sent = Sent { status: Status::BadRequest, body_bytes: 0 };
        let request = [0; MAX_LINE];
        let mut count = 0;
        while !lines.are_full() {
            lines.add(&request, sent, "Mon, 23 Nov 2026 07:15:00 GMT");
            count += 1;
        }
        assert_eq!(count, 2, "each is four times as long as its request");
        lines.clear();
        assert_eq!(lines.text.capacity(), 0);
    }
}
