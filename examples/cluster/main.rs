//! Three etcds and two of our servers on this machine: a set that survives the death of a node.
//!
//! ```console
//! $ cargo run --features etcd --example cluster
//! ```
//!
//! It prints what to try, and ends everything at Ctrl-C. It needs etcd, which Debian and Ubuntu have in
//! the package `etcd-server`.
//!
//! Both servers are in this process, on the library; `dbserver --etcd` is the same as a program of its own.

#[path = "../../src/bin/dbcheck/target/free_port.rs"]
mod free_port;
mod nodes;

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use dbserver::store::cluster;
use dbserver::{Cluster, Config, Engine as _, EtcdStore, listener, serve, signals};
use nodes::Nodes;

fn main() -> anyhow::Result<()> {
    let (stop, stopped) = mpsc::channel();
    signals::at_the_first(move || {
        let _ = stop.send(());
    })?;

    let folder = std::env::temp_dir().join(format!("dbserver-cluster-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let result = run(&folder, &stopped);
    let removed = std::fs::remove_dir_all(&folder);
    result.and(removed.map_err(Into::into))
}

fn run(folder: &std::path::Path, stopped: &mpsc::Receiver<()>) -> anyhow::Result<()> {
    let nodes = Nodes::start(folder, 3, &[])?;
    let members = cluster::members(&nodes.urls()).map_err(anyhow::Error::msg)?;
    let cluster = Cluster { members, ..Cluster::default() };
    let Some(first) = wait_for(&cluster, stopped)? else { return Ok(()) };
    let second = EtcdStore::open(&cluster)?;

    let mut servers = Vec::new();
    let mut ports = Vec::new();
    for engine in [first, second] {
        let listeners = listener::bind("localhost", 0)?;
        ports.push(listeners.first().map_or(Ok(0), |it| it.local_addr().map(|it| it.port()))?);
        servers.push(serve(listeners, Arc::new(engine), Config::default())?);
    }
    let pid = |node| nodes.pid(node).unwrap_or(0);
    println!("Three etcds and two servers run. In another terminal:\n");
    println!("  curl 'http://localhost:{}/set?somekey=somevalue'    # set at one server", ports[0]);
    println!(
        "  curl 'http://localhost:{}/get?key=somekey'; echo    # and get at the other",
        ports[1]
    );
    println!("  kill -9 {}    # a node dies: both go on, after a second at most", pid(0));
    println!("  kill -9 {}    # a second one: no majority is left, so get is answered", pid(1));
    println!("                  # with 503 and set with 500, both within 4 s\n");
    println!("The nodes: {}. Ctrl-C ends everything.", nodes.urls());
    stopped.recv()?;
    for server in servers {
        server.stop();
    }
    Ok(())
}

/// A store in the cluster as soon as that keeps a pair; none where we are told to stop before.
fn wait_for(cluster: &Cluster, stopped: &mpsc::Receiver<()>) -> anyhow::Result<Option<EtcdStore>> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let kept = EtcdStore::open(cluster)
            .and_then(|store| store.set("ready", "yes").map(|()| store).map_err(Into::into));
        match kept {
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => {}
            store => return store.map(Some),
        }
        if stopped.recv_timeout(Duration::from_millis(100)).is_ok() {
            return Ok(None);
        }
    }
}
