//! The body of a request: read to its end and thrown away.
//!
//! No request here needs a body, but a client may send one, and its bytes must never be taken for
//! the next request. The naive version ignores bodies, and a form on any web page can then post
//! one that reads `GET /set?key=evil HTTP/1.1`.
//!
//! ```text
//! Length(n)   ──n bytes──▶  done
//!
//! Size ──"5;ext=1\r\n"──▶ Data(5) ──5 bytes──▶ DataEnd ──"\r\n"──▶ Size      RFC 9112 §7.1
//!   └───"0\r\n"──▶ Trailer ──field lines, "\r\n"──▶  done          RFC 9112 §7.1.2
//! ```
//!
//! 1. It works on whatever has arrived, and remembers where it was.
//! 2. No more than the limit is thrown away, and no line inside is longer than [`MAX_LINE`]. What
//!    comes with the chunks' sizes counts like content: otherwise a mebibyte of content, one byte in
//!    each chunk, could bring four gibibytes of extensions (RFC 9112 §7.1.1).
//! 3. Everything in a chunked body is checked, though nobody reads it: what we would skip as
//!    harmless, another program would take for the body's end.
//!
//! Next: [`crate::http::answers`].

use crate::http::refusal::Refusal;
use crate::http::request::{Framing, are_field_lines};

/// The longest line with a chunk's size, and the longest trailer section, in bytes.
const MAX_LINE: usize = 4096;

/// The most digits that a size needs. What a line has beyond them, extensions or zeros, counts like
/// content.
const SIZE_DIGITS: usize = 16;

/// How far into a body we are.
///
/// # Examples
/// ```
/// use dbserver::http::body::Drain;
/// use dbserver::http::request::Framing;
///
/// let mut drain = Drain::new(Framing::Chunked, 1000).unwrap();
/// assert_eq!(drain.take(b"5\r\nhel"), Ok((6, false)));
/// assert_eq!(drain.take(b"lo\r\n0\r\n\r\nGET /next"), Ok((9, true)));
/// ```
#[derive(Debug)]
pub struct Drain {
    state: State,
    /// How many more bytes we are willing to take.
    allowance: u64,
}

#[derive(Debug)]
enum State {
    Length(u64),
    Size,
    Data(u64),
    DataEnd,
    Trailer,
    Done,
}

impl Drain {
    /// At the beginning of a body.
    ///
    /// # Errors
    /// [`Refusal::BodyTooLarge`] where it says itself that it has more than `max_bytes`.
    pub fn new(framing: Framing, max_bytes: u64) -> Result<Self, Refusal> {
        let state = match framing {
            Framing::Length(length) if length > max_bytes => return Err(Refusal::BodyTooLarge),
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size,
        };
        Ok(Drain { state, allowance: max_bytes })
    }

    /// Takes what it can of `input`, the bytes that follow those it took before, and returns how
    /// many they were, and whether the body ends with them.
    ///
    /// # Errors
    /// [`Refusal::BadChunk`] or [`Refusal::BodyTooLarge`].
    pub fn take(&mut self, input: &[u8]) -> Result<(usize, bool), Refusal> {
        let mut taken = 0;
        loop {
            let rest = &input[taken..];
            let (used, next) = match self.state {
                State::Length(0) | State::Done => return Ok((taken, true)),
                State::Length(left) => {
                    let used = clamp(left, rest);
                    (used, State::Length(left - used as u64))
                }
                State::Size => {
                    let Some(line) = line(rest)? else { break };
                    let size = chunk_size(line)?;
                    let cost = size.saturating_add(line.len().saturating_sub(SIZE_DIGITS) as u64);
                    self.allowance =
                        self.allowance.checked_sub(cost).ok_or(Refusal::BodyTooLarge)?;
                    let next = if size == 0 { State::Trailer } else { State::Data(size) };
                    (line.len() + 2, next)
                }
                State::Data(0) => (0, State::DataEnd),
                State::Data(left) => {
                    let used = clamp(left, rest);
                    (used, State::Data(left - used as u64))
                }
                State::DataEnd => match rest {
                    [b'\r', b'\n', ..] => (2, State::Size),
                    [] | [b'\r'] => break,
                    _ => return Err(Refusal::BadChunk),
                },
                State::Trailer => {
                    let Some(end) = trailer_end(rest)? else { break };
                    (end, State::Done)
                }
            };
            if used == 0 && matches!(next, State::Length(_) | State::Data(_)) {
                break;
            }
            taken += used;
            self.state = next;
        }
        Ok((taken, false))
    }
}

/// As many bytes as are wanted and there.
fn clamp(wanted: u64, there: &[u8]) -> usize {
    usize::try_from(wanted).map_or(there.len(), |wanted| wanted.min(there.len()))
}

/// The first line of `input` without its CR LF, once it is whole.
fn line(input: &[u8]) -> Result<Option<&[u8]>, Refusal> {
    match memchr::memchr(b'\n', input) {
        Some(end) if end > MAX_LINE => Err(Refusal::BadChunk),
        Some(end) => input[..end].strip_suffix(b"\r").ok_or(Refusal::BadChunk).map(Some),
        None if input.len() > MAX_LINE => Err(Refusal::BadChunk),
        None => Ok(None),
    }
}

