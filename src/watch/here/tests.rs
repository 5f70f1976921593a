//! A connection is a value here, and no thread has one.

use std::sync::mpsc::Receiver;
use std::time::Instant;

use super::*;
use crate::watch::room::Message;
use crate::watch::room::tests::drain;
use crate::watch::stage::{Part, Why};

/// Enough for whatever comes in one of these tests.
const ENOUGH: i64 = 1000;

/// A connection, and somebody who looks.
struct Connection {
    here: Here,
    room: Room,
    events: Receiver<Message>,
}

impl Connection {
    /// One for which there is so much room.
    fn open(room_left: i64) -> Self {
        let (room, events) = Room::new(100);
        room.leave(room_left);
        let mut here = Here::default();
        let peer = ([127, 0, 0, 1], 5).into();
        here.opened(1, Stage::Opened { peer }, true, &room);
        Connection { here, room, events }
    }

    fn note(&mut self, stage: Stage<'_>) {
        self.here.note(stage, true, &self.room);
    }

    fn read(&mut self, bytes: &[u8], unread: usize) {
        self.note(Stage::BytesRead { bytes, unread });
    }

    fn partial(&mut self) {
        self.note(Stage::Partial { part: Part::Head, have: 1, begun: Instant::now() });
    }

    fn answer(&mut self) {
        self.note(Stage::Parsed { method: "GET", path: "/get", query: "", head: 1 });
        self.note(Stage::Answered { status: "200 OK", bytes: b"ok", body: 0, close: false });
    }

    fn write(&mut self) {
        self.note(Stage::Written(b"ok"));
    }

    fn close(&mut self) {
        self.note(Stage::Closed { why: Why::Client });
    }

    /// What was told since this was last asked.
    fn told(&self) -> Vec<String> {
        drain(&self.events).0
    }
}

#[test]
fn a_request_that_finds_no_room_at_its_first_byte_is_counted_and_not_there() {
    let mut it = Connection::open(2 + ROOM - 1);
    it.read(b"GET", 0);
    // Room that comes later does not make half a request of it.
    it.room.give(ROOM);
    it.read(b" /", 3);
    it.answer();
    it.write();
    assert_eq!(it.told(), ["opened"]);
    assert_eq!(it.room.take_lost(), (1, 0));
    it.read(b"GET", 0);
    it.answer();
    it.write();
    assert_eq!(it.told(), ["2:bytes_read", "2:parsed", "2:answered", "2:written"]);
    assert_eq!(it.room.take_lost(), (0, 0));
    it.room.leave(0);
    it.read(b"GET", 0);
    it.answer();
    it.write();
    assert_eq!(it.told(), [""; 0]);
    assert_eq!(it.room.take_lost(), (1, 0));
}

#[test]
fn a_write_says_how_many_answers_it_has() {
    let mut it = Connection::open(ENOUGH);
    for count in [1, 3, 2] {
        it.read(b"GET", 0);
        for _ in 0..count {
            it.answer();
        }
        it.write();
    }
    let mut answers = Vec::new();
    while let Ok(Message::Event { event, .. }) = it.events.try_recv() {
        if let What::Written { answers: count, .. } = event.what {
            answers.push((event.r, count));
        }
    }
    assert_eq!(answers, [(Some(1), 1), (Some(4), 3), (Some(6), 2)]);
}

#[test]
fn a_request_keeps_its_room_while_the_answer_before_it_is_written() {
    let mut it = Connection::open(2 + 2 * ROOM);
    it.read(b"GET G", 0);
    it.answer();
    it.partial();
    it.write();
    it.room.leave(0);
    it.read(b"ET", 1);
    it.answer();
    it.write();
    let first = ["opened", "1:bytes_read", "1:parsed", "1:answered", "2:partial", "1:written"];
    let second = ["2:bytes_read", "2:parsed", "2:answered", "2:written"];
    assert_eq!(it.told(), [first.as_slice(), &second].concat());
}

