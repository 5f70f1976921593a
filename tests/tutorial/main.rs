//! The tutorial and the README, held to what the programs do.
//!
//! Whoever reads them has the files open and types the commands. So every piece of source is in the
//! file that it names, every command is run and prints what stands below it, every change that an
//! answer proposes applies and compiles, every score is counted, and every link leads somewhere.
//!
//! ```text
//!  markdown     a text, taken apart
//!  compare      lines with lines: wildcards, diffs
//!  snippets     pieces of source
//!  transcript   a console fence, read
//!  workshop     programs, a folder and a port for each chapter
//!  terminal     a server that stays, commands that end
//!  session      a chapter's console fences, one after the other
//!  sample       a chapter to try that on
//!  whole        the change of a whole step, to be typed
//!  patch        a diff, applied
//!  exercises    changed programs, compiled
//!  scores       what the checker says of each step
//!  links        where links and paths lead
//!  order        chapters, steps and modules in their order
//! ```
//!
//! `TUTORIAL=overwrite cargo test --test tutorial` writes the outputs and scores that it finds into
//! the texts. Read the change before you keep it: it is what your readers will see.

#![allow(clippy::disallowed_methods, reason = "a test that can't have a thread has failed")]

mod compare;
mod exercises;
mod links;
mod markdown;
mod order;
mod patch;
mod sample;
mod scores;
mod session;
mod snippets;
mod terminal;
mod transcript;
mod whole;
mod workshop;

use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;
use std::thread;

use exercises::of_the_tutorial;
use markdown::Document;
use session::{Changed, Outcome};

/// How many chapters are gone through at the same time. Most of the time they wait.
const CHAPTERS_AT_A_TIME: usize = 12;

/// The texts in which everything is tried.
const TEXTS: [&str; 3] = ["TUTORIAL.md", "README.md", "examples/interview/INTERVIEWER.md"];

/// The texts of which links and paths are followed besides.
const OTHER_TEXTS: [&str; 11] = [
    "CONTRIBUTING.md",
    "docs/CONTRACT.md",
    "docs/ETCD.md",
    "examples/README.md",
    "examples/peers/README.md",
    "examples/peers/RESULTS.md",
    "examples/interview/README.md",
    "examples/interview/CANDIDATE.md",
    "examples/interview/SCORE_SHEET.md",
    "examples/interview/WHAT_IS_WRONG.md",
    "CHANGELOG.md",
];

fn texts() -> [Document; 3] {
    TEXTS.map(|name| Document::read(workshop::root(), name))
}

/// Whether the texts are to be written anew where they are wrong.
fn overwrite() -> bool {
    std::env::var_os("TUTORIAL").is_some_and(|value| value == "overwrite")
}

/// The names of all steps: chapters 1 to 12 have one each, or one in parts.
fn steps() -> Vec<String> {
    let steps = workshop::steps();
    let mut chapters: Vec<u32> = steps.iter().filter_map(|it| workshop::chapter_of(it)).collect();
    chapters.dedup();
    assert!(chapters.iter().copied().eq(1..=12), "{steps:?}");
    steps
}

/// Fails with all of these, if there are any.
fn none(problems: &[String]) {
    assert!(problems.is_empty(), "{} problems\n\n{}", problems.len(), problems.concat());
}

#[test]
fn the_texts_are_well_formed() {
    none(&texts().map(|document| document.problems).concat());
}

#[test]
fn every_piece_of_source_is_in_the_file_that_it_names() {
    none(&texts().map(|document| snippets::problems(workshop::root(), &document)).concat());
}

#[test]
fn what_a_reader_types_is_each_step_in_turn() {
    let [tutorial, ..] = texts();
    let source = |step: &String| {
        fs::read_to_string(workshop::root().join(format!("examples/{step}.rs"))).unwrap()
    };
    let sources: Vec<_> = steps().iter().map(|step| (step.clone(), source(step))).collect();
    let (problems, right) = whole::problems(&tutorial, &sources);
    if overwrite() {
        workshop::rewrite(TEXTS[0], |text| with_fences(TEXTS[0], text, &right));
    }
    none(&problems);
}

#[test]
fn every_answer_shows_something_and_every_change_applies_and_compiles() {
    let [tutorial, ..] = texts();
    let mut problems = exercises::empty_answers(&tutorial);
    problems.extend(exercises::untried(&tutorial));
    problems.extend_from_slice(&of_the_tutorial(&tutorial).1);
    none(&problems);
}

