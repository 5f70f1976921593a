//! The contract, `docs/CONTRACT.md`: what is said to hold to it names a section that is there, and
//! there is no section that nothing holds to.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const CONTRACT: &str = include_str!("../../docs/CONTRACT.md");

/// The text of the contract's command line: its one fence.
pub(crate) fn help() -> &'static str {
    CONTRACT.split("```text\n").nth(1).unwrap().split("```").next().unwrap()
}

/// `5`, and `5.3` for the third rule of section 5.
fn sections() -> BTreeSet<String> {
    let mut sections = BTreeSet::new();
    let mut section = "";
    for line in CONTRACT.lines() {
        let number = |line: &'static str| {
            let (number, _) = line.split_once(". ")?;
            number.parse::<u8>().is_ok().then_some(number)
        };
        if let Some(number) = line.strip_prefix("## ").and_then(number) {
            section = number;
            sections.insert(number.to_string());
        } else if let Some(rule) = number(line) {
            sections.insert(format!("{section}.{rule}"));
        }
    }
    sections
}

/// The sections that a text names, each with its line.
fn named(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines()).flat_map(|(number, line)| {
        line.split("CONTRACT \u{a7}").skip(1).map(move |rest| {
            let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
            (number, rest[..end].trim_end_matches('.'))
        })
    })
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_section_that_is_named_is_there_and_each_is_named() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "tests", "examples"] {
        sources(&root.join(folder), &mut files);
    }
    let sections = sections();
    let mut kept = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for (line, section) in named(&text) {
            assert!(sections.contains(section), "{}:{line}: no section {section}", file.display());
            kept.insert(section.split('.').next().unwrap().to_string());
        }
    }
    let whole: BTreeSet<_> = sections.into_iter().filter(|name| !name.contains('.')).collect();
    assert_eq!(kept, whole);
}

#[test]
fn sections_and_rules_are_found_by_their_numbers() {
    let sections = sections();
    for section in ["1", "5", "5.1", "5.7"] {
        assert!(sections.contains(section), "{section}: {sections:?}");
    }
    assert!(!sections.contains("5.8") && !sections.contains("0"));
    let text = format!("a\n// {0} \u{a7}2. And {0} \u{a7}5.3, {0}.", "CONTRACT");
    assert_eq!(named(&text).collect::<Vec<_>>(), [(2, "2"), (2, "5.3")]);
}
