//! The options: which lab, and which server.

use std::ffi::OsString;

use lexopt::{Arg, Parser, ValueExt as _};

use crate::subject::{Origin, Step};
use crate::{LABS, Lab, Needs};

/// What to do.
pub(crate) enum Command {
    Help,
    Run(Options),
}

/// What to run, and on what.
pub(crate) struct Options {
    pub(crate) lab: &'static Lab,
    pub(crate) origin: Origin,
    /// Whether who-may-ask serves its page too.
    pub(crate) page: bool,
}

/// What is printed without a name, and by `--help`.
pub(crate) fn help() -> String {
    let labs: String = LABS.iter().map(|lab| format!("  {:21} {}\n", lab.name, lab.what)).collect();
    format!(
        "\
Small experiments that break a naive server, and leave a right one standing

Usage: lab NAME [--addr HOST:PORT | --step N | --cmd COMMAND | --watch]

{labs}
  --addr HOST:PORT   a server that runs already [default: localhost:4000]
  --step N           the program of that step of the tutorial: the lab starts it and ends it;
                     of a step in parts the last one, or that of a letter (9a)
                     (with `cargo run`, programs of ours are built before they are started)
  --watch            dbserver itself, with a page that shows what happens inside: the lab says where
                     it is and what to look at, and waits for Enter
  --cmd COMMAND      a command that starts a server, for sh -c; in it
                       {{port}}  is replaced by a free port
                       {{data}}  by a file in a folder that is removed afterwards
  --page             who-may-ask: serve a page to open in a browser, too
  -h, --help

Exit code: 0 it stands, 1 it broke, 2 wrong usage, or the server could not be started
"
    )
}

/// Reads a command line, without the program's name. An error is a sentence that says what to do.
pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Command, String> {
    let mut parser = Parser::from_args(arguments);
    let (mut lab, mut origin, mut page) = (None, None, false);
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        let chosen = match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help),
            Arg::Long("page") => {
                page = true;
                continue;
            }
            Arg::Long("addr") => Origin::Address(text(&mut parser, "--addr", "HOST:PORT")?),
            Arg::Long("watch") => Origin::Watched,
            Arg::Long("cmd") => Origin::Command(text(&mut parser, "--cmd", "a command")?),
            Arg::Long("step") => {
                let step = text(&mut parser, "--step", "a number")?;
                Origin::Step(Step::parse(&step).ok_or(format!("--step {step}: 1 to 12, or 9a"))?)
            }
            Arg::Value(name) if lab.is_none() => {
                let found = LABS.iter().find(|lab| name == lab.name);
                lab = Some(found.ok_or_else(|| format!("there is no lab {}", name.display()))?);
                continue;
            }
            Arg::Value(value) => return Err(format!("{} is one name too many", value.display())),
            Arg::Short(letter) => return Err(format!("-{letter} is not an option of the labs")),
            Arg::Long(name) => return Err(format!("--{name} is not an option of the labs")),
        };
        if origin.replace(chosen).is_some() {
            return Err("one of --addr, --step, --cmd and --watch, and once".into());
        }
    }
    let Some(lab) = lab else {
        let is_alone = origin.is_none() && !page;
        return if is_alone {
            Ok(Command::Help)
        } else {
            Err("which lab? Its name is missing".into())
        };
    };
    let origin = origin.unwrap_or_else(|| Origin::Address("localhost:4000".into()));
    check(lab, &origin, page)?;
    Ok(Command::Run(Options { lab, origin, page }))
}

/// Whether this lab can do its work on this server.
fn check(lab: &Lab, origin: &Origin, page: bool) -> Result<(), String> {
    let name = lab.name;
    match origin {
        Origin::Address(_) if lab.needs != Needs::Nothing => {
            return Err(format!(
                "{name} starts and ends the server itself: say which with --step or --cmd"
            ));
        }
        Origin::Address(text) if !text.contains(':') => {
            return Err(format!("--addr {text} is not HOST:PORT, such as localhost:4000"));
        }
        Origin::Command(command) if !command.contains("{port}") => {
            return Err("the command must have {port} in it, where its port goes".into());
        }
        Origin::Command(command) if lab.needs == Needs::DataFile && !command.contains("{data}") => {
            return Err(format!(
                "{name} looks at the data file: the command must have {{data}} in it"
            ));
        }
        Origin::Step(step) if lab.needs == Needs::DataFile && step.number < 10 => {
            return Err(format!("{name} needs a data file, and step {} has none", step.number));
        }
        _ => {}
    }
    if page && name != "who-may-ask" {
        return Err("--page goes with who-may-ask".into());
    }
    Ok(())
}

fn text(parser: &mut Parser, flag: &str, what: &str) -> Result<String, String> {
    let value = parser.value().ok().and_then(|value| value.string().ok());
    value.ok_or_else(|| format!("{flag} needs {what}"))
}
