//! The comparison: dbserver and the same little server on other stacks, asked the same, in turn.
//!
//! From the top: [`subjects`] says which servers there are, [`building`] builds them; [`process`] runs
//! one, [`client`] asks it, [`answers`] checks what it says. [`load`] has wrk ask, [`rounds`] all of
//! them in turn. [`durable`] and [`loading`] look at the disk, beside [`redis`]; [`size`] looks at the
//! source. What was found is in [`figures`]; [`section`], [`results`] and [`plots`] show it, and [`page`]
//! puts it where it is read.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Resource, getrlimit, setrlimit};

mod options;
mod progress;
mod subjects;
mod building;
mod process;
mod client;
mod answers;
mod load;
mod rounds;
mod durable;
mod redis;
mod loading;
mod size;
mod figures;
mod cells;
mod section;
mod results;
mod plots;
mod page;

use crate::figures::{Conditions, Figures};
use crate::options::{HELP, Options};
use crate::progress::say;
use crate::subjects::{SQLITE, SUBJECTS, Subject};

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("compare: {error:#}");
            return ExitCode::from(2);
        }
    };
    if options.help {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    // Beside this program, so in the folder that cargo builds in: it is on a disk, and in no commit.
    let here = std::env::current_exe()?.with_file_name("comparison");
    fs::create_dir_all(&here).with_context(|| here.display().to_string())?;
    let kept = here.join("figures.json");
    let figures = if options.draw {
        let text = fs::read_to_string(&kept).context("nothing was measured yet")?;
        serde_json::from_str(&text).with_context(|| kept.display().to_string())?
    } else {
        let figures = measure(options, &here)?;
        fs::write(&kept, serde_json::to_string(&figures)?)?;
        figures
    };
    let readme = subjects::root().join("README.md");
    if options.is_whole() {
        page::write(&figures, &subjects::root().join("examples/peers"), &readme)?;
        say("README.md, examples/peers/RESULTS.md and examples/peers/plots are written");
    } else {
        let copy = here.join("README.md");
        fs::copy(&readme, &copy).with_context(|| readme.display().to_string())?;
        page::write(&figures, &here, &copy)?;
        say(format!("README.md, RESULTS.md and plots are in {}", here.display()));
    }
    if options.quick { page::check(&figures, &here) } else { Ok(()) }
}

fn measure(options: &Options, here: &Path) -> Result<Figures> {
    ensure!(building::which("wrk").is_some(), "wrk is not installed (Debian: apt-get install wrk)");
    allow_files()?;
    let chosen: Vec<&'static Subject> =
        SUBJECTS.iter().filter(|subject| options.takes_server(subject.name)).collect();
    ensure!(!chosen.is_empty(), "no server to measure");
    let mut durable = chosen.clone();
    durable.extend(options.is_whole().then_some(&SQLITE));
    say("building what is compared");
    let built = building::build(&durable, options.quick)?;
    let mut left_out: Vec<String> = chosen
        .iter()
        .filter(|subject| built.words(subject).is_none())
        .map(|subject| subject.name.to_owned())
        .collect();
    left_out.extend((!redis::is_installed()).then(|| "redis".to_owned()));

    let folder = tempfile::tempdir_in(here)?;
    let runs = load::SCENARIOS.iter().filter(|scenario| options.takes(scenario.name)).count();
    let runs = (runs * (chosen.len() - left_out.len().min(chosen.len())) + 8) as f64;
    let seconds = runs * f64::from(options.rounds) * (options.seconds * 1.2 + 0.2);
    say(format!("about {:.0} minutes to go", (seconds / 60.0 + 1.0).ceil()));
    let mut servers = rounds::measure(&chosen, &built, options, folder.path())?;
    let durable = durable::measure(&durable, &built, options, folder.path())?;
    let loading = loading::measure(chosen[0], &built, options, folder.path())?;
    size::score(&mut servers, &built, options.quick);
    Ok(Figures { conditions: conditions(options)?, servers, durable, loading, left_out })
}

/// A thousand connections are a thousand files, in each server and in wrk, which inherit the limit.
fn allow_files() -> Result<()> {
    const NEEDED: u64 = 2048;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|files| files < NEEDED) {
        limit.current = limit.maximum.map_or(Some(NEEDED), |most| Some(most.min(NEEDED)));
        setrlimit(Resource::Nofile, limit)?;
        if limit.current < Some(NEEDED) {
            bail!("only {:?} open files are allowed (ulimit -Hn)", limit.current);
        }
    }
    Ok(())
}

fn conditions(options: &Options) -> Result<Conditions> {
    let date = Command::new("date").args(["-u", "+%Y-%m-%d"]).output().context("date")?;
    let system = rustix::system::uname();
    let name = system.sysname().to_string_lossy().into_owned();
    Ok(Conditions {
        date: String::from_utf8_lossy(&date.stdout).trim().to_owned(),
        cores: std::thread::available_parallelism()?.get(),
        system: format!("{name} {}", system.release().to_string_lossy()),
        rounds: options.rounds,
        seconds: options.seconds,
        pairs: options.keys,
        loaded: options.pairs,
    })
}

/// The plots, by file name, in the folder of the page that shows them.
fn plot_path(folder: &Path, name: &str) -> PathBuf {
    folder.join("plots").join(name)
}
