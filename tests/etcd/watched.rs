//! What is told of sets and gets that a cluster keeps.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use dbserver::watch::event::{Event, What};
use dbserver::watch::hello::Kept;

use crate::cluster::Cluster;
use crate::common::PATIENCE;

#[test]
fn requests_are_told_and_there_is_no_file() {
    let cluster = Cluster::start(1, &[]);
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace.jsonl");
    let options = ["--watch=0", "--trace", "--trace-file", trace.to_str().unwrap()];
    let server = cluster.server_with(0, &options);
    let mut wire = server.connect();
    assert_eq!(wire.get("/set?a=b").status, 200);
    assert_eq!(wire.get("/get?key=a").text(), "b");
    assert_eq!(wire.get("/get?key=nothing").status, 404);
    wire.end().expect_end();

    // The page is there too, and its first line says the same.
    let said = server.heard("what happens inside: http://localhost:");
    let port = said.split("http://localhost:").nth(1).unwrap().split('/').next().unwrap();
    let mut page = TcpStream::connect(("127.0.0.1", port.parse().unwrap())).unwrap();
    page.set_read_timeout(Some(PATIENCE)).unwrap();
    page.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut text = String::new();
    while !text.contains("\"kept\":\"etcd\"") {
        let mut bytes = [0; 1024];
        let read = page.read(&mut bytes).unwrap();
        assert!(read > 0, "{text}");
        text += std::str::from_utf8(&bytes[..read]).unwrap();
    }

    server.stop();
    let lines = fs::read_to_string(&trace).unwrap();
    let events: Vec<Event> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let What::Hello(hello) = &events[0].what else { panic!("{lines}") };
    assert_eq!((hello.kept, hello.file), (Kept::Etcd, None));
    let names = events.iter().filter(|event| event.c == Some(1)).map(|event| {
        let value = serde_json::to_value(event).unwrap();
        value["e"].as_str().unwrap().to_string()
    });
    let stages = "bytes_read parsed routed decoded answered written ".repeat(3);
    assert_eq!(names.collect::<Vec<_>>().join(" "), format!("opened {stages}closed"));
    assert!(!events.iter().any(|event| matches!(event.what, What::File { .. })), "{lines}");
}
