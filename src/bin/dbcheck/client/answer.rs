//! The answer: reads a response as leniently as any client does, and notes what is wrong with it.
//!
//! A checker that gave up at the first bare LF could say one thing about a server, and not ten.
//! So the reader goes on wherever the meaning is clear, and leaves a [`Fault`] with the place; the
//! checks of the http tier are what judges them. Written by hand, and nothing of it is shared with
//! the server of this project: one misunderstanding must not hide in both (RFC 9112 §4 to §7).
//!
//! Nothing here panics or waits, whatever the bytes are.

use memchr::memchr;
use memchr::memmem::find;

/// How the connection stands at the end of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// More can come.
    Open,
    /// The peer has closed it.
    Closed,
    /// It is open, and nothing came for a while.
    Quiet,
}

/// How the end of a body was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// To HEAD, or with 204 or 304: there is none.
    NoBody,
    Length,
    Chunked,
    /// By the end of the connection.
    Close,
}

/// What part of a response a fault is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    StatusLine,
    LineEnd,
    Field,
    Framing,
}

/// Something that the reader had to look past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) flaw: Flaw,
    /// Where, in the bytes read.
    pub(crate) at: usize,
    pub(crate) sentence: String,
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// 200 where there is no status line to say otherwise, 0 where there is one without a number.
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) framing: Framing,
    pub(crate) faults: Vec<Fault>,
    /// Where its body begins in the bytes read.
    pub(crate) body_at: usize,
    /// Where it ends.
    pub(crate) end: usize,
}

impl Answer {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether it sends the client to another page, as forms do.
    pub(crate) fn is_redirect(&self) -> bool {
        matches!(self.status, 301 | 302 | 303 | 307 | 308)
    }

    pub(crate) fn is_refusal(&self) -> bool {
        (400..600).contains(&self.status)
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
        field.map(|(_, value)| value.as_str())
    }

    pub(crate) fn fault(&self, flaw: Flaw) -> Option<&Fault> {
        self.faults.iter().find(|fault| fault.flaw == flaw)
    }

    fn flawed(&mut self, flaw: Flaw, at: usize, sentence: impl Into<String>) {
        self.faults.push(Fault { flaw, at, sentence: sentence.into() });
    }
}

/// Where the answer begins: after the interim responses that are whole, however many there are
/// (RFC 9110 §15.2).
pub(crate) fn after_interim(bytes: &[u8], mut start: usize) -> usize {
    while let Some(length) = bytes.get(start..).and_then(interim) {
        start += length;
    }
    start
}

/// How long the interim response is that these bytes begin with, if they do, and it is whole. There
/// may be thousands, and nothing in them is judged: they are not taken apart.
fn interim(bytes: &[u8]) -> Option<usize> {
    let mut at = memchr(b'\n', bytes)? + 1;
    if !bytes.starts_with(b"HTTP/") || !is_interim(status(&bytes[..at]).1) {
        return None;
    }
    loop {
        let length = memchr(b'\n', &bytes[at..])?;
        let is_empty = matches!(bytes[at..at + length], [] | [b'\r']);
        at += length + 1;
        if is_empty {
            return Some(at);
        }
    }
}

/// Whether another answer follows one with this status. 101 is the last of this protocol.
fn is_interim(status: u16) -> bool {
    (100..200).contains(&status) && status != 101
}

/// Reads the answer that begins at `start`, if it is whole, or as whole as it will ever be. Interim
/// responses before it are passed over.
pub(crate) fn read(bytes: &[u8], start: usize, to_head: bool, end: End) -> Option<Answer> {
    let answer = read_one(bytes, after_interim(bytes, start), to_head, end)?;
    (!is_interim(answer.status)).then_some(answer)
}

/// Reads one response; of an interim one the head alone.
fn read_one(bytes: &[u8], start: usize, to_head: bool, end: End) -> Option<Answer> {
    let rest = bytes.get(start..)?;
    if rest.is_empty() {
        return None;
    }
    let mut answer = Answer {
        status: 200,
        fields: Vec::new(),
        body: Vec::new(),
        framing: Framing::Close,
        faults: Vec::new(),
        body_at: start,
        end: bytes.len(),
    };
    let begun = rest.len().min(5);
    if rest[..begun] != b"HTTP/"[..begun] {
        if end == End::Open {
            return None;
        }
        answer.flawed(Flaw::StatusLine, start, "there is no status line");
        answer.body = rest.to_vec();
        return Some(answer);
    }
    read_head(&mut answer, bytes, start)?;
    (is_interim(answer.status) || read_body(&mut answer, bytes, to_head, end)).then_some(answer)
}

/// Reads lines up to the empty one, and sets `body_at` after it.
fn read_head(answer: &mut Answer, bytes: &[u8], start: usize) -> Option<()> {
    // Asked again after each read: a head that goes on and on would be taken apart each time.
    let is_whole = [&b"\n\r\n"[..], b"\n\n"].iter().any(|end| find(&bytes[start..], end).is_some());
    let mut at = if is_whole { start } else { return None };
    loop {
        let length = memchr(b'\n', &bytes[at..])?;
        let mut line = &bytes[at..at + length];
        if let Some(without) = line.strip_suffix(b"\r") {
            line = without;
        } else {
            answer.flawed(Flaw::LineEnd, at + length, "a line ends in LF without CR");
        }
        if at == start {
            read_status_line(answer, line, at);
        } else if line.is_empty() {
            answer.body_at = at + length + 1;
            return Some(());
        } else {
            read_field(answer, line, at);
        }
        at += length + 1;
    }
}

