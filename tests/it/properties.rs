//! The request path without sockets: whatever bytes come, in whatever pieces, the same requests are
//! served, and every answer is whole.
//!
//! CONTRACT §2. The bytes are put together from what requests are made of, so that most of them get
//! far. `PROPTEST_CASES=1000000 cargo test --test it properties` looks for longer.

use std::net::Ipv4Addr;
use std::time::SystemTime;

use dbserver::http::answers::Answers;
use dbserver::http::body::Drain;
use dbserver::http::head::HeadSearch;
use dbserver::http::input::Input;
use dbserver::http::refusal::Refusal;
use dbserver::http::request::{Framing, Request};
use dbserver::{Config, Limits, MemoryStore};
use proptest::collection::vec;
use proptest::prelude::*;

/// What requests are made of, and what they should not be made of.
const PIECES: [&[u8]; 60] = [
    b"GET /set?a=b HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /get?key=a HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"HEAD /get?key=a HTTP/1.1\r\nHost: [::1]:1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nGET /",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nGET /\r\n0\r\n\r\n",
    b"PUT / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    b"GET /get?key=a HTTP/1.0\r\n\r\n",
    b"GET /get?key=a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET /get?key=a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    b"GET http://localhost:4000/get?key=a HTTP/1.1\r\nHost: a.localhost\r\n\r\n",
    b"GET ",
    b"POST ",
    b"get ",
    b"/set?a=b",
    b"/get?key=a",
    b"/set?a=%C3%A9+%",
    b"/get?key=%FF",
    b"/set?a=b&c=d",
    b"http://localhost/get?key=a",
    b"*",
    b"/#",
    b" HTTP/1.1\r\n",
    b" HTTP/1.0\r\n",
    b" HTTP/2.0\r\n",
    b" HTTP/1.2\r\n",
    b" HTTP/1.1\n",
    b"Host: localhost\r\n",
    b"Host: evil.example\r\n",
    b"Host : localhost\r\n",
    b"Host: a%zz\r\n",
    b"Content-Length: 3\r\n",
    b"Content-Length: 3, 3\r\n",
    b"Content-Length: +3\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip\r\n",
    b"Transfer-Encoding: chunked, chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: x, Close\r\n",
    b"Expect: 100-continue\r\n",
    b"Sec-Fetch-Site: cross-site\r\n",
    b"Origin: null\r\n",
    b" folded\r\n",
    b"a:\r\n",
    b"a: \xFF\r\n",
    b": b\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"0\r\n\r\n",
    b"3\r\nabc\r\n",
    b"3;x=\"y\"\r\nabc\r\n",
    b"3\nabc\r\n",
    b"ffffffffffffffff\r\n",
    b"-1\r\n",
    b"abc",
    b"\x16\x03\x01\x02\x00\x01",
];

/// The answers to these bytes when they come in pieces of these lengths, over and over, and the last
/// of them apart where that is a refusal.
fn converse(bytes: &[u8], lengths: &[usize]) -> (Vec<u8>, Option<Vec<u8>>) {
    let limits = Limits { head_bytes: 300, body_bytes: 20, ..Limits::default() };
    let (engine, config) = (MemoryStore::new(), Config { limits, ..Config::default() });
    let client = Ipv4Addr::LOCALHOST.into();
    let mut answers = Answers::new(&engine, &config, client, SystemTime::UNIX_EPOCH);
    let mut connection =
        Connection { input: Input::default(), search: HeadSearch::default(), state: None };
    let mut lengths = lengths.iter().cycle();
    let mut rest = bytes;
    while !rest.is_empty() {
        let space = connection.input.space();
        let count = (*lengths.next().unwrap()).min(space.len()).min(rest.len());
        space[..count].copy_from_slice(&rest[..count]);
        connection.input.filled(count);
        rest = &rest[count..];
        match connection.answer_all(&mut answers, &config) {
            Ok(true) => {}
            Ok(false) => break,
            Err(refusal) => {
                let served = answers.ready().to_vec();
                answers.refuse(&refusal, connection.input.unread());
                return (served.clone(), Some(answers.ready()[served.len()..].to_vec()));
            }
        }
    }
    (answers.ready().to_vec(), None)
}

