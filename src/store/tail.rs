//! The tail: what a crash leaves at the end of the data file, and what it can't have left.
//!
//! Everything here is a pure function over bytes, so that each way in which a file can be cut or
//! damaged is a test without a file.
//!
//! 1. A process that is killed while it appends leaves the beginning of what it appended: whole lines,
//!    and then the beginning of a line. That is *torn*, and was never answered.
//! 2. A loss of power can leave more. The pages of an append reach the disk in any order, and the
//!    file's new length may be there before them: where a page is missing the file has zeros, and
//!    after them there may be whole lines. An append of ours has no zeros, since JSON escapes them.
//! 3. All else was done by somebody, and is somebody's: another program's file, a line that a person
//!    wrote, a damaged disk. Whole JSON of another form is never the beginning of a line of ours. A
//!    start that cuts it off as torn empties a file that has one long line.
//!
//! The naive version cuts off whatever can't be read.
//!
//! Next: [`crate::store::replay`], which reads the file at the start.

use crate::store::record::{self, Record};

/// What comes after the last `\n` of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tail<'a> {
    /// Nothing: every line is whole.
    Clean,
    /// A line that only lacks its `\n`; a record, unless it is blank.
    Unended(Option<Record<'a>>),
    /// Less than all of a line that we write.
    Torn,
}

/// Judges the bytes after the last `\n`.
///
/// # Errors
/// What is wrong with the line, where no crash can have left it.
pub(crate) fn judge(bytes: &[u8]) -> Result<Tail<'_>, serde_json::Error> {
    if bytes.is_empty() {
        return Ok(Tail::Clean);
    }
    match record::read(bytes) {
        Ok(record) => Ok(Tail::Unended(record)),
        Err(_) if is_begun(bytes) => Ok(Tail::Torn),
        Err(error) => Err(error),
    }
}

/// Where the zeros of a missing page begin in `bytes`, which begin at `offset` in the file and may
/// end with it.
pub(crate) fn missing_page(bytes: &[u8], offset: u64) -> Option<usize> {
    /// No disk writes less than this at a time, in bytes.
    const SECTOR: u64 = 512;
    let begin = memchr::memchr(0, bytes)?;
    let length = bytes[begin..].iter().take_while(|&&byte| byte == 0).count();
    let end = begin + length;
    // Up to three are a letter of UTF-16 or UTF-32, or a flipped bit. A page that is missing ends at
    // a page's end or at the file's; what is missing of it is nearly always longer than that.
    let is_page = length >= 4 || end == bytes.len() || (offset + end as u64).is_multiple_of(SECTOR);
    is_page.then_some(begin)
}

/// Whether this is the beginning of a line as [`record::write`] writes it.
fn is_begun(mut bytes: &[u8]) -> bool {
    for fixed in [&br#"{"key":""#[..], br#"","value":""#, br#""}"#] {
        if fixed.starts_with(bytes) {
            return true;
        }
        let Some(rest) = bytes.strip_prefix(fixed) else {
            return false;
        };
        bytes = &rest[escaped_length(rest)..];
    }
    false
}

/// How many of these bytes are text as it is between the quotes. The end of the bytes may cut a
/// character or an escape in two.
fn escaped_length(bytes: &[u8]) -> usize {
    let (text, is_cut) = match std::str::from_utf8(bytes) {
        Ok(text) => (text.as_bytes(), false),
        Err(error) => (&bytes[..error.valid_up_to()], error.error_len().is_none()),
    };
    let escapes = escapes();
    let mut at = 0;
    while at < text.len() {
        at += match text[at] {
            b'"' | ..b' ' => return at,
            b'\\' => {
                let rest = &bytes[at..];
                let length = |escape: &Vec<u8>| {
                    let length = escape.len().min(rest.len());
                    (escape[..length] == rest[..length]).then_some(length)
                };
                match escapes.iter().find_map(length) {
                    Some(length) => length,
                    None => return at,
                }
            }
            _ => 1,
        };
    }
    if is_cut { bytes.len() } else { at }
}

