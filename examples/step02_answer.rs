//! Step 2, answer: a status line, two fields, an empty line, and a body.
//!
//! TUTORIAL.md, chapter 2. Run it with `cargo run --example step02_answer`.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::{env, io};

fn main() -> anyhow::Result<()> {
    let port = env::args().nth(1).map_or(Ok(4000), |port| port.parse())?;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    println!("Listening on http://localhost:{}/", listener.local_addr()?.port());

    for stream in listener.incoming() {
        // What goes wrong with one client must not end the program.
        if let Err(error) = stream.and_then(serve) {
            println!("a client is lost: {error}");
        }
    }
    Ok(())
}

/// Serves one client: one read, one answer. The connection is closed when `stream` is dropped.
fn serve(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    let read = stream.read(&mut buffer)?;
    println!("{}", buffer[..read].escape_ascii());
    stream.write_all(answer("200 OK", &format!("You sent {read} bytes.\n")).as_bytes())
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
