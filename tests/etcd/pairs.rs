//! What is set at one server, and got at another.

use std::fmt::Write as _;
use std::process::Command;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::common::Server;

/// `text` as a half of a query, every byte escaped.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        write!(escaped, "%{byte:02x}").unwrap();
        escaped
    })
}

// CONTRACT §6
#[test]
fn what_is_set_at_one_server_is_there_at_the_other_at_once() {
    let cluster = Cluster::start(3, &[]);
    let servers = [cluster.server(0), cluster.server(1)];
    let mut wires = servers.each_ref().map(Server::connect);
    assert_eq!(wires[0].get("/get?key=a").status, 404);
    for round in 0..200 {
        let (one, other) = (round % 2, (round + 1) % 2);
        assert_eq!(wires[one].get(&format!("/set?a={round}")).status, 200);
        assert_eq!(wires[other].get("/get?key=a").text(), round.to_string());
    }
    // Any text is a key and a value, up to what a head has room for.
    let long = "é".repeat(5_000);
    for text in ["\0", "\n", "a b+c&d=e;f", "\"\\/", "\u{10ffff}\u{feff}", "..", &long] {
        let half = escaped(text);
        assert_eq!(wires[0].get(&format!("/set?{half}={half}")).status, 200, "{text:?}");
        assert_eq!(wires[1].get(&format!("/get?key={half}")).text(), text);
    }
    // Another prefix is another store, and its keys are no part of the first.
    let other = cluster.server_with(2, &["--etcd-prefix", "dbserver/other/"]);
    assert_eq!(other.get("/get?key=a").status, 404);
    assert_eq!(other.get("/set?a=other").status, 200);
    assert_eq!(wires[0].get("/get?key=a").text(), "199");
    for server in servers {
        server.stop();
    }
}

#[test]
fn passes_all_checks_but_those_of_the_file() {
    let cluster = Cluster::start(3, &[]);
    let program = assert_cmd::cargo::cargo_bin!("dbserver").display();
    let command = format!("'{program}' --port {{port}} --etcd {}", cluster.nodes.urls());
    let output = Command::new(assert_cmd::cargo::cargo_bin!("dbcheck"))
        .args(["--cmd", &command, "--format", "json"])
        .args(["--tier", "brief,conventions,http,robust"])
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let wanting: Vec<_> = checks.iter().filter(|check| check["verdict"] != "passed").collect();
    assert!(wanting.is_empty(), "{wanting:#?}");
    assert!(checks.len() >= 60, "{report:#}");
    assert!(output.status.success());
}
