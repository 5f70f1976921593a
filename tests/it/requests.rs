//! The two requests, row by row: what they store and answer, how their query is read, and that
//! whatever else is asked stores nothing.
//!
//! CONTRACT §1.

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use crate::common::{Answer, Server, Wire};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// What every answer carries, whatever its status.
fn assert_fields(answer: &Answer) {
    let what = &answer.head;
    assert_eq!(answer.field("Content-Type"), Some("text/plain; charset=utf-8"), "{what}");
    assert_eq!(answer.field("X-Content-Type-Options"), Some("nosniff"), "{what}");
    assert_eq!(answer.field("Cache-Control"), Some("no-store"), "{what}");
    assert_eq!(answer.field("Transfer-Encoding"), None, "{what}");
    assert!(answer.field("Content-Length").is_some(), "{what}");
    let date = answer.field("Date").unwrap_or_default();
    assert!(date.len() == 29 && date.ends_with(" GMT"), "{what}");
    let date = httpdate::parse_http_date(date).unwrap();
    let (now, slack) = (SystemTime::now(), Duration::from_mins(1));
    assert!(now - slack < date && date < now + slack, "{what}");
}

/// One plain sentence that says what is accepted.
fn assert_says_what_is_accepted(answer: &Answer) {
    let text = answer.text();
    assert!(text.starts_with(char::is_uppercase) && text.ends_with('.'), "{text:?}");
    assert!(!text.contains(['\n', '\r']), "{text:?}");
    assert!(text.contains("GET /set?<key>=<value>"), "{text:?}");
    assert!(text.contains("GET /get?key=<key>"), "{text:?}");
}

/// Nothing at all was ever stored: the file has not one line.
fn assert_stored_nothing(server: &Server) {
    let stored = std::fs::read(server.data()).unwrap();
    assert_eq!(stored.escape_ascii().to_string(), "");
}

/// Every byte as %XX.
fn every_byte(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Only what would be read as something else, or may not stand in a request line.
fn only_what_must_be(text: &str) -> String {
    let encode = |c: char| match c {
        '&' | '=' | '+' | '%' | '#' | '\0'..=' ' | '\x7F' => every_byte(&c.to_string()),
        c => c.to_string(),
    };
    text.chars().map(encode).collect()
}

/// As a form does it: `+` for a space, and what is not a letter or a digit as %xx.
fn plus_for_spaces(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b' ' => "+".to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02x}"),
    };
    text.bytes().map(encode).collect()
}

fn stored(wire: &mut Wire, key: &str) -> Answer {
    wire.get(&format!("/get?key={}", every_byte(key)))
}

/// `GET /set?<key>=<value>` | the pair is stored, an older value replaced | 200, zero-length body.
#[test]
fn set_stores_the_pair_and_replaces_an_older_value() {
    let server = Server::start(&["--memory"]);
    let mut wire = server.connect();
    for value in ["old", "a much longer value", "x"] {
        let set = wire.get(&format!("/set?key+1={}", every_byte(value)));
        assert_eq!((set.status, set.text(), set.field("Content-Length")), (200, "", Some("0")));
        assert!(set.head.starts_with("HTTP/1.1 200 OK\r\n"), "{}", set.head);
        assert_fields(&set);
        let get = stored(&mut wire, "key 1");
        assert_eq!((get.status, get.text()), (200, value));
    }
}

/// `GET /get?key=<key>`, key there | 200, the value, byte for byte.
#[test]
fn get_answers_the_value_byte_for_byte() {
    let server = Server::start(&["--memory"]);
    let mut wire = server.connect();
    let every_control = (0..0x20_u8).map(char::from).collect::<String>() + "\x7F";
    let long = "é€😀 ".repeat(1600);
    let values = [
        " ",
        "\0",
        "\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "\"quoted\" \\back\\slash\\ \u{2028}\u{FEFF}",
        "<script>alert(1)</script>",
        "\u{10FFFF}\u{E000}\u{FFFD}",
        "é and e\u{301}",
        &every_control,
        &long,
    ];
    for value in values {
        assert_eq!(wire.get(&format!("/set?a={}", every_byte(value))).status, 200, "{value:?}");
        let get = wire.get("/get?key=a");
        assert_eq!((get.status, get.text()), (200, value));
        assert_eq!(get.field("Content-Length"), Some(&*value.len().to_string()));
        assert_fields(&get);
    }
}

