//! A free port for a server that is started. The labs, the cluster and the tests find theirs with it
//! too.
//!
//! The system would choose one for port 0, and give it to somebody else before our server listens: to
//! another server, or to the next outgoing connection. So these are from below the numbers that it
//! chooses from, and whoever finds one holds it.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::ops::Range;

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketType};

const PORTS: Range<u16> = 20_000..30_000;

/// A port for one server, and for no other that is started this way as long as this is kept.
#[derive(Debug)]
pub(crate) struct FreePort {
    pub(crate) number: u16,
    /// UDP has the same numbers, and its ports are its own: this one only says that the number is
    /// taken.
    _taken: UdpSocket,
}

impl FreePort {
    /// A port that nobody listens on.
    ///
    /// # Errors
    /// Where there is none.
    pub(crate) fn find() -> io::Result<Self> {
        // The standard library's one source of numbers that differ each time.
        let random = RandomState::new();
        let count = u64::from(PORTS.end - PORTS.start);
        let mut tries = (0..1000).filter_map(|attempt| {
            let offset = u16::try_from(random.hash_one(attempt) % count).ok()?;
            let number = PORTS.start + offset;
            let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
            can_bind(number).then_some(FreePort { number, _taken: taken })
        });
        let none = || io::Error::other(format!("no port of {PORTS:?} is free"));
        tries.next().ok_or_else(none)
    }
}

/// Whether any server could listen on it: one that does not set `SO_REUSEADDR` can't as long as
/// connections to the one before are in TIME-WAIT. std would set that.
pub(crate) fn can_bind(port: u16) -> bool {
    let bind = |family, address: SocketAddr| {
        net::bind(net::socket(family, SocketType::STREAM, None)?, &address)
    };
    // A machine without IPv6 has other reasons to refuse that.
    bind(AddressFamily::INET6, (Ipv6Addr::UNSPECIFIED, port).into()) != Err(Errno::ADDRINUSE)
        && bind(AddressFamily::INET, (Ipv4Addr::UNSPECIFIED, port).into()) != Err(Errno::ADDRINUSE)
}
