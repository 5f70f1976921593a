//! The whole change of each step, folded away below its pieces: what a reader types who writes the
//! server from an empty file.
//!
//! The pieces of a chapter explain what is new, and leave out what is not worth a word. The fold has
//! all of it, as a diff from the step before, and the test applies the folds one after the other, from
//! nothing to the last step.

use crate::markdown::{Document, Fence};

/// How a fold begins whose fence is the change to the step that it names.
const SUMMARY: &str = "<details><summary>Type it: the whole change to <code>";

/// The step that the fold round this fence names, if it is one.
pub(crate) fn step_of(fence: &Fence) -> Option<&str> {
    let rest = fence.above.trim_start().strip_prefix(SUMMARY)?;
    Some(rest.split('<').next().unwrap_or_default())
}

/// A change, as it should be in the text.
fn change(former: &str, source: &str) -> Vec<String> {
    let patch = diffy::create_patch(former, source).to_string();
    // The first two lines name the files, and both are the reader's own.
    let lines = patch.lines().skip_while(|line| !line.starts_with("@@"));
    lines.map(|line| line.trim_end().to_string()).collect()
}

/// What is wrong with the folds of a text, and the fences as they should be, by their place among all
/// fences. `sources` has each step's name and program, in order.
pub(crate) fn problems(
    document: &Document,
    sources: &[(String, String)],
) -> (Vec<String>, Vec<(usize, Vec<String>)>) {
    let (mut problems, mut right) = (Vec::new(), Vec::new());
    let folds: Vec<(usize, &Fence)> =
        document.fences.iter().enumerate().filter(|(_, fence)| step_of(fence).is_some()).collect();
    let named: Vec<&str> = folds.iter().filter_map(|(_, fence)| step_of(fence)).collect();
    let steps: Vec<&str> = sources.iter().map(|(name, _)| name.as_str()).collect();
    if named != steps {
        problems.push(format!("{}: folds for {named:?}, steps {steps:?}\n", document.name));
        return (problems, right);
    }
    let (mut former, mut typed) = ("", String::new());
    for ((place, fence), (name, source)) in folds.into_iter().zip(sources) {
        let wanted = change(former, source);
        let lines: Vec<String> = fence.lines.iter().map(|it| it.trim_end().to_string()).collect();
        if lines != wanted {
            problems.push(format!("{}: not the change to {name}\n", document.at(fence.line)));
        }
        match typed_in(&typed, &lines) {
            Ok(now) if now == *source => {}
            Ok(_) => problems.push(format!("{name}: what was typed is another program\n")),
            Err(error) => problems.push(format!("{name}: {error}\n")),
        }
        right.push((place, wanted));
        (former, typed) = (source, source.clone());
    }
    (problems, right)
}

/// What a reader has who has made this change.
fn typed_in(before: &str, change: &[String]) -> Result<String, String> {
    // Where a line of the program is empty, an editor may strip the blank that stands for it.
    let full = |line: &String| if line.is_empty() { " ".to_string() } else { line.clone() };
    let text: String = change.iter().map(|line| full(line) + "\n").collect();
    let text = format!("--- mine.rs\n+++ mine.rs\n{text}");
    let patch = diffy::Patch::from_str(&text).map_err(|error| error.to_string())?;
    diffy::apply(before, &patch).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fold_that_is_not_the_change_is_told_and_put_right() {
        let steps = [("step01_a", "a\nb\n"), ("step02_b", "a\n\nc\n")];
        let sources = steps.map(|(name, text)| (name.to_string(), text.to_string()));
        let fold = |name: &str, diff: &str| {
            format!("{SUMMARY}{name}</code></summary>\n\n```diff\n{diff}```\n\n</details>\n")
        };
        let first = fold("step01_a", "@@ -0,0 +1,2 @@\n+a\n+b\n");
        let text = first.clone() + &fold("step02_b", "@@ -1,2 +1,3 @@\n a\n-b\n+\n+c\n");
        let document = Document::parse("T.md", &text);
        assert_eq!(problems(&document, &sources).0, [""; 0]);
        let wrong = Document::parse("T.md", &text.replace("+c", "+d"));
        let (told, right) = problems(&wrong, &sources);
        assert_eq!(
            told,
            [
                "T.md:12: not the change to step02_b\n",
                "step02_b: what was typed is another program\n"
            ]
        );
        assert_eq!(right[1].1, ["@@ -1,2 +1,3 @@", " a", "-b", "+", "+c"]);
        let missing = Document::parse("T.md", &first);
        assert!(problems(&missing, &sources).0[0].starts_with("T.md: folds for [\"step01_a\"]"));
    }
}
