//! Step 1, listen: prints what a client sends, and says nothing back.
//!
//! TUTORIAL.md, chapter 1. Run it with `cargo run --example step01_listen`.

use std::env;
use std::io::Read as _;
use std::net::TcpListener;

fn main() -> anyhow::Result<()> {
    let port = env::args().nth(1).map_or(Ok(4000), |port| port.parse())?;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    println!("Listening on http://localhost:{}/", listener.local_addr()?.port());

    for stream in listener.incoming() {
        let mut stream = stream?;
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer)?;
        println!("{read} bytes:");
        for line in buffer[..read].split_inclusive(|&byte| byte == b'\n') {
            println!("  {}", line.escape_ascii());
        }
    }
    Ok(())
}
