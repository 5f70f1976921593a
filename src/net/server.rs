//! The server: accepts connections, gives each a thread, and ends them all when it stops.
//!
//! There is no thread that accepts and hands over: that would be one more sleep and one more
//! wake-up for each connection. Instead the threads take turns at the listener.
//!
//! ```text
//!  start_thread() ─▶ accept() ──connection──▶ is another thread in accept()?
//!                     ▲                         │ yes        │ no
//!                     │                         ▼            ▼
//!                     │                      serve() ◀── start_thread() ──refused──▶ drop it
//!                     │ yes                     ▼                                       │
//!                     └────── fewer than 8 in accept()? ◀───────────────────────────────┘
//!                                               └─no─▶ the thread ends
//! ```
//!
//! 1. As long as the server runs, somebody is in `accept()`.
//! 2. A thread that has served its connection takes the next one. Starting and ending threads is
//!    most of what a short connection costs.
//! 3. A system that has no more threads or file descriptors to give is met with fewer connections,
//!    not with a panic and not with a busy loop.
//! 4. What happens on one connection, a panic included, touches no other.
//!
//! The naive version, `for stream in listener.incoming() { thread::spawn(…) }`, starts as many
//! threads as there are clients, and panics when the system refuses one.
//!
//! Next: [`crate::net::slots`], which keeps count.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::config::Config;
use crate::net::connection;
use crate::net::slots::Slots;
use crate::store::engine::Engine;
use crate::watch::stage::{Stage, Why, reached};

/// How many threads may be in `accept()` on one listener. More than one is there only after
/// connections have ended, for the next ones.
const MAX_ACCEPTING: usize = 8;

/// How many clients that are told that there is no slot for them are waited for at a time.
const MAX_TURNED_AWAY: usize = 32;

/// A thread's stack, in bytes: the deepest path, a panic's backtrace, fits. Only what is touched
/// takes memory.
const STACK: usize = 256 << 10;

/// How long the last requests have when the server stops.
const LAST_REQUESTS: Duration = Duration::from_secs(4);

/// After an `accept()` that failed for lack of something.
const PAUSE: Duration = Duration::from_millis(20);

/// Between two looks at whether the last threads have ended.
const GLANCE: Duration = Duration::from_millis(1);

/// A server that runs. It goes on when this is dropped; [`Server::stop`] ends it.
#[derive(Debug)]
pub struct Server {
    acceptors: Vec<Arc<Acceptor>>,
    shared: Arc<Shared>,
}

/// One listener.
#[derive(Debug)]
struct Acceptor {
    listener: TcpListener,
    /// How many threads are in `accept()`, or on their way into it.
    accepting: AtomicUsize,
    /// How many threads there are, in `accept()` or with a connection.
    threads: AtomicUsize,
    shared: Arc<Shared>,
}

/// What all threads of a server need.
#[derive(Debug)]
struct Shared {
    slots: Arc<Slots>,
    engine: Arc<dyn Engine>,
    config: Config,
    /// How many clients are being told that there is no slot for them.
    turned_away: AtomicUsize,
}

/// Serves the pairs of `engine` on these listeners, in threads of its own.
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
    let shared = Arc::new(Shared {
        slots: Arc::new(Slots::new(config.max_connections)),
        engine,
        config,
        turned_away: AtomicUsize::new(0),
    });
    let mut server = Server { acceptors: Vec::new(), shared };
    for listener in listeners {
        let acceptor = Arc::new(Acceptor {
            listener,
            accepting: AtomicUsize::new(0),
            threads: AtomicUsize::new(0),
            shared: Arc::clone(&server.shared),
        });
        server.acceptors.push(Arc::clone(&acceptor));
        if let Err(error) = acceptor.start_thread() {
            server.stop();
            return Err(error).context("cannot start a thread");
        }
    }
    if let Err(error) = server.shared.start_watch() {
        server.stop();
        return Err(error).context("cannot start a thread");
    }
    Ok(server)
}

impl Server {
    /// Takes no more connections, lets requests that have begun be answered, for some seconds at
    /// most, and ends all connections.
    pub fn stop(&self) {
        self.shared.slots.stop();
        let deadline = Instant::now() + LAST_REQUESTS;
        loop {
            for acceptor in &self.acceptors {
                acceptor.wake_all();
            }
            self.shared.slots.drain(deadline.saturating_duration_since(Instant::now()));
            // A thread that is left may be about to take one more from the listener's queue. The
            // last one leaves when nobody waits there.
            let left = self.acceptors.iter().any(|acceptor| acceptor.threads.load(SeqCst) > 0);
            if !left || Instant::now() >= deadline {
                return;
            }
            thread::sleep(GLANCE);
        }
    }
}

