//! Answers that are ready together go out in one write.
//!
//! How many writes there were can't be told from the other end of a connection, so this server runs
//! inside the test, which watches the stages of its requests. Other tests have servers inside this
//! process too: what counts is what the threads do that have read this test's mark.
//!
//! CONTRACT §2.

use std::cell::Cell;
use std::sync::{Arc, Mutex};

use crate::common::Wire;
use dbserver::watch::stage::{self, Stage};
use dbserver::{Config, MemoryStore, listener, serve};

/// A key that only this test asks for.
const MARK: &str = "one-write";

/// The bytes of each write, in order.
static WRITES: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

thread_local! {
    /// Whether this thread's connection is this test's.
    static IS_OURS: Cell<bool> = const { Cell::new(false) };
}

fn note_writes(stage: Stage<'_>) {
    match stage {
        Stage::BytesRead { bytes, .. }
            if bytes.windows(MARK.len()).any(|it| it == MARK.as_bytes()) =>
        {
            IS_OURS.set(true);
        }
        Stage::Written(bytes) if IS_OURS.get() => WRITES.lock().unwrap().push(bytes.to_vec()),
        _ => {}
    }
}

/// Several requests in one packet | answers that are ready together go out in one write.
#[test]
fn answers_that_are_ready_together_go_out_in_one_write() {
    assert!(stage::observe(note_writes));
    let listeners = listener::bind("127.0.0.1", 0).unwrap();
    let address = listeners[0].local_addr().unwrap();
    let server = serve(listeners, Arc::new(MemoryStore::new()), Config::default()).unwrap();
    let mut wire = Wire::connect(address);
    let requests = [
        &format!("GET /set?{MARK}=b HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        &format!("GET /get?key={MARK} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        "GET /get?key=c HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nGET",
        &format!("GET /get?key={MARK} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ];
    // Few enough to be read at once, and the beginning of one more, which keeps no answer waiting.
    wire.send(requests.concat().repeat(6) + "GET /get?key=c");
    for i in 0..30 {
        assert_eq!(wire.answer().status, [200, 200, 404, 500, 200][i % 5], "{i}");
    }
    // A write is noted when it has been made: at the end of the connection, all are.
    wire.end().expect_end();
    let writes = std::mem::take(&mut *WRITES.lock().unwrap());
    let answers = |bytes: &[u8]| bytes.windows(9).filter(|it| it == b"HTTP/1.1 ").count();
    let counts: Vec<_> = writes.iter().map(|bytes| answers(bytes)).collect();
    assert_eq!(counts, [30]);
    server.stop();
}
