//! The acceptor: the threads of one listener, which take turns at it.
//!
//! ```text
//!  start_thread() ──▶ accept() ◀──yes── fewer than 16 in accept()? ─no──▶ the thread ends
//!                        │                         ▲
//!                     a client                     │
//!                        ▼                         │
//!  is another thread in accept()? ──yes─▶ serve() ─┤
//!                        │ no             ▲        │
//!                        ▼                │        │
//!           a new thread is started ──────┘        │
//!           for it, and this one goes on ──────────┤
//!                        │ none to be had          │
//!                        ▼                         │
//!                   turn_away() ───────────────────┘
//! ```
//!
//! Handing a client over to another thread costs a sleep and a wake-up. So the thread that has accepted
//! a client serves it, if another is in `accept()` for the next one. If none is, a new thread serves
//! it, and the one that is already running goes on accepting. Otherwise each of a thousand clients that
//! connect at once would wait until one more new thread has had its turn among all that run.
//!
//! 1. As long as the server runs, somebody is in `accept()`, or on the way there.
//! 2. A thread that has served its connection takes the next one. Starting and ending threads is
//!    most of what a short connection costs.
//! 3. A system that has no more threads or file descriptors to give is met with fewer connections,
//!    not with a panic and not with a busy loop: one that waits has to go, the longest first.
//! 4. When the server stops, what is in the listener's queue at that moment is served, and nothing
//!    that connects later.
//!
//! The naive version, `for stream in listener.incoming() { thread::spawn(…) }`, starts as many
//! threads as there are clients, and panics when the system refuses one.
//!
//! Next: [`crate::net::threads`], which are counted.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::lock::lock;
use crate::net::connection;
use crate::net::slots::Slots;
use crate::net::threads::Threads;
use crate::store::engine::Engine;
use crate::watch::stage::{Stage, Why, reached};

/// How many threads may be in `accept()` on one listener. More than one is there only after
/// connections have ended, for the next ones.
const MAX_ACCEPTING: usize = 16;

/// How many clients are waited for at a time while they are told that there is no slot for them.
const MAX_TURNED_AWAY: usize = 32;

/// How many threads there may be beside those of the connections: at two listeners, with clients
/// that are turned away, and on their way out.
pub(crate) const MORE_THREADS: usize = 2 * MAX_ACCEPTING + MAX_TURNED_AWAY + 16;

/// After an `accept()` that failed for lack of something.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a client is kept while there is no thread for it.
const THREAD_TIME: Duration = Duration::from_millis(250);

/// Between two looks at whether something has happened.
const GLANCE: Duration = Duration::from_millis(1);

/// For our own call at a stop, where the queue may be full.
const CALL_TIME: Duration = Duration::from_millis(100);

/// What all threads of a server need.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) slots: Arc<Slots>,
    pub(crate) threads: Arc<Threads>,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) config: Config,
    /// How many clients are being told that there is no slot for them.
    pub(crate) turned_away: AtomicUsize,
    /// How many accepted clients have no thread yet.
    pub(crate) waiting: AtomicUsize,
}

/// One that waits, until this is dropped.
struct Waiting<'s>(&'s AtomicUsize);