impl Shared {
    /// Starts the thread that ends idle connections.
    ///
    /// Each connection could have a timeout of its own. But a read with a timeout starts and stops
    /// a timer in the system, for each request: one thread that looks around costs nothing.
    fn start_watch(self: &Arc<Self>) -> io::Result<()> {
        let shared = Arc::clone(self);
        let idle_time = shared.config.limits.idle_time;
        let interval = (idle_time / 8).clamp(Duration::from_millis(10), Duration::from_secs(1));
        let watch = move || {
            while shared.slots.pause(interval) {
                shared.slots.end_idle(idle_time);
            }
        };
        thread::Builder::new().name("watch".into()).spawn(watch).map(drop)
    }
}

impl Acceptor {
    /// Starts a thread in `accept()`.
    fn start_thread(self: &Arc<Self>) -> io::Result<()> {
        let acceptor = Arc::clone(self);
        self.accepting.fetch_add(1, SeqCst);
        self.threads.fetch_add(1, SeqCst);
        let thread = thread::Builder::new().name("connection".into()).stack_size(STACK);
        let started = thread.spawn(move || {
            acceptor.run();
            acceptor.threads.fetch_sub(1, SeqCst);
        });
        if started.is_err() {
            self.accepting.fetch_sub(1, SeqCst);
            self.threads.fetch_sub(1, SeqCst);
        }
        started.map(drop)
    }

    /// Takes turns at the listener until the server stops, or enough others do.
    fn run(self: &Arc<Self>) {
        loop {
            let accepted = self.listener.accept();
            let others = self.accepting.fetch_sub(1, SeqCst) - 1;
            match accepted {
                Ok((stream, peer)) => {
                    // While nobody else can be had for the listener, this thread must stay there.
                    let alone = others == 0 && self.start_thread().is_err();
                    if alone {
                        drop(stream);
                        // The next client finds the thread of one that waits.
                        self.shared.slots.evict_one();
                    } else {
                        self.serve(stream, peer);
                    }
                }
                Err(error) => {
                    if self.shared.slots.is_stopping() {
                        return;
                    }
                    self.recover(&error);
                }
            }
            // In one step: a thread that is counted, and does not come, would be relied on.
            let room = |others| (others < MAX_ACCEPTING).then_some(others + 1);
            if self.accepting.fetch_update(SeqCst, SeqCst, room).is_err() {
                return;
            }
        }
    }

    fn serve(&self, stream: TcpStream, peer: SocketAddr) {
        let stream = Arc::new(stream);
        // Answers are written whole, so there is nothing for Nagle's algorithm to wait for.
        let _ = stream.set_nodelay(true);
        if self.shared.slots.is_stopping() {
            // On BSDs a connection takes this over from the listener, where wake_all() has set it.
            let _ = stream.set_nonblocking(false);
        }
        let seat = self.shared.slots.take(&stream);
        reached(Stage::Opened { peer });
        let why = if let Some(mut seat) = seat {
            let served = catch_unwind(AssertUnwindSafe(|| {
                connection::serve(
                    &stream,
                    &mut seat,
                    peer,
                    &*self.shared.engine,
                    &self.shared.config,
                )
            }));
            // Where it panicked, the message was printed when it happened.
            served.unwrap_or(Why::Gone)
        } else {
            self.turn_away(&stream);
            Why::Refused
        };
        reached(Stage::Closed { why });
    }

    fn turn_away(&self, stream: &TcpStream) {
        let before = self.shared.turned_away.fetch_add(1, SeqCst);
        connection::turn_away(stream, before < MAX_TURNED_AWAY);
        self.shared.turned_away.fetch_sub(1, SeqCst);
    }

    /// After an `accept()` that failed.
    fn recover(&self, error: &io::Error) {
        match error.kind() {
            // A signal, or a client that was gone before we came.
            ErrorKind::Interrupted | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset => {}
            // Most likely there is no file descriptor left: one that waits gives up its own. A
            // pause, because the error comes at once and would come again.
            _ => {
                self.shared.slots.evict_one();
                thread::sleep(PAUSE);
            }
        }
    }

    /// Has every thread in `accept()` see that the server stops.
    ///
    /// A thread that blocks there wakes up for a connection, so it is given one. What other
    /// clients have in the queue is accepted first, and answered.
    fn wake_all(&self) {
        let _ = self.listener.set_nonblocking(true);
        let Ok(mut address) = self.listener.local_addr() else {
            return;
        };
        if address.ip().is_unspecified() {
            address.set_ip(match address.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        let deadline = Instant::now() + Duration::from_millis(250);
        while self.accepting.load(SeqCst) > 0 && Instant::now() < deadline {
            let _ = TcpStream::connect_timeout(&address, Duration::from_millis(100));
            // Whoever takes that starts another thread, which finds the queue empty and ends.
            thread::sleep(GLANCE);
        }
    }
}
