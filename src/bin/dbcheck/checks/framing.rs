//! HTTP, first part: the answers, and the connection that they come on.

use std::time::Duration;

use crate::checks::check::{Check, Tier};
use crate::checks::run::Run;
use crate::checks::steps::{answered, short};
use crate::checks::verdict::{Outcome, Pass, Stop, fail};
use crate::client::answer::{End, Flaw};
use crate::client::dialect::Dialect;
use crate::client::exchange::{Exchange, encode, request};
use crate::client::likeness::{Likeness, judge};
use crate::client::wire::Trouble;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "status-line",
        tier: Tier::Http,
        what: "Every answer begins with a status line such as HTTP/1.1 200 OK.",
        why: "Without it a client does not know what happened, or that this is HTTP at all.",
        rfc: Some("RFC 9112 §4"),
        chapter: 2,
        run: status_line,
    },
    Check {
        name: "line-ends",
        tier: Tier::Http,
        what: "Every line of the head ends in CR LF.",
        why: "A bare LF is accepted by some clients and refused by others, and parsers that disagree can be played off.",
        rfc: Some("RFC 9112 §2.2"),
        chapter: 2,
        run: line_ends,
    },
    Check {
        name: "body-length",
        tier: Tier::Http,
        what: "Content-Length, chunks or the close say exactly where each body ends.",
        why: "Too long and the client waits for ever; too short and the rest is taken for the next answer.",
        rfc: Some("RFC 9112 §6.3"),
        chapter: 2,
        run: body_length,
    },
    Check {
        name: "utf8-length",
        tier: Tier::Http,
        what: "Content-Length counts bytes, not characters.",
        why: "é is two bytes: a length in characters cuts the end off the value.",
        rfc: Some("RFC 9110 §8.6"),
        chapter: 2,
        run: utf8_length,
    },
    Check {
        name: "keep-alive",
        tier: Tier::Http,
        what: "A connection takes a second request after the first answer.",
        why: "In HTTP/1.1 connections stay open: opening one for each request costs most of the time.",
        rfc: Some("RFC 9112 §9.3"),
        chapter: 9,
        run: keep_alive,
    },
    Check {
        name: "pipelining",
        tier: Tier::Http,
        what: "Requests sent together are each answered, in order.",
        why: "What follows the first request in a packet must not be thrown away with it.",
        rfc: Some("RFC 9112 §9.3.2"),
        chapter: 9,
        run: pipelining,
    },
    Check {
        name: "connection-close",
        tier: Tier::Http,
        what: "Connection: close is honoured, in any case.",
        why: "A client that asks for it waits for the end of the connection.",
        rfc: Some("RFC 9112 §9.6"),
        chapter: 9,
        run: connection_close,
    },
    Check {
        name: "head-no-body",
        tier: Tier::Http,
        what: "The answer to HEAD has no body.",
        why: "A client does not read one: it becomes the beginning of the next answer.",
        rfc: Some("RFC 9110 §9.3.2"),
        chapter: 5,
        run: head_no_body,
    },
    Check {
        name: "http10",
        tier: Tier::Http,
        what: "An HTTP/1.0 request without Host is answered, and the connection closed.",
        why: "Old clients and scripts wait for the close to know that the body is whole.",
        rfc: Some("RFC 9112 §9.3"),
        chapter: 9,
        run: http10,
    },
    Check {
        name: "every-path-answered",
        tier: Tier::Http,
        what: "Any path gets an answer, whatever it says.",
        why: "Browsers ask for /favicon.ico; a request that is never answered looks like a server that is down.",
        rfc: None,
        chapter: 5,
        run: every_path_answered,
    },
];

/// One request of each kind whose answer may look different: set, get, missing key, other path.
fn samples(run: &mut Run) -> Vec<Exchange> {
    let (key, value, absent) = (run.fresh("k"), run.fresh("v"), run.fresh("absent"));
    let client = &run.client;
    let mut samples = vec![client.set(&key, &value), client.get(&key)];
    if run.needs_missing().is_ok() {
        samples.push(client.get(&absent));
    }
    // A path that nobody asked for and that gets no answer is another check's finding.
    let other = client.ask_elsewhere("GET", &format!("/{absent}"));
    samples.extend(Some(other).filter(|other| other.answer.is_ok() || !run.client.dialect.works));
    samples
}

/// Whether no answer has this flaw.
fn without(run: &mut Run, flaw: Flaw, expected: &str) -> Outcome {
    for sample in samples(run) {
        let (sample, answer) = answered(sample, "")?;
        if let Some(fault) = answer.fault(flaw) {
            let sentence = format!("expected {expected}; {}", fault.sentence);
            return Err(fail(sentence).with(&sample).at(fault.at));
        }
    }
    Ok(Pass::Plainly)
}

