//! A Markdown text, taken apart: headings, sections, fences, answers of exercises, paragraphs.
//!
//! As much of the format as our texts use. Fences may be indented, and they may stand within
//! `<details>`; those of which the summary is *Answer* are kept in mind, as they may hold diffs.

use std::fs;
use std::path::Path;

/// A text and what is in it. Lines are counted from 1, as editors do.
#[derive(Debug, Default)]
pub(crate) struct Document {
    /// Its path in the repository.
    pub(crate) name: String,
    pub(crate) lines: Vec<String>,
    pub(crate) headings: Vec<Heading>,
    pub(crate) fences: Vec<Fence>,
    pub(crate) answers: Vec<Answer>,
    /// What is wrong with its form.
    pub(crate) problems: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Heading {
    pub(crate) level: usize,
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// What a fence may be of: all but plain text is tried.
const LANGUAGES: [&str; 4] = ["rust", "diff", "console", "text"];

/// A block between two lines of backticks.
#[derive(Debug, Clone)]
pub(crate) struct Fence {
    pub(crate) language: String,
    /// Where its first line of backticks is.
    pub(crate) line: usize,
    /// The blanks before its first line of backticks, which are no part of its lines.
    pub(crate) indent: String,
    pub(crate) lines: Vec<String>,
    /// The line above it, or above the one blank line there.
    pub(crate) above: String,
    /// How many headings of the second level come before it.
    pub(crate) section: usize,
    /// The answer that it is in, by its place in [`Document::answers`].
    pub(crate) answer: Option<usize>,
}

/// The answer to an exercise.
#[derive(Debug)]
pub(crate) struct Answer {
    /// `2.1`, if the exercise has a number.
    pub(crate) exercise: String,
    pub(crate) line: usize,
}

impl Document {
    /// Reads a text of the repository.
    pub(crate) fn read(root: &Path, name: &str) -> Self {
        let path = root.join(name);
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self::parse(name, &text)
    }

    pub(crate) fn parse(name: &str, text: &str) -> Self {
        let lines = text.lines().map(str::to_string).collect();
        let mut document = Document { name: name.into(), lines, ..Document::default() };
        let (mut section, mut exercise, mut answer) = (0, String::new(), None);
        let mut details: Vec<usize> = Vec::new();
        let mut at = 0;
        while let Some(line) = document.lines.get(at).cloned() {
            let blank_before = at == 0 || document.lines[at - 1].trim().is_empty();
            let blank_after = document.lines.get(at + 1).is_none_or(|line| line.trim().is_empty());
            at += 1;
            if ticks(&line) >= 3 {
                at = document.fence(at, section, answer);
            } else if let Some((level, text)) = heading(&line) {
                section += usize::from(level == 2);
                document.headings.push(Heading { level, text: text.into(), line: at });
            } else if let Some(number) = exercise_number(&line) {
                exercise = number.into();
            } else if line.trim_start().starts_with("<details>") {
                details.push(at);
                if line.contains("<summary>Answer") {
                    answer = Some(document.answers.len());
                    document.answers.push(Answer { exercise: exercise.clone(), line: at });
                }
                if !blank_after {
                    document.problem(at, "no blank line below the summary");
                }
            } else if line.trim() == "</details>" {
                if details.pop().is_none() {
                    document.problem(at, "no <details> for this </details>");
                }
                if !blank_before {
                    document.problem(at, "no blank line above </details>");
                }
                answer = None;
            }
        }
        for line in details {
            document.problem(line, "this <details> has no </details> on a line of its own");
        }
        document
    }

    /// Takes the fence of which line `at` is the first, and returns the line after it.
    fn fence(&mut self, at: usize, section: usize, answer: Option<usize>) -> usize {
        let first = self.lines[at - 1].clone();
        let indent = first[..first.len() - first.trim_start().len()].to_string();
        let many = ticks(&first);
        let language = first.trim_start().trim_start_matches('`');
        let language = language.split([',', ' ', '{']).next().unwrap_or_default();
        let inner = self.lines[at..].to_vec();
        let ends = |line: &String| ticks(line) >= many && line.trim().chars().all(|c| c == '`');
        let Some(length) = inner.iter().position(ends) else {
            self.problem(at, "this fence has no end");
            return self.lines.len();
        };
        let unindented = |line: &String| line.strip_prefix(&indent).unwrap_or(line).to_string();
        if !LANGUAGES.contains(&language.trim()) {
            let languages = LANGUAGES.join(", ");
            self.problem(at, &format!("a fence of {language:?}, which is none of {languages}"));
            return at + length + 1;
        }
        let mut above = self.lines[..at - 1].iter().rev();
        let above = match above.next() {
            Some(line) if line.trim().is_empty() => above.next(),
            other => other,
        };
        self.fences.push(Fence {
            language: language.trim().into(),
            line: at,
            lines: inner[..length].iter().map(unindented).collect(),
            indent,
            above: above.cloned().unwrap_or_default(),
            section,
            answer,
        });
        at + length + 1
    }

    fn problem(&mut self, line: usize, sentence: &str) {
        self.problems.push(format!("{}:{line}: {sentence}\n", self.name));
    }

    /// How a problem in it begins.
    pub(crate) fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.name)
    }

    pub(crate) fn fences_in(&self, language: &str) -> impl Iterator<Item = &Fence> {
        self.fences.iter().filter(move |fence| fence.language == language)
    }

