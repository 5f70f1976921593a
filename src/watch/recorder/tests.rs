//! Each test is a connection of its own: what is known of one is kept in its thread.

use super::*;
use crate::watch::room::cost;
use crate::watch::stage::{Part, Why};

fn recorder(looking: bool) -> (Recorder, Receiver<Message>) {
    let (recorder, events) = Recorder::new(100);
    recorder.look(looking);
    (recorder, events)
}

/// Leaves room for so many events.
fn leave(recorder: &Recorder, room: i64) {
    let mut all = 0;
    while recorder.room.set_aside(1) {
        all += 1;
    }
    assert!(all > room);
    recorder.room.give(room);
}

/// How much room there is; none afterwards.
fn room_left(recorder: &Recorder) -> i64 {
    let mut left = 0;
    while recorder.room.set_aside(1) {
        left += 1;
    }
    left
}

/// What is in the queue, as `request:name`, and the room that comes back with it.
fn drain(events: &Receiver<Message>) -> (Vec<String>, i64) {
    let (mut names, mut room) = (Vec::new(), 0);
    while let Ok(Message::Event { event, .. }) = events.try_recv() {
        room += cost(&event.what);
        let name = serde_json::to_value(&event.what).unwrap()["e"].as_str().unwrap().to_string();
        let r = event.r.map(|r| format!("{r}:")).unwrap_or_default();
        names.push(r + &name);
    }
    (names, room)
}

fn open(recorder: &Recorder) {
    recorder.note(Stage::Opened { peer: ([127, 0, 0, 1], 5).into() });
}

fn close(recorder: &Recorder) {
    recorder.note(Stage::Closed { why: Why::Client });
}

fn read(recorder: &Recorder, bytes: &[u8], unread: usize) {
    recorder.note(Stage::BytesRead { bytes, unread });
}

fn answer(recorder: &Recorder) {
    recorder.note(Stage::Parsed { method: "GET", path: "/get", query: "", head: 1 });
    let answered = Stage::Answered { status: "200 OK", bytes: b"ok", body: 0, close: false };
    recorder.note(answered);
}

fn write(recorder: &Recorder) {
    recorder.note(Stage::Written(b"ok"));
}

#[test]
fn while_nobody_looks_only_connections_are_told_and_requests_are_numbered() {
    let (recorder, events) = recorder(false);
    open(&recorder);
    for _ in 0..3 {
        read(&recorder, b"GET", 0);
        answer(&recorder);
        write(&recorder);
    }
    recorder.look(true);
    read(&recorder, b"GET", 0);
    answer(&recorder);
    write(&recorder);
    close(&recorder);
    let wanted = ["opened", "4:bytes_read", "4:parsed", "4:answered", "4:written", "closed"];
    assert_eq!(drain(&events).0, wanted);
    assert_eq!(recorder.take_lost(), (0, 0));
}

#[test]
fn a_request_that_finds_no_room_at_its_first_byte_is_counted_and_not_there() {
    let (recorder, events) = recorder(true);
    leave(&recorder, 2 + ROOM - 1);
    open(&recorder);
    read(&recorder, b"GET", 0);
    // Room that comes later does not make half a request of it.
    recorder.room.give(ROOM);
    read(&recorder, b" /", 3);
    answer(&recorder);
    write(&recorder);
    assert_eq!(drain(&events).0, ["opened"]);
    assert_eq!(recorder.take_lost(), (1, 0));
    read(&recorder, b"GET", 0);
    answer(&recorder);
    write(&recorder);
    assert_eq!(drain(&events).0, ["2:bytes_read", "2:parsed", "2:answered", "2:written"]);
    assert_eq!(recorder.take_lost(), (0, 0));
}

#[test]
fn what_begins_in_a_packet_that_is_not_there_is_not_there_either() {
    let (recorder, events) = recorder(true);
    leave(&recorder, 2);
    open(&recorder);
    read(&recorder, b"GET GET", 0);
    recorder.room.give(QUEUE_FOR_ALL);
    answer(&recorder);
    answer(&recorder);
    write(&recorder);
    assert_eq!(drain(&events).0, ["opened"]);
    assert_eq!(recorder.take_lost(), (2, 0));
}

