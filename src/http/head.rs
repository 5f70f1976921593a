//! The head: where it ends in the bytes that have come.
//!
//! TCP carries bytes, not messages. One read may bring half a request, or three and a half; the
//! naive version takes each read for one request, which works on every developer's machine and
//! nowhere else. Here the bytes are searched for the empty line that ends the head, before anyone
//! tries to understand them:
//!
//! 1. Each byte is searched once, however many reads they come in: a client that sends single bytes
//!    costs us n steps. Parsing anew at each read would cost n².
//! 2. A line ends with CR LF. LF alone is refused, though RFC 9112 §2.2 would allow it: two
//!    programs in a row that disagree about where lines end is one more way to smuggle requests.
//! 3. One empty line before the request line is skipped (RFC 9112 §2.2), more are refused.
//! 4. No head is larger than the limit: a client can't fill our memory with one.
//! 5. Nonsense is refused when its line has come, not when the rest of its head has: whoever types
//!    a request into a terminal is told at once. So lines without the head's end are parsed early,
//!    which happens only where a head comes in several reads, and at most once for each line.
//!
//! Next: [`crate::http::request`], which reads the lines that were found.

use std::ops::Range;

use crate::http::refusal::Refusal;
use crate::http::request;

/// How far the search has come in the input of one connection. Positions count from the first
/// unread byte.
///
/// # Examples
/// ```
/// use dbserver::http::head::HeadSearch;
///
/// let mut input = *b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET /next";
/// let mut search = HeadSearch::default();
/// assert_eq!(search.look(&mut input[..20], 1000), Ok(None));
/// assert_eq!(search.look(&mut input, 1000), Ok(Some(0..35)));
/// ```
#[derive(Debug, Default)]
pub struct HeadSearch {
    /// Where the request line begins: 0, or 2 after an empty line.
    start: usize,
    /// Where the line that is being searched begins.
    line: usize,
    /// How many bytes have been looked at.
    searched: usize,
    /// Whether the request line has ended.
    has_line: bool,
}

impl HeadSearch {
    /// Searches what is new in `input`, which begins with the bytes of the calls before. Once a
    /// whole head is there: where it is, from its request line up to and with the empty line.
    ///
    /// # Errors
    /// Where no head can come of this: a bare LF, empty lines, a first byte that begins no
    /// method, a malformed line, or more than `max_bytes` without an end.
    pub fn look(
        &mut self,
        input: &mut [u8],
        max_bytes: usize,
    ) -> Result<Option<Range<usize>>, Refusal> {
        let (mut head, mut more_lines) = (None, false);
        while let Some(offset) = memchr::memchr(b'\n', &input[self.searched..]) {
            let end = self.searched + offset + 1;
            let line = &input[self.line..end];
            self.searched = end;
            if !line.ends_with(b"\r\n") {
                return Err(Refusal::BareLineFeed);
            }
            let at = std::mem::replace(&mut self.line, end);
            if line.len() > 2 {
                // Its end may have come in the same read as the byte that is too much.
                if !self.has_line && line.len() > max_bytes {
                    return Err(Refusal::LineTooLong);
                }
                self.has_line = true;
                more_lines = true;
            } else if self.has_line {
                head = Some(self.start..end);
                break;
            } else if at == 0 {
                self.start = end;
            } else {
                return Err(Refusal::EmptyLines);
            }
        }
        if head.is_none() {
            self.searched = input.len();
        }
        // A TLS handshake may have no line end for a long time: its first byte says enough.
        if let Some(&first) = input.get(self.start)
            && !(first.is_ascii_graphic() || first == b'\r')
        {
            return Err(Refusal::BadRequestLine);
        }
        if self.searched - self.start > max_bytes {
            return Err(if self.has_line { Refusal::FieldsTooLarge } else { Refusal::LineTooLong });
        }
        // Whole lines only: what is wrong with an unfinished one is told when it ends, in whatever
        // pieces it comes.
        if head.is_none() && more_lines {
            request::check_lines(&mut input[self.start..self.line])?;
        }
        Ok(head)
    }

