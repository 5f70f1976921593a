//! HTTP/1.1 on the wire, row by row: how long a connection lasts, where a request ends and the next
//! begins, and what is refused with which status.
//!
//! What two programs in a row might read differently is in `smuggling.rs`.
//!
//! CONTRACT §2.

use std::io::Write as _;

use crate::common::{Answer, Server, Wire};

const SET: &[u8] = b"GET /set?a=b HTTP/1.1\r\nHost: localhost\r\n\r\n";
const GET: &[u8] = b"GET /get?key=a HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A server that has the pair `a`, `b`.
fn server() -> Server {
    let server = Server::start(&["--memory"]);
    assert_eq!(server.get("/set?a=b").status, 200);
    server
}

fn assert_answer(answer: &Answer, status: u16, text: &str, what: &str) {
    assert_eq!((answer.status, answer.text()), (status, text), "{what}");
}

/// Sends `first` and `second` so that they arrive in two reads, however busy the machine is: in
/// front of `first` stands a request, and once that is answered, `first` has been read too.
fn send_in_two(wire: &mut Wire, first: &[u8], second: &[u8]) {
    let answer =
        wire.send([b"GET /get?key=none HTTP/1.1\r\nHost: a.localhost\r\n\r\n", first].concat());
    assert_eq!(answer.answer().status, 404);
    wire.send(second);
}

/// Checks that the connection is still of use.
fn assert_open(wire: &mut Wire, what: &str) {
    assert_answer(&wire.send(GET).answer(), 200, "b", what);
}

// How long a connection lasts.

/// HTTP/1.1 | the connection stays open.
#[test]
fn http_1_1_stays_open() {
    let server = server();
    let mut wire = server.connect();
    let lines =
        ["keep-alive", "Keep-Alive", "closed", "x-close", "close-notify", "close x", "te", ""];
    for line in lines {
        wire.send(format!(
            "GET /get?key=a HTTP/1.1\r\nHost: localhost\r\nConnection: {line}\r\n\r\n"
        ));
        let answer = wire.answer();
        assert_answer(&answer, 200, "b", line);
        assert_eq!(answer.field("Connection"), None, "{line}");
    }
    for target in ["/get?key=none", "/", "/set?a=b", "/set?a"] {
        assert_eq!(wire.get(target).field("Connection"), None, "{target}");
    }
    wire.end().expect_end();
}

/// `Connection: close` (in any list form, any case) closes after the answer.
#[test]
fn connection_close_in_any_list_form_and_case_closes() {
    let server = server();
    for fields in [
        "Connection: close",
        "connection:close",
        "CONNECTION:\tCLOSE \t",
        "Connection: Close",
        "Connection: keep-alive, close",
        "Connection: close, keep-alive",
        "Connection: te,close",
        "Connection: ,, close ,",
        "Connection: te ,\tcLoSe\t, upgrade",
        "Connection: keep-alive\r\nConnection: close",
        "Connection: close\r\nConnection: keep-alive",
        "Connection:\r\nConnection: close",
    ] {
        let mut wire = server.connect();
        // What follows is not answered any more.
        let evil = "GET /set?a=evil HTTP/1.1\r\nHost: localhost\r\n\r\n";
        wire.send(format!("GET /get?key=a HTTP/1.1\r\n{fields}\r\nHost: localhost\r\n\r\n{evil}"));
        let answer = wire.answer();
        assert_answer(&answer, 200, "b", fields);
        assert!(answer.closes(), "{fields}: {}", answer.head);
        wire.expect_end();
        assert_eq!(server.get("/get?key=a").text(), "b", "{fields}");
    }
}

/// `Connection: close` after requests that kept the connection open: all of them are answered.
#[test]
fn only_the_last_of_several_requests_closes() {
    let server = server();
    let mut wire = server.connect();
    let last = b"GET /get?key=a HTTP/1.1\r\nConnection: close\r\nHost: localhost\r\n\r\n";
    wire.send([SET, GET, last, SET].concat());
    assert_answer(&wire.answer(), 200, "", "first");
    assert_answer(&wire.answer(), 200, "b", "second");
    let answer = wire.answer();
    assert_answer(&answer, 200, "b", "last");
    assert!(answer.closes());
    wire.expect_end();
}

/// HTTP/1.0 | closes after the answer.
#[test]
fn http_1_0_closes() {
    let server = server();
    for fields in [
        "",
        "Host: localhost\r\n",
        "Connection: close\r\n",
        "Connection: te\r\n",
        "Connection: keep-alive, close\r\n",
        "Keep-Alive: timeout=5\r\n",
    ] {
        for (target, status, text) in
            [("/get?key=a", 200, "b"), ("/get?key=none", 404, ""), ("/set?a=b", 200, "")]
        {
            let request = format!("GET {target} HTTP/1.0\r\n{fields}\r\n");
            let answer = server.only_answer([request.as_bytes(), SET].concat());
            assert_answer(&answer, status, text, &request);
            assert!(answer.closes(), "{request}");
        }
    }
}

