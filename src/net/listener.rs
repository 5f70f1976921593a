//! The listener: from a name and a port to sockets that clients can connect to.
//!
//! `localhost` is two addresses, `127.0.0.1` and `::1`, and clients differ in which they try first. A
//! server that listens on only one of them is slow for some and absent for others, so we listen on
//! both, on one port.
//!
//! Clients that connect all at once wait in a queue until they are accepted. The naive version takes
//! std's queue, which has room for 128: the system drops the packet that would be the next client's
//! first, and that client sends it again after a second.
//!
//! Next: [`crate::net::capacity`], how many clients there may be.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

use anyhow::Context as _;

/// How often to ask for a free port.
const PORT_TRIES: u32 = 20;

/// How many clients may wait to be accepted, if the system allows as many.
const QUEUE: i32 = 4096;

/// Listens on every loopback address of `localhost`, or on the first address of another host that
/// works. Port 0 takes a free one, the same for all.
///
/// # Errors
/// Where there is no such host, or the port is taken: the sentence names the address.
pub fn bind(host: &str, port: u16) -> anyhow::Result<Vec<TcpListener>> {
    if !host.eq_ignore_ascii_case("localhost") {
        // One of the addresses of a name is enough.
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let addresses = (host, port).to_socket_addrs();
        let addresses: Vec<_> =
            addresses.with_context(|| format!("cannot find the host {host}"))?.collect();
        let listener = listen(&addresses[..]);
        return Ok(vec![listener.map_err(|error| cannot_listen(error, host, port))?]);
    }
    bind_loopback(port).map_err(|error| cannot_listen(error, host, port))
}

/// Listens on every loopback address of `localhost`.
///
/// # Errors
/// Where the port is taken, or there is no such address.
pub(crate) fn bind_loopback(port: u16) -> io::Result<Vec<TcpListener>> {
    let addresses = loopback_addresses(("localhost", 0).to_socket_addrs().into_iter().flatten());
    again_if_taken(port, || bind_all(&addresses, port))
}

/// Binds; another free port is asked for where the one that we got is taken at the second address.
fn again_if_taken<T>(port: u16, mut bind: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..PORT_TRIES {
        match bind() {
            Err(error) if port == 0 && error.kind() == ErrorKind::AddrInUse => {}
            result => return result,
        }
    }
    bind()
}

fn cannot_listen(error: io::Error, host: &str, port: u16) -> anyhow::Error {
    let hint = match error.kind() {
        ErrorKind::AddrInUse => ": another program listens there; choose another port with --port",
        ErrorKind::AddrNotAvailable => ": this machine has no such address",
        ErrorKind::PermissionDenied => ": choose a port above 1023 with --port",
        _ => "",
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_string() };
    anyhow::Error::new(error).context(format!("cannot listen on {host}:{port}{hint}"))
}

/// The loopback addresses among those that the system has `found` for `localhost`; at least one of each
/// family.
fn loopback_addresses(found: impl Iterator<Item = SocketAddr>) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found {
        if address.ip().is_loopback() && !addresses.contains(&address.ip()) {
            addresses.push(address.ip());
        }
    }
    // /etc/hosts often lists one family only, and clients do not always ask it.
    for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

/// Listens on each address that the machine has, on one port.
fn bind_all(addresses: &[IpAddr], mut port: u16) -> io::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    let mut missing = io::Error::from(ErrorKind::AddrNotAvailable);
    for &address in addresses {
        match listen(SocketAddr::new(address, port)) {
            Ok(listener) => {
                port = listener.local_addr()?.port();
                listeners.push(listener);
            }
            // A machine without IPv6, or without IPv4.
            Err(error) if lacks_family(&error) => missing = error,
            Err(error) => return Err(error),
        }
    }
    if listeners.is_empty() { Err(missing) } else { Ok(listeners) }
}

/// Listens, with a longer queue than std's.
fn listen(addresses: impl ToSocketAddrs) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(addresses)?;
    rustix::net::listen(&listener, QUEUE)?;
    Ok(listener)
}

