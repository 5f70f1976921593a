//! The same HTTP, another way to wait: two threads for all clients, and neither waits for one of them.
//! (With a file, one thread: two would sync by turns, each for half of the sets.)
//!
//! ```text
//!  worker.rs  run() ──▶ epoll::wait() ──▶ serve() each that is ready ──▶ commit() ──▶ accept()
//!              ▲                                                                          │
//!              └────────────────────────────── look() at deadlines ◀──────────────────────┘
//!  client.rs  ready(): read once ──▶ go_on(): answer, write ──▶ wait(): for what, and until when?
//! ```
//!
//! Chapter 14 of the tutorial reads it. `src/net/connection.rs` tells the same story in one piece.

#[cfg(target_os = "linux")]
mod client;
#[cfg(target_os = "linux")]
mod worker;

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<()> {
    use std::sync::{Arc, atomic::AtomicBool, atomic::Ordering::SeqCst};

    use dbserver::{Batch, Config, Engine, FileStore, Keeping, MemoryStore, listener, signals};
    use lexopt::{Arg, ValueExt as _};

    use worker::{Server, Worker};

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
    let (tell, stop) = std::sync::mpsc::channel();
    signals::at_the_first(move || tell.send(()).unwrap_or_default())?;
    let file = data.map(|path| FileStore::open(path.as_ref(), Keeping::default())).transpose()?;
    let (batch, memory) = (file.map(Batch::new), MemoryStore::new());
    let batch = batch.as_ref();
    let engine = batch.map_or(&memory as &dyn Engine, |batch| batch);
    let threads = if batch.is_some() { 1 } else { 2 };
    let listeners = listener::bind("localhost", port)?;
    println!("Started Simple DB server on http://localhost:{}/", listeners[0].local_addr()?.port());
    let (slots, stopping) = (config.max_connections / threads, AtomicBool::new(false));
    let clients = Arc::new(());
    let server = Server { listeners, config, engine, batch, threads, slots, stopping, clients };
    std::thread::scope(|scope| -> anyhow::Result<()> {
        for _ in 0..threads {
            let worker = Worker::new(&server)?;
            let thread = std::thread::Builder::new().name("loop".into());
            thread.spawn_scoped(scope, || worker.run())?;
        }
        stop.recv()?;
        server.stopping.store(true, SeqCst);
        Ok(())
    })?;
    engine.close()?;
    println!("Stopped Simple DB server");
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("This example needs epoll, which only Linux has.");
}
