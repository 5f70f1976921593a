//! The line: from a stage to an event, and to its line of JSON.
//!
//! 1. A line is ASCII, and has no `<`, `>` or `&`: what it contains is the client's, and no client
//!    can send control sequences to a terminal, or an element to a page. JSON has escapes for all
//!    of them.
//! 2. Bytes are not always text. Those of [`What::BytesRead`] are escaped one by one, as in a Rust byte
//!    string, so that pieces of one request can be put together again.
//! 3. A text has no more than [`MAX_TEXT`] bytes. What was cut ends with `…`.
//!
//! The naive version puts texts between quotes, and a key with a quote in it ends the line.
//!
//! Next: [`crate::watch::hello`], the first of them.

use std::io;
use std::time::Instant;

use serde::Serialize as _;
use serde_json::ser::{Formatter, Serializer};

use crate::watch::event::{Event, What};
use crate::watch::stage::Stage;

/// How much of a text or of the bytes of one read is told, in bytes.
pub const MAX_TEXT: usize = 256;

impl Event {
    /// The event as a line of JSON, without a line end.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = Vec::with_capacity(128);
        // Writing to a Vec does not fail, and an event has nothing that JSON lacks.
        let _ = self.serialize(&mut Serializer::with_formatter(&mut line, Ascii));
        String::from_utf8(line).unwrap_or_default()
    }
}

impl What {
    /// The event that tells of `stage`. Times are told as `since` says, and for a write, `answers`
    /// is how many answers it has.
    pub(crate) fn of(stage: Stage<'_>, answers: u64, since: impl Fn(Instant) -> u64) -> Self {
        match stage {
            Stage::Opened { peer } => What::Opened { peer: peer.to_string() },
            Stage::BytesRead { bytes, .. } => What::bytes_read(bytes, bytes.len()),
            Stage::Partial { part, have, begun } => {
                What::Partial { part, have, begun: since(begun) }
            }
            Stage::Parsed { method, path, query, head } => {
                What::Parsed { method: clip(method), path: clip(path), query: clip(query), head }
            }
            Stage::Routed { path } => What::Routed { path: clip(path) },
            Stage::Decoded { key, value } => {
                What::Decoded { key: clip(key), value: value.map(clip) }
            }
            Stage::Locked { shard } => What::Locked { shard },
            Stage::Joined { batch, leads } => What::Joined { batch, leads },
            Stage::Journaled { batch, lines, sets, at, records, keys } => {
                What::Journaled { batch, sets, n: lines.len(), at, records, keys }
            }
            Stage::Synced { batch, sets, bytes, at, begun } => {
                What::Synced { batch, sets, n: bytes, at, begun: begun.map(since) }
            }
            Stage::Answered { status, bytes, body, close } => What::Answered {
                status: status.get(..3).and_then(|code| code.parse().ok()).unwrap_or_default(),
                n: bytes.len(),
                close,
                sentence: sentence(status, &bytes[bytes.len().saturating_sub(body)..]),
            },
            Stage::Written(bytes) => What::Written { n: bytes.len(), answers },
            Stage::Closed { why } => What::Closed { why },
            Stage::File { step, bytes, records, keys } => What::File { step, bytes, records, keys },
        }
    }

    /// One read, or several, that brought `n` bytes which begin with these.
    pub(crate) fn bytes_read(bytes: &[u8], n: usize) -> Self {
        let text = bytes[..bytes.len().min(MAX_TEXT)].escape_ascii().to_string();
        What::BytesRead { n, text }
    }
}

/// What an answer says of the request: a value says nothing of it.
fn sentence(status: &str, body: &[u8]) -> Option<String> {
    (!status.starts_with("200") && !body.is_empty()).then(|| clip(&String::from_utf8_lossy(body)))
}

fn clip(text: &str) -> String {
    if text.len() <= MAX_TEXT {
        return text.to_string();
    }
    let mut end = MAX_TEXT;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

/// JSON in ASCII, and without what means something to a page.
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        let is_plain = |c: char| matches!(c, ' '..='~') && !matches!(c, '<' | '>' | '&');
        let mut rest = fragment;
        while let Some(at) = rest.find(|c| !is_plain(c)) {
            writer.write_all(&rest.as_bytes()[..at])?;
            let mut after = rest[at..].chars();
            let units = after.next().map(|c| c.encode_utf16(&mut [0; 2]).to_vec());
            for unit in units.unwrap_or_default() {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = after.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(what: What) -> String {
        Event { t: 5, c: Some(7), r: None, what }.line()
    }

    #[test]
    fn a_line_is_what_its_fields_are_and_can_be_read_again() {
        let what = What::Written { n: 3, answers: 2 };
        assert_eq!(line(what.clone()), r#"{"t":5,"c":7,"e":"written","n":3,"answers":2}"#);
        let event: Event = serde_json::from_str(&line(what.clone())).unwrap();
        assert_eq!((event.t, event.c, event.r, event.what), (5, Some(7), None, what));
    }

    #[test]
    fn what_a_client_sends_stays_text() {
        let key = "\0\u{1b}[2J\u{7f}\u{9b}\u{202e}<img onerror=\"x\"></script>&\u{2028}😀";
        let line = line(What::Decoded { key: key.into(), value: None });
        assert!(line.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{line}");
        assert!(!line.contains(['<', '>', '&']), "{line}");
        let event: Event = serde_json::from_str(&line).unwrap();
        assert_eq!(event.what, What::Decoded { key: key.into(), value: None });
    }

    #[test]
    fn bytes_are_told_one_by_one_and_no_more_than_some() {
        let What::BytesRead { n, text } = What::bytes_read(b"a\r\n\xff\"", 5) else { panic!() };
        assert_eq!((n, &*text), (5, r#"a\r\n\xff\""#));
        let many = [b'a'; 1000];
        let What::BytesRead { n, text } = What::bytes_read(&many, 1000) else { panic!() };
        assert_eq!((n, text.len()), (1000, MAX_TEXT));
    }

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        assert_eq!(clip(&"a".repeat(MAX_TEXT)).len(), MAX_TEXT);
        let cut = clip(&format!("a{}", "é".repeat(MAX_TEXT)));
        assert_eq!(cut, format!("a{}…", "é".repeat(127)));
    }

    #[test]
    fn an_answer_that_is_no_value_says_why() {
        let answered = |status, bytes: &[u8], body| {
            let stage = Stage::Answered { status, bytes, body, close: false };
            match What::of(stage, 0, |_| 0) {
                What::Answered { status, n, sentence, .. } => (status, n, sentence),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(answered("200 OK", b"head value", 5), (200, 10, None));
        assert_eq!(answered("404 Not Found", b"head", 0), (404, 4, None));
        assert_eq!(answered("400 Bad Request", b"head So.", 3), (400, 8, Some("So.".into())));
    }
}
