//! An observer of your own: how long requests take, from their first byte to their answer's last.
//! `cargo run --example own_observer 4003`, then `curl 'http://localhost:4003/get?key=[1-9]'`.

use std::cell::Cell;
use std::sync::{Arc, mpsc::sync_channel};
use std::time::Instant;

use dbserver::watch::stage::{Stage, observe};
use dbserver::{Config, MemoryStore, listener, serve};

// When the request began. Each connection has a thread, and so one of these.
thread_local!(static BEGUN: Cell<Option<Instant>> = const { Cell::new(None) });

fn main() -> anyhow::Result<()> {
    let (times, queue) = sync_channel(1000);
    // Threads that serve run this, some under a lock. It must not wait: another thread prints.
    observe(move |stage| match stage {
        Stage::BytesRead { unread: 0, .. } => BEGUN.set(Some(Instant::now())),
        Stage::Written(_) => drop(BEGUN.take().map(|begun| times.try_send(begun.elapsed()))),
        _ => {}
    });
    let port = std::env::args().nth(1).map_or(Ok(4003), |port| port.parse())?;
    let listeners = listener::bind("localhost", port)?;
    println!("http://{}/get?key=a is watched; Ctrl-C ends this", listeners[0].local_addr()?);
    let _server = serve(listeners, Arc::new(MemoryStore::new()), Config::default())?;
    for time in queue {
        println!("answered after {time:?}");
    }
    Ok(())
}
