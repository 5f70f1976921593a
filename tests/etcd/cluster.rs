//! A cluster for a test, and servers in front of it.

use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use dbserver::{Engine as _, EtcdStore};
use tempfile::TempDir;

use crate::common::{PATIENCE, Server, program};
use crate::nodes::Nodes;

/// A cluster that is ready, in a folder of its own.
pub(crate) struct Cluster {
    pub(crate) nodes: Nodes,
    // After the nodes: they end before their files do.
    folder: Arc<TempDir>,
}

impl Cluster {
    pub(crate) fn start(count: usize, options: &[&str]) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let nodes = Nodes::start(folder.path(), count, options).unwrap();
        let cluster = Cluster { nodes, folder };
        for node in 0..count {
            cluster.wait_for(node);
        }
        cluster
    }

    /// Waits until a set at this node is kept: it runs, and the cluster has a leader.
    pub(crate) fn wait_for(&self, node: usize) {
        let deadline = Instant::now() + PATIENCE;
        let members = vec![self.nodes.url(node)];
        let cluster = dbserver::Cluster { members, ..Default::default() };
        while let Err(error) = EtcdStore::open(&cluster)
            .and_then(|store| store.set("ready", "yes").map_err(Into::into))
        {
            assert!(Instant::now() < deadline, "node {node}: {error:#}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// A server in front of it, which asks this node first.
    pub(crate) fn server(&self, first: usize) -> Server {
        self.server_with(first, &[])
    }

    pub(crate) fn server_with(&self, first: usize, options: &[&str]) -> Server {
        let urls = self.nodes.urls();
        let mut urls: Vec<_> = urls.split(',').collect();
        urls.rotate_left(first);
        let mut command = program();
        command.args(["--etcd", &urls.join(",")]).args(options);
        Server::start_command(Arc::clone(&self.folder), command)
    }

    /// Sends a signal to a node: `STOP`, `CONT`.
    pub(crate) fn signal(&self, node: usize, name: &str) {
        let pid = self.nodes.pid(node).unwrap().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }
}
