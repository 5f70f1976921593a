use super::*;

fn whole(bytes: &[u8], end: End) -> Answer {
    read(bytes, 0, false, end).unwrap_or_else(|| panic!("{}", bytes.escape_ascii()))
}

#[test]
fn reads_a_whole_answer_and_leaves_the_next() {
    let bytes = b"HTTP/1.1 200 OK\r\ncontent-LENGTH: 2\r\n\r\nabHTTP/1.1 404 \r\n\r\n";
    let answer = whole(bytes, End::Open);
    assert_eq!((answer.status, &answer.body[..], &answer.faults[..]), (200, &b"ab"[..], &[][..]));
    assert_eq!(answer.field("Content-Length"), Some("2"));
    assert_eq!(&bytes[answer.end..answer.end + 4], b"HTTP");
    let next = read(bytes, answer.end, true, End::Open).unwrap();
    assert_eq!((next.status, next.end), (404, bytes.len()));
}

#[test]
fn every_beginning_of_a_framed_answer_asks_for_more() {
    for bytes in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    ] {
        for length in 0..bytes.len() {
            assert_eq!(read(&bytes[..length], 0, false, End::Open), None);
        }
        let answer = whole(bytes, End::Open);
        assert_eq!((answer.end, answer.faults), (bytes.len(), vec![]));
    }
}

#[test]
fn looks_past_what_is_wrong_and_names_it() {
    use Flaw::{Field, Framing, LineEnd, StatusLine};
    for (bytes, end, status, body, flaws) in [
        ("somevalue", End::Closed, 200, "somevalue", &[(StatusLine, 0)][..]),
        ("HTTP/1.1 200 OK\nContent-Length: 1\r\n\r\na", End::Open, 200, "a", &[(LineEnd, 15)]),
        ("HTTP/1.1 200\r\n\r\n", End::Closed, 200, "", &[(StatusLine, 12)]),
        ("HTTP/1.1 OK\r\n\r\n", End::Closed, 0, "", &[(StatusLine, 9)]),
        ("HTTP/2 200 OK\r\n\r\n", End::Closed, 200, "", &[(StatusLine, 5)]),
        ("HTTP/1.0 200 OK\r\n\r\nabc", End::Closed, 200, "abc", &[]),
        ("HTTP/1.1 200 OK\r\n\r\nabc", End::Quiet, 200, "abc", &[(Framing, 19)]),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
            End::Closed,
            200,
            "abc",
            &[(Framing, 41)],
        ),
        ("HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", End::Closed, 200, "", &[(Field, 17)]),
        ("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", End::Closed, 200, "", &[(Field, 17)]),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            End::Open,
            200,
            "",
            &[(Framing, 47)],
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
            End::Closed,
            200,
            "ab",
            &[(Framing, 54)],
        ),
    ] {
        let answer = whole(bytes.as_bytes(), end);
        let found: Vec<_> = answer.faults.iter().map(|fault| (fault.flaw, fault.at)).collect();
        assert_eq!((answer.status, &found[..]), (status, flaws), "{bytes:?}");
        assert_eq!(answer.body, body.as_bytes(), "{bytes:?}");
    }
}

#[test]
fn no_bytes_make_it_panic() {
    // Each single change of a chunked answer, and sizes that overflow.
    let good = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    for at in 0..good.len() {
        for byte in [0, b'\n', b'\r', b' ', b':', b'f', 0xff] {
            let mut bytes = good.to_vec();
            bytes[at] = byte;
            for end in [End::Open, End::Closed, End::Quiet] {
                let _ = read(&bytes, 0, false, end);
            }
        }
    }
    let long = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nab";
    assert_eq!(read(long, 0, false, End::Open), None);
    assert!(read(long, 0, false, End::Closed).is_some());
}
