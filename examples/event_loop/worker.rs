//! A thread that serves many clients, turn by turn.
//!
//! 1. Nothing here waits but [`epoll::wait`], and the disk.
//! 2. A client is served once in each turn: nobody is served twice before everybody was served once.
//! 3. The sets of a turn are stored together, and answered when they are on the disk.
//! 4. Whatever has come is read before anybody is told that it is too late.

use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant, SystemTime};

use dbserver::http::{exchange::Exchange, exchange::Next, refusal::Refusal};
use dbserver::{Batch, Config, Engine};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use rustix::{buffer::spare_capacity, io::Errno, io::retry_on_intr};

/// Whether it is time to stop. This is looked at as often as deadlines.
pub(crate) static STOPS: AtomicBool = AtomicBool::new(false);
const LOOK: Duration = Duration::from_millis(100);

/// What all threads know.
pub(crate) struct Server<'s> {
    pub(crate) listeners: Vec<TcpListener>,
    pub(crate) config: Config,
    pub(crate) engine: &'s dyn Engine,
    pub(crate) batch: Option<&'s Batch>,
    pub(crate) threads: usize,
    pub(crate) clients: AtomicUsize,
}

struct Worker<'s> {
    server: &'s Server<'s>,
    epoll: std::os::fd::OwnedFd,
    /// A place for each client that this thread may have.
    places: Vec<Option<Box<Client<'s>>>>,
    held: Vec<usize>,
    /// The clock is read once in a turn.
    now: Instant,
    date: SystemTime,
    /// Whether the server stops, and when this thread ends at the latest.
    end: Option<Instant>,
}

struct Client<'s> {
    stream: TcpStream,
    name: EventData,
    exchange: Exchange<'s>,
    /// What is to come from it; `None` where the system must first take more of the answers.
    waits: Option<Next>,
    deadline: Instant,
    /// When its last request was there; at first, when it came.
    answered: Instant,
    /// Its pair is in the batch. The answer, after so many bytes that are ready, may be taken back.
    held: Option<usize>,
}

pub(crate) fn run(server: &Server<'_>) -> anyhow::Result<()> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    for listener in &server.listeners {
        listener.set_nonblocking(true)?;
        // No place has this number.
        epoll::add(&epoll, listener, EventData::new_u64(u64::MAX), EventFlags::IN)?;
    }
    let count = server.config.max_connections.div_ceil(server.threads);
    let (places, held) = ((0..count).map(|_| None).collect(), Vec::new());
    let (now, date) = (Instant::now(), SystemTime::now());
    let mut worker = Worker { server, epoll, places, held, now, date, end: None };
    // Room for all of them: each that is ready is named in every turn.
    let mut events = Vec::with_capacity(count + server.listeners.len());
    let (time, mut looked) = (LOOK.try_into()?, now);
    while worker.end.is_none_or(|end| server.clients.load(SeqCst) > 0 && worker.now < end) {
        // Whoever was just answered may ask again first. (With a file, a sync gives time for that.)
        server.batch.is_none().then(std::thread::yield_now);
        retry_on_intr(|| epoll::wait(&worker.epoll, spare_capacity(&mut events), Some(&time)))?;
        (worker.now, worker.date) = (Instant::now(), SystemTime::now());
        for event in events.drain(..) {
            match usize::try_from(event.data.u64()) {
                Ok(place) if place < count => worker.serve(place, Worker::ready),
                _ => worker.accept(),
            }
        }
        worker.commit();
        if worker.end.is_some() || worker.now - looked >= LOOK {
            looked = worker.now;
            (0..count).for_each(|place| worker.serve(place, Worker::look));
            worker.commit();
        }
        if worker.end.is_none() && STOPS.load(SeqCst) {
            worker.end = Some(worker.now + Duration::from_secs(4));
            worker.accept();
        }
    }
    Ok(())
}

