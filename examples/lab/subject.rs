//! The subject: the server that a lab works on, and how to ask it.

use std::env;
use std::fmt::{self, Display, Formatter};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use tempfile::TempDir;

use crate::client::{Answer, Connection, NoAnswer, PATIENCE};
use crate::free_port::FreePort;
use crate::process::{self, Process};
use crate::{fresh, recording, tell};

/// How long a server may take to start.
const START: Duration = Duration::from_secs(20);

/// Where the server comes from.
pub(crate) enum Origin {
    /// It runs already.
    Address(String),
    /// The program of a step of the tutorial.
    Step(Step),
    /// A command with `{port}`, and maybe `{data}`, in it.
    Command(String),
    /// `dbserver --watch`, beside this program.
    Watched,
}

/// What a lab works on.
pub(crate) struct Subject {
    origin: Origin,
    /// Where the page of a watched server is, and what to look at there.
    page_port: Option<FreePort>,
    look: &'static str,
    /// Whether who-may-ask serves its page.
    pub(crate) page: bool,
    /// Removed when this is dropped.
    _folder: TempDir,
    /// Its path, without symbolic links in it.
    path: PathBuf,
}

/// Why a server does not run.
#[derive(Debug)]
pub(crate) enum NotStarted {
    /// It ended instead.
    Ended {
        status: ExitStatus,
        said: Vec<String>,
    },
    Other(anyhow::Error),
}

impl Display for NotStarted {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            NotStarted::Ended { status, said } => {
                write!(f, "it ended with {status}")?;
                said.iter().try_for_each(|line| write!(f, "\n      {line}"))
            }
            NotStarted::Other(error) => write!(f, "{error:#}"),
        }
    }
}

/// Where a lab can't go on without it.
impl From<NotStarted> for anyhow::Error {
    fn from(why: NotStarted) -> Self {
        anyhow!("the server could not be started: {why}")
    }
}

impl From<anyhow::Error> for NotStarted {
    fn from(error: anyhow::Error) -> Self {
        NotStarted::Other(error)
    }
}

impl Subject {
    pub(crate) fn new(origin: Origin, page: bool, look: &'static str) -> anyhow::Result<Self> {
        match &origin {
            Origin::Step(step) => fresh::build_step(*step)?,
            Origin::Command(command) => fresh::build_command(command)?,
            Origin::Address(_) | Origin::Watched => {}
        }
        let folder = tempfile::Builder::new().prefix("lab-").tempdir();
        let folder = folder.context("no folder for the server's file")?;
        process::remove_with_us(folder.path().into());
        let path = folder.path().canonicalize()?;
        let page_port = matches!(origin, Origin::Watched).then(FreePort::find).transpose()?;
        Ok(Subject { origin, page_port, look, page, _folder: folder, path })
    }

    /// The folder of the server's data file, and of nothing that is not the server's.
    pub(crate) fn folder(&self) -> &Path {
        &self.path
    }

    /// The server's data file.
    pub(crate) fn data(&self) -> PathBuf {
        self.path.join("data.jsonl")
    }

    /// The server, running: found where it is, or started. It answers a plain request; otherwise
    /// there would be nothing to break.
    pub(crate) fn server(&self) -> anyhow::Result<Server> {
        let server = match &self.origin {
            Origin::Address(text) => find(text)?,
            Origin::Step(_) | Origin::Command(_) | Origin::Watched => self.start()?,
        };
        match server.ask("/get?key=lab") {
            Ok(_) => {
                self.show();
                Ok(server)
            }
            Err(why) => bail!("the server does not answer a plain request: {why}"),
        }
    }

    /// Says where the page is, and gives whoever reads this the time to open it.
    fn show(&self) {
        let Some(page) = &self.page_port else { return };
        let number = page.number;
        tell::before(&format!(
            "Open http://localhost:{number}/ and look at {} Then press Enter here.",
            self.look
        ));
        let _ = std::io::stdin().read_line(&mut String::new());
    }

    /// Starts a server. Each one gets a port of its own, and all of them get the same file.
    pub(crate) fn start(&self) -> Result<Server, NotStarted> {
        Ok(read_from_here(self.start_unread()?))
    }

