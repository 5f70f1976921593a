//! Who may ask, rule by rule: programs of this machine, and not the web pages that its browsers show.
//!
//! CONTRACT §3.

use crate::common::{Answer, Server, Wire};

/// The answer to GET with these field lines beside Host, on a connection that stays open.
fn ask(wire: &mut Wire, target: &str, host: &str, fields: &str) -> Answer {
    wire.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"));
    wire.answer()
}

fn assert_refused(answer: &Answer, what: &str) {
    assert_eq!(answer.status, 403, "{what}");
    assert!(answer.head.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{what}");
    let text = answer.text();
    assert!(text.starts_with(char::is_uppercase) && text.ends_with('.'), "{what}: {text}");
    assert_no_cors(answer);
    // The request was understood, so the connection can go on.
    assert!(!answer.closes(), "{what}");
}

fn assert_no_cors(answer: &Answer) {
    assert!(!answer.head.to_ascii_lowercase().contains("access-control-"), "{}", answer.head);
}

/// Nothing at all was ever stored: the file has not one line.
fn assert_stored_nothing(server: &Server) {
    let stored = std::fs::read(server.data()).unwrap();
    assert_eq!(stored.escape_ascii().to_string(), "");
}

/// Host must name us: `localhost`, a name below `.localhost`, an IP literal.
#[test]
fn host_may_be_localhost_a_name_below_it_or_an_address() {
    let server = Server::start(&["--memory"]);
    let mut wire = server.connect();
    for host in [
        "localhost",
        "localhost:4000",
        "localhost:1",
        "localhost:",
        "LocalHost:80",
        "localhost.",
        "localhost.:4000",
        "db.localhost",
        "a.b.LOCALHOST:4000",
        "127.0.0.1",
        "127.0.0.1:4000",
        "127.1.2.3",
        "192.168.1.7",
        "[::1]",
        "[::1]:4000",
        "[0:0:0:0:0:0:0:1]",
        "[fe80::1]",
    ] {
        assert_eq!(ask(&mut wire, "/set?a=b", host, "").status, 200, "{host}");
        assert_eq!(ask(&mut wire, "/get?key=a", host, "").text(), "b", "{host}");
        let absolute = format!("http://{host}/get?key=a");
        assert_eq!(ask(&mut wire, &absolute, "evil.example", "").text(), "b", "{host}");
    }
}

/// Any other name gets 403: that is DNS rebinding.
#[test]
fn any_other_host_is_403_and_stores_nothing() {
    let server = Server::start(&["--sync", "never"]);
    let mut wire = server.connect();
    for host in [
        "evil.example",
        "evil.example:4000",
        "localhost.evil.example",
        "localhost.evil.example:4000",
        "evil-localhost",
        "notlocalhost",
        "localhos",
        "localhost-",
        "localhost..",
        "localhost.localdomain",
        "127.0.0.1.evil.example",
        "127.0.0.1.nip.io",
        "127.0.0.1.",
        "127.0.0.256",
        "0.0.0.0:4000",
        "[::]:4000",
        "[::ffff:127.0.0.1]:4000",
        "127.1",
        "0177.0.0.1",
        "0x7f000001",
        "2130706433",
        "%6cocalhost",
        "localhost%00.evil.example",
        "localhost,evil.example",
        "a_b",
        ".",
        "localhost.evil",
        "dbserver",
    ] {
        for target in ["/set?a=b", "/get?key=a", "/"] {
            assert_refused(&ask(&mut wire, target, host, ""), host);
            // The absolute target's authority goes before Host.
            let absolute = format!("http://{host}{target}");
            assert_refused(&ask(&mut wire, &absolute, "localhost", ""), host);
        }
        wire.send(format!("HEAD /get?key=a HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(wire.answer_to("HEAD").status, 403, "{host}");
        wire.send(format!("POST /set?a=b HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\n\r\nx"));
        assert_refused(&wire.answer(), host);
        let old = format!("GET /set?a=b HTTP/1.0\r\nHost: {host}\r\n\r\n");
        assert_eq!(server.only_answer(old).status, 403, "{host}");
    }
    assert_stored_nothing(&server);
}

/// A name given with `--allow-host`.
#[test]
fn names_given_with_allow_host_are_ours_too() {
    let server =
        Server::start(&["--memory", "--allow-host", "db.test", "--allow-host", "Other.example."]);
    let mut wire = server.connect();
    for host in ["db.test", "DB.TEST:4000", "db.test.", "other.example", "localhost", "[::1]"] {
        assert_eq!(ask(&mut wire, "/set?a=b", host, "").status, 200, "{host}");
    }
    for host in ["a.db.test", "db.test.evil.example", "xdb.test", "test", "example"] {
        assert_refused(&ask(&mut wire, "/set?a=b", host, ""), host);
    }
    let own = "Origin: http://db.test:4000\r\n";
    assert_eq!(ask(&mut wire, "/set?a=b", "db.test:4000", own).status, 200);
    assert_refused(&ask(&mut wire, "/set?a=b", "localhost:4000", own), own);
}

/// `Sec-Fetch-Site` of `cross-site` or `same-site` gets 403, unless it is a plain navigation to
/// `/get`; what the user typed says `none`, and works.
#[test]
fn what_browsers_send_for_other_sites_is_403_but_a_navigation_to_get() {
    let server = Server::start(&["--memory"]);
    assert_eq!(server.get("/set?a=b").status, 200);
    let mut wire = server.connect();
    let navigation =
        "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nSec-Fetch-User: ?1\r\n";
    let elsewhere = [
        "",
        "Sec-Fetch-Mode: navigate\r\n",
        "Sec-Fetch-Dest: document\r\n",
        "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\n",
        "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: object\r\n",
        "Sec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\n",
        "Sec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: script\r\n",
        "Sec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: document\r\n",
        "Sec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n",
        "Sec-Fetch-Mode: websocket\r\nSec-Fetch-Dest: websocket\r\n",
    ];
    for site in ["cross-site", "same-site"] {
        let site = format!("Sec-Fetch-Site: {site}\r\n");
        for rest in elsewhere {
            for target in ["/get?key=a", "/set?evil=1", "/"] {
                let fields = format!("{site}{rest}");
                assert_refused(&ask(&mut wire, target, "localhost", &fields), &fields);
            }
        }
        let fields = format!("{site}{navigation}");
        let answer = ask(&mut wire, "/get?key=a", "localhost", &fields);
        assert_eq!((answer.status, answer.text()), (200, "b"), "{fields}");
        assert_no_cors(&answer);
        assert_eq!(ask(&mut wire, "/get?key=none", "localhost", &fields).status, 404, "{fields}");
        let own = format!("{fields}Origin: http://localhost\r\n");
        for target in ["/set?evil=1", "/", "/get/?key=a", "/Get?key=a", "/settings"] {
            assert_refused(&ask(&mut wire, target, "localhost", &fields), target);
            // A Sec-Fetch-Site that is there goes before Origin.
            assert_refused(&ask(&mut wire, target, "localhost", &own), target);
        }
    }
    for site in ["none", "same-origin"] {
        for rest in elsewhere.into_iter().chain([navigation]) {
            let fields = format!("sec-fetch-site:{site}\r\n{rest}");
            assert_eq!(
                ask(&mut wire, "/set?typed=1", "localhost", &fields).status,
                200,
                "{fields}"
            );
            assert_eq!(ask(&mut wire, "/get?key=a", "localhost", &fields).text(), "b", "{fields}");
        }
    }
    // The name must be ours all the same.
    let typed = format!("Sec-Fetch-Site: none\r\n{navigation}");
    assert_refused(&ask(&mut wire, "/get?key=a", "evil.example", &typed), "DNS rebinding");
    let rebound = "Sec-Fetch-Site: same-origin\r\nOrigin: http://evil.example\r\n";
    assert_refused(&ask(&mut wire, "/set?evil=1", "evil.example", rebound), "DNS rebinding");
    assert_eq!(wire.get("/get?key=evil").status, 404);
}

/// Without Sec-Fetch-Site, an `Origin` that is `null` or whose host and port are not ours gets 403.
#[test]
fn without_sec_fetch_site_the_origin_must_be_ours() {
    let server = Server::start(&["--memory"]);
    let mut wire = server.connect();
    let table = [
        ("localhost:4000", "http://localhost:4000"),
        ("LOCALHOST:4000", "http://localhost:4000"),
        ("localhost", "http://localhost"),
        ("127.0.0.1:4000", "http://127.0.0.1:4000"),
        ("[::1]:4000", "http://[::1]:4000"),
        ("a.localhost:4000", "http://a.localhost:4000"),
    ];
    for (host, origin) in table {
        let fields = format!("Origin: {origin}\r\n");
        let answer = ask(&mut wire, "/set?a=b", host, &fields);
        assert_eq!(answer.status, 200, "{host} {origin}");
        assert_no_cors(&answer);
    }
    for origin in [
        "null",
        "",
        "http://evil.example",
        "http://evil.example:4000",
        "http://localhost",
        "http://localhost:3000",
        "http://localhost:40000",
        "http://localhost:400",
        "http://127.0.0.1:4000",
        "http://[::1]:4000",
        "http://localhost.evil.example:4000",
        "http://evil.example/localhost:4000",
        "http://localhost:4000.evil.example",
        "http://localhost:4000@evil.example",
        "http://localhost:4000 http://evil.example",
        "http://localhost:4000, http://evil.example",
        "http://a.localhost:4000",
        "ftp://localhost:4000",
        "chrome-extension://localhost:4000",
        "localhost:4000",
        "file://",
        "*",
    ] {
        for target in ["/set?evil=1", "/get?key=a", "/"] {
            let fields = format!("Origin: {origin}\r\n");
            assert_refused(&ask(&mut wire, target, "localhost:4000", &fields), &fields);
            // Mode and destination alone say nothing of the site.
            let navigation =
                format!("{fields}Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n");
            assert_refused(&ask(&mut wire, target, "localhost:4000", &navigation), &navigation);
        }
    }
    // The target's authority is who we are, where there is one.
    let own = "Origin: http://localhost:4000\r\n";
    assert_eq!(ask(&mut wire, "http://localhost:4000/set?a=b", "other:1", own).status, 200);
    assert_refused(&ask(&mut wire, "http://localhost:1/set?evil=1", "localhost:4000", own), own);
    assert_eq!(wire.get("/get?key=evil").status, 404);
}

/// Browsers send no Sec-Fetch field with a WebSocket handshake, which is a GET.
#[test]
fn a_websocket_handshake_of_another_site_is_403_and_writes_nothing() {
    let server = Server::start(&["--sync", "never"]);
    for origin in ["http://evil.example", "https://evil.example", "null", "http://localhost:1"] {
        let mut wire = server.connect();
        wire.send(format!(
            "GET /set?evil=1 HTTP/1.1\r\n\
             Host: localhost:{port}\r\n\
             Upgrade: websocket\r\n\
             Connection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Version: 13\r\n\
             Origin: {origin}\r\n\r\n",
            port = server.port,
        ));
        assert_refused(&wire.answer(), origin);
        assert_eq!(wire.get("/get?key=evil").status, 404, "{origin}");
    }
    assert_stored_nothing(&server);
}

/// curl and other programs send neither, and work.
#[test]
fn programs_send_neither_field_and_work() {
    let server = Server::start(&["--memory"]);
    let mut wire = server.connect();
    let curl = "User-Agent: curl/8.5.0\r\nAccept: */*\r\n";
    let referer = "Referer: http://evil.example/\r\nCookie: a=b\r\n";
    for fields in ["", curl, referer] {
        assert_eq!(ask(&mut wire, "/set?a=b", "localhost:4000", fields).status, 200, "{fields}");
        assert_eq!(ask(&mut wire, "/get?key=a", "localhost:4000", fields).text(), "b", "{fields}");
    }
    // HTTP/1.0 has no Host to be wrong.
    assert_eq!(server.only_answer("GET /get?key=a HTTP/1.0\r\n\r\n").text(), "b");
}

/// The body of every request is consumed: a form of another site can post a body that looks like a
/// `/set`.
#[test]
fn a_form_of_another_site_writes_nothing() {
    let server = Server::start(&["--sync", "never"]);
    let body = "x=\r\nGET /set?evil=1 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let whole = "GET /set?evil=1 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for body in [body, whole] {
        for site in [
            "Origin: http://evil.example",
            "Origin: null",
            "Sec-Fetch-Site: cross-site",
            "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nOrigin: null",
        ] {
            for target in ["/set?evil=1", "/get?key=a", "/"] {
                let mut wire = server.connect();
                wire.send(format!(
                    "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n\
                     {site}\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len(),
                ));
                assert!(matches!(wire.answer().status, 403 | 500), "{site} {target}");
                assert_eq!(wire.get("/get?key=evil").status, 404, "{site} {target}");
                wire.end().expect_end();
            }
        }
    }
    assert_stored_nothing(&server);
}

/// No CORS header is ever sent, so pages of other origins can't read.
#[test]
fn a_preflight_is_not_answered_with_a_permission() {
    let server = Server::start(&["--memory"]);
    let mut wire = server.connect();
    for (host, origin, status) in [
        ("localhost:4000", "http://evil.example", 403),
        ("localhost:4000", "http://localhost:4000", 500),
    ] {
        wire.send(format!(
            "OPTIONS /set?evil=1 HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\n\
             Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: x-a\r\n\
             Access-Control-Request-Private-Network: true\r\n\r\n",
        ));
        let answer = wire.answer();
        assert_eq!(answer.status, status, "{origin}");
        assert_no_cors(&answer);
    }
}

/// Values come back as `text/plain` with `nosniff`: a stored `<script>` is text.
#[test]
fn a_stored_script_is_text() {
    let server = Server::start(&["--memory"]);
    let mut wire = server.connect();
    let script = "<!DOCTYPE html><script>alert(1)</script>";
    assert_eq!(wire.get(&format!("/set?a={}", script.replace(' ', "+"))).status, 200);
    let answer = wire.get("/get?key=a");
    assert_eq!((answer.status, answer.text()), (200, script));
    assert_eq!(answer.field("Content-Type"), Some("text/plain; charset=utf-8"));
    assert_eq!(answer.field("X-Content-Type-Options"), Some("nosniff"));
    // Nor does a refusal repeat what it was sent.
    for target in ["/<script>", "/set?<script>", "/get?<script>=1"] {
        assert!(!wire.get(target).text().contains("<script>"), "{target}");
    }
}