/// In debug builds, also where the text says `--release`: they print the same.
#[test]
fn every_command_prints_what_stands_below_it() {
    workshop::build();
    let overwrite = overwrite();
    let texts = texts();
    let no_answers = Changed::new();
    let programs = [&of_the_tutorial(&texts[0]).0, &no_answers, &no_answers];
    let sections = texts.iter().zip(programs).flat_map(|(document, changed)| {
        let last = document.headings.iter().filter(|heading| heading.level == 2).count();
        (0..=last).map(move |section| (document, changed, section))
    });

    // The later ones take longer.
    let queue = Mutex::new(sections.rev());
    let outcomes: Mutex<BTreeMap<(&str, usize), Outcome>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..CHAPTERS_AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let Some((document, changed, section)) = queue.lock().unwrap().next() else {
                        break;
                    };
                    let outcome = session::perform(document, section, changed, overwrite);
                    outcomes.lock().unwrap().insert((&document.name, section), outcome);
                }
            });
        }
    });

    let outcomes = outcomes.into_inner().unwrap();
    if overwrite {
        for document in &texts {
            let of_it = outcomes.iter().filter(|((name, _), _)| *name == document.name);
            let new: Vec<_> = of_it.flat_map(|(_, outcome)| outcome.rewritten.clone()).collect();
            workshop::rewrite(&document.name, |text| with_fences(&document.name, text, &new));
        }
    }
    none(&outcomes.into_values().flat_map(|outcome| outcome.problems).collect::<Vec<_>>());
}

/// The text with these fences, known by their place, as they should be.
fn with_fences(name: &str, text: &str, new: &[(usize, Vec<String>)]) -> String {
    let mut document = Document::parse(name, text);
    let mut new = new.to_vec();
    new.sort_unstable();
    for (place, lines) in new.into_iter().rev() {
        let fence = &document.fences[place];
        let indented = lines.into_iter().map(|line| format!("{}{line}", fence.indent));
        let indented: Vec<String> = indented.map(|line| line.trim_end().to_string()).collect();
        document.lines.splice(fence.line..fence.line + fence.lines.len(), indented);
    }
    document.lines.join("\n") + "\n"
}

#[test]
fn every_step_scores_what_the_text_says() {
    workshop::build();
    let steps = steps();
    let (scores, mut problems) = scores::of_all(&steps);
    if overwrite() && problems.is_empty() {
        workshop::rewrite(scores::FILE, |_| scores::right_lines(&scores));
        workshop::rewrite(TEXTS[0], |text| scores::table(TEXTS[0], text, &scores).1);
    }
    problems.extend(scores::too_late(&scores));
    let lines = fs::read_to_string(workshop::root().join(scores::FILE)).unwrap_or_default();
    problems.extend(scores::wrong_lines(&lines, &scores));
    let [tutorial, ..] = texts();
    problems.extend(scores::table(&tutorial.name, &tutorial.lines.join("\n"), &scores).0);
    none(&problems);
}

#[test]
fn every_step_is_a_program_of_its_own_with_one_idea_more_and_without_warnings() {
    let diagnostics = workshop::build();
    let mut former = String::new();
    let mut problems = Vec::new();
    for step in steps() {
        let path = workshop::root().join("examples").join(format!("{step}.rs"));
        let source = fs::read_to_string(path).unwrap();
        problems.extend(scores::form(&step, &former, &source, diagnostics));
        former = source;
    }
    none(&problems);
}

#[test]
fn every_link_and_every_path_leads_somewhere() {
    let others = OTHER_TEXTS.map(|name| Document::read(workshop::root(), name));
    let all = texts().into_iter().chain(others);
    none(&all.flat_map(|text| links::problems(workshop::root(), &text)).collect::<Vec<_>>());
}

#[test]
fn the_chapters_and_their_exercises_are_in_order() {
    let [tutorial, ..] = texts();
    none(&[order::chapters(&tutorial), order::exercises(&tutorial)].concat());
}

#[test]
fn each_step_is_named_in_its_chapter() {
    let [tutorial, ..] = texts();
    let steps = steps();
    none(&order::steps(&tutorial, &steps));
}

#[test]
fn the_guided_reading_has_the_modules_in_their_order() {
    let [tutorial, ..] = texts();
    none(&order::reading(&tutorial, &order::modules(order::source)));
}

#[test]
fn the_chapter_that_a_check_names_is_there() {
    let [tutorial, ..] = texts();
    none(&order::chapters_of_checks(&tutorial));
}

#[test]
fn the_readme_has_fewer_than_150_lines() {
    let [_, readme, _] = texts();
    assert!(readme.lines.len() < 150, "{} lines", readme.lines.len());
}

#[test]
fn the_command_that_the_ci_takes_from_the_readme_is_there_once() {
    let [_, readme, _] = texts();
    let alone = readme.fences_in("console").filter(|fence| fence.lines == [session::THIS_TEST]);
    assert_eq!(alone.count(), 1);
    let lines = readme.lines.iter().filter(|line| line.starts_with(session::THIS_TEST));
    assert_eq!(lines.count(), 1);
}

#[test]
fn fences_are_replaced_in_their_places() {
    let text = "a\n```console\n$ x\n1\n```\nb\n- c\n  ```console\n  $ y\n  ```\n";
    let lines = |text: &str| text.lines().map(str::to_string).collect();
    let new = [(0, lines("$ x\n2\n3")), (1, lines("$ y\n\n4"))];
    let wanted = "a\n```console\n$ x\n2\n3\n```\nb\n- c\n  ```console\n  $ y\n\n  4\n  ```\n";
    assert_eq!(with_fences("T.md", text, &new), wanted);
    assert_eq!(with_fences("T.md", text, &[]), text);
}
