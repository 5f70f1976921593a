use std::net::TcpListener;
use std::thread;

use super::*;

/// The two ends of a new connection: the client's, and the server's.
fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

#[test]
fn what_has_arrived_is_read_when_the_time_is_over() {
    let (mut client, stream) = connection();
    let mut socket = Socket::new(&stream);
    let over = Instant::now();
    let soon = over + Duration::from_millis(20);
    for wait in [Wait::No, Wait::Until(soon), Wait::Until(over)] {
        let kind = socket.read(&mut [0], wait).unwrap_err().kind();
        assert_eq!(kind, ErrorKind::TimedOut, "{wait:?}");
        client.write_all(b"1").unwrap();
        stream.peek(&mut [0]).unwrap();
        assert_eq!(socket.read(&mut [0], wait).unwrap(), 1, "{wait:?}");
    }
}

#[test]
fn what_the_client_has_taken_counts_when_the_time_is_over() {
    let (mut client, stream) = connection();
    let mut socket = Socket::new(&stream);
    let bytes = vec![7; 100_000];
    let mut sent = 0;
    let rest = loop {
        let rest = socket.send(&bytes).unwrap();
        sent += bytes.len() - rest.len();
        if !rest.is_empty() {
            break rest;
        }
    };
    let error = socket.write(rest, Duration::ZERO).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    // Now it takes everything.
    let reader = thread::scope(|scope| {
        let reader = scope.spawn(|| client.read_exact(&mut vec![0; sent]));
        reader.join().unwrap()
    });
    reader.unwrap();
    socket.write(rest, Duration::ZERO).unwrap();
}

/// So much fits in no buffer between the two.
const A_LOT: usize = 32 << 20;

#[test]
fn a_client_that_takes_its_time_gets_everything() {
    let (mut client, stream) = connection();
    let bytes = vec![7; A_LOT];
    thread::scope(|scope| {
        scope.spawn(move || {
            Socket::new(&stream).write(&bytes, Duration::from_mins(1)).unwrap();
        });
        let mut piece = vec![0; 1 << 20];
        for _ in 0..A_LOT / piece.len() {
            thread::yield_now();
            client.read_exact(&mut piece).unwrap();
        }
    });
}

#[test]
fn a_client_that_takes_nothing_more_is_given_up() {
    let (_client, stream) = connection();
    let mut socket = Socket::new(&stream);
    let written = socket.write(&vec![7; A_LOT], Duration::from_millis(20));
    assert_eq!(written.unwrap_err().kind(), ErrorKind::TimedOut);
    for _ in 0..5 {
        // A buffer on the way may still grow a little.
        if let Err(error) = socket.write(b"1", Duration::from_millis(10)) {
            assert_eq!(error.kind(), ErrorKind::TimedOut);
        }
    }
}

#[test]
fn a_reset_ends_a_read_and_a_write_at_once() {
    let time = Duration::from_secs(20);
    for wait in [Wait::No, Wait::Idle, Wait::Until(Instant::now() + time)] {
        let (client, stream) = connection();
        let mut socket = Socket::new(&stream);
        rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
        drop(client);
        let begun = Instant::now();
        let error = socket.read(&mut [0], wait).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{wait:?}");
        assert_eq!(socket.write(b"1", time).unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert!(begun.elapsed() < time / 2, "{wait:?}");
    }
}

#[test]
fn the_last_answer_is_waited_for_a_moment_and_some_bytes() {
    // What the client sends when it has read our end, and how much of it stays unread.
    for (sends, is_read) in [(LINGER_BYTES / 2, true), (2 * LINGER_BYTES, false)] {
        let (mut client, stream) = connection();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let unread = thread::scope(|scope| {
            let client = scope.spawn(move || {
                assert_eq!(client.read(&mut [0]).unwrap(), 0);
                client.write_all(&vec![7; sends]).unwrap();
            });
            Socket::new(&stream).linger(&mut [0; 1000]);
            let mut unread = Vec::new();
            (&stream).read_to_end(&mut unread).unwrap();
            client.join().unwrap();
            unread.len()
        });
        assert_eq!(unread == 0, is_read, "{unread}");
        assert!(unread <= LINGER_BYTES, "{unread}");
    }
    // One that keeps its side open, and says nothing.
    let (_client, stream) = connection();
    let begun = Instant::now();
    Socket::new(&stream).linger(&mut [0; 1000]);
    assert!(begun.elapsed() >= LINGER_TIME);
}

#[test]
fn a_client_that_has_closed_is_not_waited_for() {
    let is_quick = |_| {
        let (client, stream) = connection();
        drop(client);
        let begun = Instant::now();
        Socket::new(&stream).linger(&mut [0; 1000]);
        begun.elapsed() < LINGER_TIME
    };
    // On a busy machine a moment may pass all the same.
    assert!((0..5).any(is_quick));
}

#[test]
fn no_time_is_too_long() {
    let (mut client, stream) = connection();
    let mut socket = Socket::new(&stream);
    let far = Instant::now() + Duration::MAX.min(LONGEST);
    client.write_all(b"123").unwrap();
    for wait in [Wait::Until(far), Wait::Idle] {
        assert_eq!(socket.read(&mut [0], wait).unwrap(), 1);
    }
    socket.write(b"answer", Duration::MAX).unwrap();
}
