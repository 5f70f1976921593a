//! Ports: which is taken, and by whom.
//!
//! A port is looked at by binding it, or in the system's table, and never by connecting: some servers
//! end when a client connects and leaves.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use rustix::process::Pid;

use crate::target::free_port::can_bind;

/// Whether somebody listens on it.
pub(crate) fn is_taken(port: u16) -> bool {
    let addresses: [SocketAddr; 2] =
        [(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()];
    let is_refused = addresses.into_iter().any(|address| {
        TcpListener::bind(address).is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse)
    });
    // Connections that linger after the end of a server that did not set SO_REUSEADDR make it look
    // taken for a minute more; the system's table knows better, and is long.
    is_refused && listening().is_none_or(|mut all| all.any(|one| one.port == port))
}

/// Whether connections that are over still hold it (TIME-WAIT, RFC 9293 §3.3.2): a server that does
/// not set `SO_REUSEADDR` can't listen on it meanwhile.
pub(crate) fn is_held(port: u16) -> bool {
    let is_it = |one: &Socket| one.port == port && one.state == TIME_WAIT;
    // The table may have many thousands of them; mostly, a bind tells that none is on this port.
    !can_bind(port) && table(|_| true).is_some_and(|mut all| all.any(|one| is_it(&one)))
}

/// The processes that listen on it, where the system tells (Linux, and ours alone).
pub(crate) fn listeners(port: u16) -> Vec<Pid> {
    let sockets = listening().into_iter().flatten();
    let links: Vec<String> = sockets.filter(|one| one.port == port).map(|one| one.link()).collect();
    if links.is_empty() {
        return Vec::new();
    }
    super::process::all().filter(|&pid| open_files(pid).any(|file| links.contains(&file))).collect()
}

/// The ports that one of these processes listens on. Looked for no further than the caller asks.
pub(crate) fn of_processes(processes: &[Pid]) -> impl Iterator<Item = u16> {
    let files: Vec<String> = processes.iter().flat_map(|&pid| open_files(pid)).collect();
    let sockets = listening().into_iter().flatten();
    sockets.filter(move |one| files.contains(&one.link())).map(|one| one.port)
}

/// What its open files are, as the system names them.
fn open_files(process: Pid) -> impl Iterator<Item = String> {
    let folder = format!("/proc/{}/fd", process.as_raw_nonzero());
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| Some(fs::read_link(file.path()).ok()?.to_string_lossy().into_owned()))
}

/// A line of the system's table.
#[derive(Debug, PartialEq, Eq)]
struct Socket {
    port: u16,
    state: &'static str,
    inode: u64,
}

const LISTEN: &str = "0A";
const TIME_WAIT: &str = "06";

impl Socket {
    /// As /proc/PID/fd has it.
    fn link(&self) -> String {
        format!("socket:[{}]", self.inode)
    }

    /// A line of /proc/net/tcp, if its state is one of the two.
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let local = words.nth(1)?;
        let state = words.nth(1)?;
        let state = [LISTEN, TIME_WAIT].into_iter().find(|known| *known == state)?;
        let inode = words.nth(5)?.parse().ok()?;
        let (_, hex) = local.rsplit_once(':')?;
        Some(Socket { port: u16::from_str_radix(hex, 16).ok()?, state, inode })
    }
}

/// The sockets that listen. They come first in the table: after them there may be thousands of
/// closed connections, which take longer to print than a server to start.
fn listening() -> Option<impl Iterator<Item = Socket>> {
    table(|line| line.contains(" 0A "))
}

/// The system's table, as long as its lines are of this kind, where there is one (Linux). That of
/// IPv6 is opened when that of IPv4 is at its end: to find that end, the system goes through as many
/// lists as it could have connections.
fn table(goes_on: impl Fn(&str) -> bool + Copy) -> Option<impl Iterator<Item = Socket>> {
    let first = fs::File::open("/proc/net/tcp").ok()?;
    // Not there on a machine without IPv6.
    let more = std::iter::once_with(|| fs::File::open("/proc/net/tcp6").ok()).flatten();
    Some(std::iter::once(first).chain(more).flat_map(move |table| {
        let lines = BufReader::new(table).lines().skip(1).map_while(Result::ok);
        let lines = lines.take_while(move |line| goes_on(line));
        lines.filter_map(|line| Socket::read(&line))
    }))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpStream;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn reads_the_systems_table() {
        let line = "   0: 0100007F:0FA0 00000000:0000 0A 00000000:00000000 00:00000000 00000000  \
                    1000        0 12345 1 0000000000000000 100 0 0 10 0";
        let socket = Socket::read(line).unwrap();
        assert_eq!(socket, Socket { port: 4000, state: LISTEN, inode: 12345 });
        assert_eq!(socket.link(), "socket:[12345]");
        assert_eq!(Socket::read(&line.replace(" 0A ", " 06 ")).unwrap().state, TIME_WAIT);
        assert_eq!(Socket::read(&line.replace(" 0A ", " 01 ")), None);
        assert_eq!(Socket::read("  sl  local_address rem_address   st tx_queue"), None);
    }

    #[test]
    fn knows_a_taken_port_and_its_owner() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(is_taken(port));
        let us = rustix::process::getpid();
        if cfg!(target_os = "linux") {
            assert!(listeners(port).contains(&us));
            assert!(of_processes(&[us]).any(|one| one == port));
        }
    }

    #[test]
    fn knows_a_port_that_is_held_by_a_connection_that_is_over() {
        if !cfg!(target_os = "linux") {
            return;
        }
        // Somebody else may be given it at once, but hardly each time.
        let is_free_again = |_| {
            let port = held_port();
            let deadline = Instant::now() + Duration::from_secs(10);
            while !is_held(port) {
                assert!(Instant::now() < deadline);
                std::thread::yield_now();
            }
            !is_taken(port)
        };
        assert!((0..5).any(is_free_again));
    }

    /// A port where nobody listens any more, and whose last connection was just closed.
    fn held_port() -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        // Whichever side closes first keeps the memory of it.
        drop(listener.accept().unwrap());
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        port
    }
}