fn status_line(run: &mut Run) -> Outcome {
    without(run, Flaw::StatusLine, "a status line such as HTTP/1.1 200 OK")
}

fn line_ends(run: &mut Run) -> Outcome {
    without(run, Flaw::LineEnd, "CR LF after each line of the head")
}

fn body_length(run: &mut Run) -> Outcome {
    without(run, Flaw::Framing, "a body that ends where the head says")?;
    // And nothing after it.
    let (key, value, absent) = (run.fresh("k"), run.fresh("v"), run.fresh("absent"));
    let client = &run.client;
    let mut requests = vec![client.set_bytes(&key, &value), client.get_bytes(&key)];
    if run.needs_missing().is_ok() {
        requests.push(client.get_bytes(&absent));
    }
    requests.push(client.bytes("GET", &format!("/{absent}"), None));
    for bytes in requests {
        nothing_after(run, &bytes)?;
    }
    Ok(Pass::Plainly)
}

fn utf8_length(run: &mut Run) -> Outcome {
    run.needs_dialect()?;
    let (key, value) = (run.fresh("k"), run.fresh("ééé東京"));
    // Where nothing is decoded, the characters themselves show it, as some clients send them.
    let decodes = run.needs_decoding();
    let in_query = if decodes.is_ok() { encode(&value) } else { value.clone() };
    let set = run.client.set(&key, &in_query);
    if !set.is_stored(&run.client.dialect) {
        decodes?;
    }
    let set = run.stored(set)?;
    let (get, answer) = run.get(&key)?;
    if let Some(fault) = answer.fault(Flaw::Framing) {
        let sentence = format!("expected a length in bytes; {}", fault.sentence);
        return Err(fail(sentence).with(&get).at(fault.at));
    }
    // A length that is too short cuts the value: if the value is right, so is the length.
    let body = String::from_utf8_lossy(&answer.body);
    if !body.contains(&value) && get.received.windows(value.len()).any(|w| w == value.as_bytes()) {
        let sentence = format!("expected a length that takes in the whole of {}", short(&value));
        return Err(fail(sentence).with(&get).at(answer.end));
    }
    nothing_after(run, &run.client.get_bytes(&key)).map_err(|stop| stop.after(&set))
}

/// Whether one request gets one answer, and not a byte more.
fn nothing_after(run: &Run, bytes: &[u8]) -> Outcome {
    let mut wire = run.connect()?;
    wire.send(bytes);
    let answer = wire.answer(false);
    if let Some(fault) = answer.as_ref().ok().and_then(|answer| answer.fault(Flaw::Framing)) {
        let sentence = format!("expected a body that ends where the head says; {}", fault.sentence);
        return Err(fail(sentence).at(fault.at).with(&Exchange::of(&wire, answer)));
    }
    wire.until_closed(Duration::from_millis(120));
    if wire.rest().is_empty() {
        return Ok(Pass::Plainly);
    }
    let at = wire.rest_at();
    let expected = "expected that nothing follows the body, whose length the head has said";
    Err(fail(expected).with(&Exchange::of(&wire, answer)).at(at))
}

fn keep_alive(run: &mut Run) -> Outcome {
    let request = run.some_get();
    let mut wire = run.connect()?;
    wire.send(&request);
    let first = wire.answer(false);
    answered(Exchange::of(&wire, first), "to the first request")?;
    for number in ["second", "third"] {
        wire.send(&request);
        let answer = wire.answer(false);
        let got = Exchange::of(&wire, answer);
        answered(got, &format!("to the {number} request on the same connection"))?;
    }
    Ok(Pass::Plainly)
}

fn pipelining(run: &mut Run) -> Outcome {
    run.needs_dialect()?;
    run.needs_keep_alive()?;
    let pairs: Vec<_> = (0..6).map(|_| (run.fresh("k"), run.fresh("v"))).collect();
    let mut all = Vec::new();
    for (key, value) in &pairs {
        if run.client.dialect.late.is_some() {
            run.set(key, value)?;
        }
        all.extend(run.client.set_bytes(key, value));
        all.extend(run.client.get_bytes(key));
    }
    let mut wire = run.connect()?;
    wire.send(&all);
    for (number, (key, value)) in pairs.iter().enumerate() {
        let set = wire.answer(false);
        let to = format!("to request {} of 12", 2 * number + 1);
        answered(Exchange::of(&wire, set), &to)?;
        let get = wire.answer(false);
        let to = format!("to request {} of 12", 2 * number + 2);
        let (get, answer) = answered(Exchange::of(&wire, get), &to)?;
        let like = judge(&run.client.dialect, &answer, key, value);
        if !matches!(like, Likeness::Value | Likeness::Wrapped(_)) {
            let expected = format!("expected {} as answer {} of 12", short(value), 2 * number + 2);
            return Err(fail(expected).with(&get).at(answer.body_at));
        }
    }
    Ok(Pass::Plainly)
}

