//! The family: which of the processes that a command has started is the server, as a service manager
//! would see it, and who is left when it has ended.
//!
//! A command runs in a shell, which may have made way for it or may wait for it; the server may have
//! workers, which listen in its place. So the server is the highest ancestor of whatever listens, below
//! our own shell. Linux alone lets others look.

use std::fs;
use std::path::PathBuf;

use rustix::process::Pid;

use crate::target::process;

/// What came of a signal to the server alone.
#[derive(Debug)]
pub(crate) enum Alone {
    /// Nothing is left.
    Ended,
    /// The server is still there.
    Ignored,
    /// It has ended, and these have not.
    Left(Vec<String>),
    /// Nobody can tell which it is.
    Unknown,
}

/// The server among these that listen, started by the command that `leader` runs.
pub(crate) fn server(listeners: &[Pid], leader: Pid) -> Option<Pid> {
    let mut above = *listeners.first()?;
    let mut server = above;
    while above != leader {
        server = above;
        above = parent(above)?;
    }
    let is_shell = read(leader, "cmdline").is_some_and(|line| line.starts_with(b"sh\0-c\0"));
    if is_shell && server != leader { Some(server) } else { Some(leader) }
}

/// A process by the command that runs in it.
pub(crate) fn describe(process: Pid) -> String {
    let line = read(process, "cmdline").unwrap_or_default();
    let words: Vec<_> = line
        .split(|&byte| byte == 0)
        .map(|word| String::from_utf8_lossy(word).escape_default().to_string())
        .collect();
    let line: String = words.join(" ").trim_end().chars().take(60).collect();
    format!("process {} ({line})", process.as_raw_nonzero())
}

/// The folders that these work in.
pub(crate) fn folders(processes: &[Pid]) -> Vec<PathBuf> {
    let folder = |pid: &Pid| fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero())).ok();
    let mut folders: Vec<PathBuf> = processes.iter().filter_map(folder).collect();
    folders.sort();
    folders.dedup();
    folders
}

fn parent(process: Pid) -> Option<Pid> {
    let stat = read(process, "stat")?;
    // `pid (name) state parent …`; the name may hold anything.
    let rest = stat.rsplit(|&byte| byte == b')').next()?;
    process::number(String::from_utf8_lossy(rest).split_whitespace().nth(1)?)
}

fn read(process: Pid, name: &str) -> Option<Vec<u8>> {
    fs::read(format!("/proc/{}/{name}", process.as_raw_nonzero())).ok()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, Stdio};

    use super::*;

    /// What a command prints is the number of who would listen; says which of its processes is the
    /// server: the leader, or the one below it.
    fn is_leader(command: &str) -> bool {
        let mut child = Command::new("sh");
        child.args(["-c", command]).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = child.spawn().unwrap();
        let mut number = [0; 32];
        let read = child.stdout.as_mut().unwrap().read(&mut number).unwrap();
        let number = process::number(String::from_utf8_lossy(&number[..read]).trim()).unwrap();
        let leader = Pid::from_child(&child);
        let server = server(&[number], leader).unwrap();
        // At the end of their input all of them end.
        drop(child.stdin.take());
        child.wait().unwrap();
        server == leader
    }

    #[test]
    fn the_server_is_below_our_own_shell_and_above_its_workers() {
        if !cfg!(target_os = "linux") {
            return;
        }
        // The shell has made way.
        assert!(is_leader("exec sh -c 'echo $$; read x' name"));
        // It waits.
        assert!(!is_leader("sh -c 'echo $$; read x; :' ; :"));
        // A worker of the one that took the shell's place.
        assert!(is_leader("exec sh -e -c \"sh -c 'echo \\$\\$; read x; :'; :\""));
    }
}
