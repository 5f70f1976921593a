//! What stands beside the speed: how much of HTTP a server does, in how many lines, on how many
//! crates.
//!
//! Next: [`crate::figures`].

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::building::Built;
use crate::figures::ServerFigures;
use crate::progress::say;
use crate::subjects::{Program, SUBJECTS, Subject, root};

/// How many servers are scored at the same time. Most of the checks wait.
const AT_ONCE: usize = 4;

/// Has dbcheck score all servers in the tiers that need no file. `quick`: the first tier alone.
pub(crate) fn score(servers: &mut [ServerFigures], built: &Built, quick: bool) {
    say(format!("dbcheck scores {} servers", servers.len()));
    for some in servers.chunks_mut(AT_ONCE) {
        thread::scope(|scope| {
            for server in some {
                scope.spawn(move || match points(&server.name, built, quick) {
                    Ok((passed, of)) => {
                        say(format!("      {:<10} {passed}/{of}", server.name));
                        server.score = Some((passed, of));
                    }
                    Err(error) => say(format!("dbcheck on {}: {error:#}", server.name)),
                });
            }
        });
    }
}

fn points(name: &str, built: &Built, quick: bool) -> Result<(u64, u64)> {
    let subject = SUBJECTS.iter().find(|subject| subject.name == name);
    let subject = subject.context("no such server")?;
    let words = built.words(subject).context("it is not built")?;
    let words: Vec<String> = words.iter().map(|word| format!("'{}'", word.display())).collect();
    let tiers: &[&str] =
        if quick { &["brief"] } else { &["brief", "conventions", "http", "robust"] };
    let mut command = Command::new(&built.dbcheck);
    command.arg("--cmd").arg(format!("{} {}", words.join(" "), subject.memory));
    command.args(["--format", "json"]).args(tiers.iter().flat_map(|tier| ["--tier", tier]));
    // What `plain` cannot do, dbcheck waits for.
    command.args(quick.then_some(["--timeout", "1"]).into_iter().flatten());
    let output = command.stdin(Stdio::null()).output()?;
    let said: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let number = |name: &str| said[name].as_u64().with_context(|| format!("no {name}"));
    Ok((number("passed")?, number("of")?))
}

/// How many crates are compiled for a server: what `cargo tree` lists, without its own package.
///
/// # Errors
///
/// If cargo does not say.
pub(crate) fn crates(subject: &Subject) -> Result<Option<usize>> {
    let feature = match subject.program {
        Program::Ours(..) => None,
        Program::Peer("plain") => Some(""),
        Program::Peer(feature) => Some(feature),
        Program::Script(..) | Program::Go => return Ok(None),
    };
    let folder = if feature.is_some() { root().join("examples/peers") } else { root().into() };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["tree", "--locked", "--edges", "no-dev", "--prefix", "none"]);
    if let Some(feature) = feature {
        command.args(["--no-default-features", "--features", feature]);
    }
    command.arg("--manifest-path").arg(folder.join("Cargo.toml"));
    let output = command.stderr(Stdio::inherit()).output().context("cannot run cargo tree")?;
    ensure!(output.status.success(), "cargo tree fails for {}", subject.name);
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines().filter(|line| !line.is_empty());
    let all: BTreeSet<&str> = lines.map(|line| line.trim_end_matches(" (*)")).collect();
    Ok(Some(all.len().saturating_sub(1)))
}

/// Lines of code: neither blank nor comment alone, and without the tests at the end of a file.
///
/// # Errors
///
/// If the source cannot be read.
pub(crate) fn lines(subject: &Subject) -> Result<usize> {
    subject.sources.iter().map(|source| lines_at(&root().join(source))).sum()
}

fn lines_at(path: &Path) -> Result<usize> {
    if !path.is_dir() {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        return Ok(count(&text));
    }
    let mut sum = 0;
    for entry in fs::read_dir(path).with_context(|| path.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_rust = path.extension().is_some_and(|extension| extension == "rs");
        if (path.is_dir() && name != "bin") || (is_rust && name != "tests.rs") {
            sum += lines_at(&path)?;
        }
    }
    Ok(sum)
}

/// What a line begins with that is comment alone, in any of the languages here.
const COMMENTS: [&str; 4] = ["//", "#!", "# ", "\"\"\""];

fn count(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let tests = lines.windows(2).position(|pair| {
        pair[0].starts_with("#[cfg(") && pair[0].contains("test") && pair[1] == "mod tests {"
    });
    let lines = &lines[..tests.unwrap_or(lines.len())];
    let is_comment = |line: &str| COMMENTS.iter().any(|mark| line.starts_with(mark));
    lines.iter().filter(|line| !line.is_empty() && !is_comment(line)).count()
}
