//! The yardstick: a thread for each connection that reads, writes a canned answer, and reads again.
//!
//! It parses nothing, stores nothing and answers 200 to whatever it is sent, so it says what the
//! system calls alone cost with blocking threads. It does count the heads that have arrived, by
//! their empty lines, so that pipelined requests get an answer each, all in one write; and it looks
//! for `Connection: close` in the first read of a connection. Not a limit: an event loop that wakes
//! fewer threads can be faster than this.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

const CLOSE: &[u8] = b"Connection: close\r\n";

fn main() -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", shared::port()))?;
    for stream in listener.incoming().flatten() {
        // A refused thread drops the connection. An error while serving is the end of it, too.
        let _ = thread::Builder::new().spawn(move || serve(stream));
    }
    Ok(())
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; 4096];
    let mut heads = Heads::default();
    let mut answer: Option<Vec<u8>> = None;
    let mut closes = false;
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        let answer = answer.get_or_insert_with(|| {
            closes = buffer[..read].windows(CLOSE.len()).any(|window| window == CLOSE);
            canned(closes)
        });
        match heads.count(&buffer[..read]) {
            0 => continue,
            1 => stream.write_all(answer)?,
            several => stream.write_all(&answer.repeat(several))?,
        }
        if closes {
            return Ok(());
        }
    }
}

/// 200 with 100 bytes, as many as the values that the others have to look up.
fn canned(closes: bool) -> Vec<u8> {
    let body = "v".repeat(100);
    let close = if closes { "Connection: close\r\n" } else { "" };
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n{close}\r\n{body}"
    )
    .into_bytes()
}

/// Counts heads in bytes that come in any pieces.
#[derive(Default)]
struct Heads {
    /// How many bytes of `\r\n\r\n` stand at the end of what has come.
    matched: usize,
}

impl Heads {
    /// How many heads end in these bytes.
    fn count(&mut self, bytes: &[u8]) -> usize {
        let mut ended = 0;
        for &byte in bytes {
            self.matched = match (byte, self.matched) {
                (b'\r', 2) => 3,
                (b'\r', _) => 1,
                (b'\n', 1) => 2,
                (b'\n', 3) => {
                    ended += 1;
                    0
                }
                _ => 0,
            };
        }
        ended
    }
}
