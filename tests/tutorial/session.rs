//! A session: the console fences of a chapter, one after the other, as a reader would go through
//! them with two terminals and an empty folder.
//!
//! Chapters know nothing of each other: each has its folder, its port, its server and its shell.
//! A fence that fails does not stop the ones below it. What needs nothing of its chapter, as it
//! starts its own server, is begun with the chapter, and looked at when its turn comes: most of the
//! time such a command waits, and the chapter would wait with it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Condvar, Mutex};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::Duration;

use crate::compare::{self, Comparison};
use crate::markdown::{Document, Fence};
use crate::terminal::{Server, Shell, lines};
use crate::transcript::{self, Exchange, Launch, Script};
use crate::workshop::Desk;

/// How long a command may take, and one that builds or checks something.
const PATIENCE: Duration = Duration::from_mins(1);
const LONG_PATIENCE: Duration = Duration::from_mins(5);

/// How long a server's lines may take after what they are about; and if they are to be written
/// anew, how long to listen for more of them.
const ECHO: Duration = Duration::from_secs(10);
const SHORT_ECHO: Duration = Duration::from_secs(2);

/// How many commands run ahead of their chapters at the same time.
static AHEAD: (Mutex<usize>, Condvar) = (Mutex::new(10), Condvar::new());

/// The one command that would begin this test again. The README gives it, `.ci/run` runs it.
pub(crate) const THIS_TEST: &str = "$ cargo test";

/// Programs that answers have changed, by the number of the answer.
pub(crate) type Changed = BTreeMap<usize, ChangedProgram>;

/// A step as an answer has changed it.
#[derive(Debug)]
pub(crate) struct ChangedProgram {
    /// `step02_answer`.
    pub(crate) name: String,
    /// Where it is; None if it could not be built.
    pub(crate) path: Option<PathBuf>,
    /// The line of its first diff.
    pub(crate) line: usize,
}

/// What came of a chapter.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// A paragraph for each.
    pub(crate) problems: Vec<String>,
    /// Fences, by their place in [`Document::fences`], and what they should hold.
    pub(crate) rewritten: Vec<(usize, Vec<String>)>,
}

/// Goes through the console fences of one section.
pub(crate) fn perform(
    document: &Document,
    section: usize,
    changed: &Changed,
    overwrite: bool,
) -> Outcome {
    let fences = document.fences.iter().enumerate();
    let (skipped, fences): (Vec<_>, Vec<_>) = fences
        .filter(|(_, fence)| fence.section == section && fence.language == "console")
        .filter(|(_, fence)| fence.lines != [THIS_TEST])
        .partition(|(_, fence)| {
            needs(fence, "python3") && !is_there("python3")
                || needs(fence, "event_loop") && !cfg!(target_os = "linux")
        });
    for (_, fence) in skipped {
        eprintln!("{}: skipped, as there is no python3 or no epoll here", document.at(fence.line));
    }
    if fences.is_empty() {
        return Outcome::default();
    }
    let desk = Desk::new();
    thread::scope(|scope| {
        let mut session = Session {
            document,
            changed,
            overwrite,
            server: None,
            server_answer: None,
            shell: None,
            outcome: Outcome::default(),
            ahead: BTreeMap::new(),
            desk: &desk,
        };
        for (_, fence) in &fences {
            session.begin(scope, fence);
        }
        for (place, fence) in fences {
            session.fence(place, fence);
        }
        session.outcome
    })
}

fn needs(fence: &Fence, program: &str) -> bool {
    fence.lines.iter().any(|line| line.starts_with("$ ") && line.contains(program))
}

