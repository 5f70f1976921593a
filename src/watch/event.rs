//! The event: a stage as others can read it, on a line of JSON.
//!
//! ```text
//! {"t":81250,"c":7,"r":1,"e":"parsed","method":"GET","path":"/get","query":"key=a","head":44}
//! ```
//!
//! The same lines are in the file of `--trace-file`, and come to the page of `--watch`. [`What`] is the
//! list of them: its variants are the values of `e`, in small letters (`BytesRead` is `bytes_read`), and
//! their fields the fields of the line.
//!
//! 1. A line is ASCII, and has no `<`, `>` or `&`: what stands in it is the client's, and no client can send
//!    control sequences to a terminal, or an element to a page. JSON has escapes for all of them.
//! 2. Bytes are not always text. Those of [`What::BytesRead`] are escaped one by one, as in a Rust byte
//!    string, so that pieces of one request can be put together again.
//! 3. A text has no more than [`MAX_TEXT`] bytes. What was cut ends with `…`.
//!
//! The naive version puts texts between quotes, and a key with a quote in it ends the line.
//!
//! Next: [`crate::watch::recorder`], which decides what becomes an event.

use std::io;

use serde::{Deserialize, Serialize};
use serde_json::ser::{Formatter, Serializer};

use crate::watch::stage::{FileStep, Part, Stage, Why};

/// How much of a text or of the bytes of one read is told, in bytes.
pub const MAX_TEXT: usize = 256;

/// What happened, where, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When: nanoseconds since the recording began.
    pub t: u64,
    /// On which connection. The first is 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub c: Option<u64>,
    /// In which request on it. The first is 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r: Option<u64>,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened. Where nothing else is said, `n` is a number of bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "e", rename_all = "snake_case")]
pub enum What {
    /// The first line: who tells this, and what there is already.
    Hello {
        /// The program's version.
        version: String,
        /// When `t` was 0: milliseconds since 1970.
        start: u64,
        /// What `--sync` says: `always`, `never`, or an interval such as `100ms`.
        sync: String,
        /// How long a client may take, and how much there may be.
        limits: Limits,
        /// The data file, if there is one.
        file: Option<FileSize>,
        /// The connections that are open.
        open: Vec<Open>,
    },
    /// A client has connected.
    Opened {
        /// Its address and port.
        peer: String,
    },
    /// One read brought these bytes.
    BytesRead {
        /// How many.
        n: usize,
        /// The first of them, escaped: `GET / HTTP/1.1\r\n`.
        text: String,
    },
    /// The request is not whole, and more is waited for.
    Partial {
        /// What is not whole: `head` or `body`.
        part: Part,
        /// How many bytes of it are there.
        have: usize,
        /// The `t` at which its deadline began: it has the time `limits` give.
        begun: u64,
    },
    /// The head is whole and well-formed.
    Parsed {
        /// The method.
        method: String,
        /// The target's path.
        path: String,
        /// The target's query, not decoded.
        query: String,
        /// How long the head is.
        head: usize,
    },
    /// The dispatch table has a line for it.
    Routed {
        /// The path of that line.
        path: String,
    },
    /// The query is decoded.
    Decoded {
        /// The key.
        key: String,
        /// The value, for a set.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<String>,
    },
    /// The lock on the key's part of the map is held.
    Locked {
        /// The number of that part.
        shard: usize,
    },
    /// The set waits in a batch.
    Joined {
        /// The number of the batch.
        batch: u64,
        /// Whether this set writes the batch, for all.
        leads: bool,
    },
    /// A batch is appended to the file. `c` and `r` are those of the set that leads it.
    Journaled {
        /// The number of the batch.
        batch: u64,
        /// How many sets it has.
        sets: usize,
        /// How many bytes their lines have.
        n: usize,
        /// Where in the file they begin.
        at: u64,
        /// How many records the file has now, live and dead.
        records: u64,
        /// How many keys there were before: at least so many of the records are live.
        keys: usize,
    },
    /// It is on the disk.
    Synced {
        /// The number of the batch.
        batch: u64,
        /// How many sets it has.
        sets: usize,
        /// How many bytes their lines have.
        n: usize,
        /// Where in the file they begin.
        at: u64,
    },
    /// The answer is ready.
    Answered {
        /// The three digits.
        status: u16,
        /// How long it is, with its head.
        n: usize,
        /// Whether it is the last on its connection.
        close: bool,
        /// What it says, where it is no value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sentence: Option<String>,
    },
    /// Answers went out, in one write.
    Written {
        /// How many bytes.
        n: usize,
        /// How many answers: those of `r` and the requests before it.
        answers: u64,
    },
    /// A connection has ended.
    Closed {
        /// Why.
        why: Why,
    },
    /// The data file has come this far.
    File {
        /// How far.
        step: FileStep,
        /// How long it is: the new file from `copied` to `replaced`.
        bytes: u64,
        /// How many records it has.
        records: u64,
        /// How many keys there are, where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        keys: Option<usize>,
    },
    /// There was too much to record all of it.
    Lost {
        /// How many whole requests are not here that were there since the last such line.
        requests: u64,
        /// How many connections are not here, from `opened` to `closed`.
        connections: u64,
    },
}

/// How long a client may take, in milliseconds, and how much there may be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is explained in `crate::config`")]
pub struct Limits {
    pub head_ms: u64,
    pub body_ms: u64,
    pub idle_ms: u64,
    pub write_ms: u64,
    pub head_bytes: usize,
    pub connections: usize,
}

/// How large the data file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSize {
    /// Its length.
    pub bytes: u64,
    /// Its records, live and dead.
    pub records: u64,
    /// The live ones.
    pub keys: u64,
}

/// An open connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// Its number.
    pub c: u64,
    /// The client's address and port.
    pub peer: String,
    /// What it does.
    pub state: State,
}

/// What a connection does, as far as was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing of a request is there.
    Idle,
    /// A request has begun.
    Begun,
    /// A request is being answered.
    Answering,
}

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
    pub(crate) fn of(
        stage: Stage<'_>,
        answers: u64,
        since: impl Fn(std::time::Instant) -> u64,
    ) -> Self {
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
            Stage::Synced { batch, sets, bytes, at } => What::Synced { batch, sets, n: bytes, at },
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
