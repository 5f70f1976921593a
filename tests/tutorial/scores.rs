//! Scores: what the checker says of each step, in `tests/steps.txt` by the names of the checks, and
//! in the text's table by their number.
//!
//! A line of `tests/steps.txt` is `step02_answer | status-line line-ends`: all checks that pass,
//! and no others. The table has a row for each step, and a column for each tier and the total. A
//! tier of which no check was reached may have `–`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use serde_json::Value;

use crate::markdown::{Document, code_spans};
use crate::{compare, workshop};

/// How many steps are scored at the same time. They load the machine for moments only.
const STEPS_AT_A_TIME: usize = 6;

/// From this one on a pair that was set can be got.
const FIRST_THAT_KEEPS: u32 = 7;

/// From this one on a step takes a second argument, its data file.
const FIRST_WITH_FILE: u32 = 10;

const COLUMNS: [&str; 6] = ["brief", "conventions", "http", "robust", "durable", "total"];

/// Where the names of the checks are.
pub(crate) const FILE: &str = "tests/steps.txt";

/// The same, above the lines.
const HEAD: &str = "\
# What each step of the tutorial gets right: step | the checks of dbcheck that it passes.
#
# TUTORIAL=overwrite cargo test --test tutorial writes it anew.

";

/// What the checker says of a step.
#[derive(Debug, Clone, Default)]
pub(crate) struct Score {
    /// Checks that pass, in the checker's order.
    pub(crate) passed: Vec<String>,
    /// `5/22` by column, and whether anything in it was reached.
    pub(crate) cells: BTreeMap<String, (String, bool)>,
    /// The chapter that the checker names for each check.
    pub(crate) chapters: BTreeMap<String, u32>,
}

/// Scores by the names of the steps.
pub(crate) type Scores = BTreeMap<String, Score>;

/// The command that starts a step, for the checker.
pub(crate) fn command(step: &str) -> String {
    let has_file = workshop::chapter_of(step).is_some_and(|number| number >= FIRST_WITH_FILE);
    let data = if has_file { " '{data}'" } else { "" };
    format!("exec '{}' {{port}}{data}", workshop::example(step).display())
}

/// Lets the checker score all steps. Those that it can't score are told as problems.
pub(crate) fn of_all(steps: &[String]) -> (Scores, Vec<String>) {
    let (queue, scores) = (Mutex::new(steps.iter()), Mutex::new(Scores::new()));
    let problems = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..STEPS_AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let Some(step) = queue.lock().unwrap().next() else { break };
                    match of_one(step) {
                        Ok(score) => drop(scores.lock().unwrap().insert(step.clone(), score)),
                        Err(problem) => problems.lock().unwrap().push(problem),
                    }
                }
            });
        }
    });
    (scores.into_inner().unwrap(), problems.into_inner().unwrap())
}

fn of_one(step: &str) -> Result<Score, String> {
    let mut dbcheck = Command::new(workshop::target().join("debug/dbcheck"));
    dbcheck.args(["--format", "json", "--rounds", "3", "--cmd", &command(step)]);
    let output = dbcheck.output().unwrap();
    let Ok(report) = serde_json::from_slice::<Value>(&output.stdout) else {
        return Err(format!("{step}: {}", String::from_utf8_lossy(&output.stderr)));
    };
    Ok(read(&report))
}

fn read(report: &Value) -> Score {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let checks = list(&report["checks"]);
    let has_passed = |check: &&Value| text(&check["verdict"]).starts_with("passed");
    let was_reached = |tier: &str| {
        let of_tier = checks.iter().filter(|check| check["tier"] == tier);
        let mut verdicts = of_tier.map(|check| text(&check["verdict"]));
        verdicts.any(|verdict| verdict != "not reached" && verdict != "skipped")
    };
    let cell = |value: &Value| format!("{}/{}", value["passed"], value["of"]);
    let mut cells = BTreeMap::from([("total".into(), (cell(report), true))]);
    for tier in list(&report["tiers"]) {
        let name = text(&tier["name"]);
        cells.insert(name.clone(), (cell(&tier), was_reached(&name)));
    }
    let passed = checks.iter().filter(has_passed).map(|check| text(&check["name"])).collect();
    let chapter = |check: &Value| check["chapter"].as_u64().and_then(|c| c.try_into().ok());
    let chapters = checks.iter().map(|check| (text(&check["name"]), chapter(check).unwrap_or(0)));
    Score { passed, cells, chapters: chapters.collect() }
}

