//! HTTP, second part: requests that are unusual, and those that are wrong.

use std::thread;
use std::time::Duration;

use crate::checks::brief::long;
use crate::checks::check::{Check, Tier};
use crate::checks::run::Run;
use crate::checks::steps::{answered, outcome, short, status_at};
use crate::checks::verdict::{Outcome, Pass, Stop, fail};
use crate::client::answer::Flaw;
use crate::client::exchange::{Exchange, request};
use crate::client::likeness::{Likeness, judge};
use crate::client::wire::Trouble;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "split-request",
        tier: Tier::Http,
        what: "A request that comes in many packets is answered as if it came whole.",
        why: "TCP carries bytes, not messages: one read is not one request.",
        rfc: Some("RFC 9112 §2.2"),
        chapter: 3,
        run: split_request,
    },
    Check {
        name: "long-target",
        tier: Tier::Http,
        what: "A request line of more than 8,000 bytes is served.",
        why: "HTTP asks for at least 8,000; browsers send such lines.",
        rfc: Some("RFC 9112 §3"),
        chapter: 3,
        run: long_target,
    },
    Check {
        name: "host-field",
        tier: Tier::Http,
        what: "HTTP/1.1 without Host, or with two, gets 400.",
        why: "Host says whom the client means; two parties that pick different ones can be played off.",
        rfc: Some("RFC 9112 §3.2"),
        chapter: 4,
        run: host_field,
    },
    Check {
        name: "absolute-form",
        tier: Tier::Http,
        what: "GET http://localhost/get?key=… is served like GET /get?key=….",
        why: "Servers must accept the form that clients send to proxies.",
        rfc: Some("RFC 9112 §3.2.2"),
        chapter: 5,
        run: absolute_form,
    },
    Check {
        name: "body-not-a-request",
        tier: Tier::Http,
        what: "A body with Content-Length is never taken for the next request.",
        why: "Otherwise a form on any page can post a body that stores what it likes.",
        rfc: Some("RFC 9112 §6.2"),
        chapter: 9,
        run: body_not_a_request,
    },
    Check {
        name: "chunked-not-a-request",
        tier: Tier::Http,
        what: "A chunked body is never taken for the next request.",
        why: "Otherwise a body smuggles requests past whoever checks them.",
        rfc: Some("RFC 9112 §7.1"),
        chapter: 9,
        run: chunked_not_a_request,
    },
    Check {
        name: "differing-lengths",
        tier: Tier::Http,
        what: "Two Content-Length fields that differ are refused.",
        why: "Two parties that choose different ones see different requests.",
        rfc: Some("RFC 9112 §6.3"),
        chapter: 9,
        run: differing_lengths,
    },
    Check {
        name: "bad-escape",
        tier: Tier::Http,
        what: "A % that two hex digits do not follow gets an answer.",
        why: "Decoders that throw take the request, or the server, with them.",
        rfc: Some("RFC 3986 §2.1"),
        chapter: 6,
        run: bad_escape,
    },
    Check {
        name: "garbage",
        tier: Tier::Http,
        what: "What is not HTTP gets an error or a close, soon.",
        why: "Port scanners and TLS clients come by; each would hold a connection for ever.",
        rfc: Some("RFC 9112 §3"),
        chapter: 4,
        run: garbage,
    },
];

fn split_request(run: &mut Run) -> Outcome {
    let (key, value) = (run.fresh("k"), run.fresh("v"));
    run.needs_dialect()?;
    let set = run.client.set_bytes(&key, &value);
    let line = set.iter().position(|&byte| byte == b'\r').unwrap_or(1);
    let last = set.len();
    // In the method, the target, the version, between CR and LF, in a field, in the last CR LF.
    let cuts = [2, line / 2, line - 4, line + 1, line + 12, last - 3, last - 1];
    let mut wire = run.connect()?;
    let mut from = 0;
    for cut in cuts.into_iter().chain([last]) {
        wire.send(&set[from..cut]);
        from = cut;
        // So that each piece is a packet, and a read, of its own.
        thread::sleep(Duration::from_millis(40));
    }
    let answer = wire.answer(false);
    let (set, answer) = answered(Exchange::of(&wire, answer), "to a set in eight packets")?;
    run.client.settle();
    if !run.client.dialect.accepts(&answer) {
        let expected =
            format!("expected that a set in eight packets succeeds, got {}", outcome(&set));
        return Err(fail(expected).with(&set));
    }
    // A server with one thread is still on this connection.
    drop(wire);
    run.expect(&key, &key, &value).map_err(|stop| stop.after(&set))?;

    let mut wire = run.connect()?;
    for byte in run.client.get_bytes(&key) {
        wire.send(&[byte]);
        thread::sleep(Duration::from_millis(1));
    }
    let answer = wire.answer(false);
    let (get, answer) = answered(Exchange::of(&wire, answer), "to a get sent byte by byte")?;
    brings(run, &get, &key, &value, answer.body_at)
}

