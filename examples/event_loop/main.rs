//! The same HTTP, another way to wait: two threads for all clients, and neither waits for one of them.
//! (With a file, one thread: two would sync by turns, each for half of the sets.)
//!
//! A thread asks the system which of its sockets have something to do (Linux: epoll), does what can be
//! done without waiting, and asks again:
//!
//! ```text
//!  worker.rs  run() ──▶ epoll::wait() ──▶ serve() each that is ready ──▶ commit() ──▶ accept()
//!              ▲                                                                          │
//!              └────────────────────────────── look() at deadlines ◀──────────────────────┘
//!
//!  client.rs  Head ──────────▶ answer ──nothing to keep──▶ Head ...    from anywhere, after a refusal
//!              └──▶ Body ──▶─────┘└──a pair──▶ Commit ──▶ Head ...     or the last answer: Last ──▶ gone
//! ```
//!
//! *When it pays.* With thousands of connections: one that waits has no stack. Where most of the work
//! is to wake threads and put them to sleep: one thread that wakes up for ten clients costs less than
//! ten that wake up for one. And for sets: all sets of a turn share one write and one sync, and nobody
//! had to wait for anybody to arrange that.
//!
//! *What it costs the reader.* `src/net/connection.rs` tells the life of a connection from top to
//! bottom, because where it has to wait, its thread waits. Here no function may wait. Each returns when
//! there is nothing left to do, and a state says where the story goes on: `State`, which the other file
//! does not need. A deadline is not an argument of a read any more, but a field that somebody has to
//! look at. And whatever is slow, such as a disk that syncs, holds up every client of the thread.
//!
//! ```console
//! $ cargo run --release --example event_loop 4003 --data data.jsonl
//! ```

#[cfg(target_os = "linux")]
mod client;
#[cfg(target_os = "linux")]
mod worker;

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<()> {
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

    use dbserver::{Config, Engine, FileStore, Keeping, MemoryStore, listener};
    use lexopt::{Arg, ValueExt as _};
    use signal_hook::consts::{SIGINT, SIGTERM};

    let (mut port, mut data, mut config) = (4003, None, Config::default());
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Value(value) => port = value.parse()?,
            Arg::Long("port") => port = arguments.value()?.parse()?,
            Arg::Long("data") => data = Some(PathBuf::from(arguments.value()?)),
            Arg::Long("max-connections") => config.max_connections = arguments.value()?.parse()?,
            _ => return Err(argument.unexpected().into()),
        }
    }
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    let file = data.map(|path| FileStore::open(&path, Keeping::default())).transpose()?;
    let memory = MemoryStore::new();
    let listeners = listener::bind("localhost", port)?;
    listeners.iter().try_for_each(|listener| listener.set_nonblocking(true))?;
    println!("Started Simple DB server on http://localhost:{}/", listeners[0].local_addr()?.port());
    let (stopping, clients) = (AtomicBool::new(false), AtomicUsize::new(0));
    let threads = if file.is_some() { 1 } else { 2 };
    let server = worker::Server { listeners, config, threads, stopping, clients };
    std::thread::scope(|scope| -> anyhow::Result<()> {
        for _ in 0..threads {
            let run = || {
                let batch = file.as_ref().map(worker::Batch::new);
                let engine = batch.as_ref().map_or(&memory as &dyn Engine, |batch| batch);
                worker::Worker::new(&server, engine, batch.as_ref())?.run()
            };
            std::thread::Builder::new().name("loop".into()).spawn_scoped(scope, run)?;
        }
        signals.forever().next();
        server.stopping.store(true, SeqCst);
        Ok(())
    })?;
    file.map_or(Ok(()), |file| file.close())?;
    println!("Stopped Simple DB server");
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("This example needs epoll, which only Linux has.");
}
