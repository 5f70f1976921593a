//! The trace: the events on a terminal, for `--trace`.
//!
//! ```text
//!  request       µs  stage
//!      7             opened      127.0.0.1:53870
//!      7.1        0  bytes_read  88 bytes: GET /get?key=a HTTP/1.1\r\nHost: localhost…
//!      7.1       29  parsed      GET /get?key=a, a head of 88 bytes
//!      7.1       33  routed      /get
//!      7.1       39  decoded     a
//!      7.1       41  locked      shard 499
//!      7.1       49  answered    200, 175 bytes
//!      7.1       59  written     175 bytes
//! ```
//!
//! A request's number is its connection's and its own on it; its time counts from its first byte.
//! The words are those of [`crate::watch::event::What`], which says what each means. A line has at
//! most [`WIDTH`] columns, and no client can put anything into it that can't be seen: what does not
//! print is escaped.
//!
//! The naive version prints what came, and a client that sends `ESC [ 2 J` wipes your screen.
//!
//! Next: [`crate::watch::words`], what it says of a stage.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write};
use std::sync::Arc;

use crate::watch::event::{Event, What};
use crate::watch::room::Sink;
use crate::watch::words::{in_words, thousands};

/// The columns of the narrowest terminal that people have.
const WIDTH: usize = 80;

/// What is above the first line.
const HEADING: &str = " request       µs  stage\n";

/// Colours for connections, so that the lines of one can be told from those of others: cyan, green, magenta,
/// yellow, blue.
const COLOURS: [u8; 5] = [36, 32, 35, 33, 34];

/// The events of all connections, on their way to a terminal.
pub(crate) struct Trace<W> {
    output: W,
    has_colours: bool,
    lines: String,
    /// For each connection its last request, and when that began.
    begun: HashMap<u64, (u64, u64)>,
}

impl Trace<std::io::Stderr> {
    /// One that goes to standard error: in colours where that is a terminal that has them, and nobody said
    /// otherwise (<https://no-color.org>).
    pub(crate) fn on_standard_error() -> Self {
        let output = std::io::stderr();
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let has_colours = output.is_terminal() && !is_set("NO_COLOR") && !is_dumb;
        Trace::new(output, has_colours)
    }
}

impl<W> Trace<W> {
    fn new(output: W, has_colours: bool) -> Self {
        Trace { output, has_colours, lines: HEADING.into(), begun: HashMap::new() }
    }

    fn add(&mut self, event: &Event) {
        let Some((stage, rest)) = in_words(event) else {
            return;
        };
        let request = match (event.c, event.r) {
            (Some(c), Some(r)) => format!("{c:>5}.{r}"),
            (Some(c), None) => format!("{c:>5}"),
            (None, _) => String::new(),
        };
        let time = self.time(event).map(thousands).unwrap_or_default();
        let mut line = format!("{request:<9} {time:>7}  {stage:<10}  ");
        add_seen(&mut line, &rest, WIDTH);
        match event.c {
            Some(c) if self.has_colours => {
                let colour = COLOURS[usize::try_from(c).unwrap_or(0) % COLOURS.len()];
                let _ = writeln!(self.lines, "\x1b[{colour}m{}\x1b[0m", line.trim_end());
            }
            _ => {
                self.lines.push_str(line.trim_end());
                self.lines.push('\n');
            }
        }
    }

    /// How long after the first byte of its request this was, in microseconds.
    fn time(&mut self, event: &Event) -> Option<u64> {
        let c = event.c?;
        if matches!(event.what, What::Closed { .. }) {
            self.begun.remove(&c);
        }
        let r = event.r?;
        let begun = self.begun.entry(c).or_insert((r, event.t));
        // A request that came in the packet of another began with that packet.
        if begun.0 != r && matches!(event.what, What::BytesRead { .. }) {
            *begun = (r, event.t);
        }
        Some(event.t.saturating_sub(begun.1) / 1000)
    }
}

impl<W: Write + Send> Sink for Trace<W> {
    fn take(&mut self, event: &Event, _: &Arc<str>) {
        self.add(event);
    }

    fn flush(&mut self) -> bool {
        let written = self.output.write_all(self.lines.as_bytes());
        self.lines.clear();
        written.and_then(|()| self.output.flush()).is_ok()
    }
}

