//! A thread that serves many clients, turn by turn.
//!
//! 1. Nothing here waits but [`epoll::wait`], and the disk.
//! 2. A client is served once in each turn: nobody is served twice before everybody was served once.
//! 3. The sets of a turn are stored together, and answered when they are on the disk.
//! 4. Whatever has come is read before anybody is told that it is too late, or makes room for another.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::{Arc, atomic::AtomicBool, atomic::Ordering::SeqCst};
use std::time::{Duration, Instant, SystemTime};

use dbserver::http::{exchange::Next, refusal::Refusal};
use dbserver::{Batch, Config, Engine};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll, epoll::EventData, epoll::EventFlags};
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};

use crate::client::{Alive, Client};

/// Between two looks at the deadlines, in milliseconds.
const LOOK: u32 = 100;
/// How long the last requests have when the server stops.
const LAST_REQUESTS: Duration = Duration::from_secs(4);
/// So many clients of a thread at a time are told that there is no slot for them.
const TURNED_AWAY: usize = 32;
/// What listeners are called. Clients are called 1, 2, 3 and so on.
const LISTENER: u64 = 0;

/// What all threads know.
pub(crate) struct Server<'s> {
    pub(crate) listeners: Vec<TcpListener>,
    pub(crate) config: Config,
    pub(crate) engine: &'s dyn Engine,
    pub(crate) batch: Option<&'s Batch>,
    pub(crate) threads: usize,
    /// How many clients a thread may have.
    pub(crate) slots: usize,
    pub(crate) stopping: AtomicBool,
    /// Each client has a clone of it, and so they are counted.
    pub(crate) clients: Arc<()>,
}

/// What holds for all clients of a thread in this turn.
pub(crate) struct Turn<'s> {
    pub(crate) server: &'s Server<'s>,
    pub(crate) epoll: OwnedFd,
    /// The clock is read once in a turn.
    pub(crate) now: Instant,
    pub(crate) date: SystemTime,
    /// Whether the server stops, and when this thread ends at the latest.
    pub(crate) stops: Option<Instant>,
}

pub(crate) struct Worker<'s> {
    turn: Turn<'s>,
    clients: HashMap<u64, Client<'s>>,
    last_name: u64,
    /// Whose pair is in the batch.
    held: Vec<u64>,
}

impl<'s> Worker<'s> {
    pub(crate) fn new(server: &'s Server<'s>) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for listener in &server.listeners {
            listener.set_nonblocking(true)?;
            epoll::add(&epoll, listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        }
        let (now, date) = (Instant::now(), SystemTime::now());
        let turn = Turn { server, epoll, now, date, stops: None };
        Ok(Worker { turn, clients: HashMap::new(), last_name: LISTENER, held: Vec::new() })
    }

    pub(crate) fn run(mut self) -> io::Result<()> {
        let server = self.turn.server;
        // Room for all of them: each that is ready is named in every turn.
        let mut events = Vec::with_capacity(server.slots + TURNED_AWAY + server.listeners.len());
        let mut looked = self.turn.now;
        let time = Timespec { tv_sec: 0, tv_nsec: i64::from(LOOK) * 1_000_000 };
        while self.turn.stops.is_none_or(|end| !self.clients.is_empty() && self.turn.now < end) {
            match epoll::wait(&self.turn.epoll, spare_capacity(&mut events), Some(&time)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            (self.turn.now, self.turn.date) = (Instant::now(), SystemTime::now());
            let mut accepts = false;
            for event in events.drain(..) {
                match event.data.u64() {
                    LISTENER => accepts = true,
                    name => self.serve(name, Client::ready),
                }
            }
            self.commit();
            if self.turn.stops.is_none() && server.stopping.load(SeqCst) {
                self.turn.stops = Some(self.turn.now + LAST_REQUESTS);
                // Clients in the queue are served, and then nothing listens any more.
                self.accept();
                for listener in &server.listeners {
                    let _ = shutdown(listener, Shutdown::Both);
                    let _ = epoll::delete(&self.turn.epoll, listener);
                }
            } else if accepts {
                self.accept();
            }
            if self.turn.stops.is_some()
                || self.turn.now - looked >= Duration::from_millis(LOOK.into())
            {
                looked = self.turn.now;
                self.look();
            }
        }
        Ok(())
    }

    /// Has a client do what can be done now, and ends it where nothing more can come of it.
    fn serve(&mut self, name: u64, step: impl FnOnce(&mut Client<'s>, &Turn<'s>) -> Alive) {
        let Some(client) = self.clients.get_mut(&name) else { return };
        if step(client, &self.turn).is_none() {
            self.clients.remove(&name);
        } else if client.held.is_some() {
            self.held.push(name);
        }
    }

    /// Stores the sets of this turn and answers them. Behind one of them, the next may wait already.
    fn commit(&mut self) {
        while let Some(batch) = self.turn.server.batch.filter(|batch| batch.waiting() > 0) {
            let outcome = batch.store();
            for name in std::mem::take(&mut self.held) {
                self.serve(name, |client, turn| client.committed(&outcome, turn));
            }
        }
    }

    /// Each thread is told of each new client. One that has more clients than the others leaves it.
    fn accept(&mut self) {
        let Server { listeners, threads, clients, .. } = self.turn.server;
        for listener in listeners {
            while self.turn.stops.is_some()
                || self.clients.len() * threads < Arc::strong_count(clients)
            {
                match listener.accept() {
                    Ok((stream, peer)) => self.add(stream, peer.ip()),
                    Err(error) => {
                        // Unless the queue is empty: there are no file descriptors left.
                        if error.kind() != ErrorKind::WouldBlock && self.turn.stops.is_none() {
                            self.evict();
                        }
                        break;
                    }
                }
            }
        }
    }

    fn add(&mut self, stream: TcpStream, address: IpAddr) {
        let slots = self.turn.server.slots;
        let is_free = self.clients.len() < slots || self.evict();
        let (name, data) = (self.last_name + 1, EventData::new_u64(self.last_name + 1));
        if self.clients.len() >= slots + TURNED_AWAY
            || epoll::add(&self.turn.epoll, &stream, data, EventFlags::IN).is_err()
        {
            return;
        }
        let _ = stream.set_nodelay(true);
        self.last_name = name;
        self.clients.insert(name, Client::new(stream, name, address, &self.turn));
        if !is_free {
            self.serve(name, |client, turn| client.end(&Refusal::NoSlot, turn));
        }
    }

    /// Ends the client that has gone longest without a request, if there is one that waits.
    fn evict(&mut self) -> bool {
        let waits = |client: &Client<'_>| matches!(client.waits, Some(Next::Idle | Next::Part(_)));
        let oldest = self.clients.iter().filter(|(_, client)| waits(client));
        let oldest = oldest.min_by_key(|(_, client)| client.answered).map(|(&name, _)| name);
        oldest.is_some_and(|name| self.clients.remove(&name).is_some())
    }

    /// Ends what takes too long and, when the server stops, what waits for nothing.
    fn look(&mut self) {
        let turn = &self.turn;
        self.clients.retain(|_, client| {
            // Where the last read was full, more may have come in time.
            if client.deadline <= turn.now && !std::mem::take(&mut client.was_full) {
                return client.late(turn).is_some();
            }
            let is_idle = client.waits == Some(Next::Idle) && client.answered < turn.now;
            !(turn.stops.is_some() && is_idle)
        });
    }
}
