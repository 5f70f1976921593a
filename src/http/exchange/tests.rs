use std::net::Ipv4Addr;
use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::store::memory::MemoryStore;

/// Puts in `pieces`, one after the other, and returns what was next after each, when all that could
/// be answered was.
fn after_each(pieces: &[&str], look: impl FnOnce(&mut Exchange<'_>)) -> Vec<Next> {
    let (engine, config) = (MemoryStore::new(), Config::default());
    let client = Ipv4Addr::LOCALHOST.into();
    let mut exchange = Exchange::new(&engine, &config, client, UNIX_EPOCH);
    let mut all = Vec::new();
    for piece in pieces {
        exchange.space()[..piece.len()].copy_from_slice(piece.as_bytes());
        exchange.filled(piece.len());
        while exchange.proceed() == Next::Request {
            exchange.answer(false);
        }
        all.push(exchange.proceed());
    }
    look(&mut exchange);
    all
}

fn count(exchange: &Exchange<'_>, status: &str) -> usize {
    String::from_utf8_lossy(exchange.ready()).matches(status).count()
}

const BODY: &str = "POST /set HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n";

#[test]
fn says_what_is_missing_until_all_of_it_is_there() {
    let body = format!("\r\n{BODY}\r\na");
    let pieces = ["GET /get?key=a HTTP/1.1\r\nHost: ", "localhost\r\n\r\n", &body, "bc\r\n"];
    let all = after_each(&pieces, |exchange| {
        assert_eq!([count(exchange, " 404 "), count(exchange, " 500 ")], [1, 1]);
        // An empty line, which may come before the next request.
        assert!(exchange.has_more());
        exchange.sent(exchange.ready().len() - 1);
        assert_eq!(exchange.ready().len(), 1);
        exchange.sent(1);
        assert_eq!(exchange.ready(), b"");
    });
    assert_eq!(all, [Next::Part(Part::Head), Next::Idle, Next::Part(Part::Body), Next::Idle]);
}

#[test]
fn after_the_last_answer_nothing_is_a_request() {
    let get = "GET /get?key=a HTTP/1.1\r\nHost: localhost\r\n";
    let closing = format!("{get}Connection: close\r\n\r\n");
    let spared = format!("{BODY}Expect: 100-continue\r\n\r\n");
    for (first, why, may_be_more) in [
        (&*closing, Why::Done, false),
        (&*spared, Why::Done, true),
        ("nonsense\r\n", Why::Refused, true),
    ] {
        let look = |exchange: &mut Exchange<'_>| assert_eq!(exchange.has_more(), may_be_more);
        assert_eq!(after_each(&[first], look), [Next::Over(why)], "{first}");
        after_each(&[first, &format!("{get}\r\n")], |exchange| {
            assert_eq!(count(exchange, "Content-Length: "), 1, "{first}");
            assert!(exchange.has_more() && exchange.unread() > 0);
            let unread = exchange.unread();
            assert_eq!((exchange.discard(), exchange.unread()), (unread, 0));
        });
    }
}

#[test]
fn tells_when_to_read_on_when_to_write_and_what_time_it_is() {
    let (engine, config) = (MemoryStore::new(), Config::default());
    engine.set("a", &"v".repeat(100 << 10)).unwrap();
    let client = Ipv4Addr::LOCALHOST.into();
    let mut exchange = Exchange::new(&engine, &config, client, UNIX_EPOCH);
    exchange.tick(UNIX_EPOCH + Duration::from_secs(61));
    let get = b"GET /get?key=a HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let space = exchange.space();
    space[..get.len()].copy_from_slice(get);
    space[get.len()..].fill(b'x');
    let size = space.len();
    exchange.filled(size - 1);
    assert!(!exchange.was_full());
    assert_eq!(exchange.space().len(), 1);
    exchange.filled(1);
    assert!(exchange.was_full());
    assert!(exchange.proceed() == Next::Request && !exchange.is_full());
    exchange.answer(false);
    assert!(exchange.is_full());
    assert_eq!(count(&exchange, " 00:01:01 GMT"), 1);
}

#[test]
fn each_wait_has_a_time_of_its_own() {
    let limits = Limits::default();
    let waits = [Next::Idle, Next::Part(Part::Head), Next::Part(Part::Body), Next::Over(Why::Done)];
    let times = waits.map(|next| next.time(&limits));
    assert_eq!(times, [limits.idle_time, limits.head_time, limits.body_time, LINGER_TIME]);
}

#[test]
fn what_is_taken_back_was_never_said() {
    let get = "GET /get?key=a HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let all = after_each(&[get, get], |exchange| {
        let one = exchange.ready().len() / 2;
        let rest = exchange.ready()[1..one].to_vec();
        exchange.sent(1);
        exchange.take_back(one - 1);
        assert_eq!(exchange.ready(), rest);
        exchange.refuse(&Refusal::Panic);
        assert_eq!([count(exchange, " 404 "), count(exchange, " 500 ")], [1, 1]);
        assert_eq!(exchange.proceed(), Next::Over(Why::Refused));
    });
    assert_eq!(all, [Next::Idle, Next::Idle]);
}
