//! Lines compared with lines: what was wanted, what was found, and where they part.
//!
//! In what is wanted, `[..]` stands for anything within a line, and a line `...` for any lines, or
//! none. One table serves three purposes: two texts are the same if making one of the other costs
//! nothing; the way that costs least is the diff; and the found text, with the wildcards of the
//! wanted one where they still fit, is what `TUTORIAL=overwrite` writes.

/// A line that stands for any lines.
const ANY_LINES: &str = "...";

/// A part of a line that stands for any text.
const ANY_TEXT: &str = "[..]";

/// What the signs of a diff mean.
pub(crate) const SIGNS: &str = " (- in the text, + in the file)";

/// No failure shows more lines than this.
const MOST_LINES: usize = 120;

/// A line of one text or of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row<'a> {
    /// In both, as the wanted text has it.
    Both(&'a str),
    Missing(&'a str),
    Surplus(&'a str),
    /// A found line that a `...` stands for.
    Covered,
}

/// How two texts go together.
#[derive(Debug)]
pub(crate) struct Comparison<'a> {
    rows: Vec<Row<'a>>,
}

/// Compares what a program printed with what a transcript says.
pub(crate) fn transcript<'a>(wanted: &'a [String], found: &'a [String]) -> Comparison<'a> {
    let wanted = without_end(wanted);
    compare(wanted, without_end(found), |line| line.trim() == ANY_LINES, line_matches)
}

/// Compares two pieces of source: wildcards mean nothing here.
pub(crate) fn source<'a>(wanted: &'a [String], found: &'a [String]) -> Comparison<'a> {
    compare(wanted, found, |_| false, |wanted, found| wanted == found)
}

/// Blank lines at the end can't be seen on a terminal.
fn without_end(lines: &[String]) -> &[String] {
    let end = lines.iter().rposition(|line| !line.trim().is_empty()).map_or(0, |last| last + 1);
    &lines[..end]
}

/// Whether a line is what the pattern says; blanks at its end do not count.
pub(crate) fn line_matches(pattern: &str, line: &str) -> bool {
    let mut pieces = pattern.trim_end().split(ANY_TEXT);
    let Some(mut rest) = line.trim_end().strip_prefix(pieces.next().unwrap_or_default()) else {
        return false;
    };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        let Some((_, after)) = rest.split_once(piece) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

/// What a line costs that only the found text has, and one that only the wanted text has. A line
/// that became another costs as much, and less where the two are alike.
const SURPLUS: usize = 2;
const MISSING: usize = 3;

/// Whether one line may have become the other: half of it is still there.
fn are_alike(wanted: &str, found: &str) -> bool {
    let same = wanted.bytes().zip(found.bytes()).take_while(|(a, b)| a == b).count();
    same > 0 && same * 2 >= wanted.len().min(found.len())
}

fn compare<'a>(
    wanted: &'a [String],
    found: &'a [String],
    is_any: impl Fn(&str) -> bool,
    matches: impl Fn(&str, &str) -> bool,
) -> Comparison<'a> {
    let change = |wanted: &str, found: &str| match () {
        () if matches(wanted, found) => 0,
        () if are_alike(wanted, found) => SURPLUS,
        () => MISSING,
    };
    // costs[w][f]: what it takes to make the wanted lines from w on of the found ones from f on.
    let (w_end, f_end) = (wanted.len(), found.len());
    let mut costs = vec![vec![0_usize; f_end + 1]; w_end + 1];
    for w in (0..=w_end).rev() {
        for f in (0..=f_end).rev() {
            let surplus = (f < f_end).then(|| costs[w][f + 1] + SURPLUS);
            costs[w][f] = if w == w_end {
                surplus.unwrap_or(0)
            } else if is_any(&wanted[w]) {
                let covered = (f < f_end).then(|| costs[w][f + 1]);
                covered.map_or(costs[w + 1][f], |covered| covered.min(costs[w + 1][f]))
            } else {
                let both = (f < f_end).then(|| costs[w + 1][f + 1] + change(&wanted[w], &found[f]));
                let missing = Some(costs[w + 1][f] + MISSING);
                [both, missing, surplus].into_iter().flatten().min().unwrap_or(0)
            };
        }
    }

    let mut rows = Vec::new();
    let (mut w, mut f) = (0, 0);
    while w < w_end || f < f_end {
        let cost = costs[w][f];
        if w == w_end {
            rows.push(Row::Surplus(&found[f]));
            f += 1;
        } else if is_any(&wanted[w]) {
            if cost == costs[w + 1][f] {
                rows.push(Row::Both(&wanted[w]));
                w += 1;
            } else {
                rows.push(Row::Covered);
                f += 1;
            }
        } else if f < f_end && cost == costs[w + 1][f + 1] + change(&wanted[w], &found[f]) {
            if matches(&wanted[w], &found[f]) {
                rows.push(Row::Both(&wanted[w]));
            } else {
                rows.extend([Row::Missing(&wanted[w]), Row::Surplus(&found[f])]);
            }
            (w, f) = (w + 1, f + 1);
        } else if cost == costs[w + 1][f] + MISSING {
            rows.push(Row::Missing(&wanted[w]));
            w += 1;
        } else {
            rows.push(Row::Surplus(&found[f]));
            f += 1;
        }
    }
    Comparison { rows }
}

