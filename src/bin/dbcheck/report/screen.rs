//! The screen: standard output, which may be a terminal, a file, or a full disk.
//!
//! 1. Colour, and a counter that is written over, are for a terminal that can show them: not where
//!    `TERM` is `dumb` or unset, and not where `NO_COLOR` or `--no-color` asks for plain text.
//! 2. Lines are broken between words, at 80 columns. A word that is longer stays whole, as it is
//!    there to be copied.
//! 3. A report that could not be written is remembered: nobody may take silence for success.

use std::io::{ErrorKind, IsTerminal as _, Write as _, stdout};
use std::sync::{Mutex, PoisonError};

/// How wide lines are.
const COLUMNS: usize = 80;

/// A space between words that stay on one line.
pub(crate) const TOGETHER: char = '\u{a0}';

/// Why something could not be written.
static LOST: Mutex<Option<String>> = Mutex::new(None);

/// Prints at once.
pub(crate) fn say(text: &str) {
    let mut output = stdout();
    let Err(error) = output.write_all(text.as_bytes()).and_then(|()| output.flush()) else {
        return;
    };
    // A reader that has left, as `head` does, has what it wanted.
    if error.kind() != ErrorKind::BrokenPipe {
        *LOST.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
    }
}

/// Why the report is not whole, if it is not.
pub(crate) fn lost() -> Option<String> {
    LOST.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// What standard output can show.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    is_terminal: bool,
}

impl Screen {
    pub(crate) fn new(no_color: bool) -> Self {
        let says = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let can = says("TERM").is_some_and(|term| term != "dumb") && says("NO_COLOR").is_none();
        Screen { is_terminal: can && !no_color && stdout().is_terminal() }
    }

    pub(crate) fn paint(self, color: &str, text: &str) -> String {
        if self.is_terminal { format!("\x1b[{color}m{text}\x1b[0m") } else { text.to_string() }
    }

    /// A line that the next one is written over.
    pub(crate) fn counter(self, text: &str) {
        if self.is_terminal {
            say(&format!("\r\x1b[K{text}"));
        }
    }

    /// What takes the place of a counter.
    pub(crate) fn over_counter(self) -> &'static str {
        if self.is_terminal { "\r\x1b[K" } else { "" }
    }
}

/// Breaks a text into lines, of which all but the first begin with this many spaces. What is before
/// it on the first line counts as much.
pub(crate) fn wrap(text: &str, indent: usize) -> String {
    let mut wrapped = String::new();
    let mut column = indent;
    for word in text.split([' ', '\n']).filter(|word| !word.is_empty()) {
        let length = word.chars().count();
        if !wrapped.is_empty() {
            if column + 1 + length > COLUMNS {
                wrapped.push('\n');
                wrapped.extend(std::iter::repeat_n(' ', indent));
                column = indent;
            } else {
                wrapped.push(' ');
                column += 1;
            }
        }
        wrapped.push_str(&word.replace(TOGETHER, " "));
        column += length;
    }
    wrapped
}

/// A command that is to be copied: where it is too long for a line, its last word has the next.
pub(crate) fn wrap_command(command: &str, indent: usize) -> String {
    match command.rsplit_once(" '") {
        Some((first, last)) if indent + command.chars().count() > COLUMNS => {
            format!("{first} \\\n{}'{last}", " ".repeat(indent))
        }
        _ => command.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn breaks_lines_between_words_and_never_in_them() {
        let text = "expected that a set of a key succeeds while one is in the middle of its head, \
                    got status 503 from http://localhost:4000/set?aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
                    aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa and more";
        let wrapped = wrap(text, 12);
        for (number, line) in wrapped.lines().enumerate() {
            let width = line.chars().count() + if number == 0 { 12 } else { 0 };
            assert!(width <= COLUMNS || !line.trim().contains(' '), "{wrapped}");
            assert!(number == 0 || line.starts_with(&" ".repeat(12)), "{wrapped}");
        }
        let words = |text: &str| text.split_whitespace().map(str::to_string).collect::<Vec<_>>();
        assert_eq!(words(&wrapped), words(text));
        assert!(wrapped.lines().count() > 3, "{wrapped}");
    }

    #[test]
    fn a_long_command_goes_on_in_the_next_line() {
        let short = "curl -i 'http://localhost:4000/get?key=a'";
        assert_eq!(wrap_command(short, 12), short);
        let long = format!("curl -i -X POST 'http://localhost:4000/set?a={}'", "b".repeat(40));
        let wrapped = wrap_command(&long, 12);
        assert_eq!(wrapped.replace(" \\\n            ", " "), long);
        assert_eq!(wrapped.lines().count(), 2);
    }
}