fn is_there(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// What a command printed, and whether it ended in time.
type Printed = (String, bool);

struct Session<'a, 'scope> {
    document: &'a Document,
    changed: &'a Changed,
    overwrite: bool,
    server: Option<Server>,
    /// The answer in which the server was started.
    server_answer: Option<usize>,
    shell: Option<Shell>,
    outcome: Outcome,
    /// What runs ahead, by the command and the answer that it is in.
    ahead: BTreeMap<(String, Option<usize>), ScopedJoinHandle<'scope, Printed>>,
    /// Last, as the others use its files until they are gone.
    desk: &'a Desk,
}

impl<'a: 'scope, 'scope> Session<'a, 'scope> {
    /// Begins what needs nothing of the chapter.
    fn begin(&mut self, scope: &'scope Scope<'scope, '_>, fence: &Fence) {
        let Script::Typed(exchanges) = transcript::parse(&fence.lines) else { return };
        let program = self.program(fence);
        for exchange in exchanges {
            let typed = transcript::without_release(&exchange.command());
            if !transcript::is_on_its_own(&typed) {
                continue;
            }
            let (command, desk) = (self.command(&typed, program), self.desk);
            let run = move || {
                *AHEAD.1.wait_while(AHEAD.0.lock().unwrap(), |free| *free == 0).unwrap() -= 1;
                let printed = Shell::start(desk).run(&command, LONG_PATIENCE);
                *AHEAD.0.lock().unwrap() += 1;
                AHEAD.1.notify_one();
                printed
            };
            self.ahead.insert((typed, fence.answer), scope.spawn(run));
        }
    }

    /// The program that is used in this fence in place of its step.
    fn program(&self, fence: &Fence) -> Option<&'a ChangedProgram> {
        let program = fence.answer.and_then(|answer| self.changed.get(&answer));
        program.filter(|program| program.line < fence.line)
    }

    fn fence(&mut self, place: usize, fence: &Fence) {
        if self.server_answer.is_some() && self.server_answer != fence.answer {
            // What an answer has started is over with it.
            (self.server, self.server_answer) = (None, None);
        }
        let program = self.program(fence);
        if program.is_some_and(|program| program.path.is_none()) {
            // It does not compile: that is told elsewhere.
            return;
        }
        let mut new = Vec::new();
        let mut line = fence.line + 1;
        match transcript::parse(&fence.lines) {
            Script::Screen { interrupt, wanted } => {
                new.extend(interrupt.then(|| "^C".to_string()));
                let found = self.screen(interrupt, &wanted);
                new.extend(self.judge(line, "the server's terminal", &wanted, found));
            }
            Script::Typed(exchanges) => {
                for exchange in exchanges {
                    let found = self.exchange(&exchange, fence.answer, program);
                    new.extend(exchange.typed.iter().cloned());
                    new.extend(self.judge(line, &exchange.typed[0], &exchange.wanted, found));
                    line += exchange.typed.len() + exchange.wanted.len();
                }
            }
        }
        if new != fence.lines {
            self.outcome.rewritten.push((place, new));
        }
    }

    /// Runs a command or starts a server.
    fn exchange(
        &mut self,
        exchange: &Exchange,
        answer: Option<usize>,
        program: Option<&ChangedProgram>,
    ) -> Result<String, Trouble> {
        let command = transcript::without_release(&exchange.command());
        let (port, echo) = (self.desk.port, self.echo());
        if let Some(launch) = transcript::launch(&command) {
            self.server = None;
            let server = Server::start(self.desk, &server_command(&launch, port, program));
            self.server_answer = answer;
            return self.server.insert(server).ready(&exchange.wanted, port, echo);
        }
        let is_long = ["cargo ", "dbcheck"].iter().any(|word| command.contains(word));
        let patience = if is_long { LONG_PATIENCE } else { PATIENCE };
        let begun = self.ahead.remove(&(command.clone(), answer));
        let (output, has_ended) = if let Some(begun) = begun {
            begun.join().unwrap()
        } else {
            let command = self.command(&command, program);
            let shell = self.shell.get_or_insert_with(|| Shell::start(self.desk));
            let printed = shell.run(&command, patience);
            if !printed.1 {
                self.shell = None;
            }
            printed
        };
        let output = transcript::without_port(&output, port);
        if has_ended {
            return Ok(output);
        }
        let sentence = format!("the shell was over, or the command not within {patience:?}");
        Err(Trouble { sentence, output })
    }

    /// What bash is told for this command of the text.
    fn command(&self, typed: &str, program: Option<&ChangedProgram>) -> String {
        let port = self.desk.port;
        let command = with_lab_address(&transcript::with_port(typed, port), port);
        match program {
            Some(ChangedProgram { name, path: Some(path), .. }) => {
                let path = path.display().to_string();
                command.replace(&format!("target/debug/examples/{name}"), &path)
            }
            _ => command,
        }
    }

    fn screen(&mut self, interrupt: bool, wanted: &[String]) -> Result<String, Trouble> {
        let (port, echo) = (self.desk.port, self.echo());
        let Some(server) = &mut self.server else {
            return Err(Trouble {
                sentence: "no server was started".into(),
                output: String::new(),
            });
        };
        if interrupt && !server.interrupt() {
            let output = transcript::without_port(&server.look(Duration::ZERO, |_| true), port);
            return Err(Trouble { sentence: "Ctrl-C does not end the server".into(), output });
        }
        let output = server.look(echo, |text| is_same(wanted, text, port));
        if interrupt {
            self.server = None;
        }
        Ok(transcript::without_port(&output, port))
    }

    fn echo(&self) -> Duration {
        if self.overwrite { SHORT_ECHO } else { ECHO }
    }

    /// Compares, and returns the lines that would be right.
    fn judge(
        &mut self,
        line: usize,
        what: &str,
        wanted: &[String],
        found: Result<String, Trouble>,
    ) -> Vec<String> {
        let (output, trouble) = match found {
            Ok(output) => (output, None),
            Err(trouble) => (trouble.output, Some(trouble.sentence)),
        };
        let found = lines(&output);
        let comparison: Comparison<'_> = compare::transcript(wanted, &found);
        if comparison.is_same() && trouble.is_none() {
            return wanted.to_vec();
        }
        let mut problem = format!("{}: {what}\n", self.document.at(line));
        if let Some(sentence) = trouble {
            let _ = writeln!(problem, "    {sentence}");
        } else if self.overwrite {
            let mut merged = comparison.merged();
            // A blank line between two commands is the writer's.
            let blank = wanted.iter().rev().take_while(|line| line.trim().is_empty()).count();
            merged.extend(vec![String::new(); blank]);
            return merged;
        }
        self.outcome.problems.push(problem + &comparison.diff());
        wanted.to_vec()
    }
}

