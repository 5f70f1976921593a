//! Order: chapters, exercises, steps and modules stand in the text in the order in which one builds
//! on the other.

use std::process::Command;

use crate::markdown::{Document, exercise_number};
use crate::workshop;

/// How many chapters there are, and which of them goes through `src`.
pub(crate) const CHAPTERS: u32 = 17;
const GUIDED_READING: u32 = 13;

/// So many exercises has each chapter up to the guided reading.
const EXERCISES: std::ops::RangeInclusive<u32> = 2..=3;

/// `3` of a heading `3. Read`.
fn chapter_number(heading: &str) -> Option<u32> {
    heading.split_once(". ")?.0.parse().ok()
}

/// The lines of a chapter, in one.
fn chapter(document: &Document, number: u32) -> Option<String> {
    let mut headings = document.headings.iter().filter(|heading| heading.level == 2);
    let place = headings.position(|heading| chapter_number(&heading.text) == Some(number))?;
    Some(document.section(place + 1).1.join("\n"))
}

/// What is wrong with the chapters' numbers.
pub(crate) fn chapters(document: &Document) -> Vec<String> {
    let headings = document.headings.iter().filter(|heading| heading.level == 2);
    let numbers: Vec<u32> = headings.filter_map(|h| chapter_number(&h.text)).collect();
    let wanted: Vec<u32> = (1..=CHAPTERS).collect();
    if numbers == wanted {
        return Vec::new();
    }
    vec![format!("{}: the chapters are {numbers:?}, not 1 to {CHAPTERS}\n", document.name)]
}

/// Exercises whose number is not the chapter's, or not the next, and chapters with too few or too
/// many.
pub(crate) fn exercises(document: &Document) -> Vec<String> {
    let mut problems = Vec::new();
    let (mut chapter, mut last) = (0, 0);
    for (line, text) in (1..).zip(&document.lines) {
        if let Some(heading) = document.headings.iter().find(|h| h.line == line && h.level == 2) {
            if (1..=GUIDED_READING).contains(&chapter) && !EXERCISES.contains(&last) {
                problems.push(format!("{}: {last} exercises above\n", document.at(line)));
            }
            (chapter, last) = (chapter_number(&heading.text).unwrap_or(0), 0);
        } else if let Some(number) = exercise_number(text) {
            last += 1;
            let wanted = format!("{chapter}.{last}");
            if number != wanted {
                problems.push(format!("{}: {number} is {wanted}\n", document.at(line)));
            }
        }
    }
    problems
}

/// Steps that their chapter does not name.
pub(crate) fn steps(document: &Document, steps: &[String]) -> Vec<String> {
    let is_missing = |step: &&String| {
        let chapter = workshop::chapter_of(step).and_then(|number| chapter(document, number));
        !chapter.is_some_and(|text| text.contains(step.as_str()))
    };
    let missing = steps.iter().filter(is_missing);
    missing.map(|step| format!("{}: {step} is not in its chapter\n", document.name)).collect()
}

/// The library's files below `src`, without their `.rs`, in the order of their `mod` lines. `source`
/// has the text of a file; a room is a file `mod.rs` whose own lines follow.
pub(crate) fn modules(source: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let lines = |text: &str| -> Vec<String> {
        let names = text.lines().filter_map(|line| {
            line.trim_start_matches("pub ")
                .trim_start_matches("pub(crate) ")
                .strip_prefix("mod ")?
                .strip_suffix(';')
        });
        names.map(str::to_string).collect()
    };
    let lib = source("lib.rs").unwrap_or_default();
    let inside = |name: String| match source(&format!("{name}/mod.rs")) {
        Some(room) => lines(&room).iter().map(|inner| format!("{name}/{inner}")).collect(),
        None => vec![name],
    };
    lines(&lib).into_iter().flat_map(inside).collect()
}

/// Modules that the guided reading does not name, or too early.
pub(crate) fn reading(document: &Document, modules: &[String]) -> Vec<String> {
    let Some(text) = chapter(document, GUIDED_READING) else {
        return vec![format!("{}: there is no chapter {GUIDED_READING}\n", document.name)];
    };
    let mut problems = Vec::new();
    let mut last = (0, "its beginning");
    for module in modules {
        let names = [format!("`src/{module}.rs`"), format!("(src/{module}.rs)")];
        match names.iter().filter_map(|name| text.find(name)).min() {
            None => {
                problems.push(format!("chapter {GUIDED_READING} does not name src/{module}.rs\n"));
            }
            Some(at) if at < last.0 => {
                let line = text[..at].lines().count();
                let sentence =
                    format!("names src/{module}.rs before {}, in its line {line}", last.1);
                problems.push(format!("chapter {GUIDED_READING} {sentence}\n"));
            }
            Some(at) => last = (at, module),
        }
    }
    problems
}

/// Checks of which the chapter that they send the reader to is not there.
pub(crate) fn chapters_of_checks(document: &Document) -> Vec<String> {
    let dbcheck = |arguments: &[&str]| {
        let mut dbcheck = Command::new(assert_cmd::cargo::cargo_bin!("dbcheck"));
        String::from_utf8(dbcheck.args(arguments).output().unwrap().stdout).unwrap()
    };
    let list = dbcheck(&["--list"]);
    // Names of checks are indented below their tier's.
    let checks = list.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let wrong = |check: &str| {
        let text = dbcheck(&["--explain", check]);
        let (_, number) = text.rsplit_once("TUTORIAL.md chapter ")?;
        let number = number.trim_end().trim_end_matches(')').parse::<u32>().unwrap_or(0);
        let is_there = chapter(document, number).is_some();
        (!is_there).then(|| format!("{check}: there is no chapter {number}\n"))
    };
    checks.filter_map(wrong).collect()
}

/// A file of the library.
pub(crate) fn source(name: &str) -> Option<String> {
    std::fs::read_to_string(workshop::root().join("src").join(name)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# Title
## 1. One
`step01_a`
**1.1** x
**1.3** x
## 2. Two
**1.3** x
## In an interview
step02_b
## 13. Reading
`src/a.rs`, `src/r/c.rs`, [b](src/b.rs)
";

    #[test]
    fn what_is_out_of_order_is_told() {
        let document = Document::parse("T.md", TEXT);
        assert_eq!(chapters(&document), ["T.md: the chapters are [1, 2, 13], not 1 to 17\n"]);
        assert_eq!(
            exercises(&document),
            ["T.md:5: 1.3 is 1.2\n", "T.md:7: 1.3 is 2.1\n", "T.md:8: 1 exercises above\n"]
        );
        let names = ["step01_a", "step02_b", "step03_c"].map(str::to_string);
        assert_eq!(
            steps(&document, &names),
            ["T.md: step02_b is not in its chapter\n", "T.md: step03_c is not in its chapter\n"]
        );
        let source = |name: &str| match name {
            "lib.rs" => Some("pub mod a;\npub mod b;\npub mod r;\n".to_string()),
            "r/mod.rs" => Some("//! Room.\npub mod c;\npub mod d;\n".to_string()),
            _ => None,
        };
        assert_eq!(
            reading(&document, &modules(source)),
            [
                "chapter 13 names src/r/c.rs before b, in its line 2\n",
                "chapter 13 does not name src/r/d.rs\n",
            ]
        );
        assert_eq!(reading(&document, &["a", "r/c", "b"].map(str::to_string)), [""; 0]);
        assert!(modules(super::source).contains(&"http/head".to_string()));
    }
}