/// HTTP/1.0 with `Connection: keep-alive` keeps it open and is answered with the same.
#[test]
fn http_1_0_with_keep_alive_stays_open_and_is_told_so() {
    let server = server();
    let mut wire = server.connect();
    for fields in [
        "Connection: keep-alive",
        "connection: Keep-Alive",
        "Connection: te, keep-alive",
        "Connection: ,KEEP-ALIVE,",
        "Connection: te\r\nConnection: keep-alive",
    ] {
        for (target, status, text) in
            [("/get?key=a", 200, "b"), ("/get?key=none", 404, ""), ("/set?a=b", 200, "")]
        {
            wire.send(format!("GET {target} HTTP/1.0\r\n{fields}\r\n\r\n"));
            let answer = wire.answer();
            assert_answer(&answer, status, text, fields);
            assert_eq!(answer.field("Connection"), Some("keep-alive"), "{fields}");
        }
    }
    // Two in one packet, and the last without it.
    wire.send(
        "GET /get?key=a HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /get?key=a HTTP/1.0\r\n\r\n",
    );
    assert_eq!(wire.answer().field("Connection"), Some("keep-alive"));
    assert!(wire.answer().closes());
    wire.expect_end();
}

/// HTTP version other than 1.x | 505, close; a later 1.x is served as 1.1; garbage is 400.
#[test]
fn serves_http_1_x_and_no_other_version() {
    let server = server();
    let mut wire = server.connect();
    for version in ["HTTP/1.1", "HTTP/1.2", "HTTP/1.9"] {
        wire.send(format!("GET /get?key=a {version}\r\nHost: localhost\r\n\r\n"));
        let answer = wire.answer();
        assert_answer(&answer, 200, "b", version);
        assert_eq!(answer.field("Connection"), None, "{version}");
    }
    // Like 1.1, it has a Host field.
    assert_eq!(server.only_answer("GET /get?key=a HTTP/1.2\r\n\r\n").status, 400);
    let table = [
        ("HTTP/2.0", 505),
        ("HTTP/0.9", 505),
        ("HTTP/0.0", 505),
        ("HTTP/3.0", 505),
        ("HTTP/9.9", 505),
        ("HTTP/1", 400),
        ("HTTP/1.", 400),
        ("HTTP/.1", 400),
        ("HTTP/11", 400),
        ("HTTP/1.10", 400),
        ("HTTP/1.01", 400),
        ("HTTP/01.1", 400),
        ("HTTP/1,1", 400),
        ("HTTP/1.x", 400),
        ("HTTP/x.1", 400),
        ("HTTP/-1.1", 400),
        ("HTTP /1.1", 400),
        ("HTTP/ 1.1", 400),
        ("http/1.1", 400),
        ("Http/1.1", 400),
        ("HTTPS/1.1", 400),
        ("XHTTP/1.1", 400),
        ("HTTP/2", 400),
        ("HTTP", 400),
        ("ICY", 400),
        ("1.1", 400),
    ];
    for (version, status) in table {
        let request = format!("GET /set?evil=1 {version}\r\nHost: localhost\r\n\r\n");
        let answer = server.only_answer([request.as_bytes(), SET].concat());
        assert_eq!(answer.status, status, "{version}");
        assert!(answer.closes(), "{version}");
    }
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    assert_eq!(server.only_answer(preface).status, 505);
    assert_eq!(server.get("/get?key=evil").status, 404);
}

// Where a request ends.

