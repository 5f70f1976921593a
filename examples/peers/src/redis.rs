//! Redis, the key-value server that everybody knows, as Debian packages it: beside our durable sets,
//! and beside our start with a full file.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::building::which;
use crate::load::Run;
use crate::process::Server;

/// Each set is in the file, and the file on the disk, before it is answered.
pub(crate) const DURABLE: &str = "--appendonly yes --appendfsync always";
/// Loads what an append-only file holds.
pub(crate) const APPEND_ONLY: &str = "--appendonly yes --appendfsync no";
/// Loads the snapshot.
pub(crate) const SNAPSHOT: &str = "--appendonly no";

/// Whether it is there, with the program that loads it.
pub(crate) fn is_installed() -> bool {
    which("redis-server").is_some() && which("redis-benchmark").is_some()
}

/// Starts it with its data in `folder`; returns it when it takes commands, and how long that took.
///
/// # Errors
///
/// If it does not start.
pub(crate) fn start(name: &str, mode: &str, folder: &Path) -> Result<(Server, Duration)> {
    let program = which("redis-server").context("redis-server is not installed")?;
    let arguments = format!(
        "--port {{port}} --bind 127.0.0.1 --dir {{data}} --save  --auto-aof-rewrite-percentage 0 {mode}"
    );
    let mut server = Server::start(name, &[program], &arguments, folder, folder)?;
    let took = server.wait_until(|port| command(port, "PING").is_ok_and(|said| said == "+PONG"))?;
    Ok((server, took))
}

/// Sends one command, and returns the first line of the answer.
///
/// # Errors
///
/// If there is none.
pub(crate) fn command(port: u16, words: &str) -> io::Result<String> {
    let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", port))?);
    stream.get_ref().set_read_timeout(Some(Duration::from_mins(1)))?;
    stream.get_mut().write_all(format!("{words}\r\n").as_bytes())?;
    let mut line = String::new();
    stream.read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

/// Sets all these pairs, many at a time.
///
/// # Errors
///
/// If it does not take one.
pub(crate) fn fill(port: u16, pairs: impl Iterator<Item = (String, String)>) -> Result<()> {
    let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", port))?);
    let mut pairs = pairs.peekable();
    while pairs.peek().is_some() {
        let mut batch = Vec::new();
        let mut count = 0;
        for (key, value) in pairs.by_ref().take(500) {
            count += 1;
            let (k, v) = (key.len(), value.len());
            write!(batch, "*3\r\n$3\r\nSET\r\n${k}\r\n{key}\r\n${v}\r\n{value}\r\n")?;
        }
        stream.get_mut().write_all(&batch)?;
        let mut line = String::new();
        for _ in 0..count {
            line.clear();
            stream.read_line(&mut line)?;
            ensure!(line == "+OK\r\n", "redis-server refuses a SET: {line}");
        }
    }
    Ok(())
}

/// Sets with its own load program, keys of 16 bytes and values of 100, for about so long.
///
/// # Errors
///
/// If that does not say what came.
pub(crate) fn load(server: &Server, connections: u32, seconds: f64) -> Result<Run> {
    // It takes a count, not a time: a short run says how many.
    let trial = benchmark(server.port, connections, 100.0 * f64::from(connections))?;
    let before = server.cpu_seconds();
    let requests = (trial.per_second * seconds).max(100.0).round();
    let run = benchmark(server.port, connections, requests)?;
    Ok(Run { cpu: (server.cpu_seconds() - before) / requests, ..run })
}

fn benchmark(port: u16, connections: u32, requests: f64) -> Result<Run> {
    let mut command = Command::new("redis-benchmark");
    command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-c", &connections.to_string()]);
    command.args(["-n", &requests.to_string(), "-d", "100", "-r", "1000000000000"]);
    let output = command.args(["-t", "set", "--csv"]).output().context("redis-benchmark")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines().map(|line| line.split(',').map(|cell| cell.trim_matches('"')));
    let (Some(head), Some(row)) = (lines.next(), lines.next()) else {
        anyhow::bail!("redis-benchmark: {text}{}", String::from_utf8_lossy(&output.stderr));
    };
    let cells: Vec<(&str, &str)> = head.zip(row).collect();
    let figure = |name: &str| -> Result<f64> {
        let cell = cells.iter().find(|(head, _)| *head == name);
        let (_, cell) = cell.with_context(|| format!("redis-benchmark gives no {name}"))?;
        Ok(cell.parse()?)
    };
    Ok(Run {
        per_second: figure("rps")?,
        p50: figure("p50_latency_ms")? / 1000.0,
        p99: figure("p99_latency_ms")? / 1000.0,
        cpu: 0.0,
        errors: 0,
        others: 0.0,
    })
}