#[test]
fn an_answer_to_nothing_is_told_on_a_connection_that_is_there() {
    for (room, wanted) in [(ENOUGH, &["opened", "1:answered", "1:written", "closed"][..]), (1, &[])]
    {
        let mut it = Connection::open(room);
        it.room.give(ENOUGH);
        it.note(Stage::Answered { status: "503 Busy", bytes: b"no", body: 0, close: true });
        it.write();
        it.close();
        assert_eq!(it.told(), wanted);
    }
}

#[test]
fn bytes_that_wait_to_be_told_are_told_at_the_end() {
    let mut it = Connection::open(2 + ROOM);
    for unread in 0..100 {
        it.read(b"G", unread);
    }
    it.close();
    let mut bytes = 0;
    while let Ok(Message::Event { event, .. }) = it.events.try_recv() {
        if let What::BytesRead { n, .. } = event.what {
            bytes += n;
        }
    }
    assert_eq!(bytes, 100);
}

#[test]
fn what_begins_in_a_packet_that_is_not_there_is_not_there_either() {
    let mut it = Connection::open(2);
    it.read(b"GET GET", 0);
    it.room.give(ENOUGH);
    it.answer();
    it.answer();
    it.write();
    assert_eq!(it.told(), ["opened"]);
    assert_eq!(it.room.take_lost(), (2, 0));
}

#[test]
fn a_request_that_is_lost_and_never_answered_is_counted_at_the_end() {
    let mut it = Connection::open(2);
    it.read(b"GET", 0);
    it.close();
    assert_eq!(it.told(), ["opened", "closed"]);
    assert_eq!(it.room.take_lost(), (1, 0));
}

#[test]
fn single_bytes_without_room_are_told_as_one_packet() {
    let mut it = Connection::open(2 + ROOM);
    let request: Vec<u8> = (b'a'..=b'z').cycle().take(200).collect();
    for (unread, byte) in request.iter().enumerate() {
        it.read(&[*byte], unread);
        it.partial();
    }
    it.answer();
    it.write();
    it.close();
    let mut text = String::new();
    let (mut count, mut is_parsed) = (0, false);
    while let Ok(Message::Event { event, .. }) = it.events.try_recv() {
        count += 1;
        is_parsed = is_parsed || matches!(event.what, What::Parsed { .. });
        if let What::BytesRead { text: piece, .. } = event.what {
            assert!(!is_parsed, "{piece} came after what was made of it");
            text += &piece;
        }
    }
    assert_eq!(text.as_bytes(), request);
    assert!(is_parsed && count < 2 + ROOM, "{count}");
}

#[test]
fn all_room_comes_back() {
    let mut it = Connection::open(ENOUGH);
    // A get; a set that leads a batch of forty; two in one packet; one that is never whole.
    it.read(b"GET", 0);
    it.answer();
    it.write();
    it.read(b"GET", 0);
    it.note(Stage::Joined { batch: 1, leads: true });
    it.room.send(it.here.c(), it.here.r(), batch_written(), false);
    for shard in 0..40 {
        it.note(Stage::Locked { shard });
    }
    it.answer();
    it.write();
    it.read(b"GET GET", 0);
    it.answer();
    it.answer();
    it.write();
    for unread in 0..100 {
        it.read(b"G", unread);
        it.partial();
    }
    it.close();
    let (names, back) = drain(&it.events);
    assert_eq!(names.iter().filter(|name| name.ends_with("locked")).count(), 40);
    assert_eq!(names.iter().filter(|name| *name == "5:bytes_read").count(), 100);
    it.room.give(back);
    assert_eq!(it.room.left(), ENOUGH);
}

/// What the leader tells of its batch, and every set in it has paid for.
fn batch_written() -> What {
    What::Synced { batch: 1, sets: 40, n: 3, at: 0, begun: None }
}

#[test]
fn a_connection_is_there_from_beginning_to_end_or_counted() {
    let mut it = Connection::open(1);
    it.room.give(ENOUGH);
    it.read(b"GET", 0);
    it.answer();
    it.write();
    it.close();
    assert_eq!(it.told(), [""; 0]);
    assert_eq!(it.room.take_lost(), (1, 1));
}
