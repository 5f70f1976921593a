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
    let bytes = match read_head(&mut stream)? {
        Head::Whole(length) => answer("200 OK", &format!("You sent a head of {length} bytes.\n")),
        Head::TooLarge => answer("431 Request Header Fields Too Large", "The head is too large.\n"),
    };
    stream.write_all(bytes.as_bytes())
}

/// What came of reading a head.
enum Head {
    /// It is whole, and has this length, its empty line included.
    Whole(usize),
    /// It has no end within the limit.
    TooLarge,
}

/// Reads until the head is whole, or too large.
fn read_head(stream: &mut TcpStream) -> io::Result<Head> {
    let mut input = Vec::new();
    loop {
        if let Some(length) = head_length(&input) {
            return Ok(Head::Whole(length));
        }
        if input.len() >= MAX_HEAD_BYTES {
            return Ok(Head::TooLarge);
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

/// A head ends with an empty line (RFC 9112 §2.1). Until that is there, the head has no length.
fn head_length(input: &[u8]) -> Option<usize> {
    let empty_line = input.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(empty_line + 4)
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
