//! A server's process: started in a group of its own, and ended with all that it started itself.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// How often a process is looked at that is about to end.
const POLL: Duration = Duration::from_millis(3);

/// So much of a server's standard error is kept.
const MOST_ERRORS: usize = 64 << 10;

/// What must be gone when this program ends, however it ends.
static OURS: Mutex<Ours> = Mutex::new(Ours { groups: Vec::new(), folder: None });

struct Ours {
    groups: Vec<Pid>,
    folder: Option<PathBuf>,
}

/// Ctrl-C in a terminal reaches our group, and not those of the servers: they are ended from here.
pub(crate) fn end_with_us() -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let watch = move || {
        if let Some(signal) = signals.forever().next() {
            // Kept until the end: from here on nothing is started.
            let ours = OURS.lock().unwrap_or_else(PoisonError::into_inner);
            for &group in &ours.groups {
                let _ = kill_process_group(group, Signal::KILL);
            }
            if let Some(folder) = &ours.folder {
                let _ = fs::remove_dir_all(folder);
            }
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        }
    };
    thread::Builder::new().name("signals".into()).spawn(watch).map(drop)
}

/// This folder goes when a signal ends us. Otherwise whoever made it removes it.
pub(crate) fn remove_with_us(folder: PathBuf) {
    OURS.lock().unwrap_or_else(PoisonError::into_inner).folder = Some(folder);
}

/// What is read of a server's standard output.
enum Wanted {
    /// The next line.
    Line,
    /// All that is still to come. Unread, it would fill the pipe, and the server would wait.
    Rest,
}

/// A server that was started. Dropping it ends it.
pub(crate) struct Process {
    child: Child,
    group: Pid,
    /// None once its standard output is closed.
    wanted: Option<Sender<Wanted>>,
    /// In a lock only so that the threads of a lab can share all this.
    lines: Mutex<Receiver<String>>,
    errors: Arc<Mutex<String>>,
    /// Whether somebody looks at its page, which is to show all that has happened up to the end.
    pub(crate) is_watched: bool,
}

impl Process {
    pub(crate) fn start(mut command: Command) -> io::Result<Self> {
        // What a server says when it fails is shown; where in its code that was, is not.
        command.env("RUST_BACKTRACE", "0");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut ours = OURS.lock().unwrap_or_else(PoisonError::into_inner);
        let child = command.process_group(0).spawn()?;
        let group = Pid::from_child(&child);
        ours.groups.push(group);
        drop(ours);

        let (wanted, on_wanted) = channel();
        let (line_sender, lines) = channel();
        let errors = Arc::default();
        // From here on, dropping it ends the child.
        let (wanted, lines) = (Some(wanted), Mutex::new(lines));
        let mut process = Process { child, group, wanted, lines, errors, is_watched: false };
        if let Some(stdout) = process.child.stdout.take() {
            let read = move || read_output(stdout, &on_wanted, &line_sender);
            thread::Builder::new().name("output".into()).spawn(read)?;
        }
        if let Some(stderr) = process.child.stderr.take() {
            let errors = Arc::clone(&process.errors);
            let read = move || read_errors(stderr, &errors);
            thread::Builder::new().name("errors".into()).spawn(read)?;
        }
        Ok(process)
    }

    /// The next line of its standard output.
    pub(crate) fn line_within(&self, time: Duration) -> Option<String> {
        self.wanted.as_ref()?.send(Wanted::Line).ok()?;
        self.lines.lock().ok()?.recv_timeout(time).ok()
    }

    /// From here on nobody looks at its standard output.
    pub(crate) fn ignore_output(&self) {
        if let Some(wanted) = &self.wanted {
            let _ = wanted.send(Wanted::Rest);
        }
    }

    /// Closes our end of its standard output: what it prints from here on is an error there.
    pub(crate) fn close_output(&mut self) {
        self.wanted = None;
        // The thread that reads drops its end of this channel when it has closed the pipe.
        if let Ok(lines) = self.lines.get_mut() {
            while lines.recv_timeout(Duration::from_secs(1)).is_ok() {}
        }
    }