impl<'s> Waiting<'s> {
    fn counted_in(waiting: &'s AtomicUsize) -> Self {
        waiting.fetch_add(1, SeqCst);
        Waiting(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// One listener, and the threads that take turns at it.
#[derive(Debug)]
pub(crate) struct Acceptor {
    /// None once the server has stopped.
    listener: Mutex<Option<Arc<TcpListener>>>,
    /// How many threads are in `accept()`, or on their way into it.
    accepting: AtomicUsize,
    /// From where we have called ourselves, as the last client.
    last_call: Mutex<Option<SocketAddr>>,
    shared: Arc<Shared>,
}

impl Acceptor {
    pub(crate) fn new(listener: TcpListener, shared: Arc<Shared>) -> Self {
        Acceptor {
            listener: Mutex::new(Some(Arc::new(listener))),
            accepting: AtomicUsize::new(0),
            last_call: Mutex::new(None),
            shared,
        }
    }

    /// Starts a thread in `accept()`.
    pub(crate) fn start_thread(self: &Arc<Self>) -> io::Result<()> {
        let acceptor = Arc::clone(self);
        self.shared.threads.start(move || acceptor.take_turns())
    }

    /// Takes turns at the listener until the server stops, or enough others do.
    fn take_turns(self: &Arc<Self>) {
        // While a client has no thread, perhaps at another listener, none stays where one is there already.
        let most = || if self.shared.waiting.load(SeqCst) > 0 { 1 } else { MAX_ACCEPTING };
        // In one step: a thread that was counted, and did not come, would be relied on.
        let room = |others| (others < most()).then_some(others + 1);
        while self.accepting.fetch_update(SeqCst, SeqCst, room).is_ok() {
            let accepted = self.accept();
            self.accepting.fetch_sub(1, SeqCst);
            match accepted {
                Some(Ok((stream, peer))) => self.welcome(&Arc::new(stream), peer),
                Some(Err(error)) => {
                    if !self.recovers(&error) {
                        return;
                    }
                }
                None => return,
            }
        }
    }

    /// The next client, or why there is none yet; none at all once the server has stopped.
    fn accept(&self) -> Option<io::Result<(TcpStream, SocketAddr)>> {
        let listener = lock(&self.listener).clone()?;
        let accepted = listener.accept();
        match &accepted {
            // The queue is in order: every client that was there before our own last call has been accepted.
            Ok((_, peer)) if Some(*peer) == self.last_caller() => self.hang_up(),
            Err(_) if lock(&self.listener).is_none() => {}
            _ => return Some(accepted),
        }
        None
    }

    fn last_caller(&self) -> Option<SocketAddr> {
        // The lock is held while that call is made, and nobody waits for it before.
        if self.shared.slots.is_stopping() { *lock(&self.last_call) } else { None }
    }

    /// Serves a client, or has a new thread serve it while nobody else is there for the next one.
    fn welcome(self: &Arc<Self>, stream: &Arc<TcpStream>, peer: SocketAddr) {
        let deadline = Instant::now() + THREAD_TIME;
        let (mut waiting, mut evicted) = (None, false);
        while self.accepting.load(SeqCst) == 0 {
            let (acceptor, client) = (Arc::clone(self), Arc::clone(stream));
            let started = self.shared.threads.start(move || {
                acceptor.serve(&client, peer);
                // It is not needed any more, and would keep the connection open.
                drop(client);
                acceptor.take_turns();
            });
            let Err(error) = started else { return };
            waiting.get_or_insert_with(|| Waiting::counted_in(&self.shared.waiting));
            // Where there are as many as may be, somebody is on the way out. Where the system has no more,
            // an idle client gives up its thread.
            if error.kind() != ErrorKind::QuotaExceeded {
                evicted = evicted || self.shared.slots.evict_one();
            }
            if Instant::now() >= deadline {
                return connection::turn_away(stream, false);
            }
            thread::sleep(GLANCE);
        }
        drop(waiting);
        self.serve(stream, peer);
    }

    fn serve(&self, stream: &Arc<TcpStream>, peer: SocketAddr) {
        let Shared { slots, engine, config, turned_away, .. } = &*self.shared;
        // Answers are written whole, so there is nothing for Nagle's algorithm to wait for.
        let _ = stream.set_nodelay(true);
        let seat = slots.take(stream);
        reached(Stage::Opened { peer });
        let why = if let Some(seat) = seat {
            let served = catch_unwind(AssertUnwindSafe(|| {
                connection::serve(stream, &seat, peer, &**engine, config)
            }));
            // Where it panicked, the message was printed when it happened.
            served.unwrap_or(Why::Gone)
        } else {
            let before = turned_away.fetch_add(1, SeqCst);
            connection::turn_away(stream, before < MAX_TURNED_AWAY);
            turned_away.fetch_sub(1, SeqCst);
            Why::Refused
        };
        reached(Stage::Closed { why });
    }

    /// After an `accept()` that failed; returns whether this thread tries again.
    fn recovers(&self, error: &io::Error) -> bool {
        match error.kind() {
            // A signal, or a client that was gone before we came.
            ErrorKind::Interrupted | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset => {
                true
            }
            // Most likely there is no file descriptor left. Linux reserves the next client's before that
            // client comes: a thread that waits in accept() has it, and no other is needed there.
            _ if self.accepting.load(SeqCst) > 0 => false,
            // One that waits gives up its own. A pause, because the error comes at once and would come
            // again.
            _ => {
                self.shared.slots.evict_one();
                thread::sleep(PAUSE);
                true
            }
        }
    }

    /// Lets what is in the queue now be accepted, and nothing that comes later; waits until nobody
    /// is in `accept()` any more, until `deadline` at the longest. From then on nothing listens.
    pub(crate) fn close(&self, deadline: Instant) {
        let (address, mut call) = (self.address(), None);
        while let Some(address) = address
            && (self.is_open() || self.accepting.load(SeqCst) > 0)
            && Instant::now() < deadline
        {
            let connect = || TcpStream::connect_timeout(&address, CALL_TIME).ok();
            if call.is_none() {
                let mut last_call = lock(&self.last_call);
                call = connect();
                *last_call = call.as_ref().and_then(|call| call.local_addr().ok());
            } else if !self.is_open() {
                // Where hanging up does not wake those in accept(), a client does.
                drop(connect());
            }
            thread::sleep(GLANCE);
        }
        self.hang_up();
    }

    fn is_open(&self) -> bool {
        lock(&self.listener).is_some()
    }

    fn hang_up(&self) {
        if let Some(listener) = lock(&self.listener).take() {
            // On Linux this ends the queue, and every accept() with an error; elsewhere it does nothing.
            let _ = rustix::net::shutdown(&*listener, rustix::net::Shutdown::Both);
        }
    }

    /// Where we can be called.
    fn address(&self) -> Option<SocketAddr> {
        let mut address = lock(&self.listener).as_ref()?.local_addr().ok()?;
        if address.ip().is_unspecified() {
            address.set_ip(match address.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        Some(address)
    }
}

#[cfg(test)]
mod tests;
