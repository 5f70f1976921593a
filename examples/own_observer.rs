//! An observer of your own: how long requests take, from their first byte to their answer's last.
//!
//! ```console
//! $ cargo run --example own_observer 4003
//! $ curl 'http://localhost:4003/get?key=[1-1000]'
//! ```

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use dbserver::watch::stage::{Stage, observe};
use dbserver::{Config, MemoryStore, listener, serve};

/// How many took less than 1 µs, 2 µs, 4 µs, and so on.
static COUNTS: [AtomicU64; 32] = [const { AtomicU64::new(0) }; 32];

thread_local! {
    /// When the request of this thread's connection began.
    static BEGUN: Cell<Option<Instant>> = const { Cell::new(None) };
}

fn main() -> anyhow::Result<()> {
    // Threads that serve run this, some under a lock: it counts, and somebody else prints.
    observe(|stage| match stage {
        Stage::BytesRead { unread: 0, .. } => BEGUN.set(Some(Instant::now())),
        Stage::Written(_) => {
            let time = BEGUN.take().map_or(Duration::ZERO, |begun| begun.elapsed());
            let power = 128 - time.as_micros().leading_zeros() as usize;
            COUNTS[power.min(COUNTS.len() - 1)].fetch_add(1, Relaxed);
        }
        _ => {}
    });
    let port = std::env::args().nth(1).map_or(Ok(4003), |port| port.parse())?;
    let listeners = listener::bind("localhost", port)?;
    println!("http://{}/get?key=a is watched; Ctrl-C ends this", listeners[0].local_addr()?);
    let _server = serve(listeners, Arc::new(MemoryStore::new()), Config::default())?;
    loop {
        std::thread::sleep(Duration::from_secs(1));
        for (power, count) in COUNTS.iter().map(|count| count.swap(0, Relaxed)).enumerate() {
            if count > 0 {
                println!("{count:>8} requests took less than {} µs", 1_u64 << power);
            }
        }
    }
}