/// Checks that the step of their own chapter does not pass. Most need a set and a get, which begin
/// with step 7.
pub(crate) fn too_late(scores: &Scores) -> Vec<String> {
    let mut problems = Vec::new();
    let Some((_, last)) = scores.last_key_value() else { return problems };
    for (check, &chapter) in &last.chapters {
        // Where a chapter's step comes in parts, the last one has all of it.
        let is_its = |(step, _): &(&String, &Score)| {
            workshop::chapter_of(step) == Some(chapter.max(FIRST_THAT_KEEPS))
        };
        let Some((step, score)) = scores.iter().rfind(is_its) else {
            problems.push(format!("{check}: there is no step {chapter}\n"));
            continue;
        };
        if !score.passed.contains(check) {
            problems
                .push(format!("{check}: chapter {chapter} is to explain it, {step} fails it\n"));
        }
    }
    problems
}

/// How `tests/steps.txt` differs from the scores.
pub(crate) fn wrong_lines(file: &str, scores: &Scores) -> Vec<String> {
    let mut problems = Vec::new();
    let lines = (1..).zip(file.lines()).filter(|(_, l)| !l.is_empty() && !l.starts_with('#'));
    let lines: Vec<(usize, &str, Vec<&str>)> = lines
        .map(|(number, line)| {
            let (name, checks) = line.split_once('|').unwrap_or((line, ""));
            (number, name.trim(), checks.split_whitespace().collect())
        })
        .collect();
    let names: Vec<&str> = lines.iter().map(|(_, name, _)| *name).collect();
    problems.extend(wrong_order(FILE, &names, scores));
    for (number, name, wanted) in lines {
        let Some(score) = scores.get(name) else { continue };
        let mut sentence = String::new();
        for check in score.passed.iter().filter(|check| !wanted.contains(&check.as_str())) {
            let _ = writeln!(sentence, "    + {check} passes");
        }
        for check in wanted.iter().filter(|check| !score.passed.iter().any(|p| p == *check)) {
            let _ = writeln!(sentence, "    - {check} does not pass");
        }
        if !sentence.is_empty() {
            problems.push(format!("{FILE}:{number}: {name}\n{sentence}"));
        }
    }
    problems
}

fn wrong_order(place: &str, names: &[&str], scores: &Scores) -> Option<String> {
    let steps: Vec<&str> = scores.keys().map(String::as_str).collect();
    let is_wrong = names != steps;
    is_wrong.then(|| format!("{place}: the steps are {steps:?}, and here {names:?}\n"))
}

/// `tests/steps.txt` as it should be.
pub(crate) fn right_lines(scores: &Scores) -> String {
    let line = |(name, score): (&String, &Score)| format!("{name} | {}\n", score.passed.join(" "));
    HEAD.to_string() + &scores.iter().map(line).collect::<String>()
}