/// Whether this answer gives the value.
fn brings(run: &Run, get: &Exchange, key: &str, value: &str, at: usize) -> Outcome {
    let like = get.answer.as_ref().map(|answer| judge(&run.client.dialect, answer, key, value));
    match like {
        Ok(Likeness::Value) => Ok(Pass::Plainly),
        Ok(Likeness::Wrapped(how)) => Ok(Pass::Loosely(format!("the value comes {how}"))),
        _ => {
            let expected = format!("expected the value {}, got {}", short(value), outcome(get));
            Err(fail(expected).with(get).at(at))
        }
    }
}

fn long_target(run: &mut Run) -> Outcome {
    if !run.client.sets_by_query() {
        return Err(Stop::Skipped("this server wants the pair in a body".into()));
    }
    run.needs_dialect()?;
    // A limit for values is another matter: where it can be, the line is long and the value is not.
    run.needs("long-values")?;
    let short = run.fresh("v");
    if run.needs_decoding().is_err() {
        return run.keeps(&long(&short, 8_000));
    }
    let value = long(&short, 2_680);
    let escaped: String = value.bytes().map(percent_encoding::percent_encode_byte).collect();
    run.round_trip(&escaped, &value)
}

fn host_field(run: &mut Run) -> Outcome {
    let (key, value) = (run.fresh("k"), run.fresh("v"));
    run.set(&key, &value)?;
    let target = run.client.dialect.get(&key);
    let close = "Connection: close\r\n";
    let twice = format!("Host: {0}\r\nHost: other.example\r\n{close}", run.client.host());
    let mut pass = Pass::Plainly;
    for (fields, what) in [(close, "no Host"), (&twice, "two Host fields")] {
        let exchange = run.client.say(request("GET", &target, fields).as_bytes());
        pass = pass.and(refused(&exchange, 400, what)?);
    }
    Ok(pass)
}

/// Whether a request was refused: best with this status, loosely with another or a close.
fn refused(exchange: &Exchange, status: u16, what: &str) -> Outcome {
    match &exchange.answer {
        Ok(answer) if answer.status == status => Ok(Pass::Plainly),
        Ok(answer) if answer.is_refusal() => {
            Ok(Pass::Loosely(format!("{what} gets {}, where HTTP says {status}", answer.status)))
        }
        Err(Trouble::Closed | Trouble::Cut) => {
            Ok(Pass::Loosely(format!("{what} gets a close without an answer")))
        }
        _ => {
            let expected = format!("expected {status} for {what}, got {}", outcome(exchange));
            Err(fail(expected).with(exchange).at(status_at(exchange)))
        }
    }
}

fn absolute_form(run: &mut Run) -> Outcome {
    let (key, value) = (run.fresh("k"), run.fresh("v"));
    run.set(&key, &value)?;
    let host = run.client.host();
    let target = format!("http://{host}{}", run.client.dialect.get(&key));
    let fields = format!("Host: {host}\r\nConnection: close\r\n");
    let get = run.client.say(request("GET", &target, &fields).as_bytes());
    let (get, answer) = answered(get, "to a target in absolute form")?;
    brings(run, &get, &key, &value, answer.body_at)
}

fn body_not_a_request(run: &mut Run) -> Outcome {
    let (host, target) = (run.client.host(), run.client.dialect.get(&run.some_key()));
    for (method, name) in
        [("POST", "Content-Length"), ("POST", "content-length"), ("GET", "Content-Length")]
    {
        let head = |length: usize| {
            request(method, &target, &format!("Host: {host}\r\n{name}: {length}\r\n"))
        };
        smuggles(run, |body| [head(body.len()).as_bytes(), body].concat())?;
    }
    Ok(Pass::Plainly)
}