/// Adds `text` to a line of at most `width` columns, as it can be seen: what does not print is escaped.
fn add_seen(line: &mut String, text: &str, width: usize) {
    // A character of another script may be two columns wide.
    let columns = |c: char| if c.is_ascii() { 1 } else { 2 };
    let mut used: usize = line.chars().count();
    let mut end = line.len();
    for c in text.chars() {
        let seen: String = match c {
            ' '..='~' => c.into(),
            c => c.escape_debug().collect(),
        };
        used += seen.chars().map(columns).sum::<usize>();
        if used > width {
            line.truncate(end);
            line.push('…');
            return;
        }
        line.push_str(&seen);
        // Where to cut if the next one does not fit: one column is for the dots.
        if used < width {
            end = line.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::stage::Why;

    fn trace(has_colours: bool, events: &[(u64, Option<u64>, What)]) -> String {
        let mut trace = Trace::new(Vec::new(), has_colours);
        for (t, r, what) in events {
            trace.add(&Event { t: *t, c: Some(7), r: *r, what: what.clone() });
        }
        assert!(trace.flush());
        String::from_utf8(trace.output).unwrap()
    }

    #[test]
    fn a_requests_way_is_aligned_and_timed_from_its_first_byte() {
        let parsed = |path: &str| What::Parsed {
            method: "GET".into(),
            path: path.into(),
            query: "key=a".into(),
            head: 42,
        };
        let text = trace(
            false,
            &[
                (1_000, None, What::Opened { peer: "127.0.0.1:5".into() }),
                (5_000, Some(1), What::bytes_read(b"GET /get?key=a HTTP/1.1\r\n\r\n", 1042)),
                (9_999, Some(1), parsed("/get")),
                (1_005_000, Some(2), parsed("/get")),
                (2_000_000, Some(3), What::bytes_read(b"G", 1)),
                (2_000_000, None, What::Closed { why: Why::Client }),
            ],
        );
        assert_eq!(
            text,
            r" request       µs  stage
    7              opened      127.0.0.1:5
    7.1         0  bytes_read  1,042 bytes: GET /get?key=a HTTP/1.1\r\n\r\n
    7.1         4  parsed      GET /get?key=a, a head of 42 bytes
    7.2     1,000  parsed      GET /get?key=a, a head of 42 bytes
    7.3         0  bytes_read  1 byte: G
    7              closed      client
"
        );
    }

    #[test]
    fn no_client_writes_on_the_terminal() {
        let key = "\x1b[2J\0\n\u{9b}\u{7f}\u{202e}\u{2066}é";
        for has_colours in [false, true] {
            let decoded = What::Decoded { key: key.into(), value: Some(key.into()) };
            let text = trace(has_colours, &[(0, Some(1), decoded)]);
            let line = text.strip_prefix(HEADING).unwrap().strip_suffix('\n').unwrap();
            let line = if has_colours {
                line.strip_prefix("\x1b[35m").unwrap().strip_suffix("\x1b[0m").unwrap()
            } else {
                line
            };
            assert!(line.chars().all(|c| matches!(c, ' '..='~' | 'é' | '…')), "{line:?}");
            assert!(line.contains(r"\u{1b}[2J\0\n\u{9b}\u{7f}\u{202e}\u{2066}é = "), "{line}");
        }
    }

    #[test]
    fn a_line_is_no_wider_than_a_terminal() {
        for text in ["a".repeat(200), "\x1b".repeat(200), "漢".repeat(200)] {
            let text = trace(false, &[(u64::MAX, Some(1), What::Routed { path: text })]);
            let line = text.strip_prefix(HEADING).unwrap().trim_end();
            assert!(line.ends_with('…'), "{line}");
            let columns: usize = line.chars().map(|c| if c == '漢' { 2 } else { 1 }).sum();
            assert!((WIDTH - 8..=WIDTH).contains(&columns), "{columns}: {line}");
        }
        let fits = "a".repeat(WIDTH - 31);
        let text = trace(false, &[(0, Some(1), What::Routed { path: fits.clone() })]);
        assert!(text.ends_with(&format!("  {fits}\n")), "{text}");
    }
}