/// `GET /get?key=<key>`, key not there | 404, zero-length body.
#[test]
fn get_of_a_key_that_is_not_there_is_404() {
    let server = Server::start(&["--memory"]);
    let mut wire = server.connect();
    assert_eq!(wire.get("/set?a=1").status, 200);
    for key in ["b", "A", "a ", " a", "a\0", "aa", "key", "1"] {
        let get = stored(&mut wire, key);
        assert_eq!((get.status, get.text()), (404, ""), "{key:?}");
        assert!(get.head.starts_with("HTTP/1.1 404 Not Found\r\n"), "{}", get.head);
        assert_eq!(get.field("Content-Length"), Some("0"));
        assert_fields(&get);
    }
}

/// `HEAD /get?key=<key>` | the same status and header fields as GET, no body.
#[test]
fn head_has_the_status_and_the_fields_of_get_and_no_body() {
    let server = Server::start(&["--memory"]);
    let mut wire = server.connect();
    assert_eq!(wire.get("/set?a=some+value").status, 200);
    let without_date = |answer: &Answer| {
        assert_fields(answer);
        let lines = answer.head.lines().filter(|line| !line.starts_with("Date: "));
        lines.map(str::to_string).collect::<Vec<_>>()
    };
    for (target, status) in
        [("/get?key=a", 200), ("/get?key=b", 404), ("/get?key=", 500), ("/get", 500)]
    {
        let get = wire.get(target);
        wire.send(format!("HEAD {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        // A body that came would be taken for the beginning of the next answer.
        let head = wire.answer_to("HEAD");
        assert_eq!((get.status, head.status), (status, status), "{target}");
        assert_eq!(without_date(&get), without_date(&head), "{target}");
    }
    assert_eq!(wire.get("/get?key=a").text(), "some value");
    wire.end().expect_end();
}

/// An answer to HEAD has no body where the connection ends with it either.
#[test]
fn head_has_no_body_where_it_is_refused_for_its_framing() {
    let server = Server::start(&["--memory"]);
    let table: [(u16, &[u8]); 6] = [
        (400, b"HEAD /get?key=a HTTP/1.1\r\n\r\n"),
        (400, b"\r\nHEAD /get?key=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n"),
        (501, b"HEAD /get?key=a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n"),
        (505, b"HEAD /get?key=a HTTP/2.0\r\nHost: localhost\r\n\r\n"),
        (413, b"HEAD /get?key=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\n\r\n"),
        (403, b"HEAD /get?key=a HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"),
    ];
    for (status, bytes) in table {
        let mut wire = server.connect();
        let answer = wire.send(bytes).answer_to("HEAD");
        assert_eq!(answer.status, status, "{}", bytes.escape_ascii());
        assert!(answer.closes() && answer.field("Content-Length") != Some("0"));
        wire.expect_end();
    }
}

/// Any other well-formed request: another path, another method | nothing is stored | 500.
#[test]
fn another_path_or_method_is_500_and_stores_nothing() {
    let server = Server::start(&["--sync", "never"]);
    let mut wire = server.connect();
    let table = [
        ("GET", "/"),
        ("GET", "/?a=b"),
        ("GET", "/set/?a=b"),
        ("GET", "//set?a=b"),
        ("GET", "/Set?a=b"),
        ("GET", "/SET?a=b"),
        ("GET", "/s%65t?a=b"),
        ("GET", "/set%3Fa=b"),
        ("GET", "/set;x?a=b"),
        ("GET", "/set&a=b"),
        ("GET", "/settings?a=b"),
        ("GET", "/se?a=b"),
        ("GET", "/./set?a=b"),
        ("GET", "/x/../set?a=b"),
        ("GET", "/x/set?a=b"),
        ("GET", "/get/?key=a"),
        ("GET", "//get?key=a"),
        ("GET", "/Get?key=a"),
        ("GET", "/g%65t?key=a"),
        ("GET", "/favicon.ico"),
        ("GET", "/\u{e9}?a=b"),
        ("HEAD", "/set?a=b"),
        ("HEAD", "/"),
        ("POST", "/set?a=b"),
        ("POST", "/get?key=a"),
        ("PUT", "/set?a=b"),
        ("PATCH", "/set?a=b"),
        ("DELETE", "/get?key=a"),
        ("OPTIONS", "/set?a=b"),
        ("OPTIONS", "*"),
        ("TRACE", "/set?a=b"),
        ("CONNECT", "localhost:4000"),
        ("get", "/get?key=a"),
        ("Get", "/set?a=b"),
        ("set", "/set?a=b"),
        ("GETT", "/set?a=b"),
        ("GE", "/set?a=b"),
        ("!#$%&'*+-.^_`|~0", "/set?a=b"),
        (&"M".repeat(60_000), "/set?a=b"),
    ];
    for (method, target) in table {
        wire.send(format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        let answer = wire.answer_to(method);
        assert_eq!(answer.status, 500, "{method} {target}");
        assert!(answer.head.starts_with("HTTP/1.1 500 Internal Server Error\r\n"));
        assert_fields(&answer);
        assert!(!answer.closes(), "{method} {target}");
        if method != "HEAD" {
            assert_says_what_is_accepted(&answer);
        }
    }
    assert_stored_nothing(&server);
}

/// Any other well-formed request: a query that is not what the table says | nothing is stored | 500.
#[test]
fn a_query_that_is_not_one_whole_pair_is_500_and_stores_nothing() {
    let server = Server::start(&["--sync", "never"]);
    let mut wire = server.connect();
    let table = [
        // No pair.
        "/set",
        "/set?",
        "/set?&",
        "/set?&&&",
        "/get",
        "/get?",
        "/get?&",
        // Two pairs, a repeated key too.
        "/set?a=b&c=d",
        "/set?a=b&a=c",
        "/set?a=b&a=b",
        "/set?a=b&&c=d",
        "/set?a=b&c",
        "/set?c&a=b",
        "/set?a=b&=",
        "/set?a=b&=c",
        "/set?a=b&c=",
        "/set?a=b&%26=c",
        "/get?key=a&key=a",
        "/get?key=a&key=b",
        "/get?key=a&x=y",
        "/get?x=y&key=a",
        // A piece without `=`.
        "/set?a",
        "/set?a%3Db",
        "/set?a%3db",
        "/set?a;b",
        "/get?key",
        "/get?a",
        "/get?key%3Da",
        // An empty key or value.
        "/set?=",
        "/set?==",
        "/set?=b",
        "/set?=b=c",
        "/set?a=",
        "/set?&a=&",
        "/get?key=",
        "/get?=a",
        "/get?=",
        // Another field than `key`.
        "/get?Key=a",
        "/get?KEY=a",
        "/get?keys=a",
        "/get?name=a",
        "/get?+key=a",
        "/get?key+=a",
        "/get?key%00=a",
        "/get??key=a",
        // Not UTF-8: a lone byte, a cut sequence, a surrogate, an overlong form, too large.
        "/set?a=%FF",
        "/set?%FF=b",
        "/set?%C3=b",
        "/set?a=%E2%82",
        "/set?a=%A9",
        "/set?a=%ED%A0%80",
        "/set?a=%C0%80",
        "/set?a=%F4%90%80%80",
        "/set?%C3=%A9",
        "/get?key=%FF",
        "/get?%FF=a",
    ];
    for target in table {
        let answer = wire.get(target);
        assert_eq!(answer.status, 500, "{target}");
        assert_fields(&answer);
        assert_says_what_is_accepted(&answer);
        assert!(!answer.closes(), "{target}");
    }
    assert_stored_nothing(&server);
}

/// The rules of the query, each with what it makes of an example.
#[test]
fn the_query_is_split_and_then_decoded() {
    let server = Server::start(&["--memory"]);
    let mut wire = server.connect();
    let table = [
        // The target is split at the first `?`.
        ("/set?a=b", "a", "b"),
        ("/set??a=b", "?a", "b"),
        ("/set?a=b?c=d", "a", "b?c=d"),
        ("/set?/set?a=b", "/set?a", "b"),
        // On `&`; empty pieces are ignored.
        ("/set?&a=1", "a", "1"),
        ("/set?a=2&", "a", "2"),
        ("/set?&&a=3&&", "a", "3"),
        // At the first `=`.
        ("/set?a=b=c", "a", "b=c"),
        ("/set?a==", "a", "="),
        ("/set?a===b", "a", "==b"),
        // `;` is data.
        ("/set?a;b=c;d=e", "a;b", "c;d=e"),
        ("/set?a=b;c=d", "a", "b;c=d"),
        ("/set?;=;", ";", ";"),
        // `+` is a space in both halves, then %XX is decoded.
        ("/set?+=++", " ", "  "),
        ("/set?a+b=c+d", "a b", "c d"),
        ("/set?a%2Bb=c%2bd", "a+b", "c+d"),
        ("/set?a%20b=%2B+%2b", "a b", "+ +"),
        ("/set?a%26b=c%26d", "a&b", "c&d"),
        ("/set?a%3Db=c%3dd", "a=b", "c=d"),
        ("/set?%61=%62%63", "a", "bc"),
        ("/set?%3D=%3D", "=", "="),
        ("/set?a=%2523", "a", "%23"),
        ("/set?a=%23", "a", "#"),
        // A `%` that two hex digits do not follow.
        ("/set?100%=5%zz%4", "100%", "5%zz%4"),
        ("/set?%=%%", "%", "%%"),
        ("/set?%%41=%2541", "%A", "%41"),
        ("/set?a=%G1%1G%-1%+1", "a", "%G1%1G%-1% 1"),
        ("/set?%u0041=%x41", "%u0041", "%x41"),
        // Every character is allowed, encoded or not.
        ("/set?%C3%A9=%e2%82%ac", "é", "€"),
        ("/set?é=€😀", "é", "€😀"),
        ("/set?e%CC%81=1", "e\u{301}", "1"),
        ("/set?%EF%BB%BFa=%EF%BB%BF", "\u{FEFF}a", "\u{FEFF}"),
        ("/set?%F4%8F%BF%BF=1", "\u{10FFFF}", "1"),
        ("/set?%00=%00%0A%0D%09%1F%7F", "\0", "\0\n\r\t\x1F\x7F"),
        ("/set?a%0D%0Ab=c%0D%0A%0D%0Ad", "a\r\nb", "c\r\n\r\nd"),
        ("/set?\"<>\\^`{|}=!$'()*,-./:@_~[]", "\"<>\\^`{|}", "!$'()*,-./:@_~[]"),
        ("/set?key=value", "key", "value"),
        ("/set?set=get", "set", "get"),
    ];
    for (target, key, value) in table {
        let set = wire.get(target);
        assert_eq!((set.status, set.text()), (200, ""), "{target}");
        let get = stored(&mut wire, key);
        assert_eq!((get.status, get.text()), (200, value), "{target}");
    }
    // `/get` reads its query in the same way.
    for (target, value) in [
        ("/get?key=a+b", "+ +"),
        ("/get?key=a%20b", "+ +"),
        ("/get?k%65y=a%20b", "+ +"),
        ("/get?%6B%65%79=a%2Bb", "c+d"),
        ("/get?&key=a;b&", "c;d=e"),
        ("/get?key==", "="),
        ("/get?key=?a", "b"),
        ("/get?key=key", "value"),
        ("/get?key=100%", "5%zz%4"),
        ("/get?key=é", "€😀"),
    ] {
        let get = wire.get(target);
        assert_eq!((get.status, get.text()), (200, value), "{target}");
    }
}

/// A fragment (`#`) is not allowed in a request target: 400.
#[test]
fn a_fragment_is_400_and_stores_nothing() {
    let server = Server::start(&["--sync", "never"]);
    for target in ["/set?a=b#", "/set?a=b#c", "/set?a=#b", "/set?#a=b", "/set#?a=b", "#", "/#"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let answer = server.only_answer(request);
        assert_eq!(answer.status, 400, "{target}");
        assert!(answer.closes(), "{target}");
        assert_fields(&answer);
    }
    assert_stored_nothing(&server);
}

/// A key and a value may fill the head: what fits is stored.
#[test]
fn keeps_long_keys_and_values() {
    let server = Server::start(&["--memory"]);
    let mut wire = server.connect();
    for (key, value) in [(1, 65_000), (65_000, 1), (32_000, 32_000)] {
        let (key, value) = ("k".repeat(key), "v".repeat(value));
        assert_eq!(wire.get(&format!("/set?{key}={value}")).status, 200);
        let get = wire.get(&format!("/get?key={key}"));
        assert_eq!((get.status, get.text() == value), (200, true));
    }
}

/// Whatever the key and the value are, and however they are encoded.
#[test]
fn what_was_set_is_what_get_answers() {
    let server = Server::start(&["--memory"]);
    let wire = RefCell::new(server.connect());
    let text = || prop_oneof![".{1,30}", "(?s).{1,30}", "[ +%&=;#0-9a-fA-F]{1,12}", "\\PC{1,30}"];
    let ways = [every_byte, only_what_must_be, plus_for_spaces];
    let config = Config { cases: 64, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&(text(), text()), |(key, value)| {
        let wire = &mut *wire.borrow_mut();
        for (way, encode) in ways.iter().enumerate() {
            // Another value for each way, so that none is taken for the one before.
            let value = format!("{value}{way}");
            let set = wire.get(&format!("/set?{}={}", encode(&key), encode(&value)));
            prop_assert_eq!((set.status, set.text()), (200, ""));
            for encode in ways {
                let get = wire.get(&format!("/get?key={}", encode(&key)));
                prop_assert_eq!((get.status, get.text()), (200, &*value));
            }
        }
        Ok(())
    });
    result.unwrap();
}

/// All of these carry the same fields; no CORS field is ever sent.
#[test]
fn every_answer_carries_the_same_fields() {
    let server = Server::start(&["--memory"]);
    let head = |line: &str| format!("{line}\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let table = [
        (200, head("GET /set?a=b HTTP/1.1")),
        (200, head("GET /get?key=a HTTP/1.1")),
        (404, head("GET /get?key=c HTTP/1.1")),
        (500, head("GET / HTTP/1.1")),
        (400, head("GET / HTTP")),
        (403, "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n".to_string()),
        (413, head("POST / HTTP/1.1\r\nContent-Length: 1048577")),
        (431, head(&format!("GET / HTTP/1.1{}", "\r\nA: b".repeat(100)))),
        (501, head("POST / HTTP/1.1\r\nTransfer-Encoding: gzip")),
        (505, head("GET / HTTP/2.0")),
    ];
    for (status, request) in table {
        let answer = server.only_answer(&request);
        assert_eq!(answer.status, status, "{request}");
        assert!(answer.closes(), "{request}");
        assert_fields(&answer);
        assert!(!answer.head.contains("Access-Control-"), "{}", answer.head);
        assert!(matches!(status, 200 | 404) || answer.text().ends_with('.'), "{request}");
    }
}