/// Why there is nothing to compare, and what was printed nevertheless.
struct Trouble {
    sentence: String,
    output: String,
}

impl Server {
    /// Waits until the server has printed what stands in the fence, or where it listens.
    fn ready(&mut self, wanted: &[String], port: u16, echo: Duration) -> Result<String, Trouble> {
        let listens = |text: &str| text.lines().any(|line| line.contains("http://"));
        if wanted.iter().all(|line| line.trim().is_empty()) {
            // The fence shows nothing, and whoever reads it knows what would stand there.
            let output = self.look(PATIENCE, listens);
            let sentence = "the server does not listen".into();
            let is_there = listens(&output);
            let output = transcript::without_port(&output, port);
            return if is_there { Ok(String::new()) } else { Err(Trouble { sentence, output }) };
        }
        // Lines that end in dots, or no lines, are there before the server is.
        let is_told = wanted.last().is_some_and(|last| last.trim() != "...");
        let is_it = |text: &str| is_same(wanted, text, port) && (is_told || listens(text));
        let mut output = self.look(PATIENCE, |text| is_it(text) || listens(text));
        if !is_it(&output) && !self.has_ended() {
            output += &self.look(echo, |more| is_it(&format!("{output}{more}")));
        }
        if !self.has_ended() && !listens(&output) && !is_it(&output) {
            let sentence = "the server is not ready".into();
            return Err(Trouble { sentence, output: transcript::without_port(&output, port) });
        }
        Ok(transcript::without_port(&output, port))
    }
}

fn is_same(wanted: &[String], text: &str, port: u16) -> bool {
    compare::transcript(wanted, &lines(&transcript::without_port(text, port))).is_same()
}

/// The command that starts this server on this port, or the changed program in its place.
fn server_command(launch: &Launch<'_>, port: u16, program: Option<&ChangedProgram>) -> String {
    let arguments = launch.arguments(port);
    match program {
        Some(ChangedProgram { name, path: Some(path), .. }) if name == launch.program => {
            format!("'{}' {arguments}", path.display())
        }
        _ => format!("{} -- {arguments}", launch.cargo),
    }
}

/// A lab that is told of no server looks for one on port 4000.
fn with_lab_address(command: &str, port: u16) -> String {
    let is_lab = command.starts_with("cargo run") && command.contains(" --example lab -- ");
    let is_told = ["--addr", "--step", "--cmd", "--list", "--help", ";", "|"];
    if is_lab && !is_told.iter().any(|word| command.contains(word)) {
        return format!("{command} --addr localhost:{port}");
    }
    command.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lab_is_told_where_the_server_is() {
        for (command, wanted) in [
            (
                "cargo run -q --example lab -- x",
                "cargo run -q --example lab -- x --addr localhost:7",
            ),
            (
                "cargo run -q --example lab -- x --step 2",
                "cargo run -q --example lab -- x --step 2",
            ),
            ("cargo run -q --example other -- x", "cargo run -q --example other -- x"),
        ] {
            assert_eq!(with_lab_address(command, 7), wanted);
        }
    }
}
