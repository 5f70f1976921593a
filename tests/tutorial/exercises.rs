//! Exercises: what an answer changes in a step is applied to that step, and all changed programs
//! are compiled, in one package of their own.
//!
//! The diffs of one answer are of one file, each applied to what the one before it left.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use crate::markdown::{Answer, Document, Fence, exercise_number};
use crate::patch::apply;
use crate::session::{Changed, ChangedProgram};
use crate::snippets::{Named, named};
use crate::{whole, workshop};

/// What is wrong with an answer as a whole: it has nothing that a test could hold it to.
pub(crate) fn empty_answers(document: &Document) -> Vec<String> {
    let shows = |place: usize| {
        let mut fences = document.fences.iter().filter(move |fence| fence.answer == Some(place));
        fences.any(|fence| ["diff", "console"].contains(&fence.language.as_str()))
    };
    let empty = |(place, answer): (usize, &Answer)| {
        let place_name = document.at(answer.line);
        let sentence = "has neither a diff nor a console fence";
        (!shows(place))
            .then(|| format!("{place_name}: the answer {} {sentence}\n", answer.exercise))
    };
    document.answers.iter().enumerate().filter_map(empty).collect()
}

/// Exercises whose answer shows a command, and which do not say before the fold how to try one's own.
pub(crate) fn untried(document: &Document) -> Vec<String> {
    let mut problems = Vec::new();
    for (place, answer) in document.answers.iter().enumerate() {
        let of_it = |fence: &&Fence| fence.answer == Some(place) && fence.language == "console";
        let lines = &document.lines[..answer.line];
        let Some(start) = lines.iter().rposition(|line| exercise_number(line).is_some()) else {
            continue;
        };
        let is_fold = |line: &String| line.starts_with("<details>");
        let fold = lines[start..].iter().position(is_fold).map_or(answer.line, |at| start + at);
        let is_shown = document.fences.iter().any(|it| (start..fold).contains(&it.line));
        if document.fences.iter().any(|fence| of_it(&fence)) && !is_shown {
            let exercise = &answer.exercise;
            problems.push(format!("{}: {exercise} has no way to try it\n", document.at(start + 1)));
        }
    }
    problems
}

/// The changed programs of a text, built, and a paragraph for each thing that is wrong with them.
pub(crate) fn changed(root: &Path, document: &Document, name: &str) -> (Changed, Vec<String>) {
    let mut problems = Vec::new();
    let mut answers: BTreeMap<usize, Vec<&Fence>> = BTreeMap::new();
    for fence in document.fences_in("diff").filter(|fence| whole::step_of(fence).is_none()) {
        if let Some(answer) = fence.answer {
            answers.entry(answer).or_default().push(fence);
        } else {
            problems.push(format!(
                "{}: a diff outside of an answer
",
                document.at(fence.line)
            ));
        }
    }
    let mut sources = BTreeMap::new();
    let mut changed = Changed::new();
    for (answer, fences) in answers {
        let line = fences[0].line;
        match change(root, document, &fences) {
            Ok((name, source)) => {
                sources.insert(answer, (name.clone(), source));
                changed.insert(answer, ChangedProgram { name, path: None, line });
            }
            Err(problem) => {
                problems.push(problem);
                changed.insert(answer, ChangedProgram { name: String::new(), path: None, line });
            }
        }
    }
    if !sources.is_empty() {
        let diagnostics = build(&sources, &mut changed, name);
        for (binary, messages) in diagnostics {
            let answer = binary.strip_prefix("answer").and_then(|rest| rest.split('_').next());
            let answer = answer.and_then(|number| number.parse::<usize>().ok());
            let line = answer.and_then(|answer| changed.get(&answer)).map_or(1, |p| p.line);
            let exercise = answer.map_or("", |answer| &document.answers[answer].exercise);
            let messages = messages.concat();
            problems.push(format!("{}: the answer {exercise}:\n{messages}", document.at(line)));
        }
    }
    (changed, problems)
}

