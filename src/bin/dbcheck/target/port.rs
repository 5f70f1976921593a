//! Ports: which is free, which is taken, and by whom.
//!
//! A port is looked at by binding it, or in the system's table, and never by connecting: some servers
//! end when a client connects and leaves.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use rustix::process::Pid;

/// A port that nobody listens on, on either loopback address.
pub(crate) fn free() -> std::io::Result<u16> {
    // Another program may take it before the server does; then the start fails, and says so.
    let mut last = 0;
    for _ in 0..20 {
        last = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        if !is_taken(last) {
            break;
        }
    }
    Ok(last)
}

/// Whether somebody listens on it.
pub(crate) fn is_taken(port: u16) -> bool {
    let addresses: [SocketAddr; 2] =
        [(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()];
    let is_refused = addresses.into_iter().any(|address| {
        TcpListener::bind(address).is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse)
    });
    // Connections that linger after the end of a server that did not set SO_REUSEADDR make it look
    // taken for a minute more; the system's table knows better, and is long.
    is_refused && listening(port).is_none_or(|sockets| !sockets.is_empty())
}

/// The sockets that listen on it, where the system tells (Linux).
fn listening(port: u16) -> Option<Vec<String>> {
    let table = File::open("/proc/net/tcp").ok()?;
    // Not there on a machine without IPv6.
    let more = File::open("/proc/net/tcp6").ok();
    let sockets = [Some(table), more].into_iter().flatten().flat_map(|table| {
        let lines = BufReader::new(table).lines().skip(1).map_while(Result::ok);
        // Those that listen come first. Behind them may be thousands of closed connections, which
        // take longer to print than a server to start.
        let listening = lines.take_while(|line| line.contains(" 0A "));
        listening.filter_map(|line| socket(&line, port)).collect::<Vec<_>>()
    });
    Some(sockets.collect())
}

/// The processes that listen on it, where the system tells (Linux, and ours alone).
pub(crate) fn listeners(port: u16) -> Vec<Pid> {
    let sockets = listening(port).unwrap_or_default();
    let mut pids = Vec::new();
    if sockets.is_empty() {
        return pids;
    }
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let number = process.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(pid) = number.and_then(Pid::from_raw) else { continue };
        let files = std::fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        let listens = files
            .filter_map(|file| std::fs::read_link(file.path()).ok())
            .any(|link| sockets.iter().any(|socket| link.as_os_str() == socket.as_str()));
        if listens {
            pids.push(pid);
        }
    }
    pids
}

/// The name of the socket in a line of /proc/net/tcp that listens on `port`, as /proc/PID/fd has it.
fn socket(line: &str, port: u16) -> Option<String> {
    let mut words = line.split_whitespace();
    let local = words.nth(1)?;
    let state = words.nth(1)?;
    let inode = words.nth(5)?;
    let (_, hex) = local.rsplit_once(':')?;
    let is_it = u16::from_str_radix(hex, 16) == Ok(port) && state == "0A";
    is_it.then(|| format!("socket:[{inode}]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_listening_socket_in_the_systems_table() {
        let line = "   0: 0100007F:0FA0 00000000:0000 0A 00000000:00000000 00:00000000 00000000  \
                    1000        0 12345 1 0000000000000000 100 0 0 10 0";
        assert_eq!(socket(line, 4000), Some("socket:[12345]".into()));
        assert_eq!(socket(line, 4001), None);
        assert_eq!(socket(&line.replace(" 0A ", " 01 "), 4000), None);
        assert_eq!(socket("  sl  local_address rem_address", 4000), None);
    }

    #[test]
    fn knows_a_taken_port_and_its_owner() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(is_taken(port));
        if cfg!(target_os = "linux") {
            assert!(listeners(port).contains(&rustix::process::getpid()));
        }
        drop(listener);
        assert!(!is_taken(port));
    }
}
