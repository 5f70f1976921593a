//! The options: what the user typed, checked before anything is started.

use std::ffi::OsString;
use std::fmt::Display;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::str::FromStr;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt as _};

use crate::checks::check::{Check, Tier};
use crate::checks::run::Setup;
use crate::checks::table;
use crate::report::Format;
use crate::report::text::Style;
use crate::target::server::Origin;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Scores any server for the key-value task, in any language, from the outside

Usage: dbcheck --cmd 'python3 dbserver.py --port={port}'     start it, check it, kill it, score it
       dbcheck --addr localhost:4000                         check a server that runs already
       dbcheck --list | --explain NAME

  --cmd COMMAND       the command that starts the server, for sh -c; in it
                        {port}  is replaced by a free port (PORT is set to the same)
                        {data}  by a file in a folder that is removed afterwards
                        {dir}   by that folder
  --port PORT         the port of a command without {port} [default: 4000]
  --data FILE         the data file, if the command has no {data}: it is written to, cut and
                        damaged, and put back at the end, however that comes; may have {dir} in it
  --addr HOST:PORT    a server that runs already: no restarts, so no durable tier; pairs whose
                        keys begin with \"dbcheck\" are left in it

  --chapter N         what a server must pass that has done chapters 1 to N of TUTORIAL.md
  --tier TIER         brief, conventions, http, robust or durable alone; may be repeated
  --only NAME         this check alone; may be repeated
  --skip NAME         not this check; may be repeated
  --timeout SECONDS   how long an answer may take [default: 5]
  --rounds N          kills under load in the durable tier [default: 10]
  --format FORMAT     human, json or junit [default: human]
  --verbose           a line for each check, and all failures in full
  --terse             a line for each check, and no whys
  --no-color          plain text on a terminal, as with NO_COLOR in the environment

  --list              the names of all checks, or of those chosen, and what they look at
  --explain NAME      what a check looks at, why, and where to read more
  -h, --help          -V, --version

Exit code: 0 all passed, 1 something failed or nothing was checked, 2 wrong usage, the server could
not be started, or the report could not be written
";

/// What `--version` prints.
pub(crate) const VERSION: &str = concat!("dbcheck ", env!("CARGO_PKG_VERSION"), "\n");

/// What to do.
#[derive(Debug)]
pub(crate) enum Command {
    Check(Options),
    List(Vec<&'static Check>),
    Explain(&'static Check),
    Print(&'static str),
}

/// How to check.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) setup: Setup,
    /// None means all.
    pub(crate) tiers: Vec<Tier>,
    pub(crate) only: Vec<&'static str>,
    pub(crate) skip: Vec<&'static str>,
    /// The last chapter that is done.
    pub(crate) chapter: Option<u8>,
    pub(crate) format: Format,
    pub(crate) style: Style,
    pub(crate) no_color: bool,
}

impl Options {
    /// The checks that the user wants, in the order in which they run.
    pub(crate) fn selected(&self) -> Vec<&'static Check> {
        table::all().filter(|check| self.selects(check)).collect()
    }

    /// Whether the user wants this check.
    fn selects(&self, check: &Check) -> bool {
        (self.tiers.is_empty() || self.tiers.contains(&check.tier))
            && (self.only.is_empty() || self.only.contains(&check.name))
            && !self.skip.contains(&check.name)
            && self.chapter.is_none_or(|chapter| table::is_due(check, chapter))
    }
}

/// Reads a command line, without the program's name. An error is a sentence that names the flag.
pub(crate) fn parse<A>(arguments: A) -> Result<Command, String>
where
    A: IntoIterator,
    A::Item: Into<OsString>,
{
    let mut parser =
        Parser::from_args(arguments.into_iter().map(Into::into).collect::<Vec<OsString>>());
    let (mut command, mut addresses, mut port) = (None, None, None);
    let mut is_list = false;
    let mut options = Options {
        setup: Setup {
            origin: Origin::Addresses { name: String::new(), addresses: Vec::new() },
            data: None,
            timeout: Duration::from_secs(5),
            closes: false,
            rounds: 10,
        },
        tiers: Vec::new(),
        only: Vec::new(),
        skip: Vec::new(),
        chapter: None,
        format: Format::Human,
        style: Style::Short,
        no_color: false,
    };
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Print(HELP)),
            Arg::Short('V') | Arg::Long("version") => return Ok(Command::Print(VERSION)),
            Arg::Long("list") => is_list = true,
            Arg::Long("explain") => {
                let name = text(&mut parser, "--explain", "the name of a check")?;
                return Ok(Command::Explain(named(&name, "--explain")?));
            }
            Arg::Long("cmd") => command = Some(text(&mut parser, "--cmd", "a command")?),
            Arg::Long("addr") => {
                let text = text(&mut parser, "--addr", "HOST:PORT")?;
                addresses = Some(resolve(&text)?);
            }
            Arg::Long("port") => port = Some(number(&mut parser, "--port", 1, u16::MAX)?),
            Arg::Long("data") => {
                options.setup.data = Some(text(&mut parser, "--data", "a file")?);
            }
            Arg::Long("tier") => {
                let names = text(&mut parser, "--tier", "a tier")?;
                for name in names.split(',') {
                    options.tiers.push(tier(name)?);
                }
            }
            Arg::Long("only") => names(&mut parser, "--only", &mut options.only)?,
            Arg::Long("skip") => names(&mut parser, "--skip", &mut options.skip)?,
            Arg::Long("timeout") => {
                options.setup.timeout =
                    Duration::from_secs(number(&mut parser, "--timeout", 1, 300)?);
            }
            Arg::Long("rounds") => {
                options.setup.rounds = number(&mut parser, "--rounds", 1, 1_000)?;
            }
            Arg::Long("format") => {
                let name = text(&mut parser, "--format", "human, json or junit")?;
                options.format = format(&name)?;
            }
            Arg::Long("chapter") => {
                options.chapter = Some(number(&mut parser, "--chapter", 1, 99)?);
            }
            Arg::Long("verbose") => options.style = Style::Verbose,
            Arg::Long("terse") => options.style = Style::Terse,
            Arg::Long("no-color") => options.no_color = true,
            Arg::Value(value) => {
                let value = value.to_string_lossy().into_owned();
                return Err(format!(
                    "{value:?} is not expected: a command goes after --cmd, in quotes"
                ));
            }
            Arg::Short(letter) => return Err(format!("-{letter} is not an option of dbcheck")),
            Arg::Long(name) => return Err(format!("--{name} is not an option of dbcheck")),
        }
    }
    if is_list {
        return Ok(Command::List(options.selected()));
    }
    options.setup.closes = options.chapter == Some(1);
    if options.chapter.is_some() && options.style == Style::Short {
        options.style = Style::EachCheck;
    }
    options.setup.origin = match (command, addresses) {
        (Some(command), None) if port.is_some() && command.contains("{port}") => {
            return Err("--port and {port} do not go together: {port} is a free one".into());
        }
        (Some(command), None) => Origin::Command { command, port: port.unwrap_or(4000) },
        (None, Some((name, addresses))) => Origin::Addresses { name, addresses },
        (Some(_), Some(_)) => return Err("--cmd and --addr do not go together".into()),
        (None, None) => return Err("--cmd or --addr says which server to check".into()),
    };
    // Of chapter 1 there is nothing to check but that somebody listens.
    if options.selected().is_empty() && options.chapter.is_none() {
        return Err("--tier, --only and --skip leave no check".into());
    }
    Ok(Command::Check(options))
}