impl<'s> Worker<'s> {
    /// Takes a step with a client. `None`: it is gone, or all is said.
    fn serve(&mut self, place: usize, step: impl FnOnce(&mut Self, &mut Client<'s>) -> Option<()>) {
        let Some(mut client) = self.places[place].take() else { return };
        if step(self, &mut client).is_some() {
            self.held.extend(client.held.map(|_| place));
            self.places[place] = Some(client);
        } else {
            self.server.clients.fetch_sub(1, SeqCst);
        }
    }

    /// Stores the sets of this turn and answers them. After one of them, the next may wait already.
    fn commit(&mut self) {
        while let Some(batch) = self.server.batch.filter(|batch| batch.waiting() > 0) {
            let outcome = batch.store();
            for place in std::mem::take(&mut self.held) {
                self.serve(place, |worker, client| {
                    if let (Some(before), Err(failed)) = (client.held.take(), &outcome) {
                        client.exchange.take_back(before);
                        client.exchange.refuse(&Refusal::Failed(failed.clone()));
                    }
                    worker.go_on(client)
                });
            }
        }
    }

    /// Each thread is told of each new client. One that has many more than the others leaves it.
    fn accept(&mut self) {
        let Server { listeners, threads, clients, .. } = self.server;
        let takes = |places: &[Option<_>]| {
            let (own, all) = (places.iter().flatten().count(), clients.load(SeqCst));
            own * threads <= all + if own < places.len() { all / 4 } else { 0 }
        };
        for listener in listeners {
            while (self.end.is_some() || takes(&self.places))
                && let Ok((stream, peer)) = listener.accept()
            {
                self.add(stream, peer.ip());
            }
            // When the server stops, those in the queue were the last.
            if self.end.is_some() {
                let _ = (shutdown(listener, Shutdown::Both), epoll::delete(&self.epoll, listener));
            }
        }
    }

    /// Gives it a free place, or that of the client that has gone longest without a request; of one
    /// that does not take its answers only where there is no other.
    fn add(&mut self, stream: TcpStream, address: IpAddr) -> Option<()> {
        let rank = |it: &Client<'_>| (it.held, it.waits.is_none(), it.answered);
        let rank = |&at: &usize| self.places[at].as_deref().map(rank);
        let oldest = || (0..self.places.len()).min_by_key(rank);
        let place = self.places.iter().position(Option::is_none).or_else(oldest)?;
        self.serve(place, |_, _| None);
        stream.set_nodelay(true).ok()?;
        let name = EventData::new_u64(place as u64);
        epoll::add(&self.epoll, &stream, name, EventFlags::IN).ok()?;
        let Server { engine, config, clients, .. } = self.server;
        clients.fetch_add(1, SeqCst);
        self.places[place] = Some(Box::new(Client {
            stream,
            name,
            exchange: Exchange::new(*engine, config, address, self.date),
            waits: Some(Next::Idle),
            deadline: self.now + config.limits.idle_time,
            answered: self.now,
            held: None,
        }));
        Some(())
    }

    /// Reads once (where that was not all, the next turn names it again), or goes on with writing.
    fn ready(&mut self, client: &mut Client<'s>) -> Option<()> {
        if client.waits.is_some() {
            match recv(&client.stream, client.exchange.space(), RecvFlags::DONTWAIT) {
                Ok((_, count)) if count > 0 => client.exchange.filled(count),
                Err(Errno::WOULDBLOCK) => client.exchange.filled(0),
                _ => return None,
            }
        }
        self.go_on(client)
    }

    /// Ends what takes too long and, when the server stops, what waits for nothing.
    fn look(&mut self, client: &mut Client<'s>) -> Option<()> {
        if self.end.is_some() && client.waits == Some(Next::Idle) {
            client.deadline = self.now;
        }
        // What came in time is read first. Of a little room for answers, epoll says nothing.
        if client.deadline <= self.now || client.waits.is_none() {
            self.ready(client)?;
        }
        match client.waits {
            _ if client.deadline > self.now || client.held.is_some() => Some(()),
            Some(Next::Idle | Next::Part(_)) if client.exchange.was_full() => Some(()),
            Some(Next::Part(part)) => {
                client.exchange.refuse(&Refusal::late(part));
                self.go_on(client)
            }
            _ => None,
        }
    }

    /// Answers what is there and writes the answers, as far as that goes.
    fn go_on(&mut self, client: &mut Client<'s>) -> Option<()> {
        let waiting = || self.server.batch.map_or(0, Batch::waiting);
        client.exchange.tick(self.date);
        while client.held.is_none() {
            let exchange = &mut client.exchange;
            match exchange.proceed() {
                Next::Request if !exchange.is_full() => {
                    let (before, waited) = (exchange.ready().len(), waiting());
                    let last = self.end.is_some() && !exchange.was_full() && !exchange.has_more();
                    exchange.answer(last);
                    client.held = (waiting() > waited).then_some(before);
                    client.answered = self.now;
                }
                next if exchange.ready().is_empty() => return self.wait(client, Some(next)),
                _ => match send(&client.stream, exchange.ready(), SendFlags::DONTWAIT) {
                    Ok(count) => exchange.sent(count),
                    Err(Errno::WOULDBLOCK) => return self.wait(client, None),
                    Err(_) => return None,
                },
            }
        }
        Some(())
    }

    /// Nothing more can be done in this turn. What is waited for, and until when?
    fn wait(&self, client: &mut Client<'s>, waits: Option<Next>) -> Option<()> {
        if let Some(Next::Over(_)) = waits {
            // It may still be sending.
            (client.exchange.has_more() || client.exchange.was_full()).then_some(())?;
            client.exchange.discard();
            shutdown(&client.stream, Shutdown::Write).ok()?;
        }
        if waits.is_some() != client.waits.is_some() {
            let flags = if waits.is_some() { EventFlags::IN } else { EventFlags::OUT };
            epoll::modify(&self.epoll, &client.stream, client.name, flags).ok()?;
        }
        // All reads of a head have one deadline together, and so have those of a body.
        if waits != client.waits || client.answered == self.now {
            let limits = &self.server.config.limits;
            let time = waits.map_or(limits.write_time, |next| next.time(limits));
            (client.waits, client.deadline) = (waits, self.now + time);
        }
        Some(())
    }
}
