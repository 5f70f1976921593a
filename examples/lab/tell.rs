//! The narration: what a lab says before, while, and after it does something.
//!
//! `>` comes before what the lab sends, `<` before what comes back. Line ends are shown as `\r\n`.
//! Where standard output is closed, nobody wants to know, and the lab goes on to its exit code.

use std::io::Write as _;

use crate::client::{Answer, NoAnswer};

/// So many columns of text.
const WIDTH: usize = 88;

/// So many bytes of a message are shown; of a longer one, its beginning.
const SHOWN: usize = 100;

/// The empty line, as it is shown.
const HEAD_END: &str = r"\r\n\r\n";

/// How it ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Stands,
    Broke,
}

/// Says that the server stands, and what that means.
pub(crate) fn stands(why: &str) -> Verdict {
    paragraph(&format!("\nIt stands. {why}"));
    Verdict::Stands
}

/// Says that it broke, and what that means.
pub(crate) fn broke(why: &str) -> Verdict {
    paragraph(&format!("\nIt broke. {why}"));
    Verdict::Broke
}

/// What is about to happen, and why.
pub(crate) fn before(text: &str) {
    paragraph(&format!("{text}\n"));
}

/// A line about what happens besides sending and receiving.
pub(crate) fn note(text: &str) {
    raw(&format!("    {text}\n"));
}

/// What is sent in one write.
pub(crate) fn sent(bytes: impl AsRef<[u8]>) {
    let text = excerpt(bytes.as_ref());
    // After the end of a head begins the next request.
    let text = text.replace(HEAD_END, &format!("{HEAD_END}\n    "));
    raw(&format!("  > {}\n", text.trim_end()));
}

/// What came back.
pub(crate) fn came(answer: &Result<Answer, NoAnswer>) {
    match answer {
        Ok(Answer { line, body, .. }) if body.is_empty() => raw(&format!("  < {line}, no body\n")),
        Ok(Answer { line, body, .. }) => raw(&format!("  < {line}, body: {}\n", excerpt(body))),
        Err(no_answer) => raw(&format!("  < ({no_answer})\n")),
    }
}

/// Text as it is, at once: a lab takes its time, and is watched.
pub(crate) fn raw(text: &str) {
    let mut output = std::io::stdout();
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}

/// What went wrong before there could be a verdict.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "lab: {text}");
}

/// Bytes as text on one line.
pub(crate) fn readable(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\r' | '\n' | '\t' => text.extend(character.escape_default()),
                character if character.is_control() => text.extend(character.escape_unicode()),
                character => text.push(character),
            }
        }
        text.push_str(&chunk.invalid().escape_ascii().to_string());
    }
    text
}

/// A number with its thousands apart.
pub(crate) fn grouped(number: usize) -> String {
    if number < 1000 {
        return number.to_string();
    }
    format!("{},{:03}", grouped(number / 1000), number % 1000)
}

fn excerpt(bytes: &[u8]) -> String {
    if bytes.len() <= SHOWN {
        return readable(bytes);
    }
    format!("{}... ({} bytes)", readable(&bytes[..40]), grouped(bytes.len()))
}

/// Breaks a text into lines.
fn paragraph(text: &str) {
    for line in text.split('\n') {
        let mut column = 0;
        for word in line.split(' ') {
            let length = word.chars().count();
            if column > 0 && column + 1 + length > WIDTH {
                raw("\n");
                column = 0;
            }
            raw(&format!("{}{word}", if column > 0 { " " } else { "" }));
            column += length + usize::from(column > 0);
        }
        raw("\n");
    }
}
