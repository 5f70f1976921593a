use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::thread::ThreadId;

use super::*;
use crate::net::{listener, server};
use crate::store::engine::Failed;

/// An engine that keeps nothing but which threads have asked.
#[derive(Debug, Default)]
struct Asked(Mutex<HashSet<ThreadId>>);

impl Engine for Asked {
    fn find(&self, _: &str, _: &mut dyn FnMut(&str)) -> Result<(), Failed> {
        lock(&self.0).insert(thread::current().id());
        Ok(())
    }

    fn set(&self, _: &str, _: &str) -> Result<(), Failed> {
        Ok(())
    }
}

#[test]
fn a_thread_that_has_served_its_connection_takes_the_next_one() {
    let listeners = listener::bind("127.0.0.1", 0).unwrap();
    let address = listeners[0].local_addr().unwrap();
    let asked = Arc::new(Asked::default());
    let server = server::serve(listeners, asked.clone(), Config::default()).unwrap();
    for _ in 0..100 {
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"GET /get?key=a HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    }
    server.stop();
    // As many as may wait in accept(), and some more on a machine where they come late.
    let threads = lock(&asked.0).len();
    assert!(threads < 50, "{threads} threads for 100 connections");
}

/// A crowd would have to wait for one new thread after the other.
#[test]
fn a_thread_that_accepts_alone_goes_on_accepting() {
    let asked = Arc::new(Asked::default());
    let (acceptor, connect) = with_engine(asked.clone(), 9, 9);
    let alone = thread::scope(|scope| {
        let alone = scope.spawn(|| acceptor.take_turns()).thread().id();
        let clients = [connect(), connect(), connect()];
        for client in &clients {
            ask(client);
            assert_eq!(status(client), "404");
        }
        stop(&acceptor);
        alone
    });
    let asked = lock(&asked.0);
    assert_eq!((asked.len(), asked.contains(&alone)), (3, false));
}

/// One with so many slots and threads, and a way to connect to it.
fn with(slots: usize, threads: usize) -> (Arc<Acceptor>, impl Fn() -> TcpStream) {
    with_engine(Arc::new(Asked::default()), slots, threads)
}

fn with_engine(
    engine: Arc<Asked>,
    slots: usize,
    threads: usize,
) -> (Arc<Acceptor>, impl Fn() -> TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let shared = Arc::new(Shared {
        slots: Arc::new(Slots::new(slots)),
        threads: Arc::new(Threads::new(threads)),
        engine,
        config: Config::default(),
        turned_away: AtomicUsize::new(0),
        waiting: AtomicUsize::new(0),
    });
    (Arc::new(Acceptor::new(listener, shared)), move || TcpStream::connect(address).unwrap())
}

fn stop(acceptor: &Acceptor) {
    let soon = Instant::now() + Duration::from_mins(1);
    acceptor.shared.slots.stop();
    acceptor.close(soon);
    assert_eq!(acceptor.accepting.load(SeqCst), 0);
    assert!(acceptor.shared.threads.wait_for_all(soon));
}

/// A client that is served does not count, nor does one that was turned away.
fn nobody_waits(acceptor: &Acceptor) {
    let soon = Instant::now() + Duration::from_mins(1);
    while acceptor.shared.waiting.load(SeqCst) > 0 {
        assert!(Instant::now() < soon, "somebody still counts as waiting");
        thread::yield_now();
    }
}

fn ask(mut client: &TcpStream) {
    client.write_all(b"GET /get?key=a HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
}

fn status(mut client: &TcpStream) -> String {
    let mut line = [0; 12];
    client.read_exact(&mut line).unwrap();
    String::from_utf8_lossy(&line[9..]).into_owned()
}

#[test]
fn a_client_for_which_there_is_no_thread_is_kept_until_there_is_or_for_a_moment() {
    let (acceptor, connect) = with(9, 2);
    acceptor.start_thread().unwrap();
    // On a busy machine the moment may be over before the first client has left: then again.
    let waits_and_is_served = |_| {
        let first = connect();
        ask(&first);
        let served = status(&first) == "404";
        let second = connect();
        ask(&second);
        second.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let waits = second.peek(&mut [0]).is_err();
        drop(first);
        second.set_read_timeout(None).unwrap();
        let both = served && waits && status(&second) == "404";
        nobody_waits(&acceptor);
        both
    };
    assert!((0..5).any(waits_and_is_served));
    let first = connect();
    ask(&first);
    assert_eq!(status(&first), "404");
    assert_eq!(status(&connect()), "503");
    stop(&acceptor);
}

/// It would wait for the next client of its own listener, and there is one that does already.
#[test]
fn a_thread_that_comes_free_is_there_for_a_client_of_the_other_listener() {
    let (one, connect) = with(9, 3);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let other = Arc::new(Acceptor::new(listener, Arc::clone(&one.shared)));
    one.start_thread().unwrap();
    other.start_thread().unwrap();
    // On a busy machine the moment may be over before the first client has left: then again.
    let is_served = |_| {
        let first = connect();
        ask(&first);
        assert_eq!(status(&first), "404");
        let second = TcpStream::connect(address).unwrap();
        ask(&second);
        let soon = Instant::now() + THREAD_TIME;
        while one.shared.waiting.load(SeqCst) == 0 && Instant::now() < soon {
            thread::yield_now();
        }
        drop(first);
        let is_served = status(&second) == "404";
        nobody_waits(&one);
        is_served
    };
    assert!((0..5).any(is_served));
    other.shared.slots.stop();
    other.close(Instant::now() + Duration::from_mins(1));
    stop(&one);
}

#[test]
fn only_so_many_are_waited_for_that_are_turned_away() {
    let (acceptor, connect) = with(0, 9);
    acceptor.start_thread().unwrap();
    let count = &acceptor.shared.turned_away;
    for (others, is_waited_for) in
        [(0, true), (MAX_TURNED_AWAY - 1, true), (MAX_TURNED_AWAY, false)]
    {
        count.store(others, SeqCst);
        // On a busy machine the waiting may be over before we have looked: then again.
        let is_counted = |_| {
            let mut client = connect();
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
            let is_counted = count.load(SeqCst) > others;
            drop(client);
            while count.load(SeqCst) > others {
                thread::yield_now();
            }
            is_counted
        };
        assert_eq!((0..5).any(is_counted), is_waited_for, "{others}");
    }
    stop(&acceptor);
}

#[test]
fn a_client_that_waits_makes_room_where_the_system_lacks_something() {
    let (acceptor, connect) = with(9, 0);
    let (client, slots) = (Arc::new(connect()), &acceptor.shared.slots);
    let seat = slots.take(&client).unwrap();
    let lacks = rustix::io::Errno::MFILE.into();
    assert!(acceptor.recovers(&ErrorKind::ConnectionAborted.into()));
    assert!(seat.wait());
    // Not where another thread is in accept(): it has what it needs for the next client.
    acceptor.accepting.store(1, SeqCst);
    assert!(!acceptor.recovers(&lacks));
    assert!(seat.wait());
    acceptor.accepting.store(0, SeqCst);
    assert!(acceptor.recovers(&lacks));
    assert!(!seat.wait());
}

#[test]
fn a_stop_waits_for_the_queue_where_nobody_is_in_accept() {
    // The only thread keeps its client for a moment, as there is no other; one more is in the queue.
    let (acceptor, connect) = with(9, 1);
    acceptor.start_thread().unwrap();
    let (first, second) = (connect(), connect());
    while acceptor.accepting.load(SeqCst) > 0 {
        thread::yield_now();
    }
    stop(&acceptor);
    assert_eq!([status(&first), status(&second)], ["503", "503"]);
}
