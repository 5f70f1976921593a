//! Request smuggling: whatever two programs in a row might understand differently is refused, and
//! what comes after it is not served (RFC 9112 §6.3, §11.2).
//!
//! In each case a request that stores the key `evil` follows in the same packet. A server that takes
//! the doubtful part for harmless serves it.
//!
//! CONTRACT §2.

use crate::common::Server;

const EVIL: &[u8] = b"GET /set?evil=1 HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Checks that each of `cases`, with [`EVIL`] after it, gets this one answer and the end of the
/// connection; in one packet, in two, and after a request that is served.
fn refuses_and_serves_nothing_after(status: u16, cases: &[impl AsRef<[u8]>]) {
    let server = Server::start(&["--memory"]);
    for case in cases {
        let what = case.as_ref().escape_ascii();
        let bytes = [case.as_ref(), EVIL].concat();
        for split in [0, bytes.len() / 2, case.as_ref().len()] {
            let mut wire = server.connect();
            // That it was answered says that what comes after it in its packet was read.
            wire.send(
                [b"GET /get?key=none HTTP/1.1\r\nHost: localhost\r\n\r\n", &bytes[..split]]
                    .concat(),
            );
            assert_eq!(wire.answer().status, 404);
            let answer = wire.send(&bytes[split..]).answer();
            assert_eq!(answer.status, status, "{what}");
            assert!(answer.closes(), "{what}");
            wire.expect_end();
            assert_eq!(server.get("/get?key=evil").status, 404, "{what}");
        }
        let answer = server.only_answer(&bytes);
        assert_eq!((answer.status, answer.closes()), (status, true), "{what}");
        assert_eq!(server.get("/get?key=evil").status, 404, "{what}");
    }
}

/// A POST with these lines beside its Host.
fn post(fields: &[u8]) -> Vec<u8> {
    [b"POST / HTTP/1.1\r\nHost: localhost\r\n", fields, b"\r\n\r\n"].concat()
}

/// A POST with a chunked body that begins like this.
fn chunked(body: &[u8]) -> Vec<u8> {
    [&post(b"Transfer-Encoding: chunked"), body].concat()
}

/// Content-Length that is not one plain number | 400, close.
#[test]
fn a_length_that_is_not_one_plain_number() {
    let values: [&[u8]; 28] = [
        b"",
        b" ",
        b"+45",
        b"-45",
        b"-0",
        b"0x2D",
        b"2D",
        b"45.0",
        b"4.5e1",
        b"45;",
        b"45 ;a=b",
        b"4 5",
        b"4\t5",
        b"45, 45",
        b"45,45",
        b"45,0",
        b"0,45",
        b",45",
        b"45,",
        b"\"45\"",
        b"'45'",
        b"45\xA0",
        b"\xEF\xBC\x94\xEF\xBC\x95",
        b"4_5",
        b"forty-five",
        b"bytes=45",
        b"45\x0B",
        b"45\0",
    ];
    let cases: Vec<_> =
        values.iter().map(|value| post(&[b"Content-Length: ", *value].concat())).collect();
    refuses_and_serves_nothing_after(400, &cases);
}

/// Content-Length, two that differ | 400, close.
#[test]
fn two_lengths_that_differ() {
    let cases = [
        post(b"Content-Length: 0\r\nContent-Length: 45"),
        post(b"Content-Length: 45\r\nContent-Length: 0"),
        post(b"Content-Length: 45\r\ncontent-length: 44"),
        post(b"Content-Length: 45\r\nA: b\r\nContent-Length: 45\r\nContent-Length: 46"),
        post(b"Content-Length: 45\r\nContent-Length:"),
        post(b"Content-Length:\r\nContent-Length: 45"),
        post(b"Content-Length: 45\r\nContent-Length: x"),
    ];
    refuses_and_serves_nothing_after(400, &cases);
}

