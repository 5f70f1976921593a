//! The same HTTP, another way to wait: two threads for all clients, and neither waits for one of them.
//! (With a file, one thread: two would sync by turns, each for half of the sets.)
//!
//! ```text
//!  run() ──▶ epoll::wait() ──▶ ready() for each client that is ──▶ commit() ──▶ accept()
//!   ▲                           └▶ go_on(): answer, write ──▶ wait(): for what, and until when?
//!   └─────────────────────────────── look() at deadlines ◀──────────────────────────┘
//! ```
//! Chapter 14 of the tutorial reads it. `src/net/connection.rs` tells the same story in one piece.

#[cfg(target_os = "linux")]
mod worker;

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<()> {
    use dbserver::net::{capacity, listener};
    use dbserver::{Batch, Config, Engine, FileStore, Keeping, MemoryStore, signals};
    use lexopt::{Arg, ValueExt as _};
    use std::{sync::atomic::Ordering::SeqCst, thread, thread::Builder};
    let (mut port, mut data, mut config) = (4003, None, Config::default());
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("port") => port = arguments.value()?.parse()?,
            Arg::Long("data") => data = Some(arguments.value()?),
            Arg::Long("max-connections") => config.max_connections = arguments.value()?.parse()?,
            _ => return Err(argument.unexpected().into()),
        }
    }
    config.max_connections = capacity::at_most_files(config.max_connections);
    signals::at_the_first(|| worker::STOPS.store(true, SeqCst))?;
    let file = data.map(|path| FileStore::open(path.as_ref(), Keeping::default())).transpose()?;
    let (batch, memory) = (file.map(Batch::new), MemoryStore::new());
    let batch = batch.as_ref();
    let (engine, threads) = batch.map_or((&memory as &dyn Engine, 2), |batch| (batch as _, 1));
    let listeners = listener::bind("localhost", port)?;
    println!("Started Simple DB server on http://localhost:{}/", listeners[0].local_addr()?.port());
    let server = worker::Server { listeners, config, engine, batch, threads, clients: 0.into() };
    thread::scope(|scope| {
        for _ in 1..threads {
            Builder::new().name("loop".into()).spawn_scoped(scope, || worker::run(&server))?;
        }
        worker::run(&server)
    })?;
    engine.close()?;
    println!("Stopped Simple DB server");
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("This example needs epoll, which only Linux has.");
}
