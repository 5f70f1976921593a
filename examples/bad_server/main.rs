//! A server that does everything right, or with `--bug NAME` everything but one thing.
//!
//! `dbcheck` is tested against it: each bug must be found, by the checks that are about it and by
//! no other. It is also a collection: people make these mistakes, and each is in the place where
//! they make it. `bugs` lists them, `http` has those about messages and connections, `app` those
//! about the two requests, `store` those about pairs and the file. It shares no code with
//! `dbserver`.
//!
//! ```console
//! $ cargo run --example bad_server -- --list
//! $ cargo run --example bad_server -- --bug cut-at-second-equals --memory
//! ```

mod app;
mod bugs;
mod http;
mod store;

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::thread;

use anyhow::Context as _;
use lexopt::prelude::*;
use rustix::net;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::bugs::{Bug, has};
use crate::store::Store;

const HOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// What tells a child from its parent.
const CHILD: &str = "BAD_SERVER_CHILD";

fn main() -> anyhow::Result<()> {
    let (mut port, mut data) = (4000, Some(PathBuf::from("bad_data.jsonl")));
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("bug") => bugs::choose(&arguments.value()?.string()?)?,
            Long("port") => port = arguments.value()?.parse()?,
            Long("data") => data = Some(arguments.value()?.into()),
            Long("memory") => data = None,
            Long("list") => {
                let lines = bugs::ALL.iter().map(|(_, name, story)| format!("{name:22} {story}\n"));
                // A reader who has seen enough, such as `head`, closes the pipe.
                let _ = std::io::stdout().write_all(lines.collect::<String>().as_bytes());
                return Ok(());
            }
            Long("help") => {
                println!("Options: --bug NAME, --list, --port PORT, --data FILE, --memory");
                return Ok(());
            }
            _ => return Err(argument.unexpected().into()),
        }
    }
    run(port, data)
}

fn run(port: u16, data: Option<PathBuf>) -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    if has(Bug::LeavesChild) && std::env::var_os(CHILD).is_none() {
        let mut command = Command::new(std::env::current_exe()?);
        // The child outlives this variable, and this process.
        let _child = command.args(std::env::args_os().skip(1)).env(CHILD, "").spawn()?;
        signals.forever().next();
        return Ok(());
    }
    let store = Arc::new(Store::open(data)?);
    let listener =
        if has(Bug::PortKept) { bind_simply(port) } else { TcpListener::bind((HOST, port)) };
    let listener = Arc::new(listener.with_context(|| format!("cannot listen on port {port}"))?);
    println!("Started bad server on http://localhost:{}/", listener.local_addr()?.port());

    // One thread accepts and starts one for each connection. In the naive versions some threads,
    // or one, accept and serve in turn.
    let naive = [(Bug::SingleThreaded, 1), (Bug::SmallPool, 16)].into_iter().find(|b| has(b.0));
    for _ in 0..naive.map_or(1, |(_, threads)| threads) {
        let (listener, store) = (Arc::clone(&listener), Arc::clone(&store));
        start_thread(move || {
            for stream in listener.incoming().flatten() {
                let store = Arc::clone(&store);
                let serve = move || http::serve(stream, &store);
                if naive.is_some() { serve() } else { start_thread(serve) }
            }
        });
    }
    let ends = |signal: &i32| *signal == SIGINT || !has(Bug::IgnoresSigterm);
    let signal = signals.forever().find(ends).context("no more signals")?;
    store.close(signal)?;
    println!("Stopped bad server");
    Ok(())
}

/// As the three system calls do it. std sets `SO_REUSEADDR` in between.
fn bind_simply(port: u16) -> std::io::Result<TcpListener> {
    let socket = net::socket(net::AddressFamily::INET, net::SocketType::STREAM, None)?;
    net::bind(&socket, &SocketAddrV4::new(HOST, port))?;
    net::listen(&socket, 128)?;
    Ok(socket.into())
}

/// Where the system refuses a thread, a client is not served.
fn start_thread(work: impl FnOnce() + Send + 'static) {
    let _ = thread::Builder::new().spawn(work);
}
