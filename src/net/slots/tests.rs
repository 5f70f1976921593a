use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use super::*;

/// The two ends of a new connection: the client's, and the server's.
fn connection() -> (TcpStream, Arc<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let stream = listener.accept().unwrap().0;
    for end in [&client, &stream] {
        end.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    }
    (client, Arc::new(stream))
}

/// An answer that the system takes at once.
fn sent(seat: &Seat) {
    assert_eq!(seat.sent(|| Ok(b"")).unwrap(), b"");
}

#[test]
fn the_one_that_has_waited_longest_makes_room() {
    let slots = Arc::new(Slots::new(2));
    let (mut first, stream) = connection();
    let oldest = slots.take(&stream).unwrap();
    let other = slots.take(&connection().1).unwrap();
    assert!(oldest.answer() && other.begin());
    sent(&oldest);
    // `other` has not had a request for longer, though it was opened later.
    let third = slots.take(&connection().1).unwrap();
    assert!(!other.begin() && !other.wait());
    assert!(oldest.answer());
    drop(third);
    assert!(oldest.wait());
    let _third = slots.take(&connection().1).unwrap();
    let _fourth = slots.take(&connection().1).unwrap();
    assert!(!oldest.wait());
    drop((oldest, stream));
    assert_eq!(first.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_client_that_pipelines_has_not_waited_since_its_last_answer() {
    let slots = Arc::new(Slots::new(2));
    let busy = slots.take(&connection().1).unwrap();
    let idle = slots.take(&connection().1).unwrap();
    assert!(busy.answer());
    sent(&busy);
    let _third = slots.take(&connection().1).unwrap();
    assert!(busy.answer() && !idle.answer());
}

#[test]
fn a_client_that_has_its_answer_waits_from_then_on() {
    let slots = Arc::new(Slots::new(1));
    let seat = slots.take(&connection().1).unwrap();
    assert!(seat.answer());
    // As long as the system has not taken all of it, it is not the client's turn.
    assert_eq!(seat.sent(|| Ok(b"rest")).unwrap(), b"rest");
    assert!(slots.take(&connection().1).is_none());
    sent(&seat);
    assert!(slots.take(&connection().1).is_some());
}

#[test]
fn no_client_that_is_being_answered_makes_room() {
    let slots = Arc::new(Slots::new(1));
    let seat = slots.take(&connection().1).unwrap();
    assert!(seat.answer());
    assert!(!slots.evict_one());
    assert!(slots.take(&connection().1).is_none());
    assert!(seat.wait());
    assert!(slots.evict_one());
    assert!(slots.take(&connection().1).is_some());
}

#[test]
fn a_client_whose_bytes_are_in_the_socket_does_not_make_room() {
    for has_begun in [false, true] {
        let slots = Arc::new(Slots::new(2));
        let (mut client, stream) = connection();
        let asking = slots.take(&stream).unwrap();
        let (other_client, other_stream) = connection();
        let other = slots.take(&other_stream).unwrap();
        client.write_all(b"GET").unwrap();
        stream.peek(&mut [0]).unwrap();
        assert!(if has_begun { asking.begin() } else { asking.wait() });
        // The other is not older, but has nothing to say.
        assert!(slots.evict_one() && !other.wait());
        assert!(!slots.evict_one());
        assert!(asking.answer());
        drop((client, other_client));
    }
}

#[test]
fn an_evicted_connection_may_still_say_its_last_word() {
    let slots = Arc::new(Slots::new(1));
    let (mut client, stream) = connection();
    let seat = slots.take(&stream).unwrap();
    assert!(slots.evict_one());
    // Its request has become whole at this moment.
    assert!(!seat.answer());
    (&*stream).write_all(b"answer").unwrap();
    drop((seat, stream));
    let mut received = Vec::new();
    client.read_to_end(&mut received).unwrap();
    assert_eq!(received, b"answer");
}

#[test]
fn a_stop_ends_the_input_of_those_that_wait_for_nothing() {
    let slots = Arc::new(Slots::new(2));
    let (mut idle_client, idle_stream) = connection();
    let (_begun_client, begun_stream) = connection();
    let (idle, begun) = (slots.take(&idle_stream).unwrap(), slots.take(&begun_stream).unwrap());
    idle_client.write_all(b"G").unwrap();
    idle_stream.peek(&mut [0]).unwrap();
    assert!(begun.begin());
    slots.stop();
    assert!(!idle.wait() && begun.begin());
    // What has come is read, and then the end.
    assert_eq!((&*idle_stream).read(&mut [0; 9]).unwrap(), 1);
    assert_eq!((&*idle_stream).read(&mut [0; 9]).unwrap(), 0);
    begun_stream.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    assert!((&*begun_stream).read(&mut [0]).is_err());
    slots.end_all(Shutdown::Read);
    assert_eq!((&*begun_stream).read(&mut [0]).unwrap(), 0);
}

#[test]
fn the_idle_are_ended_when_their_time_is_over_and_nothing_has_come() {
    let slots = Arc::new(Slots::new(4));
    let connections = [connection(), connection(), connection(), connection()];
    let seats = connections.each_ref().map(|(_, stream)| slots.take(stream).unwrap());
    let [silent, begun, answering, asking] = &seats;
    assert!(silent.wait() && begun.begin() && answering.answer());
    let [.., (client, stream)] = &connections;
    (&*client).write_all(b"G").unwrap();
    stream.peek(&mut [0]).unwrap();
    slots.end_idle(Duration::from_hours(1));
    assert!(silent.wait());
    slots.end_idle(Duration::ZERO);
    assert!(!silent.wait() && begun.begin() && answering.answer() && asking.wait());
    assert_eq!(seats.each_ref().map(Seat::ended), [Some(Why::Idle), None, None, None]);
    assert_eq!((&*connections[0].1).read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_connection_that_another_ended_knows_why() {
    let slots = Arc::new(Slots::new(3));
    let streams = [connection(), connection(), connection()];
    let seats = streams.each_ref().map(|(_, stream)| slots.take(stream).unwrap());
    let why = || seats.each_ref().map(Seat::ended);
    assert_eq!(why(), [None, None, None]);
    assert!(slots.evict_one());
    assert_eq!(why(), [Some(Why::Evicted), None, None]);
    // A request that has begun is still answered.
    assert!(seats[1].begin());
    slots.stop();
    assert_eq!(why(), [Some(Why::Evicted), None, Some(Why::Stopping)]);
}

#[test]
fn a_dropped_seat_is_free() {
    let slots = Arc::new(Slots::new(1));
    for _ in 0..3 {
        let seat = slots.take(&connection().1).unwrap();
        assert!(seat.answer());
    }
}