    /// What it printed on standard error so far.
    pub(crate) fn errors(&self) -> String {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What it printed there before it ended.
    pub(crate) fn last_words(&self) -> String {
        let deadline = Instant::now() + Duration::from_secs(1);
        // Each of its children may hold the pipe too, so this has an end.
        while Arc::strong_count(&self.errors) > 1 && Instant::now() < deadline {
            thread::sleep(POLL);
        }
        self.errors()
    }

    /// Sends SIGKILL to the whole group.
    pub(crate) fn kill(&self) {
        let _ = kill_process_group(self.group, Signal::KILL);
    }

    /// How it ended, if it does so within this time.
    pub(crate) fn end_within(&mut self, time: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + time;
        loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
                ended => return ended.ok().flatten(),
            }
        }
    }
}

impl Drop for Process {
    /// SIGKILL for the whole group, and a wait until nobody is left: they have the file, and the
    /// port. A server that is watched is first asked to end by itself.
    fn drop(&mut self) {
        if self.is_watched {
            let _ = kill_process_group(self.group, Signal::TERM);
            self.end_within(Duration::from_secs(5));
        }
        self.kill();
        let _ = self.child.wait();
        let deadline = Instant::now() + Duration::from_secs(2);
        while group_runs(self.group) && Instant::now() < deadline {
            thread::sleep(POLL);
        }
        let mut ours = OURS.lock().unwrap_or_else(PoisonError::into_inner);
        ours.groups.retain(|group| *group != self.group);
    }
}

/// Whether a process of the group still runs. One that has ended stays in the system's table until
/// its parent has asked how; its files are closed, and it does not count. Where there is no /proc to
/// look at, it does.
fn group_runs(group: Pid) -> bool {
    if test_kill_process_group(group).is_err() {
        return false;
    }
    let Ok(processes) = fs::read_dir("/proc") else { return true };
    let mut stats = processes.flatten().map(|process| fs::read(process.path().join("stat")));
    stats.any(|stat| {
        // `pid (name) state parent group ...`, and there may be anything in the name.
        let stat = String::from_utf8_lossy(&stat.unwrap_or_default()).into_owned();
        let rest = stat.rsplit(')').next().unwrap_or_default();
        let words: Vec<&str> = rest.split_whitespace().collect();
        let number = |at: usize| words.get(at).and_then(|word| word.parse::<i32>().ok());
        // The first thread may be over before the others, which have the file and the port too.
        let runs = words.first() != Some(&"Z") || number(17) > Some(1);
        // One that is about to end has a group of -1.
        runs && number(2) == Some(group.as_raw_nonzero().get())
    })
}

fn read_output(stdout: ChildStdout, wanted: &Receiver<Wanted>, lines: &Sender<String>) {
    let mut stdout = BufReader::new(stdout);
    while let Ok(wanted) = wanted.recv() {
        let mut line = Vec::new();
        let read = match wanted {
            Wanted::Line => stdout.read_until(b'\n', &mut line).map(|read| read as u64),
            Wanted::Rest => io::copy(&mut stdout, &mut io::sink()),
        };
        let line = String::from_utf8_lossy(&line).into_owned();
        if matches!(read, Ok(0) | Err(_)) || lines.send(line).is_err() {
            break;
        }
    }
    // Before the channel, whose end is the sign that this is done.
    drop(stdout);
}

fn read_errors(stderr: ChildStderr, errors: &Mutex<String>) {
    for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
        let mut errors = errors.lock().unwrap_or_else(PoisonError::into_inner);
        // More than that nobody reads; it is taken all the same, or the server would wait.
        if errors.len() < MOST_ERRORS {
            errors.push_str(&String::from_utf8_lossy(&line));
            errors.push('\n');
        }
    }
}
