//! Step 3, read: until the head of the request is whole, and no further than 64 KiB.
//!
//! TUTORIAL.md, chapter 3. Run it with `cargo run --example step03_read`.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::{env, io};

/// More than browsers and other clients send in practice.
const MAX_HEAD_BYTES: usize = 64 << 10;

fn main() -> anyhow::Result<()> {
    let port = env::args().nth(1).map_or(Ok(4000), |port| port.parse())?;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    println!("Listening on http://localhost:{}/", listener.local_addr()?.port());

    for stream in listener.incoming() {
        if let Err(error) = stream.and_then(serve) {
            println!("a client is lost: {error}");
        }
    }
    Ok(())
}

/// Serves one client: one request, one answer.
fn serve(mut stream: TcpStream) -> io::Result<()> {
    let answer = match read_head(&mut stream)? {
        Head::Whole(length) => answer("200 OK", &format!("You sent a head of {length} bytes.\n")),
        Head::Partial => answer("431 Request Header Fields Too Large", "The head is too large.\n"),
    };
    stream.write_all(answer.as_bytes())
}

/// The bytes that came so far.
enum Head {
    /// They hold a head of this length, its empty line included.
    Whole(usize),
    /// They are the beginning of one.
    Partial,
}

/// Reads until the head is whole. One that is still partial at the limit comes back as it is.
fn read_head(stream: &mut TcpStream) -> io::Result<Head> {
    let mut input = Vec::new();
    loop {
        match head(&input) {
            Head::Partial if input.len() < MAX_HEAD_BYTES => {}
            head => return Ok(head),
        }
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        println!("read {read} bytes");
        input.extend_from_slice(&buffer[..read]);
    }
}

/// A head ends with an empty line (RFC 9112 §2.1).
fn head(input: &[u8]) -> Head {
    let empty_line = input.windows(4).position(|four| four == b"\r\n\r\n");
    empty_line.map_or(Head::Partial, |at| Head::Whole(at + 4))
}

/// The bytes of an answer. `Content-Length` says where the body ends.
fn answer(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\n\
         Connection: close\r\n\
         \r\n\
         {body}",
        body.len()
    )
}