    /// The same, and what it asks of the system goes to this file.
    pub(crate) fn start_recorded(&self, trace: &Path) -> Result<Server, NotStarted> {
        Ok(read_from_here(self.start_as(|command| recording::recorded(&command, trace))?))
    }

    /// The same, and nobody reads its standard output yet.
    pub(crate) fn start_unread(&self) -> Result<Server, NotStarted> {
        self.start_as(|command| command)
    }

    fn start_as(&self, change: impl FnOnce(Command) -> Command) -> Result<Server, NotStarted> {
        let ours = FreePort::find().context("no port for the server")?;
        let port = ours.number;
        let command = change(self.command(port)?);
        let program = command.get_program().display().to_string();
        let process = Process::start(command).with_context(|| format!("{program} does not run"))?;
        let mut server = Server::at((Ipv4Addr::LOCALHOST, port).into(), "localhost");
        server.port = Some(ours);
        let process = server.process.insert(process);
        process.is_watched = matches!(self.origin, Origin::Watched);
        let is_command = matches!(self.origin, Origin::Command(_));
        let deadline = Instant::now() + START;
        loop {
            match process.line_within(Duration::from_secs(1)) {
                // A step says its address when it listens. What another server prints means
                // nothing to us: it is asked below.
                Some(line) if is_command || line.contains("http://") => break,
                Some(_) => continue,
                None => {}
            }
            self.check(process)?;
            if is_command {
                // It may print nothing at all.
                break;
            }
            if Instant::now() > deadline {
                return Err(anyhow!("it does not say that it listens").into());
            }
        }
        if is_command {
            self.greet(&mut server, port, deadline)?;
        }
        Ok(server)
    }

    /// Asks a server until it answers.
    fn greet(&self, server: &mut Server, port: u16, deadline: Instant) -> Result<(), NotStarted> {
        let addresses: [SocketAddr; 2] =
            [(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()];
        while Instant::now() < deadline {
            for address in addresses {
                server.address = address;
                match server.ask("/get?key=lab") {
                    Ok(_) | Err(NoAnswer::Closed) => return Ok(()),
                    Err(NoAnswer::Silent(_)) => {
                        return Err(anyhow!("it takes connections, and answers nothing").into());
                    }
                    Err(NoAnswer::NoConnection) => {}
                }
            }
            if let Some(process) = &mut server.process {
                self.check(process)?;
            }
        }
        Err(anyhow!("for {} s nobody has listened on its port", START.as_secs()).into())
    }

    /// Whether it still runs, after a moment.
    fn check(&self, process: &mut Process) -> Result<(), NotStarted> {
        match process.end_within(Duration::from_millis(20)) {
            None => Ok(()),
            Some(status) => {
                Err(NotStarted::Ended { status, said: self.last_lines(&process.last_words()) })
            }
        }
    }

    fn command(&self, port: u16) -> anyhow::Result<Command> {
        let data = self.data();
        let mut command;
        match &self.origin {
            Origin::Step(step) => {
                command = Command::new(program_of_step(*step)?);
                command.arg(port.to_string());
                if step.number >= 10 {
                    command.arg(data);
                }
            }
            Origin::Command(text) => {
                let text = text.replace("{port}", &port.to_string());
                command = Command::new("sh");
                command.arg("-c").arg(text.replace("{data}", &data.to_string_lossy()));
            }
            Origin::Watched => {
                let page = self.page_port.as_ref().map_or(0, |page| page.number);
                // Cargo puts examples into a folder below that of the programs.
                let ours = env::current_exe().context("where is this program?")?;
                let program = ours.ancestors().nth(2).context("this program is in no folder")?;
                command = Command::new(program.join("dbserver"));
                command.args(["--port", &port.to_string(), &format!("--watch={page}"), "--data"]);
                command.arg(data);
            }
            Origin::Address(text) => bail!("the server at {text} is not ours to start"),
        }
        Ok(command)
    }

    /// The last lines of what a server said. The name of the folder is another each time, and left
    /// out.
    fn last_lines(&self, said: &str) -> Vec<String> {
        let said = said.replace(&format!("{}/", self.path.display()), "");
        let lines: Vec<_> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines.iter().rev().take(8).rev().map(ToString::to_string).collect()
    }
}

/// Nobody looks at what it prints from here on.
fn read_from_here(server: Server) -> Server {
    if let Some(process) = &server.process {
        process.ignore_output();
    }
    server
}

/// A step of the tutorial. Some come in parts, each with a letter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) number: u32,
    letter: Option<char>,
}

