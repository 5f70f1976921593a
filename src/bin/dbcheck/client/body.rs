//! The body of an answer: where it ends (RFC 9112 §6.3 and §7.1), and what is in it.
//!
//! Nothing here panics or waits, whatever the bytes are.

use memchr::memchr;

use crate::client::answer::{Answer, End, Flaw, Framing};

/// Finds the end of the body (RFC 9112 §6.3). Says whether the answer is whole.
pub(crate) fn read(answer: &mut Answer, bytes: &[u8], to_head: bool, end: End) -> bool {
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
