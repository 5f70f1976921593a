//! The reader: takes responses out of bytes, as leniently as any client does.
//!
//! Written by hand, and nothing of it is shared with the server of this project: one misunderstanding
//! must not hide in both (RFC 9112 §4 to §7).
//!
//! Nothing here panics or waits, whatever the bytes are.

use memchr::memchr;
use memchr::memmem::find;

use crate::client::answer::{Answer, End, Flaw, Framing};
use crate::client::body;

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
    (is_interim(answer.status) || body::read(&mut answer, bytes, to_head, end)).then_some(answer)
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

/// The status code of a status line, and where in it that is; 0 if it is not of three digits.
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

#[cfg(test)]
mod tests;