fn lacks_family(error: &io::Error) -> bool {
    error.kind() == ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_is_one_port_on_every_loopback_address() {
        let listeners = bind("localhost", 0).unwrap();
        let ports: Vec<_> = listeners.iter().map(|l| l.local_addr().unwrap().port()).collect();
        assert!(ports.iter().all(|&port| port == ports[0] && port != 0), "{ports:?}");
        assert!(listeners.iter().all(|l| l.local_addr().unwrap().ip().is_loopback()));
        assert!(!listeners.is_empty());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_crowd_is_connected_at_once_before_anybody_is_accepted() {
        use std::net::TcpStream;
        use std::time::Duration;

        let listeners = bind_loopback(0).unwrap();
        let address = listeners[0].local_addr().unwrap();
        // A client that finds the queue full is connected after a second, or three, or seven.
        let connect = |_| TcpStream::connect_timeout(&address, Duration::from_secs(5));
        let clients: Result<Vec<_>, _> = (0..500).map(connect).collect();
        assert_eq!(clients.unwrap().len(), 500);
    }

    #[test]
    fn a_taken_port_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        for host in ["localhost", "127.0.0.1"] {
            let error = format!("{:#}", bind(host, port).unwrap_err());
            assert!(error.contains(&format!("{host}:{port}")), "{error}");
        }
    }

    #[test]
    fn what_can_be_done_is_said() {
        for (kind, host, sentence) in [
            (
                ErrorKind::AddrInUse,
                "::1",
                "cannot listen on [::1]:80: another program listens there; choose another port with --port",
            ),
            (
                ErrorKind::AddrNotAvailable,
                "192.0.2.1",
                "cannot listen on 192.0.2.1:80: this machine has no such address",
            ),
            (
                ErrorKind::PermissionDenied,
                "localhost",
                "cannot listen on localhost:80: choose a port above 1023 with --port",
            ),
            (ErrorKind::OutOfMemory, "a", "cannot listen on a:80"),
        ] {
            assert_eq!(cannot_listen(kind.into(), host, 80).to_string(), sentence);
        }
    }

    #[test]
    fn another_free_port_is_asked_for_and_no_other_than_the_wanted_one() {
        let tries = |port, fails: u32, kind: ErrorKind| {
            let mut count = 0;
            let result = again_if_taken(port, || {
                count += 1;
                if count > fails { Ok(()) } else { Err(io::Error::from(kind)) }
            });
            (count, result.map_err(|error| error.kind()))
        };
        let (taken, denied) = (ErrorKind::AddrInUse, ErrorKind::PermissionDenied);
        assert_eq!(tries(0, 3, taken), (4, Ok(())));
        assert_eq!(tries(0, u32::MAX, taken), (PORT_TRIES, Err(taken)));
        assert_eq!(tries(80, 1, taken), (1, Err(taken)));
        assert_eq!(tries(0, 1, denied), (1, Err(denied)));
    }

    #[test]
    fn localhost_is_what_the_system_says_and_both_families() {
        let addresses = |found: &[&str]| {
            let found = found.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0));
            let all: Vec<_> = loopback_addresses(found).iter().map(IpAddr::to_string).collect();
            all.join(" ")
        };
        assert_eq!(addresses(&[]), "127.0.0.1 ::1");
        assert_eq!(addresses(&["::1", "127.0.0.1", "::1"]), "::1 127.0.0.1");
        assert_eq!(addresses(&["127.0.1.1", "192.0.2.1"]), "127.0.1.1 127.0.0.1 ::1");
    }

    #[test]
    fn an_address_that_the_machine_lacks_is_skipped() {
        let lacking: IpAddr = "2001:db8::1".parse().unwrap();
        let listeners = bind_all(&[lacking, Ipv4Addr::LOCALHOST.into()], 0).unwrap();
        assert_eq!(listeners.len(), 1);
        assert!(bind_all(&[lacking], 0).is_err());
    }
}
