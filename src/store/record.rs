//! The record: one line of the data file.
//!
//! ```text
//! {"key":"somekey","value":"somevalue"}\n
//! ```
//!
//! Everything here is a pure function over bytes.
//!
//! 1. Later lines win.
//! 2. A line is whole when its `\n` is there.
//! 3. A record is an object. `["somekey","somevalue"]` is not one, although the library would take it.
//! 4. Unknown fields are ignored, empty lines skipped, a byte order mark and CR LF accepted: people
//!    edit this file, some of them with Notepad.
//!
//! The naive format, `key value\n`, loses the first value with a space or a newline in it. JSON
//! escapes those, and each line can still be read by eye, with `grep`, and with `jq`.
//!
//! Next: [`crate::store::disk`], where the lines go.

use std::borrow::Cow;

use serde::de::Error as _;
use serde::{Deserialize, Serialize};

/// A pair, as it is in the file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record<'a> {
    /// The key.
    #[serde(borrow)]
    pub(crate) key: Cow<'a, str>,
    /// The value.
    #[serde(borrow)]
    pub(crate) value: Cow<'a, str>,
}

/// Appends the line of a pair to `lines`, with its `\n`.
pub(crate) fn write(lines: &mut Vec<u8>, key: &str, value: &str) {
    let record = Record { key: key.into(), value: value.into() };
    // Two strings into memory: nothing can fail.
    let _ = serde_json::to_writer(&mut *lines, &record);
    lines.push(b'\n');
}

/// Reads a line, with or without its line end; `None` where it is empty.
///
/// # Errors
/// What is wrong with it, and in which column.
pub(crate) fn read(line: &[u8]) -> Result<Option<Record<'_>>, serde_json::Error> {
    match line.trim_ascii() {
        b"" => Ok(None),
        // A `struct` is read from an array too, by the place of its fields.
        [b'[', ..] => Err(serde_json::Error::custom("an array where an object should be")),
        // All of a line is text; serde_json would let any bytes pass in a field that is ignored.
        _ => match std::str::from_utf8(line) {
            Ok(line) => serde_json::from_str(line).map(Some),
            Err(error) => {
                let column = error.valid_up_to() + 1;
                let why = format!("not UTF-8 at line 1 column {column}");
                Err(serde_json::Error::custom(why))
            }
        },
    }
}

/// The byte order mark that some editors put at the beginning of a file.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

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
            br#"["a","b"]"#,
            br#" ["a","b"]"#,
            b"{}",
            br#"{"key":"a"}"#,
            br#"{"key":"a","value":1}"#,
            br#"{"key":"a","key":"b","value":"c"}"#,
            br#"{"key":"a","value":"b"}}"#,
            br#"{"key":"a","value":"b"} {"key":"c","value":"d"}"#,
            br#"{"key":"\ud800","value":"b"}"#,
            b"{\"key\":\"\xFF\",\"value\":\"b\"}",
            b"{\"key\":\"a\",\"value\":\"b\",\"note\":[1,{\"\xFE\":null}]}",
            b"\0",
        ] {
            assert!(read(text).is_err(), "{}", text.escape_ascii());
        }
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
            let _ = read(&bytes).is_ok();
        }
    }
}