/// `HTTP/1.1 200 OK`: version, a space, three digits, a space, a phrase that may be empty.
fn read_status_line(answer: &mut Answer, line: &[u8], at: usize) {
    let version = line.get(..8).unwrap_or(line);
    if !matches!(version, [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0' | b'1']) {
        answer.flawed(Flaw::StatusLine, at + 5, "the version is not HTTP/1.1 or HTTP/1.0");
    }
    let (code_at, code) = status(line);
    answer.status = code;
    if !(100..600).contains(&answer.status) {
        answer.flawed(Flaw::StatusLine, at + code_at, "there is no status code from 100 to 599");
    } else if line.get(code_at + 3) != Some(&b' ') {
        answer.flawed(Flaw::StatusLine, at + code_at + 3, "a space must follow the status code");
    }
}

/// The status code of a status line, and where in it that stands; 0 if it is not of three digits.
fn status(line: &[u8]) -> (usize, u16) {
    let at = memchr(b' ', line).map_or(line.len(), |space| space + 1);
    let digits = line[at..].iter().take_while(|byte| byte.is_ascii_digit());
    let code = digits
        .clone()
        .fold(0_u16, |code, digit| code.saturating_mul(10).saturating_add(u16::from(digit - b'0')));
    (at, if digits.count() == 3 { code } else { 0 })
}

fn read_field(answer: &mut Answer, line: &[u8], at: usize) {
    let Some(colon) = memchr(b':', line) else {
        return answer.flawed(Flaw::Field, at, "a field line has no colon");
    };
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    if colon == 0 || !line[..colon].iter().all(is_token) {
        answer.flawed(Flaw::Field, at, "a field name is a word, with the colon right after it");
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_string();
    answer.fields.push((text(&line[..colon]), text(&line[colon + 1..])));
}

/// Finds the end of the body (RFC 9112 §6.3). Says whether the answer is whole.
fn read_body(answer: &mut Answer, bytes: &[u8], to_head: bool, end: End) -> bool {
    let at = answer.body_at;
    if to_head || matches!(answer.status, 101 | 204 | 304) {
        answer.framing = Framing::NoBody;
        answer.end = at;
        return true;
    }
    let coding = answer.field("Transfer-Encoding").unwrap_or("").to_ascii_lowercase();
    if coding.ends_with("chunked") {
        answer.framing = Framing::Chunked;
        return read_chunks(answer, bytes, end);
    }
    let lengths: Vec<String> = answer
        .fields
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("Content-Length"))
        .map(|(_, value)| value.clone())
        .collect();
    let rest = &bytes[at..];
    match lengths.first().map(|length| length.parse::<usize>()) {
        Some(Ok(length)) if lengths.iter().all(|other| *other == lengths[0]) => {
            answer.framing = Framing::Length;
            if rest.len() < length && end == End::Open {
                return false;
            }
            if rest.len() < length {
                let came = rest.len();
                answer.flawed(
                    Flaw::Framing,
                    at + came,
                    format!("Content-Length promises {length} bytes, and {came} came"),
                );
            }
            answer.body = rest[..length.min(rest.len())].to_vec();
            answer.end = at + answer.body.len();
            return true;
        }
        Some(_) => answer.flawed(Flaw::Framing, at, "Content-Length is not one number"),
        None => {}
    }
    if end == End::Quiet {
        let sentence = "nothing says where the body ends, and the connection stays open";
        answer.flawed(Flaw::Framing, at, sentence);
    }
    answer.body = rest.to_vec();
    end != End::Open
}

/// Chunks (RFC 9112 §7.1), as far as they go.
fn read_chunks(answer: &mut Answer, bytes: &[u8], end: End) -> bool {
    let mut at = answer.body_at;
    let line_at = |at: usize| {
        let rest = bytes.get(at..)?;
        let length = memchr(b'\n', rest)?;
        Some((rest[..length].trim_ascii_end(), at + length + 1))
    };
    while let Some((line, next)) = line_at(at) {
        let digits = line.split(|&byte| byte == b';').next().unwrap_or(line).trim_ascii();
        let size = std::str::from_utf8(digits).ok();
        let Some(size) = size.and_then(|digits| usize::from_str_radix(digits, 16).ok()) else {
            answer.flawed(Flaw::Framing, at, "a chunk begins with its size in hexadecimal");
            answer.end = bytes.len();
            return true;
        };
        at = next;
        if size == 0 {
            // Trailer fields, then an empty line.
            while let Some((line, next)) = line_at(at) {
                at = next;
                if line.is_empty() {
                    answer.end = at;
                    return true;
                }
            }
            break;
        }
        let Some(chunk) = at.checked_add(size).and_then(|end| bytes.get(at..end)) else { break };
        answer.body.extend_from_slice(chunk);
        at += size;
        match bytes.get(at..at + 2) {
            Some(b"\r\n") => at += 2,
            Some(_) => {
                answer.flawed(Flaw::Framing, at, "CR LF must follow the data of a chunk");
                answer.end = bytes.len();
                return true;
            }
            None => break,
        }
    }
    if end != End::Open {
        answer.flawed(Flaw::Framing, bytes.len(), "the last chunk, of size 0, never came");
    }
    end != End::Open
}

#[cfg(test)]
mod tests;