    /// The number of a section's first line, which is its heading, and its lines.
    pub(crate) fn section(&self, number: usize) -> (usize, &[String]) {
        let mut begins: Vec<usize> = vec![1];
        begins.extend(self.headings.iter().filter(|h| h.level == 2).map(|heading| heading.line));
        let end = begins.get(number + 1).map_or(self.lines.len(), |next| next - 1);
        (begins[number], &self.lines[begins[number] - 1..end])
    }

    /// Everything outside of fences, in pieces between blank lines, with the number of each one's
    /// first line.
    pub(crate) fn paragraphs(&self) -> Vec<(usize, String)> {
        let mut paragraphs: Vec<(usize, String)> = Vec::new();
        let is_fenced = |line: usize| {
            self.fences.iter().any(|f| (f.line..=f.line + f.lines.len() + 1).contains(&line))
        };
        let mut goes_on = false;
        for (line, text) in (1..).zip(&self.lines) {
            let is_text = !text.trim().is_empty() && !is_fenced(line);
            match paragraphs.last_mut() {
                Some((_, paragraph)) if is_text && goes_on => {
                    paragraph.push('\n');
                    paragraph.push_str(text);
                }
                _ if is_text => paragraphs.push((line, text.clone())),
                _ => {}
            }
            goes_on = is_text;
        }
        paragraphs
    }
}

/// How many backticks a line begins with.
fn ticks(line: &str) -> usize {
    line.trim_start().chars().take_while(|&c| c == '`').count()
}

fn heading(line: &str) -> Option<(usize, &str)> {
    let level = line.chars().take_while(|&c| c == '#').count();
    let text = line[level..].strip_prefix(' ')?;
    (1..=6).contains(&level).then_some((level, text.trim()))
}

/// `2.1` of a line that begins with `**2.1**`.
pub(crate) fn exercise_number(line: &str) -> Option<&str> {
    let (number, _) = line.strip_prefix("**")?.split_once("**")?;
    let (chapter, exercise) = number.split_once('.')?;
    let is_number = |text: &str| text.parse::<u32>().is_ok();
    (is_number(chapter) && is_number(exercise)).then_some(number)
}

/// The words in backticks, in their order. Two backticks may hold one.
pub(crate) fn code_spans(text: &str) -> Vec<&str> {
    let mut spans = Vec::new();
    let mut rest = text;
    while let Some(begin) = rest.find('`') {
        let many = rest[begin..].chars().take_while(|&c| c == '`').count();
        let (mark, after) = rest[begin..].split_at(many);
        let Some(end) = after.find(mark) else { break };
        spans.push(&after[..end]);
        rest = &after[end + many..];
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# Title

Some `code`, two ``with ` tick``,
and `more`.

## 1. One

In `a.rs`:

```rust
fn a() {}
```

- a list
  ```console
  $ echo
    x
  ```

**1.2** What if?

<details><summary>Answer</summary>

````diff
```
````

</details>

## Two
```text
```
";

    #[test]
    fn finds_what_is_in_a_text() {
        let document = Document::parse("T.md", TEXT);
        assert_eq!(document.problems, [""; 0]);
        let headings: Vec<_> =
            document.headings.iter().map(|h| (h.level, h.text.as_str(), h.line)).collect();
        assert_eq!(headings, [(1, "Title", 1), (2, "1. One", 6), (2, "Two", 30)]);
        let fences: Vec<_> = document
            .fences
            .iter()
            .map(|f| (f.language.as_str(), f.line, f.lines.join("|"), f.section, f.answer))
            .collect();
        assert_eq!(
            fences,
            [
                ("rust", 10, "fn a() {}".into(), 1, None),
                ("console", 15, "$ echo|  x".into(), 1, None),
                ("diff", 24, "```".into(), 1, Some(0)),
                ("text", 31, String::new(), 2, None),
            ]
        );
        assert_eq!(document.fences[0].above, "In `a.rs`:");
        assert_eq!(document.fences[1].above, "- a list");
        assert_eq!((document.answers[0].exercise.as_str(), document.answers[0].line), ("1.2", 22));
        assert_eq!(document.section(0).1.len(), 5);
        assert_eq!(document.section(2), (30, &document.lines[29..]));
        let paragraphs = document.paragraphs();
        assert_eq!(paragraphs[1].0, 3);
        assert_eq!(code_spans(&paragraphs[1].1), ["code", "with ` tick", "more"]);
        assert_eq!(paragraphs.last().unwrap().1, "## Two");
    }

    #[test]
    fn says_what_is_wrong_with_the_form() {
        let text = "<details><summary>Hint</summary>\nx\n</details>\n\n</details>\n```\n";
        let lines = [1, 3, 5, 6];
        let problems = Document::parse("T.md", text).problems;
        let found = problems.iter().map(|p| p.split(':').nth(1).unwrap().parse().unwrap());
        assert_eq!(found.collect::<Vec<usize>>(), lines, "{problems:?}");
        assert_eq!(Document::parse("T.md", "<details>\n\n").problems.len(), 1);
        let problems = Document::parse("T.md", "```sh\nls\n```\n```\n```\n").problems;
        assert!(problems[0].starts_with("T.md:1: a fence of \"sh\""), "{problems:?}");
        assert!(problems[1].starts_with("T.md:4: a fence of \"\""), "{problems:?}");
    }
}
