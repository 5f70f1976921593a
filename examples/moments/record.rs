//! The recording: a server for each moment, and the clients that make it happen.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;
use std::{env, fs};

use anyhow::Context as _;

/// How many clients set at the same moment.
const AT_ONCE: usize = 24;

/// Records the moment of a chapter.
pub(crate) fn moment(chapter: u32, trace: &Path) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let new = folder.path().join("trace.jsonl");
    let options: &[&str] = match chapter {
        12 => &["--max-connections", "2"],
        // A file of more than this is worth compacting: with the usual MiB, the trace would be long.
        13 => &["--compact-over", "300"],
        _ => &[],
    };
    let mut server = Server::start(folder.path(), &new, options)?;
    let port = server.port;
    match chapter {
        3 => {
            let mut client = Client::new(port)?;
            client.send("GET /set?city=Rome HTTP/1.1\r\nHost: localhost\r\n\r")?;
            pause(200);
            client.send("\n")?.answer()?;
        }
        8 => {
            let mut silent = Client::new(port)?;
            silent.send("GET /get?key=ci")?;
            let mut busy = Client::new(port)?;
            for target in ["/set?city=Rome", "/get?key=city", "/get?key=country"] {
                busy.send(&get(target))?.answer()?;
            }
            pause(100);
            silent.send("ty HTTP/1.1\r\nHost: localhost\r\n\r\n")?.answer()?;
        }
        9 => {
            let mut both = Client::new(port)?;
            both.send(&(get("/set?city=Rome") + &get("/get?key=city")))?.answer()?.answer()?;
            both.leave()?;
            let mut slow = Client::new(port)?;
            // The server has the last word, after ten seconds: then a write may fail.
            for byte in get("/get?key=city").chars().take(12) {
                if slow.send(&byte.to_string()).is_err() {
                    break;
                }
                pause(1000);
            }
            slow.rest();
        }
        11 => {
            let barrier = Barrier::new(AT_ONCE);
            let clients: Vec<Client> =
                (0..AT_ONCE).map(|_| Client::new(port)).collect::<Result<_, _>>()?;
            let set = |(number, mut client): (usize, Client)| {
                barrier.wait();
                client.send(&get(&format!("/set?key{number}=value")))?.answer().map(drop)
            };
            let set = &set;
            thread::scope(|scope| {
                let threads: Vec<_> =
                    (1..).zip(clients).map(|client| scope.spawn(move || set(client))).collect();
                threads.into_iter().try_for_each(|it| it.join().unwrap_or(Ok(())))
            })?;
        }
        12 => {
            let silent = [Client::new(port)?, Client::new(port)?];
            pause(100);
            let third = Client::new(port)?;
            pause(100);
            Client::new(port)?.send(&get("/get?key=city"))?.answer()?;
            drop((silent, third));
        }
        _ => {
            let mut client = Client::new(port)?;
            for number in 1..=16 {
                client.send(&get(&format!("/set?counter={number}")))?.answer()?;
            }
            pause(300);
        }
    }
    // The lines are written some milliseconds later. How the server stops is not part of the
    // moment.
    pause(200);
    fs::copy(new, trace)?;
    server.stop()
}

/// Clients are people or programs that take their time; what is recorded is this pause, and true.
fn pause(milliseconds: u64) {
    thread::sleep(Duration::from_millis(milliseconds));
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(folder: &Path, trace: &Path, options: &[&str]) -> anyhow::Result<Self> {
        // Cargo puts examples into a folder below that of the programs.
        let ours = env::current_exe()?;
        let program = ours.ancestors().nth(2).context("no folder")?.join("dbserver");
        let mut child = Command::new(&program)
            .args(["--port", "0", "--data"])
            .arg(folder.join("data.jsonl"))
            .arg("--trace-file")
            .arg(trace)
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{}: cargo build --bins", program.display()))?;
        let mut ready = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut ready)?;
        let port = ready.trim_end().trim_end_matches('/').rsplit(':').next().unwrap_or_default();
        let port = port.parse().with_context(|| format!("not a ready line: {ready}"))?;
        Ok(Server { child, port })
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        let pid = self.child.id().to_string();
        Command::new("kill").arg(pid).status()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Client(TcpStream);

impl Client {
    fn new(port: u16) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        Ok(Client(stream))
    }

    fn send(&mut self, text: &str) -> anyhow::Result<&mut Self> {
        self.0.write_all(text.as_bytes())?;
        Ok(self)
    }

    /// Reads one answer: its head, and as many bytes as that says.
    fn answer(&mut self) -> anyhow::Result<&mut Self> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte)?;
            head.extend(byte);
        }
        let text = String::from_utf8(head)?;
        let length = text.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let mut body = vec![0; length.context("no length")?.parse()?];
        self.0.read_exact(&mut body)?;
        Ok(self)
    }

    fn leave(&mut self) -> anyhow::Result<()> {
        self.0.shutdown(Shutdown::Write)?;
        self.rest();
        Ok(())
    }

    /// Reads until the server has closed.
    fn rest(&mut self) {
        let _ = self.0.read_to_end(&mut Vec::new());
    }
}
