//! The threads: how many there are, no more than may be, and when the last one has left.
//!
//! There are a few more threads than connections. Some wait for the next client; some tell one that
//! there is no slot; and the thread of a client that was evicted is still on its way out, which on a
//! busy machine may take a while. Each takes memory that the system limits ([`crate::net::capacity`]),
//! so all are counted.
//!
//! The naive version counts connections, and hopes.
//!
//! Next: [`crate::net::slots`], which keeps count of connections.

use std::io::{self, ErrorKind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use crate::lock::lock;

/// A thread's stack, in bytes: the deepest path, a panic's backtrace, fits. Only what is touched
/// takes memory.
const STACK: usize = 256 << 10;

/// The threads of a server.
#[derive(Debug)]
pub(crate) struct Threads {
    max: usize,
    count: Mutex<usize>,
    one_left: Condvar,
}

/// One of them, until this is dropped.
struct Counted(Arc<Threads>);

impl Threads {
    /// None yet, and at most `max`.
    pub(crate) fn new(max: usize) -> Self {
        Threads { max, count: Mutex::new(0), one_left: Condvar::new() }
    }

    /// Starts one.
    ///
    /// # Errors
    /// [`ErrorKind::QuotaExceeded`] where there are as many as may be, and those without a slot on
    /// their way out; any other where the system has none to give.
    pub(crate) fn start(self: &Arc<Self>, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let mut count = lock(&self.count);
        if *count >= self.max {
            return Err(ErrorKind::QuotaExceeded.into());
        }
        *count += 1;
        drop(count);
        let counted = Counted(Arc::clone(self));
        let thread = thread::Builder::new().name("connection".into()).stack_size(STACK);
        // Where it does not start, this is dropped all the same.
        let run = move || {
            run();
            drop(counted);
        };
        thread.spawn(run).map(drop)
    }

    /// Waits until all have left, until `deadline` at the longest, and returns whether they have.
    pub(crate) fn wait_for_all(&self, deadline: Instant) -> bool {
        let time = deadline.saturating_duration_since(Instant::now());
        let waited = self.one_left.wait_timeout_while(lock(&self.count), time, |count| *count > 0);
        *waited.unwrap_or_else(PoisonError::into_inner).0 == 0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        *lock(&self.0.count) -= 1;
        self.0.one_left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn there_are_no_more_than_may_be_and_each_makes_room_when_it_leaves() {
        let threads = Arc::new(Threads::new(2));
        let soon = || Instant::now() + Duration::from_mins(1);
        assert!(threads.wait_for_all(Instant::now()));
        for _ in 0..3 {
            let (leave, wait) = mpsc::channel::<()>();
            let wait = Arc::new(Mutex::new(wait));
            for _ in 0..2 {
                let wait = Arc::clone(&wait);
                threads.start(move || assert!(lock(&wait).recv().is_err())).unwrap();
            }
            let refused = threads.start(|| ()).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::QuotaExceeded);
            assert!(!threads.wait_for_all(Instant::now()));
            drop(leave);
            assert!(threads.wait_for_all(soon()));
        }
    }

    #[test]
    fn a_panic_leaves_too() {
        let threads = Arc::new(Threads::new(1));
        threads.start(|| panic!("in a thread")).unwrap();
        assert!(threads.wait_for_all(Instant::now() + Duration::from_mins(1)));
    }
}
