use std::sync::Mutex;
use std::sync::mpsc::Receiver;

use super::*;
use crate::watch::room::Message;
use crate::watch::stage::{FileStep, Stage, Why};

/// Somebody who wants no more once it is told so many events, and what it was told.
struct Pupil {
    told: Arc<Mutex<Vec<What>>>,
    most: usize,
}

impl Sink for Pupil {
    fn take(&mut self, event: &Event, line: &Arc<str>) {
        assert_eq!(event.line(), **line);
        self.told.lock().unwrap().push(event.what.clone());
    }

    fn flush(&mut self) -> bool {
        self.told.lock().unwrap().len() < self.most
    }
}

struct Class {
    recorder: Recorder,
    events: Receiver<Message>,
    readers: Readers,
}

impl Class {
    fn new() -> Self {
        let (recorder, events) = Recorder::new(1);
        Class { recorder, events, readers: Readers::new(&Config::default(), Kept::Memory, "never") }
    }

    fn add(&mut self, most: usize) -> Arc<Mutex<Vec<What>>> {
        let told = Arc::default();
        let pupil = Pupil { told: Arc::clone(&told), most };
        self.readers.add(Box::new(pupil), &self.recorder);
        told
    }

    /// Whether requests are recorded.
    fn is_looking(&self) -> bool {
        let (step, bytes, records, keys) = (FileStep::Opened, 0, 0, None);
        self.recorder.note(Stage::File { step, bytes, records, keys });
        self.events.try_recv().is_ok()
    }

    fn tell(&mut self, c: u64, what: What, begins: bool) {
        self.readers.tell(&Event { t: 1, c: Some(c), r: Some(1), what }, begins);
    }
}

fn opened() -> What {
    What::Opened { peer: "127.0.0.1:5".into() }
}

/// The connections that a first line has.
fn open(what: &What) -> Vec<(u64, State)> {
    let What::Hello(hello) = what else { panic!("{what:?}") };
    hello.open.iter().map(|open| (open.c, open.state)).collect()
}

fn read() -> What {
    What::bytes_read(b"GET", 3)
}

#[test]
fn whoever_comes_is_told_who_is_connected_and_no_half_of_a_request() {
    let mut class = Class::new();
    class.tell(1, opened(), false);
    class.tell(2, opened(), false);
    class.tell(3, opened(), false);
    class.tell(3, What::Closed { why: Why::Client }, false);
    let first = class.add(100);
    class.tell(2, read(), true);
    let second = class.add(100);
    // The rest of a request, seen from its beginning by the first alone.
    let routed = What::Routed { path: "/get".into() };
    class.tell(2, routed.clone(), false);
    // A batch is of all who wait for it.
    let synced = What::Synced { batch: 1, sets: 1, n: 9, at: 0, begun: None };
    class.tell(2, synced.clone(), false);
    class.tell(2, read(), true);
    class.tell(2, routed.clone(), false);
    let (first, second) = (first.lock().unwrap(), second.lock().unwrap());
    assert_eq!(first[1..], [read(), routed.clone(), synced.clone(), read(), routed.clone()]);
    assert_eq!(second[1..], [synced, read(), routed]);
    assert_eq!(open(&first[0]), [(1, State::Idle), (2, State::Idle)]);
    assert_eq!(open(&second[0]), [(1, State::Idle), (2, State::Begun)]);
}

#[test]
fn losses_are_told_once_and_only_those_of_the_time_when_somebody_looked() {
    let mut class = Class::new();
    class.recorder.room.lose(7, 7);
    assert!(!class.is_looking());
    let told = class.add(3);
    assert!(class.is_looking());
    class.readers.flush(&class.recorder);
    assert_eq!(told.lock().unwrap().len(), 1);
    class.recorder.room.lose(2, 1);
    class.readers.flush(&class.recorder);
    class.readers.flush(&class.recorder);
    let lost = What::Lost { requests: 2, connections: 1 };
    assert_eq!(told.lock().unwrap()[1..], [lost]);
    // Whoever wants no more is told no more.
    class.tell(1, opened(), false);
    class.readers.flush(&class.recorder);
    assert!(class.readers.is_empty() && !class.is_looking());
    class.tell(2, opened(), false);
    assert_eq!(told.lock().unwrap().len(), 3);
}

#[test]
fn what_a_connection_did_when_the_last_reader_left_is_not_what_it_does() {
    let mut class = Class::new();
    class.tell(1, opened(), false);
    class.add(2);
    class.tell(1, read(), true);
    class.readers.flush(&class.recorder);
    assert!(class.readers.is_empty());
    let told = class.add(100);
    assert_eq!(open(&told.lock().unwrap()[0]), [(1, State::Idle)]);
}
