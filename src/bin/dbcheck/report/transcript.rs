//! The transcript: bytes as a person can read them, with a caret under the first wrong one.
//!
//! A line of the picture ends where a line of the message does, so heads look like heads; what can't
//! be seen is written as an escape. Nothing that a server sends reaches the terminal as it is.

/// No more of a message is shown than this many bytes from its beginning, or around the caret.
const MOST_BYTES: usize = 700;

/// No line of the picture is longer.
const MOST_COLUMNS: usize = 90;

/// One byte, or one character of more bytes, as it is shown.
fn show(bytes: &[u8]) -> (String, usize) {
    // A character of UTF-8 that can be seen stands for itself.
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
    let (mut line, mut columns, mut mark) = (String::new(), 0, None);
    let mut at = first;
    loop {
        if caret == Some(at) {
            mark = Some(columns);
        }
        if at >= last {
            break;
        }
        let (shown, length) = show(&bytes[at..]);
        // A caret never falls between the bytes of one character.
        if caret.is_some_and(|caret| at < caret && caret < at + length) {
            mark = Some(columns);
        }
        columns += shown.chars().count();
        line.push_str(&shown);
        let ends = bytes[at] == b'\n';
        at += length;
        // The end of a line is not cut off from it.
        let is_end_next = matches!(bytes.get(at), Some(b'\r' | b'\n'));
        if ends || (columns >= MOST_COLUMNS && !is_end_next) {
            finish(&mut lines, &mut line, &mut columns, &mut mark);
        }
    }
    finish(&mut lines, &mut line, &mut columns, &mut mark);
    if last < bytes.len() {
        lines.push(format!("({} bytes more)", bytes.len() - last));
    }
    lines
}

fn finish(
    lines: &mut Vec<String>,
    line: &mut String,
    columns: &mut usize,
    mark: &mut Option<usize>,
) {
    if line.is_empty() && mark.is_some() {
        lines.push("(here it ends)".into());
    } else if !line.is_empty() {
        lines.push(std::mem::take(line));
    }
    if let Some(column) = mark.take() {
        lines.push(" ".repeat(column) + "^");
    }
    *columns = 0;
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
        assert!(lines(&bytes, None).len() < 12);
    }
}
