//! Pieces of source: each Rust fence is a piece of the file, and of the item, that the line above
//! it names.
//!
//! The line is ``In `examples/step03_read.rs`, `read_head`:``. The piece is contiguous and
//! verbatim, but it may be moved left as a whole. An item is found by the word before its name, and
//! ends with the first line that is indented as its first one and closes it, as rustfmt writes it.

use std::fs;
use std::ops::Range;
use std::path::Path;

use crate::compare::{self, SIGNS};
use crate::markdown::{Document, Fence, code_spans};

/// What the line above a fence names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named<'a> {
    pub(crate) path: &'a str,
    pub(crate) item: Option<&'a str>,
}

/// Reads the line above a fence.
pub(crate) fn named(above: &str) -> Option<Named<'_>> {
    let mut spans = code_spans(above).into_iter();
    let path = spans.next().filter(|path| Path::new(path).extension().is_some())?;
    Some(Named { path, item: spans.next() })
}

/// What is wrong with the Rust fences of a text.
pub(crate) fn problems(root: &Path, document: &Document) -> Vec<String> {
    let problem = |fence: &Fence| {
        let sentence = wrong(root, fence).err()?;
        Some(format!("{}: {sentence}\n", document.at(fence.line)))
    };
    document.fences_in("rust").filter_map(problem).collect()
}

fn wrong(root: &Path, fence: &Fence) -> Result<(), String> {
    let Some(Named { path, item }) = named(&fence.above) else {
        return Err("the line above this fence names no file".into());
    };
    let source = fs::read_to_string(root.join(path)).map_err(|error| format!("{path}: {error}"))?;
    let source: Vec<String> = source.lines().map(str::to_string).collect();
    let everything = 0..source.len();
    let places = match item {
        Some(name) => items(&source, name),
        None => vec![everything.clone()],
    };
    if places.is_empty() {
        return Err(format!("{path} has no item {}", item.unwrap_or_default()));
    }
    if fence.lines.iter().all(|line| line.trim().is_empty()) {
        return Err("this fence is empty".into());
    }
    if places.iter().any(|place| !occurrences(&fence.lines, &source[place.clone()]).is_empty()) {
        return Ok(());
    }
    if let Some(at) = occurrences(&fence.lines, &source).first() {
        let item = item.unwrap_or_default();
        return Err(format!("this is at {path}:{}, which is not within {item}", at + 1));
    }
    let (at, similar) = most_similar(&fence.lines, &source, &places);
    let diff = compare::source(&fence.lines, &similar).diff();
    Err(format!("not what is at {path}:{}{SIGNS}\n{diff}", at + 1))
}

/// Where these lines are a piece of the source, moved left as a whole or not.
pub(crate) fn occurrences(piece: &[String], source: &[String]) -> Vec<usize> {
    let is_there = |at: &usize| is_moved(piece, &source[*at..*at + piece.len()]);
    (0..=source.len().saturating_sub(piece.len()))
        .filter(|at| at + piece.len() <= source.len() && !piece.is_empty())
        .filter(is_there)
        .collect()
}

fn is_moved(piece: &[String], window: &[String]) -> bool {
    let indent = |lines: &[String]| lines.iter().find(|l| !l.trim().is_empty()).map(|l| blanks(l));
    let (Some(ours), Some(theirs)) = (indent(piece), indent(window)) else { return false };
    let Some(moved) = theirs.checked_sub(ours) else { return false };
    piece.iter().zip(window).all(|(ours, theirs)| {
        let is_blank = ours.trim().is_empty() && theirs.trim().is_empty();
        is_blank
            || theirs.split_at_checked(moved).is_some_and(|(b, t)| b.trim().is_empty() && t == ours)
    })
}

