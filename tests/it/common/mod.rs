//! A running server for a test: the real binary on a free port, killed when the test ends.
//!
//! On failure it prints what the server wrote to standard error, and each [`Wire`] what was sent
//! and received.

pub(crate) mod load;

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, Once, OnceLock, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use memchr::memmem;
use signal_hook::consts::{SIGHUP, SIGINT};
use signal_hook::flag::register_conditional_default;
use tempfile::TempDir;

/// Longer than anything here may take, on a slow and busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The program under test, ready to be given arguments.
pub(crate) fn program() -> Command {
    hear_signals();
    Command::new(assert_cmd::cargo::cargo_bin!("dbserver"))
}

/// Who was started with a signal ignored, as by nohup, hands that on to its children, and the server
/// respects it. With a handler here, even one that does what is done without it, they begin as in a
/// terminal.
pub(crate) fn hear_signals() {
    static HEARD: Once = Once::new();
    HEARD.call_once(|| {
        for signal in [SIGHUP, SIGINT] {
            register_conditional_default(signal, Arc::new(AtomicBool::new(true))).unwrap();
        }
    });
}

/// An example of this repository. Cargo builds them all for `cargo test`, and none for one test.
pub(crate) fn example(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        let profile = test.ancestors().nth(2).unwrap();
        let is_debug = profile.ends_with("debug");
        let name = if is_debug { "dev".as_ref() } else { profile.file_name().unwrap() };
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--examples", "--profile"]).arg(name);
        cargo.arg("--target-dir").arg(profile.parent().unwrap());
        assert!(cargo.status().unwrap().success());
        profile.join("examples")
    });
    folder.join(name)
}

/// A server that runs, with a folder of its own.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) port: u16,
    pub(crate) folder: Arc<TempDir>,
    /// What it wrote to standard error so far.
    pub(crate) stderr: Arc<Mutex<String>>,
    /// Notified of each line of that.
    heard: Arc<Condvar>,
    stderr_thread: Option<JoinHandle<()>>,
    stdout_thread: Option<JoinHandle<String>>,
}

impl Server {
    /// Starts one with a new data file and these options besides.
    pub(crate) fn start(options: &[&str]) -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().unwrap()), options)
    }

    /// Starts one on the data file in `folder`.
    pub(crate) fn start_in(folder: Arc<TempDir>, options: &[&str]) -> Self {
        let mut command = program();
        command.args(options);
        if !options.contains(&"--memory") && !options.contains(&"--data") {
            command.arg("--data").arg(folder.path().join("data.jsonl"));
        }
        Self::start_command(folder, command)
    }

    /// Starts this command, which must end up running the server, on port 0.
    pub(crate) fn start_command(folder: Arc<TempDir>, mut command: Command) -> Self {
        let mut child = command
            .args(["--port", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (stderr, heard) = (Arc::new(Mutex::new(String::new())), Arc::new(Condvar::new()));
        let stderr_thread = {
            let (stderr, heard) = (Arc::clone(&stderr), Arc::clone(&heard));
            let pipe = child.stderr.take().unwrap();
            thread::spawn(move || {
                let mut pipe = BufReader::new(pipe);
                let mut line = Vec::new();
                while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                    stderr.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
                    heard.notify_all();
                    line.clear();
                }
            })
        };
        let (say_ready, is_ready) = mpsc::channel();
        let stdout_thread = {
            let mut stdout = BufReader::new(child.stdout.take().unwrap());
            thread::spawn(move || {
                let mut text = String::new();
                let _ = stdout.read_line(&mut text);
                let _ = say_ready.send(text.clone());
                let _ = stdout.read_to_string(&mut text);
                text
            })
        };
        let ready = is_ready.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            // What keeps silent would keep this test waiting.
            let _ = child.kill();
            String::new()
        });
        let port = ready
            .trim_end()
            .trim_end_matches('/')
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok());
        let Some(port) = port else {
            let status = child.wait();
            let _ = stderr_thread.join();
            panic!("not ready: {ready:?}, {status:?}\n{}", stderr.lock().unwrap());
        };
        Server {
            child,
            port,
            folder,
            stderr,
            heard,
            stderr_thread: Some(stderr_thread),
            stdout_thread: Some(stdout_thread),
        }
    }

    /// The data file.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data.jsonl")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// A new connection to it.
    pub(crate) fn connect(&self) -> Wire {
        Wire::connect(self.address())
    }

    /// The answer to one request on a connection of its own.
    pub(crate) fn get(&self, target: &str) -> Answer {
        let mut wire = self.connect();
        wire.get(target)
    }

    /// The answer to these bytes on a connection of their own, which the server then ends: cleanly,
    /// and without a second answer.
    pub(crate) fn only_answer(&self, bytes: impl AsRef<[u8]>) -> Answer {
        let mut wire = self.connect();
        let answer = wire.send(bytes).answer();
        wire.expect_end();
        answer
    }

    /// Waits until it has said this on standard error, and returns all that it has said.
    pub(crate) fn heard(&self, text: &str) -> String {
        self.heard_times(text, 1)
    }

    /// The same, once it has said it so often.
    pub(crate) fn heard_times(&self, text: &str, times: usize) -> String {
        let stderr = self.stderr.lock().unwrap();
        let is_missing = |said: &mut String| said.matches(text).count() < times;
        let (mut said, _) = self.heard.wait_timeout_while(stderr, PATIENCE, is_missing).unwrap();
        assert!(!is_missing(&mut said), "it does not say {text:?} {times} times: {said}");
        said.clone()
    }

    /// Sends a signal: `TERM`, `INT`, `KILL`, `STOP`, ...
    pub(crate) fn signal(&self, name: &str) {
        let status =
            Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// Kills it with SIGKILL, and returns its folder.
    pub(crate) fn kill(mut self) -> Arc<TempDir> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        Arc::clone(&self.folder)
    }

    /// Waits for its end, and returns the exit code and all that it printed on standard output.
    pub(crate) fn wait(mut self) -> (Option<i32>, String) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the server does not end");
            thread::sleep(Duration::from_millis(1));
        };
        let stdout = self.stdout_thread.take().unwrap().join().unwrap();
        self.stderr_thread.take().unwrap().join().unwrap();
        (status.code(), stdout)
    }

    /// Stops it with SIGTERM and checks that it ends as it should; returns its folder.
    pub(crate) fn stop(self) -> Arc<TempDir> {
        let folder = Arc::clone(&self.folder);
        let line = format!("Started Simple DB server on http://localhost:{}/\n", self.port);
        self.signal("TERM");
        let (code, stdout) = self.wait();
        assert_eq!((code, stdout), (Some(0), line + "Stopped Simple DB server\n"));
        folder
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- the server's standard error:\n{}", self.stderr.lock().unwrap());
        }
    }
}

