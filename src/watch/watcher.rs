//! The watcher: one reader of the events, as Server-Sent Events (HTML Standard §9.2).
//!
//! ```text
//! HTTP/1.1 200 OK
//! Content-Type: text/event-stream
//!
//! data: {"t":0,"e":"hello",…}
//!
//! data: {"t":81250,"c":7,"r":1,"e":"bytes_read",…}
//! ```
//!
//! A browser reads this with `EventSource`, which asks again when the connection ends; each time, the first
//! line is [`crate::watch::hello`], with which it begins anew. With curl it is `curl -N
//! localhost:4001/events`.
//!
//! 1. Lines wait in a queue of [`LINES`]. Whoever lets it overflow (a stopped program, a page whose tab sleeps)
//!    has missed some, and is let go: it may come back, and is told what there is then.
//! 2. A watcher that has left is noticed, even if there is nothing to tell it.
//!
//! Next: [`crate::watch::page`], which lets watchers in.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use crate::net::socket::{Socket, Wait};
use crate::watch::event::Event;
use crate::watch::room::Sink;
use crate::watch::scribe::Scribe;

/// How many lines may wait for a watcher: more than wait for the scribe, which hands them on all at
/// once.
const LINES: usize = 1 << 14;

/// About how much is written at a time, in bytes.
const WRITE_FULL: usize = 32 << 10;

/// How long a watcher may take for each 64 KiB.
const WRITE_TIME: Duration = Duration::from_secs(5);

/// Between two looks at whether a watcher to whom there is nothing to say is still there.
const GLANCE: Duration = Duration::from_millis(250);

/// Writes `head`, and then every event from now on, until the watcher or the scribe leaves.
///
/// # Errors
/// Where the watcher has left, or takes nothing.
pub(crate) fn serve(socket: &mut Socket<'_>, scribe: &Scribe, head: &str) -> io::Result<()> {
    let _writing = scribe.writing.read();
    let (lines, queue) = sync_channel(LINES);
    scribe.hand_on(Box::new(Watcher { lines, is_late: false }));
    // Last: whoever has the head is told of all that happens from then on.
    socket.write(head.as_bytes(), WRITE_TIME)?;
    let mut text = String::new();
    loop {
        match queue.recv_timeout(GLANCE) {
            Ok(line) => {
                text.clear();
                let mut next = Some(line);
                while let Some(line) = next {
                    text.extend(["data: ", &line, "\n\n"]);
                    next = (text.len() < WRITE_FULL).then(|| queue.try_recv().ok()).flatten();
                }
                socket.write(text.as_bytes(), WRITE_TIME)?;
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Err(RecvTimeoutError::Timeout) => {}
        }
        // What a watcher says is not of interest, only whether there is one.
        match socket.read(&mut [0; 256], Wait::No) {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() != ErrorKind::TimedOut => return Err(error),
            _ => {}
        }
    }
}

/// A watcher, as the scribe sees it.
struct Watcher {
    lines: SyncSender<Arc<str>>,
    is_late: bool,
}

impl Sink for Watcher {
    fn take(&mut self, _: &Event, line: &Arc<str>) {
        self.is_late = self.is_late || self.lines.try_send(Arc::clone(line)).is_err();
    }

    fn flush(&mut self) -> bool {
        !self.is_late
    }
}