/// Each escape that we write, such as `\n` and `\u0000`.
fn escapes() -> Vec<Vec<u8>> {
    let mut line = Vec::new();
    let characters = ('\0'..' ').chain(['"', '\\']);
    let escape = |character: char| {
        line.clear();
        record::write(&mut line, character.encode_utf8(&mut [0; 4]), "");
        let text = line.strip_prefix(br#"{"key":""#)?.strip_suffix(b"\",\"value\":\"\"}\n")?;
        Some(text.to_vec())
    };
    characters.filter_map(escape).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(key: &str, value: &str) -> Vec<u8> {
        let mut line = Vec::new();
        record::write(&mut line, key, value);
        line
    }

    #[test]
    fn less_than_all_of_a_line_is_torn() {
        let whole = line("é\u{1F600}", "{\"key\":\"x\",\"value\":\"\0\u{1b}\\\u{7f}\r\n\"}");
        assert_eq!(judge(b"").unwrap(), Tail::Clean);
        for cut in 1..whole.len() - 1 {
            assert_eq!(judge(&whole[..cut]).unwrap(), Tail::Torn, "cut at {cut}");
        }
        let unended = judge(&whole[..whole.len() - 1]).unwrap();
        assert!(matches!(unended, Tail::Unended(Some(_))), "{unended:?}");
    }

    #[test]
    fn what_people_and_other_programs_write_is_not_torn() {
        for text in [
            r#"{"somekey":"somevalue","city":"Oslo"}"#,
            r#"{"name":"my-app","version":"1.0.0","dependencies":{"express":"^4"}}"#,
            r#"{"key":"a","value":1}"#,
            r#"{"key":"a","val":"1"}"#,
            r#"{"key":"a","value":"1"}{"key":"a","value":"1"}"#,
            r#"{"key":"a","value":"1"} // my note"#,
            "{\"key\":\"a\",\"value\":\"1\"}\r{\"key\":\"b\",\"value\":\"2\"}\r",
            r#"[{"key":"a","value":"1"}]"#,
            r#"["a","1"]"#,
            // Cut short, but not by us.
            r#"{"key": "a", "val"#,
            r#"{"somekey":"somev"#,
            r#"{ "key":"a"#,
            r#"{"key":"a\/b"#,
            r#"{"key":"a\u0041"#,
            r#"{"key":"a\u001B"#,
            r#"{"key":"a\u1"#,
            "{\"key\":\"a\tb",
            "remember the milk",
        ] {
            assert!(judge(text.as_bytes()).is_err(), "{text}");
        }
        assert!(judge(b"{\"key\":\"a\xFFb").is_err());
        assert!(judge(b"\x7FELF").is_err());
    }

    #[test]
    fn a_line_that_lacks_its_end_is_not_torn() {
        for text in [" ", "\r", "\t "] {
            assert_eq!(judge(text.as_bytes()).unwrap(), Tail::Unended(None), "{text:?}");
        }
        let edited = judge(br#"{"value":"1","note":7,"key":"a"}"#).unwrap();
        assert!(matches!(edited, Tail::Unended(Some(_))), "{edited:?}");
    }

    #[test]
    fn a_missing_page_is_told_from_text_in_another_encoding() {
        for (bytes, offset, begin) in [
            (&b"no zeros"[..], 0, None),
            (b"\0\0\0\0", 0, Some(0)),
            (b"a\0", 0, Some(1)),
            (b"abc\0\0\0\0\0\0d\n", 10, Some(3)),
            // The end of a sector, and not.
            (b"ab\0c\n", 509, Some(2)),
            (b"ab\0c\n", 508, None),
            (b"{\0\"\0k\0", 0, None),
            (b"\0{\0\"", 0, None),
            (b"{\0\0\0\"\0\0\0k\0\0\0\"", 0, None),
        ] {
            let found = missing_page(bytes, offset);
            assert_eq!(found, begin, "{} at {offset}", bytes.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn every_line_cut_anywhere_is_torn(
            key in "(?s).*",
            value in "(?s).*",
            cut in any::<prop::sample::Index>(),
        ) {
            let line = line(&key, &value);
            let cut = 1 + cut.index(line.len() - 2);
            prop_assert_eq!(judge(&line[..cut]).unwrap(), Tail::Torn);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = (judge(&bytes).is_ok(), missing_page(&bytes, 7));
            let begun = [&b"{\"key\":\""[..], &bytes].concat();
            let _ = judge(&begun).is_ok();
        }
    }
}
