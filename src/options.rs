//! The options: what the user typed, checked before anything happens.
//!
//! A wrong command line is one sentence that names the flag, and exit code 2. The library (lexopt)
//! splits arguments; the help text below is written, not generated, so that it reads well.
//!
//! The naive version is `args[1].parse().unwrap()`: a typo is a panic.
//!
//! Next: [`crate::signals`], which end what begins here.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt as _};

use crate::config::Config;
use crate::store::cluster::{self, Cluster};
use crate::store::file::Keeping;
use crate::store::journal::SyncWhen;

/// What `--help` prints.
pub const HELP: &str = "\
Simple DB server: a key-value store over HTTP

Usage: dbserver [OPTIONS]

  -p, --port <PORT>             port to listen on; 0 takes a free one [default: 4000]
      --host <HOST>             name or address to listen on [default: localhost]
  -d, --data <FILE>             JSON-lines file that keeps the data [default: data.jsonl]
      --memory                  keep the data in memory only
      --etcd <URL>[,<URL>...]   keep it in an etcd cluster (in a build with --features etcd)
      --etcd-prefix <TEXT>      what its keys there begin with [default: dbserver/]
      --etcd-ca <FILE>          certificates (PEM) that vouch for members at https://
      --etcd-user <NAME>        with the password in ETCD_PASSWORD or --etcd-password-file <FILE>
      --sync <WHEN>             always, never, or an interval such as 100ms [default: always]
      --allow-host <NAME>       another name that clients may call us by; may be repeated
      --max-connections <N>     [default: 1024]
      --log                     one line per request on standard error, in Common Log Format
      --trace                   what happens inside, on standard error
      --trace-file <FILE>       the same as JSON lines, in this file
      --watch[=<PORT>]          a page that shows it, on this port [default: the port + 1]
  -h, --help                    -V, --version
";

/// What `--version` prints.
pub const VERSION: &str = concat!("dbserver ", env!("CARGO_PKG_VERSION"), "\n");

/// What to do.
#[derive(Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "there is one of it, and it is taken apart at once")]
pub enum Command {
    /// Run the server.
    Serve(Options),
    /// Print this and be done.
    Print(&'static str),
}

/// How to run the server.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The port; 0 takes a free one.
    pub port: u16,
    /// The name or address to listen on.
    pub host: String,
    /// The data file; none keeps the data elsewhere: in `etcd`, or else in memory.
    pub data: Option<PathBuf>,
    /// The cluster that keeps the data.
    pub etcd: Option<Cluster>,
    /// When a set is safe from a loss of power.
    pub sync: SyncWhen,
    /// A data file of no more than this many bytes is not compacted. `--compact-over`, which the
    /// help does not list: it is for tests and for the curious.
    pub compact_over: u64,
    /// Names that clients may call us by.
    pub allow_hosts: Vec<String>,
    /// How many connections there may be at a time.
    pub max_connections: usize,
    /// Whether to print a line for each request.
    pub log: bool,
    /// Whether to print what happens inside.
    pub trace: bool,
    /// Where to write what happens inside.
    pub trace_file: Option<PathBuf>,
    /// Whether to serve a page that shows it, and on which port.
    pub watch: Option<Watch>,
}

/// The port of the page that shows what happens inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// The one after the server's.
    Next,
    /// This one; 0 takes a free one.
    Port(u16),
}

impl Default for Options {
    fn default() -> Self {
        let Keeping { sync, compact_over } = Keeping::default();
        Options {
            port: 4000,
            host: "localhost".into(),
            data: Some("data.jsonl".into()),
            etcd: None,
            sync,
            compact_over,
            allow_hosts: Vec::new(),
            max_connections: Config::default().max_connections,
            log: false,
            trace: false,
            trace_file: None,
            watch: None,
        }
    }
}

