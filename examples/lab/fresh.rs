//! Builds what a lab is about to run. `cargo run --example lab` builds the labs and nothing else, so
//! after a change to a step, or an exercise taken back, its old program would be looked at.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context as _, bail};

use crate::subject::Step;

/// The example that is a step, or the last of its parts.
///
/// # Errors
/// No such step is in this folder.
pub(crate) fn step_in(folder: &Path, step: Step) -> anyhow::Result<String> {
    let prefix = step.prefix();
    let names =
        fs::read_dir(folder)?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    // `step07_pairs-0123abcd` and `step07_pairs.d` are cargo's own.
    let names = names.map(|name| name.strip_suffix(".rs").map(String::from).unwrap_or(name));
    let steps = names.filter(|name| name.starts_with(&prefix) && !name.contains(['-', '.']));
    steps.max().with_context(|| format!("{prefix}... is not in {}", folder.display()))
}

/// Has cargo build the program of a step, if it is cargo that has started us.
///
/// # Errors
/// It can't be built; cargo has said why.
pub(crate) fn build_step(step: Step) -> anyhow::Result<()> {
    let Some(package) = package() else { return Ok(()) };
    build(&package, &["--example", &step_in(&package.join("examples"), step)?])
}

/// The same for each program of ours that a command names by its path under `target/`.
///
/// # Errors
/// The same.
pub(crate) fn build_command(command: &str) -> anyhow::Result<()> {
    let Some(package) = package() else { return Ok(()) };
    for word in command.split([' ', '\'', '"']) {
        let Some((_, path)) = word.split_once("target/debug/") else { continue };
        match path.strip_prefix("examples/") {
            Some(name) => build(&package, &["--example", name])?,
            None => build(&package, &["--bin", path])?,
        }
    }
    Ok(())
}

/// The folder of our package: cargo tells it to what it runs.
fn package() -> Option<PathBuf> {
    env::var_os("CARGO")?;
    env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from)
}

/// Builds into the folder in which we are.
fn build(package: &Path, what: &[&str]) -> anyhow::Result<()> {
    let ours = env::current_exe().context("where is this program?")?;
    // target/debug/examples/lab
    let target = ours.ancestors().nth(3).context("this program is in no folder of cargo's")?;
    let profile = ours.ancestors().nth(2).and_then(Path::file_name);
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args(["build", "--quiet"]).args(what).arg("--target-dir").arg(target);
    if profile.is_some_and(|name| name == "release") {
        cargo.arg("--release");
    }
    let status = cargo.current_dir(package).status().context("cargo does not run")?;
    if !status.success() {
        bail!("the program that this lab runs can't be built");
    }
    Ok(())
}