struct Connection {
    input: Input,
    search: HeadSearch,
    /// The head whose body is being read.
    state: Option<(std::ops::Range<usize>, Drain)>,
}

impl Connection {
    /// Answers what is whole, and returns whether the connection stays open.
    fn answer_all(&mut self, answers: &mut Answers<'_>, config: &Config) -> Result<bool, Refusal> {
        loop {
            let (head, drained) = if let Some((head, drain)) = &mut self.state {
                let (taken, done) = drain.take(&self.input.unread()[head.end..])?;
                self.input.cut(head.end..head.end + taken);
                if !done {
                    return Ok(true);
                }
                (head.clone(), true)
            } else {
                match self.search.look(self.input.unread(), config.limits.head_bytes)? {
                    Some(head) => (head, false),
                    None => return Ok(true),
                }
            };
            let request = Request::parse(&mut self.input.unread()[head.clone()])?;
            let has_body = request.framing != Framing::Length(0) && !drained;
            if has_body {
                let drain = Drain::new(request.framing, config.limits.body_bytes)?;
                if !request.expects_continue {
                    self.state = Some((head, drain));
                    continue;
                }
            }
            let is_open = answers.answer(&request, has_body);
            self.input.use_up(head.end);
            (self.search, self.state) = (HeadSearch::default(), None);
            if !is_open {
                return Ok(false);
            }
        }
    }
}

/// The statuses of these answers, none of them to HEAD. All must be whole.
fn statuses(mut answers: &[u8]) -> Vec<u16> {
    let mut statuses = Vec::new();
    while !answers.is_empty() {
        let text = String::from_utf8_lossy(answers).into_owned();
        let (head, _) = text.split_once("\r\n\r\n").expect("a head");
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap();
        assert!(status.starts_with("HTTP/1.1 "), "{text}");
        statuses.push(status[9..12].parse().unwrap());
        let lengths: Vec<usize> = lines
            .filter_map(|line| line.strip_prefix("Content-Length: "))
            .map(|length| length.parse().unwrap())
            .collect();
        let [length] = lengths[..] else { panic!("one length: {text}") };
        answers = answers.get(head.len() + 4 + length..).expect("a whole body");
    }
    statuses
}

proptest! {
    #[test]
    fn in_whatever_pieces_bytes_come_the_same_requests_are_served(
        pieces in vec(
            prop_oneof![
                4 => (0..11_usize).prop_map(|at| PIECES[at].to_vec()),
                8 => (11..PIECES.len()).prop_map(|at| PIECES[at].to_vec()),
                1 => vec(any::<u8>(), 1..4),
            ],
            1..12,
        ),
        lengths in vec(1..30_usize, 1..6),
    ) {
        let bytes = pieces.concat();
        let (served, refusal) = converse(&bytes, &[usize::MAX]);
        let (served_in_pieces, refusal_in_pieces) = converse(&bytes, &lengths);
        prop_assert_eq!(
            served.escape_ascii().to_string(),
            served_in_pieces.escape_ascii().to_string(),
            "{}", bytes.escape_ascii()
        );
        // Of two things that are wrong with a request, the one that came first may be told.
        prop_assert_eq!(refusal.is_some(), refusal_in_pieces.is_some(), "{}", bytes.escape_ascii());
        if !bytes.windows(4).any(|it| it == b"HEAD") {
            let known = [200, 400, 403, 404, 413, 500, 501, 505];
            for status in statuses(&served) {
                prop_assert!(known.contains(&status), "{status}: {}", bytes.escape_ascii());
            }
            for refusal in [refusal, refusal_in_pieces].into_iter().flatten() {
                let refused = statuses(&refusal);
                let known = [400, 413, 414, 431, 501, 505];
                prop_assert!(refused.len() == 1 && known.contains(&refused[0]), "{refused:?}");
                prop_assert!(refusal.windows(20).any(|it| it == b"\r\nConnection: close\r"));
            }
        }
    }
}