    /// Whether any byte of a request is in `input`: an empty line alone does not count.
    #[must_use]
    pub fn has_begun(&self, input: &[u8]) -> bool {
        input.len() > self.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 100;

    #[test]
    fn finds_the_end_wherever_the_bytes_are_split() {
        let input = b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nGET /next";
        for split in 0..=input.len() {
            let mut search = HeadSearch::default();
            let first = search.look(&mut input[..split].to_vec(), MAX).unwrap();
            if split < 29 {
                assert_eq!(first, None, "{split}");
                assert_eq!(search.look(&mut input.to_vec(), MAX), Ok(Some(2..29)), "{split}");
            } else {
                assert_eq!(first, Some(2..29), "{split}");
            }
        }
    }

    #[test]
    fn looks_at_each_byte_once() {
        let mut search = HeadSearch::default();
        for end in 1..=16 {
            assert!(search.look(&mut b"GET / HTTP/1.1\r\n".to_vec()[..end], MAX).is_ok());
            assert_eq!(search.searched, end);
        }
    }

    #[test]
    fn refuses_what_is_no_head() {
        let table: [(&[u8], Refusal); 9] = [
            (b"GET / HTTP/1.1\nHost: a\r\n\r\n", Refusal::BareLineFeed),
            (b"GET / HTTP/1.1\r\nHost: a\n\r\n", Refusal::BareLineFeed),
            (b"GET / HTTP/1.1\r\nHost: a\r\n\n", Refusal::BareLineFeed),
            (b"\n", Refusal::BareLineFeed),
            (b"\r\n\r\nGET", Refusal::EmptyLines),
            (b"\x16\x03\x01\x02\x00", Refusal::BadRequestLine),
            (b" GET", Refusal::BadRequestLine),
            (b"nonsense\r\n", Refusal::BadRequestLine),
            (b"GET / HTTP/1.1\r\nHost : a\r\n", Refusal::BadField),
        ];
        for (input, refusal) in table {
            let got = HeadSearch::default().look(&mut input.to_vec(), MAX);
            assert_eq!(got, Err(refusal), "{}", input.escape_ascii());
        }
    }

    #[test]
    fn refuses_a_line_when_it_ends_in_one_piece_or_byte_by_byte() {
        let lines = b"GET / HTTP/1.1\r\nHost} a\r\n";
        let unended = &lines[..lines.len() - 1];
        assert_eq!(HeadSearch::default().look(&mut unended.to_vec(), MAX), Ok(None));
        assert_eq!(HeadSearch::default().look(&mut lines.to_vec(), MAX), Err(Refusal::BadField));
        let mut search = HeadSearch::default();
        for end in 1..lines.len() {
            assert_eq!(search.look(&mut lines[..end].to_vec(), MAX), Ok(None), "{end}");
        }
        assert_eq!(search.look(&mut lines.to_vec(), MAX), Err(Refusal::BadField));
    }

    #[test]
    fn tells_a_long_line_from_many_fields() {
        let mut input = vec![b'a'; MAX];
        assert_eq!(HeadSearch::default().look(&mut input, MAX), Ok(None));
        // The empty line that may come before a request does not count.
        let mut skipped = [b"\r\n", &input[..]].concat();
        assert_eq!(HeadSearch::default().look(&mut skipped, MAX), Ok(None));
        input.push(b'a');
        assert_eq!(HeadSearch::default().look(&mut input, MAX), Err(Refusal::LineTooLong));
        input[10..12].copy_from_slice(b"\r\n");
        assert_eq!(HeadSearch::default().look(&mut input, MAX), Err(Refusal::FieldsTooLarge));
        let mut whole = [&[b'a'; MAX - 1][..], b"\r\nHost: a\r\n\r\n"].concat();
        assert_eq!(HeadSearch::default().look(&mut whole, MAX), Err(Refusal::LineTooLong));
        assert_eq!(HeadSearch::default().look(&mut whole[1..], MAX), Err(Refusal::FieldsTooLarge));
    }

    #[test]
    fn an_empty_line_alone_begins_nothing() {
        let mut search = HeadSearch::default();
        assert_eq!(search.look(&mut b"\r\n".to_vec(), MAX), Ok(None));
        assert!(!search.has_begun(b"\r\n") && search.has_begun(b"\r\nG"));
    }
}