/// A connection that remembers what went over it.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    sent: Vec<u8>,
    received: Vec<u8>,
    /// How much of `received` has been taken by [`Wire::answer`].
    taken: usize,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Status line and fields, without the empty line.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// A field's value, if it is there exactly once.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.head.lines().skip(1).filter_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        });
        let value = values.next();
        assert_eq!(values.next(), None, "{name} twice in {}", self.head);
        value
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn closes(&self) -> bool {
        self.field("Connection") == Some("close")
    }
}

impl Wire {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Wire { stream, sent: Vec::new(), received: Vec::new(), taken: 0 }
    }

    /// Sends these bytes as they are.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.sent.extend_from_slice(bytes.as_ref());
        self.stream.write_all(bytes.as_ref()).unwrap();
        self
    }

    /// Ends our side of the connection.
    pub(crate) fn end(&mut self) -> &mut Self {
        self.stream.shutdown(Shutdown::Write).unwrap();
        self
    }

    /// Sends a plain GET and returns the answer.
    pub(crate) fn get(&mut self, target: &str) -> Answer {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        self.answer()
    }

    /// The next answer, to a request that was not HEAD.
    pub(crate) fn answer(&mut self) -> Answer {
        self.answer_to("GET")
    }

    /// The next answer, to a request with this method.
    pub(crate) fn answer_to(&mut self, method: &str) -> Answer {
        let end = loop {
            let new = &self.received[self.taken..];
            if let Some(end) = memmem::find(new, b"\r\n\r\n") {
                break self.taken + end;
            }
            assert!(self.more(), "the connection ended where an answer should be");
        };
        let head = String::from_utf8(self.received[self.taken..end].to_vec()).unwrap();
        let mut answer = Answer { status: head[9..12].parse().unwrap(), head, body: Vec::new() };
        assert!(answer.head.starts_with("HTTP/1.1 "), "{}", answer.head);
        let length: usize = answer.field("Content-Length").unwrap().parse().unwrap();
        let length = if method == "HEAD" || answer.status < 200 { 0 } else { length };
        while self.received.len() < end + 4 + length {
            assert!(self.more(), "the connection ended within a body");
        }
        self.taken = end + 4 + length;
        answer.body = self.received[end + 4..self.taken].to_vec();
        answer
    }

    /// Reads to the end of the connection, which must come without a reset, and returns what came.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.more() {}
        self.received[self.taken..].to_vec()
    }

    /// Checks that the server ends the connection without another byte.
    pub(crate) fn expect_end(&mut self) {
        let rest = self.rest();
        assert_eq!(rest.escape_ascii().to_string(), "");
    }

    fn more(&mut self) -> bool {
        let mut buffer = [0; 16 << 10];
        let read = loop {
            match self.stream.read(&mut buffer) {
                // A signal to this process is no end of the connection.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read.unwrap(),
            }
        };
        self.received.extend_from_slice(&buffer[..read]);
        read > 0
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if thread::panicking() {
            let show = |bytes: &[u8]| bytes[..bytes.len().min(4000)].escape_ascii().to_string();
            eprintln!("--- sent: {}\n--- received: {}", show(&self.sent), show(&self.received));
        }
    }
}