impl Step {
    /// Reads `9` or `9a`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
        let mut letters = text[digits.len()..].chars();
        let (number, letter) = (digits.parse().ok()?, letters.next());
        ((1..=12).contains(&number) && letters.next().is_none()).then_some(Step { number, letter })
    }

    /// What the names of its program, or of those of its parts, begin with.
    pub(crate) fn prefix(self) -> String {
        format!("step{:02}{}", self.number, self.letter.map(String::from).unwrap_or_default())
    }
}

/// The program of a step: cargo puts it beside ours.
fn program_of_step(step: Step) -> anyhow::Result<PathBuf> {
    let ours = env::current_exe().context("where is this program?")?;
    let folder = ours.parent().context("this program is in no folder")?;
    let name = fresh::step_in(folder, step)
        .context("it is not built: `cargo build --examples` builds all steps")?;
    Ok(folder.join(name))
}

/// A server that runs already, at the first of the addresses that a name stands for.
fn find(text: &str) -> anyhow::Result<Server> {
    let addresses = text.to_socket_addrs().with_context(|| format!("--addr {text}"))?;
    let name = text.rsplit_once(':').map_or(text, |(name, _)| name);
    let mut servers = addresses.map(|address| Server::at(address, name));
    // Asked, and not only connected to: some servers end when a client connects and leaves.
    let is_there = |server: &Server| server.ask("/get?key=lab") != Err(NoAnswer::NoConnection);
    servers.find(is_there).with_context(|| {
        format!("nothing listens at {text}: start a server, or let the lab start one with --step N")
    })
}

/// A server that runs. If the lab started it, dropping this ends it with SIGKILL.
pub(crate) struct Server {
    address: SocketAddr,
    /// What a client calls it.
    name: String,
    process: Option<Process>,
    /// That of a server which was started.
    port: Option<FreePort>,
}

impl Server {
    fn at(address: SocketAddr, name: &str) -> Self {
        Server { address, name: name.into(), process: None, port: None }
    }

    pub(crate) fn connect(&self) -> Result<Connection, NoAnswer> {
        Connection::open(self.address)
    }

    /// The bytes of a request, on a connection that stays open afterwards.
    pub(crate) fn request(&self, target: &str) -> String {
        self.request_with(target, "")
    }

    /// The same with more fields, each with its line end.
    pub(crate) fn request_with(&self, target: &str, fields: &str) -> String {
        format!("GET {target} HTTP/1.1\r\nHost: {}\r\n{fields}\r\n", self.name)
    }

    /// Asks this on a connection of its own, as curl does.
    pub(crate) fn ask(&self, target: &str) -> Result<Answer, NoAnswer> {
        self.say(&self.request(target), PATIENCE)
    }

    /// Sends these bytes on a connection of their own.
    pub(crate) fn say(&self, bytes: &str, time: Duration) -> Result<Answer, NoAnswer> {
        let mut connection = self.connect()?;
        connection.send(bytes);
        connection.answer(time)
    }

    /// Sets a pair. Says whether the server promised to keep it.
    pub(crate) fn set(&self, key: &str, value: &str) -> bool {
        self.ask(&format!("/set?{key}={value}")).is_ok_and(|answer| answer.is_success())
    }

    /// The value of a key, where there is one.
    pub(crate) fn get(&self, key: &str) -> Option<String> {
        let answer = self.ask(&format!("/get?key={key}")).ok()?;
        answer.is_success().then(|| String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// Sends SIGKILL, which no program can catch. It is over when this server is dropped.
    pub(crate) fn kill(&self) {
        if let Some(process) = &self.process {
            process.kill();
        }
    }

    /// What a page in a browser calls it.
    pub(crate) fn origin(&self) -> String {
        format!("http://{}:{}", self.name, self.address.port())
    }

    /// Its process, if the lab started it.
    pub(crate) fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }
}
