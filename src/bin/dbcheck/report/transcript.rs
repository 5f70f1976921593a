//! The transcript: bytes as a person can read them, with a caret under the first wrong one.
//!
//! A line of the picture ends where a line of the message does, so heads look like heads; what can't
//! be seen is written as an escape. Nothing that a server sends reaches the terminal as it is.

/// No more of a message is shown than this many bytes from its beginning, or around the caret.
const MOST_BYTES: usize = 700;

/// No line of the picture is longer, so that one with a label before it fits on a terminal.
const MOST_COLUMNS: usize = 66;

/// One byte, or one character of more bytes, as it is shown.
fn show(bytes: &[u8]) -> (String, usize) {
    // A character of UTF-8 that can be seen is shown as it is.
    let length = match bytes[0] {
        0xc2..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0..0xf5 => 4,
        _ => 1,
    };
    if length > 1 {
        let text = bytes.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok());
        if let Some(text) = text.filter(|text| text.chars().all(char::is_alphanumeric)) {
            return (text.to_string(), length);
        }
    }
    match bytes[0] {
        b'\\' => ("\\".into(), 1),
        b'\'' | b'"' => ((bytes[0] as char).into(), 1),
        byte => (byte.escape_ascii().to_string(), 1),
    }
}

/// The lines of the picture.
pub(crate) fn lines(bytes: &[u8], caret: Option<usize>) -> Vec<String> {
    if bytes.is_empty() {
        return vec!["(nothing)".into()];
    }
    let caret = caret.map(|caret| caret.min(bytes.len()));
    let first = match caret {
        Some(caret) if caret > MOST_BYTES * 2 / 3 => caret - MOST_BYTES / 2,
        _ => 0,
    };
    let last = bytes.len().min(first + MOST_BYTES);
    let mut lines = Vec::new();
    if first > 0 {
        lines.push(format!("({first} bytes before)"));
    }
    let mut line = Line::default();
    let mut at = first;
    loop {
        if caret == Some(at) {
            line.mark = Some(line.columns);
        }
        if at >= last {
            break;
        }
        let (shown, length) = show(&bytes[at..]);
        // A caret never falls between the bytes of one character.
        if caret.is_some_and(|caret| at < caret && caret < at + length) {
            line.mark = Some(line.columns);
        }
        let ends = bytes[at] == b'\n';
        // The end of a line is not cut off from it.
        let is_end = matches!(bytes[at], b'\r' | b'\n');
        if !is_end && line.columns + shown.chars().count() > MOST_COLUMNS {
            line.break_off(&mut lines);
        }
        line.push(&shown);
        at += length;
        if ends {
            line.finish(&mut lines);
        }
    }
    line.finish(&mut lines);
    if last < bytes.len() {
        lines.push(format!("({} bytes more)", bytes.len() - last));
    }
    lines
}

/// A line of the picture that is being made.
#[derive(Default)]
struct Line {
    text: String,
    columns: usize,
    /// The column of the caret.
    mark: Option<usize>,
    /// Where the last word begins: in bytes, and in columns.
    word: Option<(usize, usize)>,
}

impl Line {
    fn push(&mut self, shown: &str) {
        self.text.push_str(shown);
        self.columns += shown.chars().count();
        if shown == " " {
            self.word = Some((self.text.len(), self.columns));
        }
    }

    /// Ends the line before its last word, or where it stands if that is all that it has.
    fn break_off(&mut self, lines: &mut Vec<String>) {
        let (byte, column) = self.word.take().unwrap_or((self.text.len(), self.columns));
        let is_after = self.mark.is_some_and(|mark| mark >= column);
        let rest = Line {
            text: self.text.split_off(byte),
            columns: self.columns - column,
            mark: self.mark.take_if(|_| is_after).map(|mark| mark - column),
            word: None,
        };
        self.finish(lines);
        *self = rest;
    }

    fn finish(&mut self, lines: &mut Vec<String>) {
        if self.text.is_empty() && self.mark.is_some() {
            lines.push("(here it ends)".into());
        } else if !self.text.is_empty() {
            lines.push(std::mem::take(&mut self.text));
        }
        if let Some(column) = self.mark.take() {
            lines.push(" ".repeat(column) + "^");
        }
        (self.columns, self.word) = (0, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_what_cant_be_seen_and_points_at_the_wrong_byte() {
        for (bytes, caret, wanted) in [
            (&b"a\r\nb"[..], None, &["a\\r\\n", "b"][..]),
            (b"a\r\nbcd", Some(5), &["a\\r\\n", "bcd", "  ^"]),
            (b"a\nb", Some(1), &["a\\n", " ^", "b"]),
            (b"\x1b[2Jx", Some(4), &["\\x1b[2Jx", "       ^"]),
            ("éx".as_bytes(), Some(2), &["éx", " ^"]),
            ("éx".as_bytes(), Some(1), &["éx", "^"]),
            (b"\xc3\xff", None, &["\\xc3\\xff"]),
            // The end is where something is missing.
            (b"ab", Some(2), &["ab", "  ^"]),
            (b"ab\r\n", Some(9), &["ab\\r\\n", "(here it ends)", "^"]),
            (b"", Some(0), &["(nothing)"]),
            (b"it's \"a\\b\"", None, &["it's \"a\\b\""]),
        ] {
            assert_eq!(lines(bytes, caret), wanted, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn shows_a_part_of_what_is_long_around_the_caret() {
        let mut bytes = vec![b'a'; 10_000];
        bytes[6_000] = b'!';
        let shown = lines(&bytes, Some(6_000));
        let marked = shown.iter().position(|line| line.trim() == "^").unwrap();
        let column = shown[marked].len() - 1;
        assert_eq!(shown[marked - 1].chars().nth(column), Some('!'));
        assert_eq!(shown[0], "(5650 bytes before)");
        assert!(shown.last().unwrap().ends_with("bytes more)"));
        assert!(shown.iter().all(|line| line.len() <= MOST_COLUMNS + 4));
        assert!(lines(&bytes, None).len() < 14);
    }

    #[test]
    fn a_long_line_is_broken_between_its_words() {
        let bytes = format!("X-Words: {}\r\n", "word ".repeat(20).trim_end());
        let caret = bytes.find("word word\r").unwrap();
        let shown = lines(bytes.as_bytes(), Some(caret));
        let text: Vec<&String> = shown.iter().filter(|line| line.trim() != "^").collect();
        assert_eq!(text.len(), 2, "{shown:?}");
        assert!(text[0].ends_with("word ") && text[0].len() <= MOST_COLUMNS, "{shown:?}");
        assert_eq!(
            text.into_iter().cloned().collect::<String>(),
            bytes.escape_default().to_string()
        );
        let column = shown.iter().find(|line| line.trim() == "^").unwrap().len() - 1;
        assert_eq!(&shown[1][column..], "word word\\r\\n");
    }
}