/// Content-Length with Transfer-Encoding | 400, close.
#[test]
fn a_length_beside_a_transfer_encoding() {
    let cases = [
        [post(b"Content-Length: 45\r\nTransfer-Encoding: chunked"), b"0\r\n\r\n".to_vec()].concat(),
        [post(b"Transfer-Encoding: chunked\r\nContent-Length: 5"), b"0\r\n\r\n".to_vec()].concat(),
        post(b"Content-Length: 0\r\nTransfer-Encoding: chunked"),
        post(b"Content-Length: 45\r\nTransfer-Encoding: identity"),
        post(b"Content-Length: 45\r\nTransfer-Encoding: gzip"),
        post(b"Content-Length: 45\r\nTransfer-Encoding:"),
        post(b"Content-Length: 45\r\ntransfer-encoding: xchunked"),
        post(b"Content-Length: 45\r\nA: b\r\nTRANSFER-ENCODING: , chunked"),
        b"GET / HTTP/1.0\r\nContent-Length: 45\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
    ];
    refuses_and_serves_nothing_after(400, &cases);
}

/// `chunked` not last, or twice, or nothing at all, or in HTTP/1.0 (RFC 9112 §6.1) | 400, close.
#[test]
fn chunked_that_is_not_the_last_coding() {
    let cases = [
        post(b"Transfer-Encoding: chunked, gzip"),
        post(b"Transfer-Encoding: chunked, identity"),
        post(b"Transfer-Encoding: chunked,xchunked"),
        post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip"),
        post(b"Transfer-Encoding: chunked, chunked"),
        post(b"Transfer-Encoding: chunked, gzip, chunked"),
        post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: Chunked"),
        post(b"Transfer-Encoding:"),
        post(b"Transfer-Encoding: ,"),
        b"POST / HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            .to_vec(),
        b"POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            .to_vec(),
    ];
    refuses_and_serves_nothing_after(400, &cases);
}

/// Transfer coding other than chunked | 501, close.
#[test]
fn a_transfer_coding_that_is_not_chunked() {
    let values: [&[u8]; 18] = [
        b"gzip",
        b"identity",
        b"identity, chunked",
        b"gzip, chunked",
        b"gzip,deflate",
        b"xchunked",
        b"x-chunked",
        b"chunkedx",
        b"chunke",
        b"chunked;a=b",
        b"chunked chunked",
        b"chunked\tx",
        b"\"chunked\"",
        b"'chunked'",
        b"chunked\xA0",
        b"\xEF\xBB\xBFchunked",
        b"chun\xC3\xB6ked",
        b"gzip\r\nTransfer-Encoding: chunked",
    ];
    let cases: Vec<_> = values
        .iter()
        .map(|value| [&post(&[b"Transfer-Encoding: ", *value].concat())[..], b"0\r\n\r\n"].concat())
        .collect();
    refuses_and_serves_nothing_after(501, &cases);
}

/// Field lines that hide the framing from one program and show it to another | 400, close.
#[test]
fn field_lines_that_hide_the_framing() {
    let lines: [&[u8]; 26] = [
        // White space before the colon, or before the name.
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding\t: chunked",
        b"Content-Length : 45",
        b"Content-Length\t: 45",
        b" Transfer-Encoding: chunked",
        b"\tContent-Length: 45",
        b"Content -Length: 45",
        // A folded line.
        b"A: b\r\n Transfer-Encoding: chunked",
        b"A: b\r\n\tContent-Length: 45",
        b"Transfer-Encoding:\r\n chunked",
        b"Transfer-Encoding: chunked\r\n , identity",
        b"Content-Length:\r\n 45",
        b"Content-Length: 4\r\n\t5",
        // A bare CR, which some take for a line end.
        b"A: b\rTransfer-Encoding: chunked",
        b"A: b\rContent-Length: 45\r",
        b"Transfer-Encoding: chunked\rA: b",
        b"Transfer-Encoding: \rchunked",
        b"\rTransfer-Encoding: chunked",
        b"Content-Length: 45\r\r",
        // NUL and other control characters.
        b"Transfer-Encoding: \x0Bchunked",
        b"Transfer-Encoding: chunked\x0C",
        b"Transfer-Encoding: chun\0ked",
        b"Transfer-Encoding\0: chunked",
        b"\x0BContent-Length: 45",
        // No colon, or no name.
        b"Transfer-Encoding\r\n: chunked",
        b"Transfer-Encoding chunked",
    ];
    let cases: Vec<_> = lines.iter().map(|line| post(line)).collect();
    refuses_and_serves_nothing_after(400, &cases);
}

