//! Each thread is a connection of its own.

use std::time::Instant;

use super::*;
use crate::watch::room::tests::drain;
use crate::watch::stage::Why;

fn recorder(looking: bool) -> (Recorder, Receiver<Message>) {
    let (recorder, events) = Recorder::new(100);
    recorder.look(looking);
    (recorder, events)
}

fn open(recorder: &Recorder) {
    recorder.note(Stage::Opened { peer: ([127, 0, 0, 1], 5).into() });
}

fn close(recorder: &Recorder) {
    recorder.note(Stage::Closed { why: Why::Client });
}

/// A get from its first byte to its answer's last.
fn get(recorder: &Recorder) {
    recorder.note(Stage::BytesRead { bytes: b"GET", unread: 0 });
    recorder.note(Stage::Parsed { method: "GET", path: "/get", query: "", head: 1 });
    recorder.note(Stage::Answered { status: "200 OK", bytes: b"ok", body: 0, close: false });
    recorder.note(Stage::Written(b"ok"));
}

/// The first bytes of a set, up to its place in this batch.
fn join(recorder: &Recorder, batch: u64) {
    recorder.note(Stage::BytesRead { bytes: b"GET", unread: 0 });
    recorder.note(Stage::Joined { batch, leads: false });
}

fn journaled(batch: u64) -> Stage<'static> {
    Stage::Journaled { batch, lines: b"{}\n", sets: 1, at: 0, records: 1, keys: 0 }
}

fn synced(batch: u64, begun: Option<Instant>) -> Stage<'static> {
    Stage::Synced { batch, sets: 1, bytes: 3, at: 0, begun }
}

#[test]
fn while_nobody_looks_only_connections_are_told_and_requests_are_numbered() {
    let (recorder, events) = recorder(false);
    open(&recorder);
    for _ in 0..3 {
        get(&recorder);
    }
    recorder.look(true);
    get(&recorder);
    close(&recorder);
    let wanted = ["opened", "4:bytes_read", "4:parsed", "4:answered", "4:written", "closed"];
    assert_eq!(drain(&events).0, wanted);
    assert_eq!(recorder.room.take_lost(), (0, 0));
}

#[test]
fn a_request_that_began_before_anybody_looked_is_not_there_and_not_lost() {
    let (recorder, events) = recorder(false);
    open(&recorder);
    recorder.note(Stage::BytesRead { bytes: b"GET", unread: 0 });
    recorder.look(true);
    recorder.note(Stage::Answered { status: "200 OK", bytes: b"ok", body: 0, close: false });
    recorder.note(Stage::Written(b"ok"));
    // Nor is one that nobody wants to know of any more.
    recorder.look(false);
    get(&recorder);
    close(&recorder);
    assert_eq!(drain(&events).0, ["opened", "closed"]);
    assert_eq!(recorder.room.take_lost(), (0, 0));
}

#[test]
fn a_connection_leaves_nothing_to_the_next_of_its_thread() {
    let (recorder, events) = recorder(true);
    open(&recorder);
    recorder.note(Stage::BytesRead { bytes: b"GET", unread: 0 });
    close(&recorder);
    // What comes before the next begins is of none.
    get(&recorder);
    open(&recorder);
    get(&recorder);
    let first = ["opened", "1:bytes_read", "closed"];
    let second = ["opened", "1:bytes_read", "1:parsed", "1:answered", "1:written"];
    assert_eq!(drain(&events).0, [first.as_slice(), &second].concat());
    assert_eq!(recorder.room.take_lost(), (0, 0));
}

#[test]
fn requests_are_lost_once_somebody_looks() {
    let (recorder, events) = recorder(false);
    open(&recorder);
    get(&recorder);
    recorder.room.leave(0);
    get(&recorder);
    assert_eq!(recorder.room.take_lost(), (0, 0));
    recorder.look(true);
    get(&recorder);
    assert_eq!(recorder.room.take_lost(), (1, 0));
    assert_eq!(drain(&events).0, ["opened"]);
}

#[test]
fn the_batch_of_a_set_that_is_there_is_there_whoever_writes_it() {
    let (recorder, events) = recorder(true);
    recorder.room.leave(2);
    // The leader finds no room.
    open(&recorder);
    join(&recorder, 7);
    recorder.room.give(1000);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            open(&recorder);
            join(&recorder, 7);
        });
    });
    for batch in [7, 8] {
        recorder.note(journaled(batch));
        recorder.note(synced(batch, None));
    }
    let wanted = ["opened", "opened", "1:bytes_read", "1:joined", "1:journaled", "1:synced"];
    assert_eq!(drain(&events).0, wanted);
}

#[test]
fn a_sync_in_the_background_is_told_to_all_who_look_when_it_ends() {
    let (recorder, events) = recorder(false);
    let begun = Some(Instant::now());
    // Nobody looked when its sets came: none of them is recorded.
    recorder.note(journaled(1));
    recorder.note(synced(1, begun));
    recorder.look(true);
    recorder.note(synced(2, begun));
    recorder.note(synced(2, None));
    assert_eq!(drain(&events).0, ["synced"]);
}
