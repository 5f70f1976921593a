//! Two terminals: one in which a server stays, one in which commands end.
//!
//! Nothing here sleeps. A thread reads what a program prints, and whoever waits for it is woken: by
//! a line, by the program's end, or when it has had its time. Whatever was started is killed with
//! its whole process group when the chapter is over, also if that is by a panic.

use std::fs;
use std::io::{PipeReader, Read as _, Write as _, pipe};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, Once};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::SIGINT;
use signal_hook::flag::register_conditional_default;

use crate::workshop::Desk;

/// What a shell prints after each command: no program prints this.
const END: u8 = 0x1e;

/// Longer than a server may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(20);

/// What a program has printed on both of its outputs, while it goes on.
#[derive(Default)]
struct Output {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    has_ended: bool,
}

impl Output {
    fn append(&self, bytes: &[u8]) {
        self.state.lock().unwrap().bytes.extend_from_slice(bytes);
        self.changed.notify_all();
    }

    fn end(&self) {
        self.state.lock().unwrap().has_ended = true;
        self.changed.notify_all();
    }

    /// Waits until this says so, until the end, or until the time is over; says whether it did.
    fn wait(&self, patience: Duration, is_it: impl Fn(&[u8]) -> bool) -> bool {
        let waits = |state: &mut State| !state.has_ended && !is_it(&state.bytes);
        let state = self.state.lock().unwrap();
        let (state, _) = self.changed.wait_timeout_while(state, patience, waits).unwrap();
        is_it(&state.bytes)
    }

    fn has_ended(&self) -> bool {
        self.state.lock().unwrap().has_ended
    }

    /// Reads a pipe to its end on a thread, which then does this.
    fn read(self: &Arc<Self>, mut pipe: PipeReader, then: impl FnOnce() + Send + 'static) {
        let output = Arc::clone(self);
        thread::spawn(move || {
            let mut buffer = [0; 8 << 10];
            while let Ok(read @ 1..) = pipe.read(&mut buffer) {
                output.append(&buffer[..read]);
            }
            then();
            output.end();
        });
    }
}

/// Lines, as a terminal shows them.
pub(crate) fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_string).collect()
}

/// A program that was started with SIGINT ignored, as by a script's `&`, hands that on to its children. With a
/// handler here, even one that does what is done without it, they begin as in a terminal.
fn hear_interrupts() {
    static HEARD: Once = Once::new();
    HEARD.call_once(|| {
        register_conditional_default(SIGINT, Arc::new(AtomicBool::new(true))).unwrap();
    });
}

/// The server's terminal.
pub(crate) struct Server {
    group: Pid,
    output: Arc<Output>,
    /// How much of the output has been looked at.
    seen: usize,
}

impl Server {
    /// Starts it. `exec` makes the shell and cargo become the server: its number is the child's.
    pub(crate) fn start(desk: &Desk, command: &str) -> Self {
        hear_interrupts();
        let (reader, writer) = pipe().unwrap();
        let mut child = desk
            .bash()
            .args(["-c", &format!("exec {command}")])
            .stdin(Stdio::null())
            .stdout(writer.try_clone().unwrap())
            .stderr(writer)
            .process_group(0)
            .spawn()
            .unwrap();
        let file = desk.server_file();
        fs::write(&file, child.id().to_string()).unwrap();
        let server = Server { group: Pid::from_child(&child), output: Arc::default(), seen: 0 };
        server.output.read(reader, move || {
            let _ = child.wait();
            let _ = fs::remove_file(file);
        });
        server
    }

    /// What it printed since it was last looked at. Waits until that is what was wanted, until it
    /// ends, or until the time is over.
    pub(crate) fn look(&mut self, patience: Duration, is_it: impl Fn(&str) -> bool) -> String {
        let since = self.seen;
        let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[since..]).into_owned();
        self.output.wait(patience, |bytes| is_it(&text(bytes)));
        let state = self.output.state.lock().unwrap();
        self.seen = state.bytes.len();
        text(&state.bytes)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.output.has_ended()
    }

    /// Ctrl-C, and waits for the end. Says whether that came.
    pub(crate) fn interrupt(&self) -> bool {
        self.signal(Signal::INT);
        self.output.wait(GRACE, |_| false);
        self.has_ended()
    }

    fn signal(&self, signal: Signal) {
        if !self.has_ended() {
            let _ = kill_process_group(self.group, signal);
        }
    }
}

impl Drop for Server {
    /// As a reader would end it, so that what it does at its end is done; else at once.
    fn drop(&mut self) {
        if thread::panicking() || !self.interrupt() {
            self.signal(Signal::KILL);
            self.output.wait(GRACE, |_| false);
        }
    }
}

/// The other terminal: one bash for the chapter, as variables and background jobs outlive a
/// command.
pub(crate) struct Shell {
    child: Child,
    input: ChildStdin,
    output: Arc<Output>,
    /// How much of the output belongs to commands that are over.
    seen: usize,
    /// Holds the command that runs.
    file: PathBuf,
}

