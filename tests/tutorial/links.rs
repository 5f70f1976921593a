//! Links and paths: each relative link leads to a file and each anchor to a heading, and what
//! stands in backticks and looks like a path of the repository is one.

use std::collections::BTreeMap;
use std::path::Path;

use crate::markdown::{Document, code_spans};

/// The file that the reader makes, and git ignores.
const THE_READERS_OWN: &str = "examples/mine.rs";

/// The folders of which a path in backticks may be.
const FOLDERS: [&str; 4] = ["src/", "examples/", "tests/", ".ci/"];

/// What is wrong with the links and paths of a text.
pub(crate) fn problems(root: &Path, document: &Document) -> Vec<String> {
    let mut problems = Vec::new();
    for (line, paragraph) in document.paragraphs() {
        for (offset, target) in targets(&paragraph) {
            if let Err(sentence) = follow(root, document, target) {
                problems.push(format!("{}: {sentence}\n", document.at(line + offset)));
            }
        }
        for span in code_spans(&paragraph) {
            for path in paths(span) {
                if path != THE_READERS_OWN && !root.join(path).exists() {
                    let offset = paragraph.find(path).map_or(0, |at| newlines(&paragraph[..at]));
                    problems.push(format!("{}: no {path}\n", document.at(line + offset)));
                }
            }
        }
    }
    problems
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|&byte| byte == b'\n').count()
}

/// The words of a piece of code that look like paths of the repository. Patterns do not.
fn paths(span: &str) -> impl Iterator<Item = &str> {
    let words = span.split(|c: char| c.is_whitespace() || "'\"(),;|=".contains(c));
    let words = words.map(|word| word.split(':').next().unwrap_or_default());
    words.filter(|word| {
        let is_pattern = word.contains(['*', '…', '<', '{', '[', '$']) || word.contains("NN");
        !is_pattern && FOLDERS.iter().any(|folder| word.starts_with(folder))
    })
}

/// Where the links of a paragraph lead, each with the number of lines above it.
fn targets(paragraph: &str) -> Vec<(usize, &str)> {
    let mut text = paragraph.to_string();
    for span in code_spans(paragraph) {
        // What looks like a link in code is none.
        text = text.replacen(&format!("`{span}`"), &format!("`{}`", "x".repeat(span.len())), 1);
    }
    let starts = text.match_indices("](").map(|(at, _)| at + 2);
    let target = |at: usize| {
        let end = text[at..].find(')')?;
        Some((newlines(&text[..at]), &paragraph[at..at + end]))
    };
    starts.filter_map(target).collect()
}

fn follow(root: &Path, document: &Document, target: &str) -> Result<(), String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return Ok(());
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let folder = Path::new(&document.name).parent().unwrap_or(Path::new(""));
    let path = root.join(folder).join(file);
    if !file.is_empty() && !path.exists() {
        return Err(format!("({target}) leads nowhere: there is no {file}"));
    }
    if anchor.is_empty() {
        return Ok(());
    }
    let slugs = match file {
        "" => slugs(document),
        _ if path.extension().is_some_and(|extension| extension == "md") => {
            slugs(&Document::read(root, &folder.join(file).display().to_string()))
        }
        _ => return Err(format!("({target}): {file} has no headings")),
    };
    if slugs.iter().any(|slug| slug == anchor) {
        return Ok(());
    }
    Err(format!("({target}) leads nowhere: the headings are {}", slugs.join(", ")))
}

/// The anchors that GitHub gives to a text's headings.
fn slugs(document: &Document) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let slug = |text: &str| {
        let slug = slug(text);
        let count = seen.entry(slug.clone()).and_modify(|count| *count += 1).or_default();
        if *count == 0 { slug } else { format!("{slug}-{count}") }
    };
    document.headings.iter().map(|heading| heading.text.as_str()).map(slug).collect()
}

/// Lower case, blanks become hyphens, and what is no letter, digit, hyphen or `_` is left out.
fn slug(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || [' ', '-', '_'].contains(c);
    let text: String = heading.to_lowercase().chars().filter(kept).collect();
    text.replace(' ', "-")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn slugs_are_those_of_github() {
        for (heading, wanted) in [
            ("1. Listen", "1-listen"),
            ("12. Stop and hold", "12-stop-and-hold"),
            ("13. A guided reading of src/", "13-a-guided-reading-of-src"),
            ("What `200` promises", "what-200-promises"),
            ("A – B", "a--b"),
        ] {
            assert_eq!(slug(heading), wanted);
        }
        let twice = Document::parse("T.md", "# A\n## The code\n## The code\n");
        assert_eq!(slugs(&twice), ["a", "the-code", "the-code-1"]);
    }

    #[test]
    fn links_and_paths_that_lead_nowhere_are_told() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("src")).unwrap();
        fs::write(root.path().join("src/a.rs"), "").unwrap();
        fs::write(root.path().join("O.md"), "# Other\n").unwrap();
        let text = "\
# Title

[a](src/a.rs), [b](src/b.rs),
[`[c](no)`](https://example.org) `[d](no)`
[e](#title) [f](#titel) [g](O.md#other) [h](O.md#othr)

`src/a.rs`, `src/a.rs:12`, `src/step*.rs`, `src/…`, `cat src/c.rs`, `/src/x`

```text
[i](no) `src/d.rs`
```
";
        let problems = problems(root.path(), &Document::parse("T.md", text));
        assert_eq!(
            problems,
            [
                "T.md:3: (src/b.rs) leads nowhere: there is no src/b.rs\n",
                "T.md:5: (#titel) leads nowhere: the headings are title\n",
                "T.md:5: (O.md#othr) leads nowhere: the headings are other\n",
                "T.md:7: no src/c.rs\n",
            ]
        );
    }
}