/// Reads a command line, without the program's name.
///
/// # Errors
/// A sentence that names the flag.
///
/// # Examples
/// ```
/// use dbserver::options::{Command, parse};
///
/// let Ok(Command::Serve(options)) = parse(["--port", "0", "--memory"]) else { panic!() };
/// assert_eq!((options.port, options.data), (0, None));
/// assert_eq!(
///     parse(["--port", "http"]).unwrap_err(),
///     "--port: \"http\" is not a number from 0 to 65535"
/// );
/// ```
pub fn parse<A>(arguments: A) -> Result<Command, String>
where
    A: IntoIterator,
    A::Item: Into<OsString>,
{
    let mut parser =
        Parser::from_args(arguments.into_iter().map(Into::into).collect::<Vec<OsString>>());
    let mut options = Options::default();
    let mut memory = false;
    // The last flag that means something only where there is a data file.
    let mut about_file = None;
    let mut etcd = Cluster::default();
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Print(HELP)),
            Arg::Short('V') | Arg::Long("version") => return Ok(Command::Print(VERSION)),
            Arg::Short('p') | Arg::Long("port") => {
                options.port = number(&mut parser, "--port", 0, u16::MAX)?;
            }
            Arg::Long("host") => {
                options.host = text(&mut parser, "--host", "a name or an address")?;
            }
            Arg::Short('d') | Arg::Long("data") => {
                options.data = Some(file(&mut parser, "--data")?);
                about_file = Some("--data");
            }
            Arg::Long("memory") => memory = true,
            Arg::Long("etcd") => {
                let members = text(&mut parser, "--etcd", "http://HOST:PORT")?;
                etcd.members =
                    cluster::members(&members).map_err(|why| format!("--etcd: {why}"))?;
            }
            Arg::Long("etcd-prefix") => {
                etcd.prefix = text(&mut parser, "--etcd-prefix", "a text")?;
            }
            Arg::Long("etcd-ca") => etcd.ca = Some(file(&mut parser, "--etcd-ca")?),
            Arg::Long("etcd-user") => {
                etcd.user = Some(text(&mut parser, "--etcd-user", "a name")?);
            }
            Arg::Long("etcd-password-file") => {
                etcd.password_file = Some(file(&mut parser, "--etcd-password-file")?);
            }
            Arg::Long("sync") => {
                let when = text(&mut parser, "--sync", WHEN)?;
                about_file = Some("--sync");
                options.sync =
                    sync_when(&when).ok_or_else(|| format!("--sync: {when:?} is not {WHEN}"))?;
            }
            Arg::Long("allow-host") => {
                let name = text(&mut parser, "--allow-host", "a name")?;
                if name.contains(['/', ':', ' ']) {
                    return Err(format!("--allow-host: {name:?} is not a host name alone"));
                }
                options.allow_hosts.push(name);
            }
            Arg::Long("max-connections") => {
                options.max_connections = number(&mut parser, "--max-connections", 1, 1_000_000)?;
            }
            Arg::Long("compact-over") => {
                options.compact_over = number(&mut parser, "--compact-over", 0, u64::MAX)?;
                about_file = Some("--compact-over");
            }
            Arg::Long("log") => options.log = true,
            Arg::Long("trace") => options.trace = true,
            Arg::Long("trace-file") => {
                options.trace_file = Some(file(&mut parser, "--trace-file")?);
            }
            Arg::Long("watch") => {
                // Its value comes with `=` or not at all: what follows is the next option.
                options.watch = Some(match parser.optional_value() {
                    None => Watch::Next,
                    Some(port) => Watch::Port(in_range(&port, "--watch", 0, u16::MAX)?),
                });
            }
            Arg::Value(value) => {
                return Err(format!(
                    "{:?} is not expected: dbserver takes options only",
                    value.to_string_lossy()
                ));
            }
            Arg::Short(letter) => return Err(format!("-{letter} is not an option of dbserver")),
            Arg::Long(name) => return Err(format!("--{name} is not an option of dbserver")),
        }
    }
    options.etcd = checked(etcd)?;
    let elsewhere = match (memory, &options.etcd) {
        (false, None) => None,
        (true, None) => Some("--memory"),
        (false, Some(_)) => Some("--etcd"),
        (true, Some(_)) => return Err("--memory and --etcd do not go together".into()),
    };
    if let Some(place) = elsewhere {
        if let Some(flag) = about_file {
            return Err(format!("{place} and {flag} do not go together: there is no data file"));
        }
        options.data = None;
    }
    Ok(Command::Serve(options))
}

/// The cluster, if one is named and this build can have one.
fn checked(etcd: Cluster) -> Result<Option<Cluster>, String> {
    if etcd.members.is_empty() {
        if etcd == Cluster::default() {
            return Ok(None);
        }
        return Err(
            "--etcd-prefix, --etcd-ca, --etcd-user and --etcd-password-file need --etcd".into()
        );
    }
    if etcd.user.is_none() && etcd.password_file.is_some() {
        return Err("--etcd-password-file needs --etcd-user".into());
    }
    if cfg!(not(feature = "etcd")) {
        return Err("--etcd: this program was built without it; \
             build it with: cargo build --release --features etcd"
            .into());
    }
    Ok(Some(etcd))
}

const WHEN: &str = "always, never, or an interval such as 100ms";

fn text(parser: &mut Parser, flag: &str, what: &str) -> Result<String, String> {
    let value = parser.value().map_err(|_| format!("{flag} needs {what}"))?;
    let value = value.string().map_err(|_| format!("{flag} needs {what}"))?;
    if value.is_empty() { Err(format!("{flag} needs {what}")) } else { Ok(value) }
}

fn file(parser: &mut Parser, flag: &str) -> Result<PathBuf, String> {
    match parser.value() {
        Ok(file) if !file.is_empty() => Ok(PathBuf::from(file)),
        _ => Err(format!("{flag} needs a file")),
    }
}

fn number<N>(parser: &mut Parser, flag: &str, least: N, most: N) -> Result<N, String>
where
    N: Copy + FromStr + PartialOrd + std::fmt::Display,
{
    let value = text(parser, flag, &format!("a number from {least} to {most}"))?;
    in_range(value.as_ref(), flag, least, most)
}

fn in_range<N>(value: &OsStr, flag: &str, least: N, most: N) -> Result<N, String>
where
    N: Copy + FromStr + PartialOrd + std::fmt::Display,
{
    let value = value.to_string_lossy();
    match value.parse::<N>() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("{flag}: {value:?} is not a number from {least} to {most}")),
    }
}

fn sync_when(text: &str) -> Option<SyncWhen> {
    match text {
        "always" => return Some(SyncWhen::Always),
        "never" => return Some(SyncWhen::Never),
        _ => {}
    }
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        _ => return None,
    };
    let interval = number.parse::<u64>().ok()?.checked_mul(millis)?;
    // Zero would be "always", and says so better; a day is as good as never.
    (1..=86_400_000).contains(&interval).then(|| SyncWhen::Every(Duration::from_millis(interval)))
}

#[cfg(test)]
mod tests;