/// Several requests in one packet | answered in order.
#[test]
fn a_hundred_requests_in_one_packet_are_answered_in_order() {
    let server = server();
    let mut wire = server.connect();
    let mut packet = Vec::new();
    let mut expected = Vec::new();
    for i in 0..25 {
        let mut add = |line: String, fields: &str, status, body: String| {
            packet.extend(format!("{line} HTTP/1.1\r\nHost: localhost\r\n{fields}").into_bytes());
            expected.push((line, status, body));
        };
        add(format!("GET /set?k{}={i}", i % 3), "\r\n", 200, String::new());
        add(format!("GET /get?key=k{}", i % 3), "\r\n", 200, i.to_string());
        match i % 4 {
            0 => add("GET /get?key=none".to_string(), "\r\n", 404, String::new()),
            1 => add("HEAD /get?key=a".to_string(), "\r\n", 200, String::new()),
            2 => add(
                "POST /get?key=a".to_string(),
                "Content-Length: 3\r\n\r\nGET",
                500,
                "T".to_string(),
            ),
            _ => add(
                "PUT /".to_string(),
                "Transfer-Encoding: chunked\r\n\r\n1\r\nG\r\n0\r\n\r\n",
                500,
                "T".to_string(),
            ),
        }
        add("GET /set?a&b".to_string(), "\r\n", 500, "T".to_string());
    }
    assert_eq!(expected.len(), 100);
    wire.send(packet);
    for (line, status, body) in expected {
        let answer = wire.answer_to(line.split(' ').next().unwrap());
        assert_eq!(answer.status, status, "{line}");
        if status == 500 {
            assert!(answer.text().starts_with("Th"), "{line}: {}", answer.text());
        } else {
            assert_eq!(answer.text(), body, "{line}");
        }
    }
    wire.end().expect_end();
}

