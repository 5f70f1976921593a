//! The task itself, as a user would try it, and with a client that is not ours.

use crate::common::Server;

#[test]
fn what_was_set_is_there_after_a_kill() {
    let server = Server::start(&[]);
    let set = server.get("/set?somekey=somevalue");
    assert_eq!((set.status, set.text()), (200, ""));
    let get = server.get("/get?key=somekey");
    assert_eq!((get.status, get.text()), (200, "somevalue"));
    let missing = server.get("/get?key=otherkey");
    assert_eq!((missing.status, missing.text()), (404, ""));

    let server = Server::start_in(server.kill(), &[]);
    assert_eq!(server.get("/get?key=somekey").text(), "somevalue");
    server.stop();
}

#[test]
fn another_http_client_finds_nothing_strange() {
    let server = Server::start(&[]);
    // Whatever http_proxy says: a proxy has another localhost.
    let agent = ureq::Agent::from(ureq::Agent::config_builder().proxy(None).build());
    let url = |target: &str| format!("http://localhost:{}{target}", server.port);
    let set = agent.get(url("/set?a=b%20c")).call().unwrap();
    assert_eq!(
        (set.status().as_u16(), set.into_body().read_to_string().unwrap()),
        (200, String::new())
    );
    let get = agent.get(url("/get?key=a")).call().unwrap();
    assert_eq!(get.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(get.into_body().read_to_string().unwrap(), "b c");
    assert!(matches!(agent.get(url("/get?key=x")).call(), Err(ureq::Error::StatusCode(404))));
    assert!(matches!(agent.post(url("/set?a=c")).send("x=y"), Err(ureq::Error::StatusCode(500))));
    assert_eq!(
        agent.get(url("/get?key=a")).call().unwrap().into_body().read_to_string().unwrap(),
        "b c"
    );
}