/// The number of `1*HEXDIG [ BWS ";" extensions ]`. Extensions are ignored (RFC 9112 §7.1.1).
fn chunk_size(line: &[u8]) -> Result<u64, Refusal> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (size, rest) = line.split_at(digits);
    let extensions = rest.trim_ascii_start();
    let well_formed = rest.is_empty() || extensions.starts_with(b";");
    let printable = rest.iter().all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7F));
    if size.is_empty() || !well_formed || !printable {
        return Err(Refusal::BadChunk);
    }
    let size = std::str::from_utf8(size).map_err(|_| Refusal::BadChunk)?;
    // What does not fit into 64 bits is still a size, and too large.
    u64::from_str_radix(size, 16).map_err(|_| Refusal::BodyTooLarge)
}

/// Where the trailer section ends, once it does: after the first empty line.
fn trailer_end(input: &[u8]) -> Result<Option<usize>, Refusal> {
    let mut at = 0;
    while let Some(line) = line(&input[at..])? {
        at += line.len() + 2;
        if at > MAX_LINE {
            return Err(Refusal::BadChunk);
        }
        if line.is_empty() {
            let well_formed = are_field_lines(&input[..at]);
            return if well_formed { Ok(Some(at)) } else { Err(Refusal::BadChunk) };
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u64 = 1000;

    /// Takes `input` in two pieces; how much was left over, or the refusal.
    fn drain(framing: Framing, input: &[u8], split: usize) -> Result<Option<usize>, Refusal> {
        let mut drain = Drain::new(framing, MAX)?;
        let (taken, done) = drain.take(&input[..split])?;
        if done {
            return Ok(Some(input.len() - taken));
        }
        let (more, done) = drain.take(&input[taken..])?;
        Ok(done.then_some(input.len() - taken - more))
    }

    #[test]
    fn ends_where_the_body_ends_wherever_it_is_split() {
        let bodies: [(Framing, &[u8]); 7] = [
            (Framing::Length(0), b""),
            (Framing::Length(5), b"hello"),
            (Framing::Chunked, b"0\r\n\r\n"),
            (Framing::Chunked, b"5\r\nhello\r\n0\r\n\r\n"),
            (Framing::Chunked, b"005\r\nhello\r\n1\r\n\n\r\n00\r\n\r\n"),
            (Framing::Chunked, b"5;a=\"b c\" ;d\r\nhello\r\n0 ;x\r\n\r\n"),
            (Framing::Chunked, b"A\r\n0123456789\r\n0\r\nA: b\r\nC: \r\n\r\n"),
        ];
        for (framing, body) in bodies {
            let input = [body, b"GET /"].concat();
            for split in 0..=input.len() {
                let what = format!("{} at {split}", input.escape_ascii());
                assert_eq!(drain(framing, &input, split), Ok(Some(5)), "{what}");
            }
            for end in 0..body.len() {
                let what = format!("{} cut at {end}", input.escape_ascii());
                assert_eq!(drain(framing, &body[..end], 0), Ok(None), "{what}");
            }
        }
    }

    #[test]
    fn refuses_malformed_chunks() {
        let long = [b"0".repeat(MAX_LINE), b"5\r\n".to_vec()].concat();
        let trailer = [b"0\r\n".to_vec(), b"a: b\r\n".repeat(MAX_LINE / 6 + 1)].concat();
        let endless = [b"0\r\n".to_vec(), b"a".repeat(MAX_LINE + 1)].concat();
        let table: [&[u8]; 22] = [
            b"\r\n",
            b"g\r\n",
            b"-5\r\n",
            b"+5\r\n",
            b"0x5\r\n",
            b" 5\r\n",
            b"5 \r\n",
            b"5 5\r\n",
            b";a\r\n",
            b"5\nhello",
            b"5;a\nb\r\n",
            b"5;a\0\r\n",
            b"5;\r\r\n",
            b"5\r\nhello!",
            b"5\r\nhello\n0\r\n\r\n",
            b"5\r\nhello\rX",
            b"0\r\nno colon\r\n\r\n",
            b"0\r\n folded: a\r\n\r\n",
            &long,
            &trailer,
            // Without an end: nobody waits for one.
            &long[..=MAX_LINE],
            &endless,
        ];
        for input in table {
            let got = drain(Framing::Chunked, input, 0);
            assert_eq!(got, Err(Refusal::BadChunk), "{}", input.escape_ascii());
        }
    }

    #[test]
    fn refuses_more_than_the_limit() {
        assert_eq!(drain(Framing::Length(MAX + 1), b"", 0), Err(Refusal::BodyTooLarge));
        for size in ["3e9", "FFFFFFFFFFFFFFFF", "10000000000000000000"] {
            let input = format!("{size}\r\n");
            assert_eq!(drain(Framing::Chunked, input.as_bytes(), 0), Err(Refusal::BodyTooLarge));
        }
        // Extensions, and zeros before a size, are thrown away like content.
        for line in [format!("1;{}", "x".repeat(100)), format!("{}1", "0".repeat(101))] {
            let few = format!("{line}\r\nx\r\n").repeat(11) + "0\r\n\r\n";
            assert_eq!(drain(Framing::Chunked, few.as_bytes(), 0), Ok(Some(0)), "{line}");
            let many = format!("{line}\r\nx\r\n").repeat(12);
            assert_eq!(drain(Framing::Chunked, many.as_bytes(), 0), Err(Refusal::BodyTooLarge));
        }
        let two = [b"1f4\r\n".to_vec(), b"x".repeat(500), b"\r\n1f5\r\n".to_vec()].concat();
        assert_eq!(drain(Framing::Chunked, &two, 0), Err(Refusal::BodyTooLarge));
    }
}