/// Far more answers than the buffers between the two take, while the client only sends.
#[test]
fn a_client_may_send_many_requests_before_it_reads() {
    let server = server();
    let mut wire = server.connect();
    let value = "v".repeat(20_000);
    assert_eq!(wire.get(&format!("/set?long={value}")).status, 200);
    wire.send(b"GET /get?key=long HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(200)).end();
    for _ in 0..200 {
        assert!(wire.answer().text() == value);
    }
    wire.expect_end();
}

/// A request in many packets | answered as if it came whole.
#[test]
fn a_request_may_be_split_anywhere() {
    let server = server();
    let mut wire = server.connect();
    let requests: [(&[u8], u16, &str); 4] = [
        (b"GET /set?split=%C3%A9+1 HTTP/1.1\r\nHost: localhost\r\nA: b\r\n\r\n", 200, ""),
        (b"GET /get?key=split HTTP/1.1\r\nAccept:\r\nHost:  localhost  \r\n\r\n", 200, "é 1"),
        (b"\r\nGET /get?key=none HTTP/1.1\r\nHost:localhost\r\n\r\n", 404, ""),
        (b"GET /get?key=a HTTP/1.2\r\nHost: localhost\r\n\r\n", 200, "b"),
    ];
    for (request, status, text) in requests {
        for split in 0..=request.len() {
            let (first, second) = request.split_at(split);
            send_in_two(&mut wire, first, second);
            let what = format!("{} at {split}", request.escape_ascii());
            assert_answer(&wire.answer(), status, text, &what);
        }
    }
    wire.end().expect_end();
}

/// A request in many packets, even byte by byte | answered as if it came whole.
#[test]
fn requests_may_come_byte_by_byte() {
    let server = server();
    let mut wire = server.connect();
    let body = b"POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n\
        3;a=b\r\nGET\r\n0\r\nA: b\r\n\r\n";
    for byte in [SET, GET, body, GET].concat() {
        wire.send([byte]);
    }
    assert_answer(&wire.answer(), 200, "", "set");
    assert_answer(&wire.answer(), 200, "b", "get");
    assert_eq!(wire.answer().status, 500);
    assert_answer(&wire.answer(), 200, "b", "get after a body");
    wire.end().expect_end();
}

/// Two requests whose border is not the border of the packets.
#[test]
fn keeps_bytes_that_arrive_after_the_head() {
    let server = server();
    let both = [SET, GET].concat();
    for split in 0..=both.len() {
        let mut wire = server.connect();
        send_in_two(&mut wire, &both[..split], &both[split..]);
        assert_answer(&wire.answer(), 200, "", &format!("set, {split}"));
        assert_answer(&wire.answer(), 200, "b", &format!("get, {split}"));
        wire.end().expect_end();
    }
}

/// At most one empty line before a request line is skipped (RFC 9112 §2.2).
#[test]
fn one_empty_line_before_a_request_is_skipped() {
    let server = server();
    let mut wire = server.connect();
    wire.send([b"\r\n", GET, b"\r\n", GET, GET, b"\r\n"].concat());
    for _ in 0..3 {
        assert_answer(&wire.answer(), 200, "b", "after an empty line");
    }
    wire.send(GET);
    assert_answer(&wire.answer(), 200, "b", "after an empty line in a packet of its own");
    wire.end().expect_end();
}

/// The target in absolute form | accepted, its authority goes before Host (RFC 9112 §3.2.2).
#[test]
fn absolute_targets_are_accepted() {
    let server = server();
    let mut wire = server.connect();
    let table = [
        ("http://localhost:4000/get?key=a", "localhost", 200, "b"),
        ("http://localhost/get?key=a", "localhost", 200, "b"),
        ("HTTP://LOCALHOST/get?key=a", "localhost", 200, "b"),
        ("hTTp://127.0.0.1:1/get?key=a", "localhost", 200, "b"),
        ("http://[::1]:4000/get?key=a", "localhost", 200, "b"),
        ("http://a.localhost:/get?key=none", "localhost", 404, ""),
        ("http://localhost/set?a=b", "localhost", 200, ""),
        // The authority goes before Host.
        ("http://localhost/get?key=a", "evil.example", 200, "b"),
    ];
    for (target, host, status, text) in table {
        wire.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_answer(&wire.answer(), status, text, target);
    }
    for (target, host, status) in [
        ("http://evil.example/get?key=a", "localhost", 403),
        ("http://localhost", "localhost", 500),
        ("http://localhost?key=a", "localhost", 500),
        ("http://localhost/", "localhost", 500),
        ("http://localhost//get?key=a", "localhost", 500),
        ("http://localhost/http://localhost/get?key=a", "localhost", 500),
    ] {
        wire.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(wire.answer().status, status, "{target}");
    }
    assert_open(&mut wire, "after absolute targets");
    // Host must be there once and well-formed all the same.
    for request in [
        "GET http://localhost/get?key=a HTTP/1.1\r\n\r\n",
        "GET http://localhost/get?key=a HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET http://localhost/get?key=a HTTP/1.1\r\nHost: a b\r\n\r\n",
    ] {
        assert_eq!(server.only_answer(request).status, 400, "{request}");
    }
}

// Bodies.

/// Bodies, and what frames them. Some look like a request.
const BODIES: [(&str, &[u8]); 12] = [
    ("Content-Length: 0", b""),
    ("Content-Length: 5", b"hello"),
    ("content-length:\t0043\t", b"GET /set?a=evil HTTP/1.1\r\nHost: localhost\r\n"),
    ("Content-Length: 45", b"GET /set?a=evil HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ("Content-Length: 2\r\nContent-Length: 2", b"\r\n"),
    ("Transfer-Encoding: chunked", b"0\r\n\r\n"),
    ("transfer-encoding:CHUNKED", b"00000000000000000\r\n\r\n"),
    ("Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n"),
    ("Transfer-Encoding: ,chunked,", b"2\r\n\r\n\r\n1\r\n\0\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked", b"2D\r\nGET /set?a=evil HTTP/1.1\r\nHost: localhost\r\n\r\n\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked", b"2d;a;b=c;d=\"e f;g\"\r\nGET /set?a=evil HTTP/1.1\r\nHost: localhost\r\n\r\n\r\n0 ;x=y\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\nTrailer: A", b"a \t; b\r\n0123456789\r\n0\r\nA: b\r\nContent-Length: 7\r\nEmpty:\r\n\r\n"),
];

/// Request body, Content-Length or chunked | read and thrown away, never taken for the next request.
#[test]
fn a_body_is_never_taken_for_the_next_request() {
    let server = server();
    let mut wire = server.connect();
    for (fields, body) in BODIES {
        for (line, status) in [
            ("GET /get?key=a", 200),
            ("POST /set?a=evil", 500),
            ("GET /get?key=x", 404),
            ("get /", 500),
        ] {
            let what = format!("{line} {fields} {}", body.escape_ascii());
            let head = format!("{line} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n\r\n");
            wire.send([head.as_bytes(), body, GET].concat());
            assert_eq!(wire.answer().status, status, "{what}");
            assert_answer(&wire.answer(), 200, "b", &what);
            assert_open(&mut wire, &what);
        }
    }
    wire.end().expect_end();
}

/// The same, with a body that comes in two packets, however it is split.
#[test]
fn a_body_may_be_split_anywhere() {
    let server = server();
    let mut wire = server.connect();
    for (fields, body) in BODIES {
        let head = format!("POST /x HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n\r\n");
        let request = [head.as_bytes(), body, GET].concat();
        for split in head.len() - 4..=request.len() {
            let what = format!("{} at {split}", request.escape_ascii());
            send_in_two(&mut wire, &request[..split], &request[split..]);
            assert_eq!(wire.answer().status, 500, "{what}");
            assert_answer(&wire.answer(), 200, "b", &what);
        }
    }
    wire.end().expect_end();
}

/// Request body | read and thrown away up to 1 MiB; larger: 413, close.
#[test]
fn a_body_of_a_mebibyte_is_read_and_one_byte_more_is_413() {
    let server = server();
    let mebibyte = vec![b'x'; 1 << 20];
    let mut wire = server.connect();
    wire.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048576\r\n\r\n")
        .send(&mebibyte);
    assert_eq!(wire.answer().status, 500);
    assert_open(&mut wire, "after 1 MiB with a length");
    let chunked = "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    wire.send(chunked).send("100000\r\n").send(&mebibyte).send("\r\n0\r\n\r\n");
    assert_eq!(wire.answer().status, 500);
    assert_open(&mut wire, "after 1 MiB in one chunk");
    wire.send(chunked);
    for piece in mebibyte.chunks(64 << 10) {
        wire.send("10000\r\n").send(piece).send("\r\n");
    }
    wire.send("0\r\n\r\n");
    assert_eq!(wire.answer().status, 500);
    assert_open(&mut wire, "after 1 MiB in many chunks");

    for (framing, body) in [
        ("Content-Length: 1048577", ""),
        ("Content-Length: 99999999999999999999999999", ""),
        ("Content-Length: 18446744073709551615", ""),
        ("Transfer-Encoding: chunked", "100001\r\n"),
        ("Transfer-Encoding: chunked", "fffffffffffffffff\r\n"),
        ("Transfer-Encoding: chunked", "FFFFFFFFFFFFFFFF;a=b\r\n"),
        ("Transfer-Encoding: chunked", "1\r\nx\r\n100000\r\n"),
        ("Transfer-Encoding: chunked", "1\r\nx\r\nffffffffffffffff\r\n"),
    ] {
        let head =
            format!("GET /set?evil=1 HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n{body}");
        let answer = server.only_answer([head.as_bytes(), SET].concat());
        assert_eq!(answer.status, 413, "{head}");
        assert!(answer.closes(), "{head}");
    }
    assert_eq!(server.get("/get?key=evil").status, 404);
}

/// `Expect: 100-continue` with a body | the final answer at once, without reading the body, then
/// close.
#[test]
fn a_client_that_expects_100_continue_gets_the_final_answer_at_once() {
    let server = server();
    for expect in ["Expect: 100-continue", "expect: 100-Continue", "EXPECT:100-CONTINUE"] {
        for framing in ["Content-Length: 45", "Transfer-Encoding: chunked"] {
            for (line, status) in [("GET /get?key=a", 200), ("POST /set?a=evil", 500)] {
                let head =
                    format!("{line} HTTP/1.1\r\nHost: localhost\r\n{expect}\r\n{framing}\r\n\r\n");
                let mut wire = server.connect();
                let answer = wire.send(&head).answer();
                assert_eq!(answer.status, status, "{head}");
                assert!(answer.closes(), "{head}");
                wire.expect_end();
                // Nor is it read where the client did not wait.
                let evil = b"GET /set?a=evil HTTP/1.1\r\nHost: localhost\r\n\r\n";
                assert_eq!(server.only_answer([head.as_bytes(), evil].concat()).status, status);
            }
        }
    }
    assert_eq!(server.get("/get?key=a").text(), "b");
    // A body that is too large is refused before anybody waits for it.
    let head = "PUT / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 9999999\r\n\r\n";
    assert_eq!(server.only_answer(head).status, 413);
}

/// Without a body there is nothing to expect, and HTTP/1.0 knows nothing of it.
#[test]
fn expect_without_a_body_changes_nothing() {
    let server = server();
    let mut wire = server.connect();
    for fields in ["Expect: 100-continue", "Expect: 100-continue\r\nContent-Length: 0"] {
        wire.send(format!("GET /get?key=a HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n\r\n"));
        let answer = wire.answer();
        assert_answer(&answer, 200, "b", fields);
        assert!(!answer.closes(), "{fields}");
    }
    wire.send("GET /get?key=a HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nGET");
    assert_answer(&wire.answer(), 200, "b", "HTTP/1.0");
    assert_open(&mut wire, "after HTTP/1.0 with Expect");
}

/// The client shuts its sending side after the request | it still gets its answers.
#[test]
fn a_client_that_has_finished_sending_gets_its_answers() {
    let server = server();
    let body = b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nGET";
    let table: [(&[u8], &[u16]); 5] = [
        (GET, &[200]),
        (&[SET, GET, GET].concat(), &[200, 200, 200]),
        (&[body, GET].concat(), &[500, 200]),
        (&[GET, body].concat(), &[200, 500]),
        (b"GET /get?key=none HTTP/1.0\r\n\r\n", &[404]),
    ];
    for (bytes, statuses) in table {
        let mut wire = server.connect();
        wire.send(bytes).end();
        for &status in statuses {
            assert_eq!(wire.answer().status, status, "{}", bytes.escape_ascii());
        }
        wire.expect_end();
    }
}

/// What ends in the middle of a request stores nothing, and takes no answer away from those before.
#[test]
fn a_request_that_is_cut_off_is_not_served() {
    let server = server();
    let request = b"GET /set?evil=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc";
    for cut in 0..request.len() {
        let mut wire = server.connect();
        wire.send([GET, &request[..cut]].concat()).end();
        assert_answer(&wire.answer(), 200, "b", "the one before");
        wire.expect_end();
    }
    assert_eq!(server.get("/get?key=evil").status, 404);
}

// What is refused.

/// Malformed request line, field line, bare CR, NUL, white space before `:`, folded field line, no
/// Host or two Hosts in HTTP/1.1, bad Host | 400, close.
#[test]
fn malformed_heads_are_400() {
    let server = server();
    let table: [&[u8]; 88] = [
        // The request line.
        b"GET\r\n\r\n",
        b"GET \r\n\r\n",
        b"GET /set?evil=1\r\n\r\n",
        b"GET /set?evil=1 \r\nHost: a.localhost\r\n\r\n",
        b"GET  /set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        b"GET /set?evil=1  HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1 \r\nHost: a.localhost\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1 x\r\nHost: a.localhost\r\n\r\n",
        b"GET\t/set?evil=1\tHTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        b"GET /set?evil=1\tHTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        b" GET /set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        b"\tGET /set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        b"GET /set?evil= 1 HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        b"/set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        b"GE(T /set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        b"G\xC3\x89T /set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        b"\"GET\" /set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        b"GET: /set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        b"\0GET /set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        b"G\0ET /set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        // The target: odd bytes, and forms that the method does not have.
        b"GET /set?evil=\0 HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        b"GET /set?evil=\x01 HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        b"GET /set?evil=\x1F HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        b"GET /set?evil=\x7F HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        b"GET /set?evil=\x0B1 HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        b"GET /set?evil=\r1 HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        // Raw bytes that are not UTF-8 are no text, so they are no target.
        b"GET /set?evil=\xFF HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        b"GET /set?evil=\xC3 HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        b"GET set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        b"GET ?evil=1 HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        b"GET localhost:4000 HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        b"GET localhost/set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        b"GET ftp://localhost/set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        b"GET http:/set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        b"GET http:///set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        b"GET http://:80/set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        b"GET http://user@localhost/set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        b"GET http://localhost:x/set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        b"GET http://%zz.localhost/set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        b"CONNECT %zz.localhost:80 HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        // A Host with a malformed percent-escape (RFC 3986 §3.2.2).
        b"GET /set?evil=1 HTTP/1.1\r\nHost: %zz.localhost\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1\r\nHost: a%4.localhost:4000\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1\r\nHost: a.localhost%\r\n\r\n",
        b"GET http://[::1/set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        b"CONNECT /set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
        // A field line.
        b"GET /set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\nno colon\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\nNoColon\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\n: no name\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\nA\x80: b\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\n\"A\": b\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\nA(: b\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\nA: \x01\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\nA: b\x7F\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\nA: b\x0Bc\r\n\r\n",
        // White space before the colon, and before the name.
        b"GET /set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\nA : b\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\nA\t: b\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1\r\nHost : localhost\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1\r\n Host: a.localhost\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1\r\n\tHost: a.localhost\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1\r\n \r\nHost: a.localhost\r\n\r\n",
        // A folded field line.
        b"GET /set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\nA: b\r\n c\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\nA: b\r\n\tc\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\nA:\r\n b\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\nA: b\r\n \r\n\r\n",
        // NUL.
        b"GET /set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\nA: b\0\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\nA\0: b\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1\0\r\nHost: a.localhost\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1\r\nHost: a.localhost\r\n\0\r\n\r\n",
        // No Host, or two.
        b"GET /set?evil=1 HTTP/1.1\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1\r\nHostname: localhost\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1\r\nHost: localhost\r\nA: b\r\nhOST: 127.0.0.1\r\n\r\n",
        // A bad Host.
        b"GET /set?evil=1 HTTP/1.1\r\nHost:\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1\r\nHost: local host\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1\r\nHost: localhost, localhost\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1\r\nHost: localhost/\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1\r\nHost: http://localhost\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1\r\nHost: user@localhost\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1\r\nHost: localhost:99999\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1\r\nHost: localhost:+80\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1\r\nHost: localhost:80:80\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1\r\nHost: ::1\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1\r\nHost: [::1\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1\r\nHost: [localhost]\r\n\r\n",
        b"GET /set?evil=1 HTTP/1.1\r\nHost: l\xC3\xB6calhost\r\n\r\n",
    ];
    for head in table {
        let mut wire = server.connect();
        let answer = wire.send([head, SET].concat()).answer();
        assert_eq!(answer.status, 400, "{}", head.escape_ascii());
        assert!(answer.closes() && !answer.body.is_empty(), "{}", head.escape_ascii());
        wire.expect_end();
    }
    assert_eq!(server.get("/get?key=evil").status, 404);
}

/// Field values are bytes, not always UTF-8, and a name may be any token.
#[test]
fn unknown_fields_may_hold_anything_that_is_well_formed() {
    let server = server();
    let mut wire = server.connect();
    let fields: [&[u8]; 9] = [
        b"A: \xFF\xFE\x80",
        b"A: \xC3\xA9",
        b"A:",
        b"A: \t ",
        b"A: b\tc  d",
        b"A: \"b, c\" ;()<>@,;:\\/[]?={}",
        b"!#$%&'*+-.^_`|~09: x",
        b"User-Agent: x\r\nuser-agent: y",
        b"Content-Type: text/plain\r\nContent_Length: 7\r\nXContent-Length: 7\r\nContent-Lengthx: 7",
    ];
    for fields in fields {
        let head =
            [b"GET /get?key=a HTTP/1.1\r\nHost: localhost\r\n", fields, b"\r\n\r\n"].concat();
        wire.send(head);
        assert_answer(&wire.answer(), 200, "b", &fields.escape_ascii().to_string());
    }
}

/// Nonsense is answered at once, not when the rest of its head has come.
#[test]
fn a_malformed_line_is_refused_before_the_head_is_complete() {
    let server = server();
    let table: [(u16, &[u8]); 11] = [
        (400, b"nonsense\r\n"),
        (400, b"\x16\x03\x01"),
        (400, b"\n"),
        (400, b"\r\n\r\n"),
        (400, b" "),
        (400, b"GET /get?key=a HTTP/1.1\n"),
        (400, b"GET /get?key=a HTTP/1.1\r\nHost: localhost\n"),
        (400, b"GET /get?key=a HTTP/1.1\r\nA : b\r\n"),
        (400, b"GET /get?key=a HTTP/1.1\r\nHost: localhost\r\n folded\r\n"),
        (505, b"GET /get?key=a HTTP/2.0\r\n"),
        (505, b"GET /get?key=a HTTP/0.9\r\nHost: localhost\r\n"),
    ];
    for (status, bytes) in table {
        // The sending side stays open: the server can't know that nothing follows.
        assert_eq!(server.only_answer(bytes).status, status, "{}", bytes.escape_ascii());
    }
}

/// Head larger than 64 KiB: line too long / fields too large | 414 / 431, close.
#[test]
fn a_head_of_64_kib_is_served_and_one_byte_more_is_not() {
    const LIMIT: usize = 64 << 10;
    let server = server();
    // A head with so many bytes before its fields, and so many in all.
    let head = |line: usize, all: usize| {
        let line_rest = "GET /get?key= HTTP/1.1\r\n".len();
        let fields_rest = "Host: localhost\r\nA: \r\n\r\n".len();
        let (key, value) = ("k".repeat(line - line_rest), "v".repeat(all - line - fields_rest));
        format!("GET /get?key={key} HTTP/1.1\r\nHost: localhost\r\nA: {value}\r\n\r\n")
    };
    let mut wire = server.connect();
    for line in [100, LIMIT / 2, LIMIT - 100] {
        let largest = head(line, LIMIT);
        assert_eq!(largest.len(), LIMIT);
        assert_eq!(wire.send(&largest).answer().status, 404, "{line}");
        // An empty line before it is not part of it, and what follows neither.
        wire.send([b"\r\n", largest.as_bytes(), GET].concat());
        assert_eq!(wire.answer().status, 404, "{line}");
        assert_answer(&wire.answer(), 200, "b", "the next one");
        send_in_two(&mut wire, &largest.as_bytes()[..1000], &largest.as_bytes()[1000..]);
        assert_eq!(wire.answer().status, 404, "{line}");
        for all in [LIMIT + 1, LIMIT + 2, LIMIT + 1000, 2 * LIMIT, 3 * LIMIT] {
            let answer = server.only_answer(head(line, all));
            assert_eq!(answer.status, 431, "{line} {all}");
            assert!(answer.closes());
        }
    }
    for line in [LIMIT + 1, LIMIT + 2, LIMIT + 1000, 2 * LIMIT, 3 * LIMIT] {
        let answer = server.only_answer(head(line, line + 100));
        assert_eq!(answer.status, 414, "{line}");
        assert!(answer.closes());
    }
    // Without an end there is no telling where it would be.
    assert_eq!(server.only_answer("G".repeat(LIMIT + 1)).status, 414);
    assert_eq!(server.only_answer(&head(LIMIT, LIMIT + 100)[..=LIMIT]).status, 431);
    assert_eq!(server.only_answer(&head(100, LIMIT + 100)[..=LIMIT]).status, 431);
    // In a row on one connection, the limit is for each head.
    wire.send(head(100, LIMIT).repeat(3));
    for _ in 0..3 {
        assert_eq!(wire.answer().status, 404);
    }
}

/// Fields more than 100 | 431, close.
#[test]
fn a_hundred_fields_are_served_and_one_more_is_431() {
    let server = server();
    let head = |fields: usize| {
        let rest = "A: b\r\n".repeat(fields - 1);
        format!("GET /get?key=a HTTP/1.1\r\nHost: localhost\r\n{rest}\r\n")
    };
    let mut wire = server.connect();
    assert_answer(&wire.send(head(100)).answer(), 200, "b", "100 fields");
    for fields in [101, 102, 1000] {
        let answer = server.only_answer([head(fields).as_bytes(), SET].concat());
        assert_eq!(answer.status, 431, "{fields}");
        assert!(answer.closes());
    }
    // The 101st is refused before its head is complete.
    let open = head(101);
    assert_eq!(server.only_answer(&open[..open.len() - 2]).status, 431);
}

/// A server that answers an error and closes first reads on for a moment, so that the client can
/// read the answer (RFC 9112 §9.6).
#[test]
fn the_answer_can_be_read_whole_however_much_was_sent() {
    let server = server();
    let sent = 200 << 10;
    let fields = format!("GET /get?key=a HTTP/1.1\r\nHost: localhost\r\nA: {}", "x".repeat(sent));
    let table = [
        (400, "nonsense\r\n"),
        (400, "GET /get?key=a HTTP/1.1\r\n\r\n"),
        (
            400,
            "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n",
        ),
        (403, "GET /get?key=a HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"),
        (413, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\n\r\n"),
        (
            413,
            "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n",
        ),
        (414, "GET /get?key="),
        (431, &fields),
        (501, "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n"),
        (505, "GET /get?key=a HTTP/2.0\r\n"),
        // No error, but the client goes on sending all the same.
        (200, "GET /get?key=a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
        (200, "GET /get?key=a HTTP/1.0\r\n\r\n"),
        (
            200,
            "GET /get?key=a HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 204800\r\n\r\n",
        ),
    ];
    for (status, begin) in table {
        let what = &begin[..begin.len().min(100)];
        let rest = "x".repeat(sent.saturating_sub(begin.len()));
        let mut wire = server.connect();
        wire.send([begin.as_bytes(), rest.as_bytes()].concat());
        let answer = wire.answer();
        assert_eq!(answer.status, status, "{what}");
        assert!(answer.closes(), "{what}");
        wire.expect_end();
    }
}

/// It reads on for a moment: at most 1 s or 256 KiB.
#[test]
fn a_client_that_never_stops_sending_is_cut_off() {
    let server = server();
    let mut wire = server.connect();
    assert_eq!(wire.send("nonsense\r\n").answer().status, 400);
    // More than all the buffers between the two could take.
    let piece = [b'x'; 16 << 10];
    let taken = (0..4096).take_while(|_| wire.stream.write_all(&piece).is_ok()).count();
    assert!(taken < 4096, "{taken} pieces of 16 KiB were taken after the last answer");
}

/// Answers that were on their way are not lost when a later request is refused.
#[test]
fn answers_before_an_error_arrive_too() {
    let server = server();
    let mut wire = server.connect();
    let many = [&SET.repeat(20), &GET.repeat(20), &b"nonsense\r\n"[..], &GET.repeat(2000)].concat();
    wire.send(many);
    for i in 0..40 {
        assert_eq!(wire.answer().status, 200, "{i}");
    }
    assert_eq!(wire.answer().status, 400);
    wire.expect_end();
}

/// An error on one connection never touches another connection.
#[test]
fn an_error_on_one_connection_touches_no_other() {
    let server = server();
    let mut waiting = server.connect();
    let (first, second) = GET.split_at(20);
    send_in_two(&mut waiting, first, b"");
    let mut idle = server.connect();
    assert_open(&mut idle, "before the errors");
    for bytes in
        ["nonsense\r\n", "GET / HTTP/2.0\r\n", "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n"]
    {
        assert!(server.only_answer(bytes).status >= 400);
    }
    // One that just goes away, with and without an answer that it did not read.
    drop(server.connect());
    server.connect().send(GET.repeat(1000));
    assert_answer(&waiting.send(second).answer(), 200, "b", "a request that was under way");
    assert_open(&mut idle, "after the errors");
}