/// A line ends with CR LF; LF alone is 400, in each place.
#[test]
fn a_line_feed_alone() {
    let cases: [&[u8]; 15] = [
        b"\n",
        b"\r\n\n",
        b"\nGET /get?key=a HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /get?key=a HTTP/1.1\nHost: localhost\r\n\r\n",
        b"GET /get?key=a HTTP/1.1\r\nHost: localhost\n\r\n",
        b"GET /get?key=a HTTP/1.1\r\nHost: localhost\r\nA: b\nC: d\r\n\r\n",
        b"GET /get?key=a HTTP/1.1\r\nHost: localhost\r\nA:\n\r\n",
        b"GET /get?key=a HTTP/1.1\r\nHost: localhost\r\n\n",
        b"GET /get?key=a HTTP/1.1\r\nHost: localhost\n\n",
        b"GET /get?key=a HTTP/1.1\nHost: localhost\n\n",
        b"GET /get?key=a HTTP/1.1\n\n",
        b"GET /get?key=a\n HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nA: b\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nA: b\nContent-Length: 45\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 45\n\r\n",
    ];
    refuses_and_serves_nothing_after(400, &cases);
}

/// At most one empty line before a request line is skipped; and a bare CR is none.
#[test]
fn more_than_one_empty_line_and_bare_cr() {
    let cases: [&[u8]; 9] = [
        b"\r\n\r\n",
        b"\r\n\r\n\r\n\r\n",
        b"\r\r\n",
        b"\r",
        b"\r\r",
        b"\r\n\r",
        b"GET /get?key=a HTTP/1.1\rHost: localhost\r\r",
        b"GET /get?key=a HTTP/1.1\r\rHost: localhost\r\n\r\n",
        b"GET /get?key=a HTTP/1.1\r\nHost: localhost\r\n\r\r\n",
    ];
    refuses_and_serves_nothing_after(400, &cases);
}

/// Malformed chunk | 400, close. What `httparse::parse_chunk_size` would take is among them.
#[test]
fn malformed_chunks() {
    let long_size = [&b"0".repeat(5000)[..], b"5\r\nhello\r\n0\r\n\r\n"].concat();
    let long_extension = [b"5;", &b"a".repeat(5000)[..], b"\r\nhello\r\n0\r\n\r\n"].concat();
    let bodies: [&[u8]; 52] = [
        // The size.
        b"\r\n\r\n",
        b"x\r\n\r\n",
        b"g\r\n",
        b"-1\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"-0\r\n\r\n",
        b"0x0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"5h\r\nhello\r\n0\r\n\r\n",
        b"5_0\r\n",
        b"5,\r\nhello\r\n0\r\n\r\n",
        b"5.\r\nhello\r\n0\r\n\r\n",
        b"\"5\"\r\nhello\r\n0\r\n\r\n",
        b"\xEF\xBC\x95\r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"\t0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b"5\t\r\nhello\r\n0\r\n\r\n",
        b"5 5\r\nhello\r\n0\r\n\r\n",
        b"\0\r\n\r\n",
        b"0\0\r\n\r\n",
        b";a=b\r\n\r\n",
        b";\r\n",
        &long_size,
        // Its line end.
        b"0\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5\rhello\r\n0\r\n\r\n",
        b"5\r\rhello\r\n0\r\n\r\n",
        // The extensions.
        b"5;\nhello\r\n0\r\n\r\n",
        b"5;a\nb\r\nhello\r\n0\r\n\r\n",
        b"5;a\rb\r\nhello\r\n0\r\n\r\n",
        b"5;\r\r\nhello\r\n0\r\n\r\n",
        b"5;a\0\r\nhello\r\n0\r\n\r\n",
        b"5;a=\x01\r\nhello\r\n0\r\n\r\n",
        b"5 a=b\r\nhello\r\n0\r\n\r\n",
        &long_extension,
        // The line end after the data, which some skip unseen.
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello\r0\r\n\r\n",
        b"5\r\nhello\r\r\n0\r\n\r\n",
        b"5\r\nhello!\r\n0\r\n\r\n",
        b"4\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n\r\n0\r\n\r\n",
        // The trailer section, and what stands in its place.
        b"0\r\n",
        b"0\r\n\n",
        b"0\r\n\r",
        b"0\r\nno colon\r\n\r\n",
        b"0\r\nA : b\r\n\r\n",
        b"0\r\nA: b\r\n folded\r\n\r\n",
        b"0\r\nA: b\n\r\n",
        b"0\r\nA: b\0\r\n\r\n",
    ];
    let cases: Vec<_> = bodies.iter().map(|body| chunked(body)).collect();
    refuses_and_serves_nothing_after(400, &cases);
}