fn text(parser: &mut Parser, flag: &str, what: &str) -> Result<String, String> {
    let value = parser.value().map_err(|_| format!("{flag} needs {what}"))?;
    let value = value.string().map_err(|_| format!("{flag} needs {what}"))?;
    if value.is_empty() { Err(format!("{flag} needs {what}")) } else { Ok(value) }
}

fn number<N>(parser: &mut Parser, flag: &str, least: N, most: N) -> Result<N, String>
where
    N: FromStr + PartialOrd + Display,
{
    let range = format!("a number from {least} to {most}");
    let value = text(parser, flag, &range)?;
    match value.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("{flag}: {value:?} is not {range}")),
    }
}

fn names(parser: &mut Parser, flag: &str, list: &mut Vec<&'static str>) -> Result<(), String> {
    let names = text(parser, flag, "the name of a check")?;
    for name in names.split(',') {
        list.push(named(name, flag)?.name);
    }
    Ok(())
}

fn named(name: &str, flag: &str) -> Result<&'static Check, String> {
    table::all().find(|check| check.name == name).ok_or_else(|| {
        // What shares a word with it is most likely what was meant.
        let is_near = |check: &&'static Check| {
            check.name.split('-').any(|word| word.len() > 2 && name.contains(word))
        };
        let near: Vec<&str> =
            table::all().filter(is_near).map(|check| check.name).take(4).collect();
        let hint = if near.is_empty() { "see --list".into() } else { near.join(", ") + "?" };
        format!("{flag}: {name:?} is not the name of a check: {hint}")
    })
}

fn tier(name: &str) -> Result<Tier, String> {
    let tiers = Tier::ALL.map(Tier::name).join(", ");
    let found = Tier::ALL.into_iter().find(|tier| tier.name() == name);
    found.ok_or_else(|| format!("--tier: {name:?} is not one of {tiers}"))
}

fn format(name: &str) -> Result<Format, String> {
    match name {
        "human" => Ok(Format::Human),
        "json" => Ok(Format::Json),
        "junit" => Ok(Format::Junit),
        _ => Err(format!("--format: {name:?} is not human, json or junit")),
    }
}

/// The name without what surrounds it, and its addresses.
fn resolve(text: &str) -> Result<(String, Vec<SocketAddr>), String> {
    let text = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    match text.to_socket_addrs() {
        Ok(addresses) => Ok((text.to_string(), addresses.collect())),
        Err(_) => Err(format!("--addr: {text:?} is not HOST:PORT with a host that is known")),
    }
}

#[cfg(test)]
mod tests;
