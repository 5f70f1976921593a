//! The server: listeners, their threads and the connections, from the first to the end of the last.
//!
//! 1. What happens on one connection, a panic included, touches no other.
//! 2. No number of clients ends the process: connections and threads have a limit, below the system's.
//! 3. When it stops, whoever has begun to ask is answered, and within five seconds it is over.
//!
//! The naive version never stops: it is killed, in the middle of whatever it does.
//!
//! Next: [`crate::net::acceptor`], where the threads are.

use std::io;
use std::net::{Shutdown, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::config::Config;
use crate::net::acceptor::{Acceptor, MORE_THREADS, Shared};
use crate::net::capacity;
use crate::net::slots::Slots;
use crate::net::threads::Threads;
use crate::store::engine::Engine;

/// How long the last requests have to come when the server stops.
const LAST_REQUESTS: Duration = Duration::from_secs(4);

/// And how long what has come by then has to be answered.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// A server that runs. It goes on when this is dropped; [`Server::stop`] ends it.
#[derive(Debug)]
pub struct Server {
    acceptors: Vec<Arc<Acceptor>>,
    shared: Arc<Shared>,
}

/// Serves the pairs of `engine` on these listeners, in threads of its own.
///
/// There are no more connections at a time than `config` says, and none that the system has no room
/// for: where that is fewer, there is a warning. For their sake the process's limit on open files is
/// raised as far as the system lets us.
///
/// # Errors
/// Where not even one thread for each listener can be started.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use dbserver::{Config, MemoryStore, listener, serve};
///
/// let listeners = listener::bind("localhost", 0)?;
/// let server = serve(listeners, Arc::new(MemoryStore::new()), Config::default())?;
/// // Clients are served now, until:
/// server.stop();
/// # anyhow::Ok(())
/// ```
pub fn serve(
    listeners: Vec<TcpListener>,
    engine: Arc<dyn Engine>,
    config: Config,
) -> anyhow::Result<Server> {
    let max = capacity::at_most(config.max_connections);
    let shared = Arc::new(Shared {
        slots: Arc::new(Slots::new(max)),
        threads: Arc::new(Threads::new(max.saturating_add(MORE_THREADS))),
        engine,
        config,
        turned_away: AtomicUsize::new(0),
        waiting: AtomicUsize::new(0),
    });
    end_idle(&shared).context("cannot start a thread")?;
    let mut server = Server { acceptors: Vec::new(), shared };
    for listener in listeners {
        let acceptor = Arc::new(Acceptor::new(listener, Arc::clone(&server.shared)));
        if let Err(error) = acceptor.start_thread() {
            server.stop();
            return Err(error).context("cannot start a thread");
        }
        server.acceptors.push(acceptor);
    }
    Ok(server)
}

/// Ends idle connections, as long as there is a server. Each could do that for itself, with a timeout
/// for its reads; but then every request pays for a timer that almost never rings.
fn end_idle(shared: &Shared) -> io::Result<()> {
    let (slots, time) = (Arc::downgrade(&shared.slots), shared.config.limits.idle_time);
    let pause = (time / 8).clamp(Duration::from_millis(1), Duration::from_secs(1));
    let look = move || {
        while let Some(slots) = slots.upgrade() {
            slots.end_idle(time);
            drop(slots);
            thread::sleep(pause);
        }
    };
    thread::Builder::new().name("idle".into()).spawn(look).map(drop)
}

impl Server {
    /// Takes no more connections, lets requests that have begun be answered, for some seconds at
    /// most, and ends all connections. When it returns, nothing listens.
    pub fn stop(self) {
        let Shared { slots, threads, .. } = &*self.shared;
        let deadline = Instant::now() + LAST_REQUESTS;
        slots.stop();
        for acceptor in &self.acceptors {
            acceptor.close(deadline);
        }
        if !threads.wait_for_all(deadline) {
            // What has come in time is answered even if nobody had the time to read it: this
            // process may have been stopped meanwhile, as by Ctrl-Z.
            slots.end_all(Shutdown::Read);
            if !threads.wait_for_all(Instant::now() + LAST_ANSWERS) {
                slots.end_all(Shutdown::Both);
            }
        }
    }
}