impl Comparison<'_> {
    /// Whether the texts are the same.
    pub(crate) fn is_same(&self) -> bool {
        self.rows.iter().all(|row| matches!(row, Row::Both(_) | Row::Covered))
    }

    /// How many lines of the found text are not in the wanted one.
    pub(crate) fn added(&self) -> usize {
        self.rows.iter().filter(|row| matches!(row, Row::Surplus(_))).count()
    }

    /// The found text, with the wildcards of the wanted one where they fit.
    pub(crate) fn merged(&self) -> Vec<String> {
        let line = |row: &Row<'_>| match row {
            Row::Both(line) | Row::Surplus(line) => Some(line.trim_end().to_string()),
            Row::Missing(_) | Row::Covered => None,
        };
        self.rows.iter().filter_map(line).collect()
    }

    /// Both texts in one: `-` is wanted and not there, `+` is there and not wanted.
    pub(crate) fn diff(&self) -> String {
        let mut lines = Vec::new();
        let mut surplus = Vec::new();
        for row in &self.rows {
            match row {
                Row::Both(line) => {
                    lines.append(&mut surplus);
                    lines.push(format!("      {line}"));
                }
                Row::Missing(line) => lines.push(format!("    - {line}")),
                Row::Surplus(line) => surplus.push(format!("    + {line}")),
                Row::Covered => {}
            }
        }
        lines.append(&mut surplus);
        let more = lines.len().saturating_sub(MOST_LINES);
        lines.truncate(MOST_LINES);
        if more > 0 {
            lines.push(format!("    ({more} lines more)"));
        }
        lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.split('|').filter(|line| !line.is_empty()).map(str::to_string).collect()
    }

    #[test]
    fn a_wildcard_in_a_line_stands_for_anything() {
        for (pattern, line, wanted) in [
            ("", "", true),
            ("a", "a", true),
            ("a", "a  ", true),
            ("a", "b", false),
            ("a", " a", false),
            ("[..]", "", true),
            ("[..]", "anything", true),
            ("a[..]", "a", true),
            ("a[..]c", "abc", true),
            ("a[..]c", "abcd", false),
            ("a[..]c[..]e", "a c d e", true),
            ("a[..]c[..]c", "ac", false),
            ("[..]ab[..]", "xaab", true),
            ("[..]ab", "ab ab", true),
            ("Date: [..] GMT", "Date: Sun, 06 Nov 1994 08:49:37 GMT", true),
            ("a[..]", "b", false),
        ] {
            assert_eq!(line_matches(pattern, line), wanted, "{pattern:?} {line:?}");
        }
    }

    #[test]
    fn dots_alone_on_a_line_stand_for_any_lines() {
        for (wanted, found, same) in [
            ("", "", true),
            ("a|b", "a|b", true),
            ("a|b", "a|b| |", true),
            ("a|b", "a", false),
            ("a", "a|b", false),
            ("...", "", true),
            ("...", "a|b", true),
            ("a|...|d", "a|b|c|d", true),
            ("a|...|d", "a|d", true),
            ("a|...|d", "a|b|c", false),
            ("...|b|...|d", "a|b|c|b|d", true),
            ("...|[..]b", "a|b|ab", true),
            ("a...", "a|b", false),
        ] {
            let (wanted, found) = (lines(wanted), lines(found));
            assert_eq!(transcript(&wanted, &found).is_same(), same, "{wanted:?} {found:?}");
        }
    }

    #[test]
    fn what_is_written_keeps_the_wildcards_that_still_fit() {
        for (wanted, found, merged) in [
            ("a|b", "a|c", "a|c"),
            ("a [..]|b", "a 1|c", "a [..]|c"),
            ("a [..]|b", "b 1|b", "b 1|b"),
            ("a|...|z", "a|b|c|y", "a|...|y"),
            ("a|...|z", "a|b|c|z|!", "a|...|z|!"),
            ("", "a|b", "a|b"),
            ("one 1|...|two 2|...", "one 1|six 6|two 3|ten 10", "one 1|...|two 3|..."),
            ("a|b|c", "", ""),
            ("a|b|c", "a|c", "a|c"),
        ] {
            let (old, found) = (lines(wanted), lines(found));
            let new = transcript(&old, &found).merged();
            assert_eq!(new, lines(merged), "{wanted}");
            assert!(transcript(&new, &found).is_same());
        }
    }

    #[test]
    fn a_diff_shows_both_texts() {
        let (wanted, found) = (lines("a|b|...|e"), lines("a|c|d|e|f"));
        let diff = transcript(&wanted, &found).diff();
        assert_eq!(diff, "      a\n    - b\n    + c\n      ...\n      e\n    + f\n");
        let long: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
        assert!(source(&long, &[]).diff().ends_with("(880 lines more)\n"));
    }
}