#[test]
fn single_bytes_without_room_are_told_as_one_packet() {
    let (recorder, events) = recorder(true);
    leave(&recorder, 2 + ROOM);
    open(&recorder);
    let request: Vec<u8> = (b'a'..=b'z').cycle().take(200).collect();
    for (unread, byte) in request.iter().enumerate() {
        read(&recorder, &[*byte], unread);
        let begun = Instant::now();
        recorder.note(Stage::Partial { part: Part::Head, have: unread + 1, begun });
    }
    answer(&recorder);
    write(&recorder);
    close(&recorder);
    let mut text = String::new();
    let (mut count, mut is_parsed) = (0, false);
    while let Ok(Message::Event { event, .. }) = events.try_recv() {
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
    let (recorder, events) = recorder(true);
    let before = room_left(&recorder);
    recorder.room.give(before);
    // A get; a set that leads a batch of forty; two in one packet; one that is never whole.
    open(&recorder);
    read(&recorder, b"GET", 0);
    answer(&recorder);
    write(&recorder);
    read(&recorder, b"GET", 0);
    recorder.note(Stage::Joined { batch: 1, leads: true });
    let (batch, lines, sets) = (1, b"{}\n".as_slice(), 40);
    recorder.note(Stage::Journaled { batch, lines, sets, at: 0, records: 40, keys: 0 });
    recorder.note(Stage::Synced { batch, sets, bytes: 3, at: 0, begun: None });
    for shard in 0..40 {
        recorder.note(Stage::Locked { shard });
    }
    answer(&recorder);
    write(&recorder);
    read(&recorder, b"GET GET", 0);
    answer(&recorder);
    answer(&recorder);
    write(&recorder);
    for unread in 0..100 {
        read(&recorder, b"G", unread);
        recorder.note(Stage::Partial { part: Part::Head, have: 1, begun: Instant::now() });
    }
    close(&recorder);
    let (names, back) = drain(&events);
    assert_eq!(names.iter().filter(|name| name.ends_with("locked")).count(), 40);
    assert_eq!(names.iter().filter(|name| *name == "5:bytes_read").count(), 100);
    recorder.room.give(back);
    assert_eq!(room_left(&recorder), before);
}

#[test]
fn a_connection_is_there_from_beginning_to_end_or_counted() {
    let (recorder, events) = recorder(true);
    leave(&recorder, 1);
    open(&recorder);
    recorder.room.give(QUEUE_FOR_ALL);
    read(&recorder, b"GET", 0);
    answer(&recorder);
    write(&recorder);
    close(&recorder);
    assert_eq!(drain(&events).0, [""; 0]);
    assert_eq!(recorder.take_lost(), (1, 1));
}

#[test]
fn the_batch_of_a_set_that_is_there_is_there_whoever_writes_it() {
    let (recorder, events) = recorder(true);
    leave(&recorder, 2);
    // The leader finds no room.
    open(&recorder);
    read(&recorder, b"GET", 0);
    recorder.note(Stage::Joined { batch: 7, leads: true });
    recorder.room.give(QUEUE_FOR_ALL);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            open(&recorder);
            read(&recorder, b"GET", 0);
            recorder.note(Stage::Joined { batch: 7, leads: false });
        });
    });
    for batch in [7, 8] {
        let (lines, sets) = (b"{}\n".as_slice(), 1);
        recorder.note(Stage::Journaled { batch, lines, sets, at: 0, records: 1, keys: 0 });
        recorder.note(Stage::Synced { batch, sets, bytes: 3, at: 0, begun: None });
    }
    let wanted = ["opened", "opened", "1:bytes_read", "1:joined", "1:journaled", "1:synced"];
    assert_eq!(drain(&events).0, wanted);
}

/// Enough for whatever comes in one of these tests.
const QUEUE_FOR_ALL: i64 = 1000;