fn chunked_not_a_request(run: &mut Run) -> Outcome {
    let (host, target) = (run.client.host(), run.client.dialect.get(&run.some_key()));
    for method in ["POST", "GET"] {
        let fields = format!("Host: {host}\r\nTransfer-Encoding: chunked\r\n");
        let head = request(method, &target, &fields);
        let chunk =
            |body: &[u8]| [format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n"].concat();
        smuggles(run, |body| [head.as_bytes(), &chunk(body), b"0\r\n\r\n"].concat())?;
    }
    Ok(Pass::Plainly)
}

fn differing_lengths(run: &mut Run) -> Outcome {
    let (key, value) = (run.fresh("k"), run.fresh("v"));
    run.set(&key, &value)?;
    let target = run.client.dialect.get(&key);
    let host = run.client.host();
    let message = |body: &[u8]| {
        let lengths = format!("Content-Length: 0\r\nContent-Length: {}\r\n", body.len());
        let head = request("GET", &target, &format!("Host: {host}\r\n{lengths}"));
        [head.as_bytes(), body].concat()
    };
    smuggles(run, message)?;
    let exchange = run.client.say(&message(b"hello"));
    refused(&exchange, 400, "two lengths that differ")
}

/// Sends a message with a set in its body. That set must be neither answered nor stored.
fn smuggles(run: &mut Run, message: impl Fn(&[u8]) -> Vec<u8>) -> Outcome {
    let untouched = if run.client.dialect.works { Some(run.untouched("k")?) } else { None };
    let key = untouched.as_ref().map_or_else(|| run.fresh("k"), |untouched| untouched.key.clone());
    let value = run.fresh("smuggled");
    let mut wire = run.connect()?;
    wire.send(&message(&run.client.set_bytes(&key, &value)));
    let answer = wire.answer(false);
    wire.until_closed(Duration::from_millis(250));
    let at = wire.rest_at();
    let (sent, _) = match answer {
        // Refused by closing: as good as any other way.
        Err(Trouble::Closed | Trouble::Cut) => return Ok(Pass::Plainly),
        answer => answered(Exchange::of(&wire, answer), "to a request with a body")?,
    };
    if wire.rest().starts_with(b"HTTP/") {
        let expected = "expected one answer to one request: its body was answered as another";
        return Err(fail(expected).with(&sent).at(at));
    }
    // A server with one thread is still on this connection.
    drop(wire);
    let Some(untouched) = untouched else { return Ok(Pass::Plainly) };
    let because = "the set was in the body of another request";
    run.expect_untouched(&untouched, because).map_err(|stop| stop.after(&sent))
}

fn bad_escape(run: &mut Run) -> Outcome {
    let key = run.fresh("k");
    for text in ["%", "%zz", "%4", "%C3%28", "%ff%fe", "%00"] {
        answered(run.client.set(&key, text), &format!("to a set of {text}"))?;
        // Where missing keys have no answer, one that is there is asked for, or none.
        let asks = run.needs_missing().is_ok()
            || !run.client.dialect.works
            || run.target.can_restart() && run.client.set(text, "v").is_stored(&run.client.dialect);
        if asks {
            answered(run.client.get(text), &format!("to a get of {text}"))?;
        }
    }
    Ok(Pass::Plainly)
}

fn garbage(run: &mut Run) -> Outcome {
    let noise: Vec<u8> =
        (1..=200u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let hello = b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03";
    for (bytes, what) in [
        (&b"HELLO THERE"[..], "a line that is no request"),
        (b"GET", "a method alone"),
        (b"GET / HTTP/1.1 HTTP/1.1 more", "a request line of five words"),
        (b"GET / HTTP/9.9\r\nHost: localhost", "HTTP/9.9"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nno colon here", "a field line without a colon"),
        (hello, "the hello of a TLS client"),
        (&noise, "random bytes"),
        (b"\0\0\0\0\0\0\0\0", "NUL bytes"),
    ] {
        let exchange = run.client.say(&[bytes, b"\r\n\r\n"].concat());
        match &exchange.answer {
            Err(Trouble::Closed | Trouble::Cut) => {
                // A server that ends closes, too.
                if is_gone(run) {
                    let expected = format!("expected that the server goes on after {what}");
                    return Err(fail(expected).with(&exchange));
                }
            }
            // A page without a status line is how HTTP/0.9 says no.
            Ok(answer) if !answer.is_success() || answer.fault(Flaw::StatusLine).is_some() => {}
            _ => {
                let expected =
                    format!("expected an error or a close for {what}, got {}", outcome(&exchange));
                return Err(fail(expected).with(&exchange));
            }
        }
    }
    Ok(Pass::Plainly)
}

/// Whether nobody is there any more. A server that is about to end may still take a connection or two.
fn is_gone(run: &mut Run) -> bool {
    for _ in 0..3 {
        match run
            .client
            .say(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .answer
        {
            Ok(_) => return false,
            Err(Trouble::Connect(_)) => return true,
            Err(_) => {}
        }
    }
    false
}
