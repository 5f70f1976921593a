//! The placement: a thread serves its client fastest from the processor where the client is.
//!
//! A request that arrives wakes the thread that waits for it. If the thread last ran on another
//! processor, the one that handles the packet has to interrupt that other one, which can cost more
//! than the rest of the request. On loopback, the packet is handled where the client runs; on a
//! network card, where its interrupts go. Linux knows the place (`SO_INCOMING_CPU`), so the thread
//! goes there.
//!
//! It *goes* there, and is not bound to stay: right afterwards every processor is allowed again,
//! and the system may move the thread as it likes. A single client with many connections would
//! otherwise have them all served by the one processor that it needs itself.
//!
//! Next: [`crate::http`], what the bytes mean.

use std::net::TcpStream;

/// Looks where the client is at this read of a connection: short connections are not worth it.
const FIRST_LOOK: u32 = 8;

/// And again after so many more: clients move.
const LOOK_AGAIN: u32 = 1024;

/// Counts the reads of a connection, and now and then moves its thread to its client.
#[derive(Debug, Default)]
pub(crate) struct Placement {
    reads: u32,
}

impl Placement {
    /// One more read has brought something.
    pub(crate) fn has_read(&mut self, stream: &TcpStream) {
        self.reads = self.reads.wrapping_add(1);
        if self.reads % LOOK_AGAIN == FIRST_LOOK {
            move_to_client(stream);
        }
    }
}

/// Moves the thread. Nothing depends on it, so a system that refuses is left alone.
#[cfg(target_os = "linux")]
fn move_to_client(stream: &TcpStream) {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

    let Ok(cpu) = rustix::net::sockopt::socket_incoming_cpu(stream) else { return };
    let Ok(cpu) = usize::try_from(cpu) else { return };
    if cpu == sched_getcpu() || cpu >= CpuSet::MAX_CPU {
        return;
    }
    let Ok(allowed) = sched_getaffinity(None) else { return };
    let mut there = CpuSet::new();
    there.set(cpu);
    if allowed.is_set(cpu) && sched_setaffinity(None, &there).is_ok() {
        let _ = sched_setaffinity(None, &allowed);
    }
}

#[cfg(not(target_os = "linux"))]
fn move_to_client(_: &TcpStream) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    use rustix::net::sockopt::socket_incoming_cpu;
    use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

    use super::*;

    #[test]
    fn the_thread_goes_where_its_client_is() {
        let all = sched_getaffinity(None).unwrap();
        let mut cpus = (0..CpuSet::MAX_CPU).filter(|&cpu| all.is_set(cpu));
        // With one processor there is nowhere to go.
        let (Some(one), Some(other)) = (cpus.next(), cpus.next()) else { return };
        let stay = |cpu| {
            let mut there = CpuSet::new();
            there.set(cpu);
            sched_setaffinity(None, &there).unwrap();
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let (mut told, mut moved) = (0, 0);
        for (here, there) in [(one, other), (other, one)].repeat(10) {
            thread::scope(|scope| {
                scope.spawn(|| {
                    stay(there);
                    (&client).write_all(b"1").unwrap();
                });
            });
            (&stream).read_exact(&mut [0]).unwrap();
            stay(here);
            sched_setaffinity(None, &all).unwrap();
            let mut placement = Placement::default();
            (1..FIRST_LOOK).for_each(|_| placement.has_read(&stream));
            let stayed = sched_getcpu() == here;
            placement.has_read(&stream);
            moved += usize::from(stayed && sched_getcpu() == there);
            told +=
                usize::from(socket_incoming_cpu(&stream).is_ok_and(|cpu| cpu as usize == there));
        }
        // Now and then the system itself moves a thread.
        assert!(moved * 2 >= told, "{moved} of {told}");
    }

    #[test]
    fn the_thread_is_free_again_after_the_move() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let before = sched_getaffinity(None).unwrap();
        let mut placement = Placement::default();
        for _ in 0..=FIRST_LOOK + LOOK_AGAIN {
            placement.has_read(&stream);
        }
        assert_eq!(sched_getaffinity(None).unwrap(), before);
        drop(client);
    }
}
