//! A free port for a server that is started.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use anyhow::Context as _;

/// A port for a server of ours, and for no other lab's as long as this is kept.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) number: u16,
    /// UDP has the same numbers, and its ports are its own: this one only says that the number is
    /// taken, between here and the moment in which the server listens.
    _taken: UdpSocket,
}

impl Port {
    /// A port that nobody listens on, on either loopback address.
    ///
    /// The system would choose one for port 0. But it chooses from the same numbers for our own
    /// connections, and might give one of them this port before the server has it: so this one is
    /// below those.
    pub(crate) fn free() -> anyhow::Result<Self> {
        // The standard library's one source of numbers that differ each time.
        let random = RandomState::new();
        let candidates =
            (0..200).map(|attempt| 20_000 + (random.hash_one(attempt) % 10_000) as u16);
        let mut free = candidates.filter_map(|number| {
            let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
            let addresses: [SocketAddr; 2] =
                [(Ipv4Addr::LOCALHOST, number).into(), (Ipv6Addr::LOCALHOST, number).into()];
            // An address that the machine lacks is in nobody's hands.
            let is_free = addresses.iter().all(|address| {
                !TcpListener::bind(address).is_err_and(|error| error.kind() == ErrorKind::AddrInUse)
            });
            is_free.then_some(Port { number, _taken: taken })
        });
        free.next().context("there is no free port between 20000 and 29999")
    }
}
