//! An observer of your own: how long requests take, from their first byte to their answer's last.
//! `cargo run --example own_observer` says which requests to send.

use std::{cell::Cell, sync::Arc, sync::mpsc::sync_channel, time::Instant};

use dbserver::{Config, MemoryStore, Stage, listener, observe, serve};

fn main() -> anyhow::Result<()> {
    // When the request began. Each connection has a thread, and so one of these.
    thread_local!(static BEGUN: Cell<Instant> = Cell::new(Instant::now()));
    let (times, queue) = sync_channel(1000);
    // Threads that serve run this, some under a lock. It must not wait: another thread prints.
    observe(move |stage| match stage {
        Stage::BytesRead { unread: 0, .. } => BEGUN.set(Instant::now()),
        Stage::Written(_) => drop(times.try_send(BEGUN.get().elapsed())),
        _ => {}
    });
    let listeners = listener::bind("localhost", 0)?;
    println!("Try: curl 'http://localhost:{}/get?key=[1-9]'", listeners[0].local_addr()?.port());
    let _server = serve(listeners, Arc::new(MemoryStore::new()), Config::default())?;
    for time in queue {
        println!("answered after {time:?}");
    }
    Ok(())
}
