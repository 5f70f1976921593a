//! A diff, applied.
//!
//! Its lines begin with a blank, `-` or `+`. Those with a blank or `-` are, in order and without
//! gaps, a piece of the file that occurs once; a line `@@` parts one place from the next.

use crate::compare::{self, SIGNS};

/// Applies a diff.
pub(crate) fn apply(diff: &[String], source: &str) -> Result<String, String> {
    let mut lines: Vec<String> = source.lines().map(str::to_string).collect();
    for hunk in diff.split(|line| line.trim_end() == "@@") {
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for line in hunk {
            // Editors strip the blank that a blank line should begin with.
            let (mark, rest) = line.split_at_checked(1).unwrap_or((" ", ""));
            let rest = rest.to_string();
            match mark {
                " " => {
                    old.push(rest.clone());
                    new.push(rest);
                }
                "-" => old.push(rest),
                "+" => new.push(rest),
                _ => return Err(format!("this line begins with no blank, - or +: {line}\n")),
            }
        }
        if old == new {
            return Err("a hunk that changes nothing\n".into());
        }
        let places = places(&old, &lines);
        match places[..] {
            [at] => drop(lines.splice(at..at + old.len(), new)),
            [] => return Err(nowhere(&old, &lines)),
            _ => {
                let numbers: Vec<String> = places.iter().map(|at| (at + 1).to_string()).collect();
                return Err(format!(
                    "the lines before the change are in the file at {}: give more of them\n",
                    numbers.join(", ")
                ));
            }
        }
    }
    Ok(lines.join("\n") + "\n")
}

fn places(old: &[String], lines: &[String]) -> Vec<usize> {
    let starts = 0..(lines.len() + 1).saturating_sub(old.len());
    starts.filter(|&at| !old.is_empty() && lines[at..at + old.len()] == *old).collect()
}

fn nowhere(old: &[String], lines: &[String]) -> String {
    let common = |(ours, theirs): (&String, &String)| {
        let bytes = ours.trim().bytes().zip(theirs.trim().bytes());
        bytes.take_while(|(ours, theirs)| ours == theirs).count()
    };
    let same = |at: &usize| old.iter().zip(&lines[*at..]).map(common).sum::<usize>();
    let at = (0..lines.len()).rev().max_by_key(same).unwrap_or(0);
    let window = &lines[at..lines.len().min(at + old.len())];
    let diff = compare::source(old, window).diff();
    let at = at + 1;
    format!(
        "the lines before the change are not in the file; most similar is line {at}{SIGNS}
{diff}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_string).collect()
    }

    #[test]
    fn a_diff_applies_where_its_lines_occur_once() {
        let source = "a\nb\n\n    c\nb\n";
        for (diff, wanted) in [
            ("-a\n+A", Ok("A\nb\n\n    c\nb\n")),
            (" a\n+x", Ok("a\nx\nb\n\n    c\nb\n")),
            (" a\n-b\n\n     c\n-b\n+!", Ok("a\n\n    c\n!\n")),
            ("-a\n@@\n     c\n-b", Ok("b\n\n    c\n")),
            ("-a\n+x\n@@\n-x\n+y", Ok("y\nb\n\n    c\nb\n")),
            ("-b", Err("in the file at 2, 5")),
            (" a\n-c", Err("most similar is line 1")),
            ("-c", Err("    - c\n    +     c\n")),
            ("+x", Err("not in the file")),
            (" a", Err("changes nothing")),
            ("*a", Err("begins with no blank, - or +: *a")),
        ] {
            let found = apply(&lines(diff), source);
            match wanted {
                Ok(wanted) => assert_eq!(found.as_deref(), Ok(wanted), "{diff}"),
                Err(part) => assert!(found.as_ref().is_err_and(|e| e.contains(part)), "{found:?}"),
            }
        }
    }
}