/// The changed programs of TUTORIAL.md: several tests use them.
pub(crate) fn of_the_tutorial(document: &Document) -> &'static (Changed, Vec<String>) {
    static CHANGED: OnceLock<(Changed, Vec<String>)> = OnceLock::new();
    CHANGED.get_or_init(|| changed(workshop::root(), document, "exercises"))
}

/// The name and the source of the program that these diffs make.
fn change(root: &Path, document: &Document, fences: &[&Fence]) -> Result<(String, String), String> {
    let mut program: Option<(&str, String)> = None;
    for fence in fences {
        let at = document.at(fence.line);
        let Some(Named { path, .. }) = named(&fence.above) else {
            return Err(format!("{at}: the line above this fence names no file\n"));
        };
        let (file, source) = match program.take() {
            Some(program) => program,
            None => match fs::read_to_string(root.join(path)) {
                Ok(source) => (path, source),
                Err(error) => return Err(format!("{at}: {path}: {error}\n")),
            },
        };
        if path != file {
            return Err(format!(
                "{at}: an answer changes one file, and this one began with {file}\n"
            ));
        }
        let source =
            apply(&fence.lines, &source).map_err(|error| format!("{at}: {path}: {error}"))?;
        program = Some((file, source));
    }
    let (file, source) = program.unwrap_or_default();
    let name = file.strip_prefix("examples/").and_then(|name| name.strip_suffix(".rs"));
    match name {
        Some(name) if !name.contains('/') => Ok((name.to_string(), source)),
        _ => Err(format!("{}: {file} is not a program in examples\n", document.at(fences[0].line))),
    }
}