impl Shell {
    pub(crate) fn start(desk: &Desk) -> Self {
        let (reader, writer) = pipe().unwrap();
        let mut child = desk
            .bash()
            .args(["--noprofile", "--norc"])
            .stdin(Stdio::piped())
            .stdout(writer.try_clone().unwrap())
            .stderr(writer)
            .process_group(0)
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let file = desk.stand_ins().join(format!("command-{}", child.id()));
        let shell = Shell { child, input, output: Arc::default(), seen: 0, file };
        shell.output.read(reader, || ());
        shell
    }

    /// Runs a command to its end, and returns what it printed. None after that time: then the shell
    /// is over too.
    pub(crate) fn run(&mut self, command: &str, patience: Duration) -> (String, bool) {
        fs::write(&self.file, command).unwrap();
        // The next command sees the status of this one.
        let line = format!(
            ". '{}' </dev/null; status=$?; printf '\\{END:o}'; (exit $status)\n",
            self.file.display()
        );
        let began = self.input.write_all(line.as_bytes()).and_then(|()| self.input.flush()).is_ok();
        let since = self.seen;
        let end = |bytes: &[u8]| bytes[since..].iter().position(|&byte| byte == END);
        let has_ended = began && self.output.wait(patience, |bytes| end(bytes).is_some());
        if !has_ended {
            self.kill();
        }
        let state = self.output.state.lock().unwrap();
        let length = end(&state.bytes).unwrap_or(state.bytes.len() - since);
        self.seen = state.bytes.len().min(since + length + 1);
        let text = String::from_utf8_lossy(&state.bytes[since..since + length]).into_owned();
        // A terminal's bash says `bash: what: command not found`.
        let text =
            lines(&text).into_iter().map(|line| self.as_in_a_terminal(&line) + "\n").collect();
        (text, has_ended)
    }

    fn as_in_a_terminal(&self, line: &str) -> String {
        let prefix = format!("{}: line ", self.file.display());
        let rest = line.strip_prefix(&prefix).and_then(|rest| rest.split_once(": "));
        rest.map_or_else(|| line.to_string(), |(_, message)| format!("bash: {message}"))
    }

    fn kill(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
        // What left the group may still hold the pipe; nobody waits for that.
        self.output.wait(Duration::from_secs(1), |_| false);
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn commands_share_a_shell_and_a_folder() {
        let desk = Desk::new();
        let mut shell = Shell::start(&desk);
        for (command, wanted) in [
            ("a=1; cd /; echo out; echo err >&2", "out\nerr\n"),
            ("pwd; echo $a; false", "/\n1\n"),
            ("echo $?", "1\n"),
            ("printf x", "x\n"),
            ("printf 'a\\r\\n\\nb'", "a\n\nb\n"),
            ("cat", ""),
            ("if", "bash: syntax error: unexpected end of file\n"),
            ("no-such-command", "bash: no-such-command: command not found\n"),
            ("echo a \\\n  b", "a b\n"),
            ("sleep 100 & kill $!; wait $!; echo $?", "143\n"),
            ("cd - > /dev/null; ls Cargo.toml src/lib.rs", "Cargo.toml\nsrc/lib.rs\n"),
        ] {
            assert_eq!(shell.run(command, LONG), (wanted.into(), true), "{command}");
        }
    }

    #[test]
    fn a_command_that_does_not_end_is_killed() {
        let desk = Desk::new();
        let mut shell = Shell::start(&desk);
        let (output, has_ended) = shell.run("echo begins; sleep 1000", Duration::from_secs(1));
        assert_eq!((output.as_str(), has_ended), ("begins\n", false));
        assert_eq!(shell.run("exit 3", LONG), (String::new(), false));
    }

    #[test]
    fn a_server_does_not_outlive_a_panic() {
        let desk = Desk::new();
        let panicked = thread::scope(|scope| {
            let panics = scope.spawn(|| {
                let _server = Server::start(&desk, "sleep 1000");
                assert!(desk.server_file().exists());
                panic!("this is meant to be");
            });
            panics.join().is_err()
        });
        assert!(panicked && !desk.server_file().exists());
    }

    #[test]
    fn a_server_is_looked_at_interrupted_and_killed_by_its_name() {
        let desk = Desk::new();
        let mut shell = Shell::start(&desk);
        shell.run("mkfifo pipe; exec 3<>pipe", LONG);
        let mut server = Server::start(&desk, "sh -c 'echo one; echo two >&2; read x < pipe'");
        assert_eq!(server.look(LONG, |text| text.lines().count() == 2), "one\ntwo\n");
        assert_eq!(server.look(Duration::ZERO, |_| true), "");
        assert!(server.interrupt());

        let mut server = Server::start(&desk, "sleep 1000");
        assert_eq!(shell.run("pkill -9 -x other; echo $?", LONG).0, "1\n");
        // The shell that becomes it has another name for a moment.
        let kill = "until pkill -9 -x sleep; do :; done; echo $?; pkill -x sleep; echo $?";
        assert_eq!(shell.run(kill, LONG).0, "0\n1\n");
        server.look(LONG, |_| false);
        assert!(server.has_ended());
    }
}