/// A chunk's size that overflows is too large, and not what is left of it.
#[test]
fn sizes_that_overflow() {
    let cases = [
        chunked(b"10000000000000000\r\n\r\n"),
        chunked(b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
        chunked(b"100000000\r\n\r\n0\r\n\r\n"),
        chunked(b"FFFFFFFFFFFFFFFF\r\n"),
        chunked(b"fffffffffffffffe\r\n\r\n0\r\n\r\n"),
        chunked(b"8000000000000000\r\n"),
        chunked(b"2\r\nab\r\nffffffffffffffff\r\n"),
        post(b"Content-Length: 18446744073709551616"),
        post(b"Content-Length: 18446744073709551661"),
        post(b"Content-Length: 4294967296"),
        post(b"Content-Length: 9223372036854775808"),
    ];
    refuses_and_serves_nothing_after(413, &cases);
}

/// Two programs that read two hosts serve two sites (RFC 9112 §3.2).
#[test]
fn two_hosts() {
    let cases = [
        b"GET /get?key=a HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n".to_vec(),
        b"GET /get?key=a HTTP/1.1\r\nHost: evil.example\r\nHost: localhost\r\n\r\n".to_vec(),
        b"GET /get?key=a HTTP/1.1\r\nHost: localhost\r\nHost:\r\n\r\n".to_vec(),
        b"GET /get?key=a HTTP/1.1\r\nHost: localhost evil.example\r\n\r\n".to_vec(),
        b"GET http://evil@localhost/get?key=a HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
    ];
    refuses_and_serves_nothing_after(400, &cases);
}

/// A body that looks like a request writes nothing, whatever the request before it was.
#[test]
fn a_posted_body_that_looks_like_a_set_writes_nothing() {
    let server = Server::start(&["--memory"]);
    let length = EVIL.len();
    let forms = [
        format!(
            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n"
        ),
        format!("POST /set?a=b HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"),
        format!("GET /get?key=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"),
        format!("HEAD / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"),
        format!("OPTIONS * HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"),
        format!(
            "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
        ),
        format!(
            "GET /get?key=a HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: {length}\r\n\r\n"
        ),
        format!("POST / HTTP/1.1\r\nHost: evil.example\r\nContent-Length: {length}\r\n\r\n"),
        format!(
            "POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\nContent-Length: {length}\r\n\r\n"
        ),
        format!(
            "POST / HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\nContent-Length: {length}\r\n\r\n"
        ),
        format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: {length}\r\n\r\n"
        ),
    ];
    for form in forms {
        let mut wire = server.connect();
        wire.send([form.as_bytes(), EVIL].concat());
        let method = form.split(' ').next().unwrap();
        assert!(matches!(wire.answer_to(method).status, 403 | 404 | 500), "{form}");
        assert_eq!(wire.get("/get?key=evil").status, 404, "{form}");
        wire.end().expect_end();
    }
}