/// Builds these programs and notes where they are. Each gets a name of its own for the compiler,
/// and its step's for the reader, who may look for it by that.
fn build(
    sources: &BTreeMap<usize, (String, String)>,
    changed: &mut Changed,
    package: &str,
) -> workshop::Diagnostics {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(package);
    let used_in: Vec<&str> = sources.values().map(|(_, source)| source.as_str()).collect();
    let mut manifest = manifest(package, &used_in);
    for (answer, (name, source)) in sources {
        let binary = format!("answer{answer}_{name}");
        let path = format!("src/{binary}.rs");
        let _ = write!(manifest, "\n[[bin]]\nname = \"{binary}\"\npath = \"{path}\"\n");
        write(&folder.join(path), source);
    }
    write(&folder.join("Cargo.toml"), &manifest);
    fs::copy(workshop::root().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();

    let mut cargo = workshop::cargo("build");
    cargo.arg("--offline").arg("--manifest-path").arg(folder.join("Cargo.toml"));
    // Nobody changes a line of them and builds them again: what that would save is not kept.
    cargo.env("CARGO_INCREMENTAL", "0");
    // In our own folder, where the dependencies are built already.
    let (_, diagnostics) = workshop::diagnose(cargo.arg("--target-dir").arg(workshop::target()));
    for (answer, (name, _)) in sources {
        let binary = workshop::target().join(format!("debug/answer{answer}_{name}"));
        let is_right = !diagnostics.contains_key(&format!("answer{answer}_{name}"));
        if is_right && binary.exists() {
            let place = folder.join(answer.to_string());
            fs::create_dir_all(&place).unwrap();
            let path = place.join(name);
            // Not written over: an earlier one may still be about to end.
            let _ = fs::remove_file(&path);
            fs::copy(binary, &path).unwrap();
            changed.entry(*answer).and_modify(|program| program.path = Some(path));
        }
    }
    diagnostics
}

/// A manifest with our lints and profiles, and those of our dependencies that the programs use. The
/// programs themselves go without debug information, which takes a quarter of the time.
fn manifest(package: &str, sources: &[&str]) -> String {
    let ours = fs::read_to_string(workshop::root().join("Cargo.toml")).unwrap();
    let table = |name: &str| {
        let lines = ours.lines().skip_while(|line| *line != format!("[{name}]")).skip(1);
        lines.take_while(|line| !line.starts_with('[')).collect::<Vec<_>>()
    };
    let is_used = |line: &&str| {
        let name = line.split([' ', '=']).next().unwrap_or_default().replace('-', "_");
        !name.is_empty()
            && !name.starts_with('#')
            && sources.iter().any(|source| source.contains(&format!("{name}::")))
    };
    let dependencies: Vec<&str> = table("dependencies").into_iter().filter(is_used).collect();
    format!(
        "[package]\nname = \"{package}\"\nversion = \"0.0.0\"\nedition = \"2024\"\nautobins = false\n\
         \n[workspace]\n\n[lints.rust]\n{}\n\n[profile.dev]\n{}\n\n[profile.dev.package.memchr]\n{}\n\
         \n[profile.dev.package.{package}]\ndebug = 0\n\n[dependencies]\n{}\n",
        table("lints.rust").join("\n"),
        table("profile.dev").join("\n"),
        table("profile.dev.package.memchr").join("\n"),
        dependencies.join("\n")
    )
}

/// Leaves a file that is right alone, so that cargo does not build it again.
fn write(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return;
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session;

    const STEP: &str = "\
//! Prints where it would listen, and waits.
use std::net::TcpListener;

fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).map_or(4000, |port| port.parse().unwrap());
    let listener = TcpListener::bind((\"127.0.0.1\", port))?;
    println!(\"Listening on http://localhost:{port}/\");
    listener.accept()?;
    Ok(())
}
";

    /// The first answer changes a line and runs that; the others are wrong, each in its way.
    const TEXT: &str = r#"
## 1. A chapter

**1.1** How?
<details><summary>Answer</summary>

In `examples/step99_sample.rs`, `main`:
```diff
-    listener.accept()?;
+    std::thread::sleep(std::time::Duration::from_secs(1000));
+    drop(listener);
```

In `examples/step99_sample.rs`:
```diff
-    println!("Listening on http://localhost:{port}/");
+    println!("Waiting on http://localhost:{port}/");
```

```console
$ cargo run -q --example step99_sample
Waiting on http://localhost:4000/
```

```console
$ ls target/debug/examples/step99_sample | grep -c /exercises-test/0/
1
$ pkill -9 -x step99_sample; echo $?
0
```

</details>

**1.2** Why?
<details><summary>Answer</summary>

In `examples/step99_sample.rs`:
```diff
-    listener.accept()?;
+    let unused = listener.accept()?;
```

</details>

**1.3** What?
<details><summary>Answer</summary>

In `examples/step99_sample.rs`:
```diff
-    listener.close()?;
```

</details>

**1.4** Well?
<details><summary>Answer</summary>

Well.

</details>
"#;

    #[test]
    fn answers_are_applied_compiled_and_run() {
        let root = tempfile::tempdir().unwrap();
        write(&root.path().join("examples/step99_sample.rs"), STEP);
        let document = Document::parse("T.md", TEXT);
        let (changed, problems) = changed(root.path(), &document, "exercises-test");
        let [not_there, unused] = &problems[..] else { panic!("{problems:#?}") };
        let begin = "T.md:49: examples/step99_sample.rs: the lines before the change are not in";
        assert!(not_there.starts_with(begin), "{not_there}");
        assert!(not_there.contains("    -     listener.close()?;\n    +     listener.accept()?;"));
        assert!(
            unused.starts_with("T.md:38: the answer 1.2:\nwarning: unused variable"),
            "{unused}"
        );
        assert_eq!(
            empty_answers(&document),
            ["T.md:56: the answer 1.4 has neither a diff nor a console fence\n"]
        );

        workshop::build();
        let outcome = session::perform(&document, 1, &changed, false);
        assert!(outcome.problems.is_empty(), "{}", outcome.problems.concat());
    }

    #[test]
    fn an_exercise_says_before_its_answer_how_to_try_it() {
        let answer = "<details><summary>Answer</summary>\n\n```console\n$ a\n```\n\n</details>\n";
        let text = format!("**1.1** x\n\n```text\na\n```\n\n{answer}\n**1.2** y\n\n{answer}");
        let document = Document::parse("T.md", &text);
        assert_eq!(untried(&document), ["T.md:15: 1.2 has no way to try it\n"]);
    }
}