fn connection_close(run: &mut Run) -> Outcome {
    let target = run.client.dialect.get(&run.some_key());
    let host = run.client.host();
    for option in ["close", "Close", "TE, close"] {
        let fields = format!("Host: {host}\r\nConnection: {option}\r\n");
        closes_after(run, &request("GET", &target, &fields), "with Connection: close")?;
    }
    Ok(Pass::Plainly)
}

/// Whether the server answers this and closes.
fn closes_after(run: &Run, bytes: &str, what: &str) -> Result<Pass, Stop> {
    let mut wire = run.connect()?;
    wire.send(bytes.as_bytes());
    let answer = wire.answer(false);
    let (exchange, _) = answered(Exchange::of(&wire, answer), &format!("to a request {what}"))?;
    let wait = run.client.patience.answer.min(Duration::from_secs(3));
    if wire.until_closed(wait) == End::Closed {
        return Ok(Pass::Plainly);
    }
    let at = exchange.received.len();
    let expected = format!("expected that the connection is closed after a request {what}");
    Err(fail(expected).with(&exchange).at(at))
}

fn head_no_body(run: &mut Run) -> Outcome {
    let (key, value) = (run.fresh("k"), run.fresh("v"));
    let get = if run.client.dialect.works {
        run.set(&key, &value)?;
        Some(run.get(&key)?.1.status)
    } else {
        None
    };
    let mut status = 0;
    let mut targets = vec![run.client.dialect.get(&key), "/".into()];
    if run.needs_missing().is_ok() || !run.client.dialect.works {
        targets.push(run.client.dialect.get("absent"));
    }
    for target in targets {
        let host = run.client.host();
        let mut wire = run.connect()?;
        let fields = format!("Host: {host}\r\nConnection: close\r\n");
        wire.send(request("HEAD", &target, &fields).as_bytes());
        let answer = wire.answer(true);
        if target == "/" && matches!(answer, Err(Trouble::Silent(_) | Trouble::Closed)) {
            // Another check's finding.
            continue;
        }
        wire.until_closed(Duration::from_millis(400));
        let at = wire.rest_at();
        let (exchange, answer) = answered(Exchange::of(&wire, answer), "to HEAD")?;
        if !wire.rest().is_empty() {
            let expected = "expected that the answer to HEAD ends with its head";
            return Err(fail(expected).with(&exchange).at(at));
        }
        status = if status == 0 { answer.status } else { status };
    }
    match get {
        Some(get) if get != status => {
            Ok(Pass::Loosely(format!("GET is answered with {get}, HEAD with {status}")))
        }
        _ => Ok(Pass::Plainly),
    }
}

fn http10(run: &mut Run) -> Outcome {
    let (key, value) = (run.fresh("k"), run.fresh("v"));
    if run.client.dialect.works {
        run.set(&key, &value)?;
    }
    let target = run.client.dialect.get(&key);
    let bytes = format!("GET {target} HTTP/1.0\r\n\r\n");
    let pass = closes_after(run, &bytes, "in HTTP/1.0")?;
    if !run.client.dialect.works {
        return Ok(pass);
    }
    let (exchange, answer) = answered(run.client.say(bytes.as_bytes()), "to HTTP/1.0")?;
    match judge(&run.client.dialect, &answer, &key, &value) {
        Likeness::Value | Likeness::Wrapped(_) => Ok(pass),
        _ => Err(fail(format!("expected the value {}", short(&value)))
            .with(&exchange)
            .at(answer.body_at)),
    }
}

fn every_path_answered(run: &mut Run) -> Outcome {
    for target in
        ["/", "/favicon.ico", "/unknown?a=b", "/get", "/set", "/get?", "/set?", "//", "/a/b/"]
    {
        answered(run.client.ask("GET", target), &format!("to GET {target}"))?;
    }
    let Dialect { method, set_path, .. } = run.client.dialect;
    let method = if method == "GET" { "POST" } else { method };
    for target in [set_path.to_string(), format!("{set_path}?")] {
        answered(run.client.ask(method, &target), &format!("to {method} {target}"))?;
    }
    Ok(Pass::Plainly)
}
