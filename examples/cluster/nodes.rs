//! The nodes: an etcd cluster on this machine, of processes that can be killed and started again. The
//! tests use it too.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;

use crate::free_port::FreePort;

/// A cluster. Its processes end with it.
#[derive(Debug)]
pub(crate) struct Nodes {
    folder: PathBuf,
    /// For each node, the port for clients and the one for the other nodes.
    ports: Vec<(FreePort, FreePort)>,
    running: Vec<Option<Child>>,
    /// Options for all of them.
    options: Vec<String>,
}

impl Nodes {
    /// Starts so many, with their files in `folder` and these options besides. They need some seconds to
    /// find a leader.
    ///
    /// # Errors
    /// Where there is no etcd.
    pub(crate) fn start(folder: &Path, count: usize, options: &[&str]) -> anyhow::Result<Self> {
        let ports = (0..count).map(|_| Ok((FreePort::find()?, FreePort::find()?)));
        let ports = ports.collect::<io::Result<_>>()?;
        let mut nodes = Nodes {
            folder: folder.to_path_buf(),
            ports,
            running: (0..count).map(|_| None).collect(),
            options: options.iter().map(ToString::to_string).collect(),
        };
        for node in 0..count {
            nodes.start_one(node)?;
        }
        Ok(nodes)
    }

    /// Where this node listens to clients.
    pub(crate) fn url(&self, node: usize) -> String {
        format!("http://127.0.0.1:{}", self.ports[node].0.number)
    }

    /// The same of all, with commas between them: what `--etcd` takes.
    pub(crate) fn urls(&self) -> String {
        let urls: Vec<_> = (0..self.ports.len()).map(|node| self.url(node)).collect();
        urls.join(",")
    }

    /// The process of this node, where it runs.
    pub(crate) fn pid(&self, node: usize) -> Option<u32> {
        self.running[node].as_ref().map(Child::id)
    }

    /// Starts a node that does not run, on the files that it left.
    ///
    /// # Errors
    /// Where there is no etcd.
    pub(crate) fn start_one(&mut self, node: usize) -> anyhow::Result<()> {
        let peer = |node: usize| format!("http://127.0.0.1:{}", self.ports[node].1.number);
        let cluster: Vec<_> =
            (0..self.ports.len()).map(|node| format!("n{node}={}", peer(node))).collect();
        let log = File::options().create(true).append(true).open(self.log(node))?;
        let child = Command::new("etcd")
            .args(["--name", &format!("n{node}"), "--initial-cluster", &cluster.join(",")])
            .arg("--data-dir")
            .arg(self.folder.join(format!("n{node}")))
            .args(["--listen-client-urls", &self.url(node)])
            .args(["--advertise-client-urls", &self.url(node)])
            .args(["--listen-peer-urls", &peer(node), "--initial-advertise-peer-urls", &peer(node)])
            // A dead leader is missed after a quarter of a second. For nodes next to each other; between
            // cities it takes more patience. Who comes back does not disturb the others (pre-vote).
            .args(["--heartbeat-interval", "50", "--election-timeout", "250", "--pre-vote"])
            // etcd keeps every revision of a key: here, the last thousand of all keys.
            .args(["--auto-compaction-mode", "revision", "--auto-compaction-retention", "1000"])
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start etcd (Debian and Ubuntu have it in the package etcd-server)")?;
        self.running[node] = Some(child);
        Ok(())
    }

    /// Kills a node with SIGKILL, as a loss of power would.
    ///
    /// # Errors
    /// Where the system does not let us.
    pub(crate) fn kill(&mut self, node: usize) -> io::Result<()> {
        let Some(mut child) = self.running[node].take() else { return Ok(()) };
        child.kill()?;
        child.wait().map(drop)
    }

    fn log(&self, node: usize) -> PathBuf {
        self.folder.join(format!("n{node}.log"))
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for node in 0..self.running.len() {
            let _ = self.kill(node);
            if std::thread::panicking() {
                let log = fs::read_to_string(self.log(node)).unwrap_or_default();
                let end: Vec<_> = log.lines().rev().take(10).collect();
                eprintln!(
                    "--- the last that node {node} wrote, the newest first:\n{}",
                    end.join("\n")
                );
            }
        }
    }
}
