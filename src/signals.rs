//! The signals: a terminal, a shell or a supervisor says that it is time to stop.
//!
//! SIGINT is Ctrl-C, SIGTERM is `kill`, SIGHUP says that the terminal is gone. A signal interrupts a
//! thread wherever it is, and what runs then must take no lock and allocate nothing. So nothing runs:
//! the three are blocked in all threads, the system keeps what comes, and one thread waits for it
//! (`sigwait`), which may do what it likes.
//!
//! 1. The first signal asks for a stop in order.
//! 2. One more within a second is the same wish: where a window is closed, the system sends SIGHUP and
//!    so does the shell, and `timeout` sends to the process and to its group. One that comes later is
//!    from somebody in a hurry, and ends the process at once.
//! 3. What the parent left us does not make us deaf: we wait for blocked signals, whoever blocked them.
//! 4. A SIGHUP that was ignored at the start stays ignored: that is what `nohup` is for.
//!
//! The naive version leaves the second signal to the system's default action. Process 1 of a container
//! has none.
//!
//! Next: [`crate::config`], what there is to choose.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal, raise};

/// A second signal counts when it comes this long after the first.
const SAME_WISH: Duration = Duration::from_secs(1);

/// Calls `stop` when the first signal comes, in a thread of its own.
///
/// To be called before there are other threads: each starts with the blocked signals of the one that
/// starts it.
///
/// # Errors
/// Where there is no thread to be had.
pub fn at_the_first(stop: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mut awaited = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
    if !is_ignored(Signal::SIGHUP) {
        awaited.add(Signal::SIGHUP);
    }
    awaited.thread_block()?;
    // A file that may not grow any more (ulimit -f) is an error of the write, and no reason to die.
    SigSet::from(Signal::SIGXFSZ).thread_block()?;
    let wait = move || {
        if awaited.wait().is_err() {
            return;
        }
        let first = Instant::now();
        stop();
        while let Ok(signal) = awaited.wait() {
            if first.elapsed() >= SAME_WISH {
                end_at_once(signal);
            }
        }
    };
    thread::Builder::new().name("signals".into()).spawn(wait).map(drop)
}

/// Ends the process as the signal does by default, so that the parent sees which one it was.
fn end_at_once(signal: Signal) {
    let _ = raise(signal);
    let _ = SigSet::from(signal).thread_unblock();
    // Still there: process 1 is spared by the system. This is what a shell makes of the others' end.
    #[allow(clippy::disallowed_methods, reason = "nothing is to be put in order any more")]
    std::process::exit(128 + signal as i32);
}

/// Whether this process was started with the signal ignored. The system call that says so can't be
/// made in safe Rust, but Linux tells it in a file. macOS throws away what is ignored even where
/// it is waited for.
fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored(&status) >> (signal as i32 - 1) & 1 == 1
}

/// The ignored signals in the text of `/proc/self/status`, the first in the lowest bit.
fn ignored(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ignored_signals_are_read_from_the_file() {
        let status = "Name:\tx\nSigBlk:\t0000000000000002\nSigIgn:\t0000000000001001\nSigCgt:\t0\n";
        assert_eq!(ignored(status), 0x1001);
        for nothing in ["", "SigIgn:\n", "SigIgn: none\n"] {
            assert_eq!(ignored(nothing), 0);
        }
        // Rust's standard library has this one ignored in every program.
        #[cfg(target_os = "linux")]
        assert!(is_ignored(Signal::SIGPIPE) && !is_ignored(Signal::SIGTERM));
    }
}
