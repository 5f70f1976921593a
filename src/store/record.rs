//! The record: one line of the data file.
//!
//! ```text
//! {"key":"somekey","value":"somevalue"}\n
//! ```
//!
//! Everything here is a pure function over bytes, so that each way in which a file can be cut or
//! damaged is a test without a file.
//!
//! 1. Later lines win.
//! 2. A line is whole when its `\n` is there. What stands behind the last `\n` is the tail: the
//!    rest of an append that a crash cut short.
//! 3. A tail that is a whole record is kept. Any other is cut off: it is no set whose safety was
//!    promised.
//! 4. Unknown fields are ignored, empty lines skipped, a byte order mark and CR LF accepted: people
//!    edit this file, some of them with Notepad.
//!
//! The naive format, `key value\n`, loses the first value with a space or a newline in it. JSON
//! escapes those, and each line can still be read by eye, with `grep`, and with `jq`.
//!
//! Next: [`crate::store::disk`], the file that the lines are in.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// A pair, as it stands in the file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record<'a> {
    /// The key.
    #[serde(borrow)]
    pub key: Cow<'a, str>,
    /// The value.
    #[serde(borrow)]
    pub value: Cow<'a, str>,
}

/// Appends the line of a pair to `lines`, with its `\n`.
pub fn write(lines: &mut Vec<u8>, key: &str, value: &str) {
    let record = Record { key: key.into(), value: value.into() };
    // Two strings into memory: nothing can fail.
    let _ = serde_json::to_writer(&mut *lines, &record);
    lines.push(b'\n');
}

/// Reads a line, with or without its line end; `None` where it is empty.
///
/// # Errors
/// What is wrong with it, and in which column.
pub fn read(line: &[u8]) -> Result<Option<Record<'_>>, serde_json::Error> {
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(line).map(Some)
}

/// The byte order mark that some editors put at the beginning of a file.
pub const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// What stands behind the last `\n` of a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Tail<'a> {
    /// Nothing: every line is whole.
    Clean,
    /// A record that only lacks its `\n`.
    Whole(Record<'a>),
    /// Part of a record.
    Torn,
}

/// Judges the bytes behind the last `\n`.
#[must_use]
pub fn tail(bytes: &[u8]) -> Tail<'_> {
    if bytes.is_empty() {
        return Tail::Clean;
    }
    match read(bytes) {
        Ok(Some(record)) => Tail::Whole(record),
        Ok(None) | Err(_) => Tail::Torn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(key: &str, value: &str) -> Vec<u8> {
        let mut line = Vec::new();
        write(&mut line, key, value);
        line
    }

    #[test]
    fn a_line_looks_as_documented() {
        assert_eq!(
            line("somekey", "some \"value\"\n"),
            b"{\"key\":\"somekey\",\"value\":\"some \\\"value\\\"\\n\"}\n"
        );
    }

    #[test]
    fn reads_what_people_write() {
        for text in [
            r#"{"key":"a","value":"b"}"#,
            "{\"key\":\"a\",\"value\":\"b\"}\r",
            r#"  { "value" : "b" , "key" : "a" }  "#,
            r#"{"key":"a","note":[1,{"x":null}],"value":"b"}"#,
            r#"{"key":"\u0061","value":"b"}"#,
        ] {
            let record = read(text.as_bytes()).unwrap().unwrap();
            assert_eq!((&*record.key, &*record.value), ("a", "b"), "{text}");
        }
        for text in ["", " ", "\r", "\t\n"] {
            assert_eq!(read(text.as_bytes()).unwrap(), None, "{text:?}");
        }
    }

    #[test]
    fn refuses_what_is_no_record() {
        for text in [
            &b"null"[..],
            b"[]",
            b"{}",
            br#"{"key":"a"}"#,
            br#"{"key":"a","value":1}"#,
            br#"{"key":"a","key":"b","value":"c"}"#,
            br#"{"key":"a","value":"b"}}"#,
            br#"{"key":"a","value":"b"} {"key":"c","value":"d"}"#,
            br#"{"key":"\ud800","value":"b"}"#,
            b"{\"key\":\"\xFF\",\"value\":\"b\"}",
            b"\0",
        ] {
            assert!(read(text).is_err(), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn a_tail_is_a_record_only_when_all_of_it_is_there() {
        let whole = line("a", "{\"key\":\"x\",\"value\":\"y\"}");
        assert_eq!(tail(b""), Tail::Clean);
        for cut in 1..whole.len() - 1 {
            assert_eq!(tail(&whole[..cut]), Tail::Torn, "cut at {cut}");
        }
        assert!(matches!(tail(&whole[..whole.len() - 1]), Tail::Whole(_)));
        assert_eq!(tail(b"\0\0\0\0"), Tail::Torn);
    }

    proptest! {
        #[test]
        fn every_pair_survives_on_one_line(key in "(?s).*", value in "(?s).*") {
            let line = line(&key, &value);
            prop_assert_eq!(line.iter().filter(|&&byte| byte == b'\n').count(), 1);
            let record = read(&line).unwrap().unwrap();
            prop_assert_eq!((&*record.key, &*record.value), (&*key, &*value));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = (read(&bytes).is_ok(), tail(&bytes));
        }
    }
}