/// How the text's table differs from the scores, and the text as it should be.
pub(crate) fn table(name: &str, text: &str, scores: &Scores) -> (Vec<String>, String) {
    let mut document = Document::parse(name, text);
    let mut problems = Vec::new();
    let mut names = Vec::new();
    let mut columns: Vec<String> = Vec::new();
    let fenced: Vec<usize> =
        document.fences.iter().flat_map(|f| f.line..=f.line + f.lines.len() + 1).collect();
    for at in 0..document.lines.len() {
        let line = document.lines[at].clone();
        if !line.starts_with('|') || fenced.contains(&(at + 1)) {
            columns.clear();
            continue;
        }
        let mut cells: Vec<String> = line.split('|').map(str::to_string).collect();
        if columns.is_empty() {
            columns = cells.iter().map(|cell| cell.trim().to_lowercase()).collect();
        }
        let step = code_spans(&cells[1]).first().map(ToString::to_string).unwrap_or_default();
        let Some(score) = scores.get(&step) else { continue };
        names.push(step.clone());
        let mut wrong = Vec::new();
        for column in COLUMNS {
            let (right, was_reached) = score.cells.get(column).cloned().unwrap_or_default();
            let place = columns.iter().position(|name| name == column);
            let Some(cell) = place.and_then(|place| cells.get_mut(place)) else {
                wrong.push(format!("there is no column {column}"));
                continue;
            };
            let is_right = cell.trim() == right || cell.trim() == "–" && !was_reached;
            if !is_right {
                wrong.push(format!("{column} is {right}, not {}", cell.trim()));
                *cell = format!(" {right} ");
            }
        }
        if !wrong.is_empty() {
            problems.push(format!("{name}:{}: {step}: {}\n", at + 1, wrong.join("; ")));
        }
        document.lines[at] = cells.join("|");
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    problems.extend(wrong_order(&format!("{name}, table of scores"), &names, scores));
    (problems, document.lines.join("\n") + "\n")
}

/// What is wrong with a step as a program to be read. `former` is the source of the step before.
pub(crate) fn form(
    step: &str,
    former: &str,
    source: &str,
    diagnostics: &workshop::Diagnostics,
) -> Vec<String> {
    let mut problems = Vec::new();
    let lines = |text: &str| text.lines().map(str::to_string).collect::<Vec<_>>();
    let added = compare::source(&lines(former), &lines(source)).added();
    if !(20..=200).contains(&added) {
        problems.push(format!("examples/{step}.rs: {added} new lines, not 20 to 200\n"));
    }
    for (number, line) in (1..).zip(source.lines()) {
        if line.contains("dbserver::") {
            problems.push(format!("examples/{step}.rs:{number}: uses our library: {line}\n"));
        }
    }
    problems.extend(diagnostics.get(step).into_iter().flatten().cloned());
    problems
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scores() -> Scores {
        let check = |name, tier, verdict| json!({"name": name, "tier": tier, "verdict": verdict});
        let report = json!({
            "passed": 2, "of": 4,
            "tiers": [
                {"name": "brief", "passed": 0, "of": 1, "skipped": 0},
                {"name": "conventions", "passed": 1, "of": 1, "skipped": 0},
                {"name": "http", "passed": 1, "of": 2, "skipped": 0},
                {"name": "robust", "passed": 0, "of": 0, "skipped": 1},
                {"name": "durable", "passed": 0, "of": 0, "skipped": 0},
            ],
            "checks": [
                check("a", "brief", "not reached"),
                check("b", "conventions", "passed loosely"),
                check("c", "http", "passed"),
                check("d", "http", "failed"),
                check("e", "robust", "skipped"),
            ],
        });
        Scores::from([("step01_x".into(), read(&report))])
    }

    #[test]
    fn lines_are_held_to_the_names_of_what_passes() {
        let scores = scores();
        assert_eq!(wrong_lines(&right_lines(&scores), &scores), [""; 0]);
        assert_eq!(
            wrong_lines("# x\nstep01_x | c d", &scores),
            ["tests/steps.txt:2: step01_x\n    + b passes\n    - d does not pass\n"]
        );
        assert!(wrong_lines("step02_y | b c", &scores)[0].contains("and here [\"step02_y\"]"));
    }

    #[test]
    fn a_table_is_held_to_the_numbers() {
        let scores = scores();
        let head = "| step | brief | conventions | http | robust | durable | total |\n|---|\n";
        let right = format!("a\n\n{head}| `step01_x` | – | 1/1 | 1/2 | 0/0 | – | 2/4 |\n\nb\n");
        assert_eq!(table("T.md", &right, &scores), (Vec::new(), right.clone()));
        let wrong = right.replace("1/2", "–").replace("2/4", "2/5");
        let (problems, written) = table("T.md", &wrong, &scores);
        assert_eq!(problems, ["T.md:5: step01_x: http is 1/2, not –; total is 2/4, not 2/5\n"]);
        assert_eq!(written, right);
        let (problems, _) = table("T.md", "nothing\n", &scores);
        assert!(problems[0].starts_with("T.md, table of scores: the steps are [\"step01_x\"]"));
        let (problems, _) = table("T.md", &right.replace("robust", "stout"), &scores);
        assert_eq!(problems, ["T.md:5: step01_x: there is no column robust\n"]);
    }

    #[test]
    fn a_check_that_fails_in_its_own_chapter_is_told() {
        let mut scores: Scores =
            (1..=7).map(|n| (format!("step0{n}_x"), Score::default())).collect();
        let last = scores.get_mut("step07_x").unwrap();
        last.passed = vec!["a".into()];
        last.chapters = [("a", 3), ("b", 3), ("c", 9)].map(|(c, n)| (c.to_string(), n)).into();
        assert_eq!(
            too_late(&scores),
            ["b: chapter 3 is to explain it, step07_x fails it\n", "c: there is no step 9\n"]
        );
    }

    #[test]
    fn a_step_is_short_and_on_its_own() {
        let none = workshop::Diagnostics::new();
        assert_eq!(form("step01_x", "", &"// x\n".repeat(30), &none), [""; 0]);
        assert_eq!(
            form("step01_x", "", "use dbserver::Store;\n", &none),
            [
                "examples/step01_x.rs: 1 new lines, not 20 to 200\n",
                "examples/step01_x.rs:1: uses our library: use dbserver::Store;\n"
            ]
        );
        let warned = workshop::Diagnostics::from([("step01_x".into(), vec!["warning".into()])]);
        assert_eq!(form("step01_x", "a\nb\n", &"a\n".repeat(201), &warned), ["warning"]);
        assert!(command("step09a_keep").ends_with("/debug/examples/step09a_keep' {port}"));
        assert!(command("step10_file").ends_with("/debug/examples/step10_file' {port} '{data}'"));
    }
}