fn blanks(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The lines of each item with this name, with the comments and attributes above it. A name is
/// `read_head`, `Parser::next` (what comes before the last `::` is for the reader), or
/// `impl Parser`.
fn items(source: &[String], name: &str) -> Vec<Range<usize>> {
    let begins = |line: &String| {
        if name.starts_with("impl") {
            return line.trim_start().strip_prefix(name).is_some_and(|rest| !goes_on(rest));
        }
        let name = name.rsplit("::").next().unwrap_or(name).trim_end_matches("()");
        let words = ["fn", "struct", "enum", "trait", "const", "static", "type", "mod", "union"];
        let mut rest = line.trim_start();
        while let Some((word, after)) = rest.split_once(' ') {
            if words.contains(&word) && after.strip_prefix(name).is_some_and(|rest| !goes_on(rest))
            {
                return true;
            }
            let is_qualifier = word.starts_with("pub")
                || ["async", "unsafe", "const", "extern", "\"C\""].contains(&word);
            if !is_qualifier {
                break;
            }
            rest = after;
        }
        // What an item's name also begins: its impl blocks.
        let implements = line.trim_start().starts_with("impl") && line.trim_end().ends_with('{');
        let last = line.trim_end().trim_end_matches('{').split_whitespace().last();
        implements && last.is_some_and(|last| last.split('<').next() == Some(name))
    };
    let numbers = source.iter().enumerate().filter(|(_, line)| begins(line));
    numbers.map(|(at, _)| with_head(source, at)..end(source, at)).collect()
}

fn goes_on(rest: &str) -> bool {
    rest.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

fn with_head(source: &[String], at: usize) -> usize {
    let belongs = |line: &&String| {
        let line = line.trim_start();
        line.starts_with("//") && !line.starts_with("//!") || line.starts_with("#[")
    };
    at - source[..at].iter().rev().take_while(belongs).count()
}

fn end(source: &[String], at: usize) -> usize {
    let indent = blanks(&source[at]);
    let closes = |line: &String| {
        let text = line.trim();
        !text.is_empty()
            && blanks(line) == indent
            && (text.starts_with('}') || text.ends_with(';') || text.ends_with('}'))
    };
    source[at..].iter().position(closes).map_or(source.len(), |length| at + length + 1)
}

/// The place that has most of these lines, and what stands there, moved left.
fn most_similar(
    piece: &[String],
    source: &[String],
    places: &[Range<usize>],
) -> (usize, Vec<String>) {
    let has = |line: &String, lines: &[String]| {
        !line.trim().is_empty() && lines.iter().any(|other| other.trim() == line.trim())
    };
    // A piece that lost lines is longer in the file.
    let end = |at: usize| source.len().min(at + piece.len() + 8);
    let score = |at: usize| {
        let mut rest = &source[at..end(at)];
        let mut common = 0;
        for line in piece.iter().filter(|line| !line.trim().is_empty()) {
            if let Some(found) = rest.iter().position(|other| other.trim() == line.trim()) {
                rest = &rest[found + 1..];
                common += 1;
            }
        }
        let window = source[at..].iter().zip(piece);
        let aligned = window.filter(|(theirs, ours)| theirs.trim() == ours.trim()).count();
        (common, aligned, places.iter().any(|place| place.contains(&at)))
    };
    let at = (0..source.len()).max_by_key(|&at| score(at)).unwrap_or(0);
    // Shown as far as its last line that the piece has too.
    let is_known = |line: &usize| source[*line].trim().len() > 3 && has(&source[*line], piece);
    let known = (at..end(at)).rev().find(is_known).map_or(at, |line| line + 1);
    let window = &source[at..known.max(source.len().min(at + piece.len()))];
    let shown = |line: &&String| !line.trim().is_empty();
    let margin =
        |lines: &[String]| lines.iter().filter(shown).map(|l| blanks(l)).min().unwrap_or(0);
    let moved = margin(window).saturating_sub(margin(piece));
    (at, window.iter().map(|line| line.get(moved..).unwrap_or_default().to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "\
//! A file.

use std::io;

/// Reads.
#[inline]
pub(crate) fn read(
    from: &str,
) -> usize {
    if from.is_empty() {
        return 0;
    }

    from.len()
}

const MOST: usize = 3;

struct Reader;

impl Reader {
    fn new() -> Self {
        Reader
    }
}
";

    /// What is said of a fence with these lines below that line.
    fn check(above: &str, piece: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.rs"), SOURCE).unwrap();
        let text = format!("{above}\n\n```rust\n{piece}\n```\n");
        problems(folder.path(), &Document::parse("T.md", &text)).concat()
    }

    #[test]
    fn a_piece_may_be_moved_left_as_a_whole() {
        for (above, piece) in [
            ("In `a.rs`, the imports:", "use std::io;"),
            ("In `a.rs`, `read`:", "if from.is_empty() {\n    return 0;\n}\n\nfrom.len()"),
            ("In `a.rs`, `read`:", "    if from.is_empty() {\n        return 0;\n    }"),
            ("In `a.rs`, `read`:", "/// Reads.\n#[inline]\npub(crate) fn read(\n    from: &str,"),
            ("In `a.rs`, `MOST`:", "const MOST: usize = 3;"),
            ("In `a.rs`, `Reader`:", "struct Reader;"),
            ("In `a.rs`, `Reader`:", "fn new() -> Self {\n    Reader\n}"),
            ("In `a.rs`, `impl Reader`:", "impl Reader {\n    fn new() -> Self {"),
            ("In `a.rs`, `Reader::new`:", "Reader"),
        ] {
            assert_eq!(check(above, piece), "", "{above} {piece}");
        }
    }

    #[test]
    fn drift_is_shown_against_what_is_most_similar() {
        for (above, piece, wanted) in [
            ("Look:", "use std::io;", "T.md:3: the line above this fence names no file"),
            ("In `b.rs`:", "use std::io;", "T.md:3: b.rs: "),
            ("In `a.rs`, `rea`:", "use std::io;", "a.rs has no item rea\n"),
            ("In `a.rs`, `read`:", "", "this fence is empty"),
            ("In `a.rs`, `read`:", "use std::io;", "this is at a.rs:3, which is not within read"),
            (
                "In `a.rs`, `read`:",
                "if from.is_empty() {\n    return 1;\n}",
                "      if from.is_empty() {\n    -     return 1;\n    +     return 0;\n      }\n",
            ),
            (
                "In `a.rs`, `read`:",
                "    if from.is_empty() {\n    return 0;\n}",
                "    -     if from.is_empty() {\n    + if from.is_empty() {\n          return 0;\n",
            ),
            ("In `a.rs`, `read`:", "}\nfrom.len()", "      }\n    +\n      from.len()\n"),
        ] {
            let found = check(above, piece);
            assert!(found.contains(wanted), "{found}\n{wanted}");
        }
    }
}
