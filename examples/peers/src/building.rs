//! The programs: what is compared is built here, so that it is what the source says.
//!
//! Next: [`crate::process`], where they run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::progress::say;
use crate::subjects::{Program, Subject, root};

/// The programs, once they are built: for each server the words that start it, up to its arguments.
pub(crate) struct Built {
    words: BTreeMap<&'static str, Vec<PathBuf>>,
    /// The checker of this repository.
    pub(crate) dbcheck: PathBuf,
}

impl Built {
    /// The words that start a server; None where what it needs is not installed.
    pub(crate) fn words(&self, subject: &Subject) -> Option<&[PathBuf]> {
        self.words.get(subject.name).map(Vec::as_slice)
    }
}

/// Builds all that these servers need. What is not installed is said, and left out.
///
/// # Errors
///
/// If something does not compile.
pub(crate) fn build(subjects: &[&'static Subject], quick: bool) -> Result<Built> {
    let mut ours = vec!["--bin", "dbcheck"];
    let mut peers = Vec::new();
    let mut features = Vec::new();
    for subject in subjects {
        match subject.program {
            Program::Ours(kind, name) => ours.extend([kind, name]),
            Program::Peer(name) => {
                peers.push(format!("--bin=peer-{name}"));
                features.extend((name != "plain").then_some(name));
            }
            Program::Script(..) | Program::Go => {}
        }
    }
    let peers: Vec<&str> = peers.iter().map(String::as_str).collect();
    let features = features.join(",");
    let mut options = vec!["--no-default-features", "--features", &features];
    options.extend(peers);
    let mut programs = cargo_build(&root().join("Cargo.toml"), &ours, quick)?;
    programs.extend(cargo_build(&root().join("examples/peers/Cargo.toml"), &options, quick)?);

    let find = |name: &str| {
        programs.get(name).cloned().with_context(|| format!("cargo did not say where {name} is"))
    };
    let mut built = Built { words: BTreeMap::new(), dbcheck: find("dbcheck")? };
    for subject in subjects {
        let words = match subject.program {
            Program::Ours(_, name) => Some(vec![find(name)?]),
            Program::Peer(name) => Some(vec![find(&format!("peer-{name}"))?]),
            Program::Script(runs, file) => which(runs).map(|runs| vec![runs, root().join(file)]),
            Program::Go => go_build()?.map(|program| vec![program]),
        };
        match words {
            Some(words) => drop(built.words.insert(subject.name, words)),
            None => say(format!("{} is left out: it is not installed", subject.name)),
        }
    }
    Ok(built)
}

/// Builds with cargo; returns where each program is.
fn cargo_build(
    manifest: &Path,
    options: &[&str],
    quick: bool,
) -> Result<BTreeMap<String, PathBuf>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--locked", "--message-format=json-render-diagnostics"]);
    command.args((!quick).then_some("--release")).args(options);
    command.arg("--manifest-path").arg(manifest).stderr(Stdio::inherit());
    let output = command.output().context("cannot run cargo")?;
    ensure!(output.status.success(), "{} does not build", manifest.display());
    let mut programs = BTreeMap::new();
    for line in output.stdout.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let message: Value = serde_json::from_slice(line).context("cargo's message")?;
        if let (Some(path), Some(name)) =
            (message["executable"].as_str(), message["target"]["name"].as_str())
        {
            programs.insert(name.to_owned(), PathBuf::from(path));
        }
    }
    Ok(programs)
}

/// Builds the server in Go beside this program; None where there is no Go.
fn go_build() -> Result<Option<PathBuf>> {
    let Some(go) = which("go") else { return Ok(None) };
    let program = std::env::current_exe()?.with_file_name("peer-go");
    let mut command = Command::new(go);
    command.args(["build", "-o"]).arg(&program).arg(".");
    let folder = root().join("examples/peers/servers/go");
    if !command.current_dir(folder).status().context("cannot run go")?.success() {
        bail!("the server in Go does not build");
    }
    Ok(Some(program))
}

/// Where a program is that the user has installed.
pub(crate) fn which(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file())
}
