//! Robustness: other clients' misfortune and malice.

use std::time::{Duration, Instant};

use crate::checks::check::{Check, Tier};
use crate::checks::run::Run;
use crate::checks::steps::{answered, outcome, short};
use crate::checks::verdict::{Outcome, Pass, Stop, fail};
use crate::client::exchange::{Exchange, request};
use crate::client::load::{Kept, Order, lost, wait, write};
use crate::client::wire::{Trouble, Wire};

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "bare-connect",
        tier: Tier::Robust,
        what: "The server goes on when clients connect and leave without a word.",
        why: "Port checks, load balancers and browsers that open spare connections do that all day.",
        rfc: None,
        chapter: 2,
        run: bare_connect,
    },
    Check {
        name: "client-leaves",
        tier: Tier::Robust,
        what: "The server goes on when clients leave in the middle of a request or before the answer.",
        why: "Networks fail in the middle: a write to a closed connection is an error to handle, not the end.",
        rfc: None,
        chapter: 2,
        run: client_leaves,
    },
    Check {
        name: "survives-garbage",
        tier: Tier::Robust,
        what: "The server goes on after random bytes.",
        why: "One client's nonsense must not end the service of all.",
        rfc: None,
        chapter: 4,
        run: survives_garbage,
    },
    Check {
        name: "idle-connection",
        tier: Tier::Robust,
        what: "A silent connection does not keep others waiting.",
        why: "Browsers open connections before they need them: a server that reads one at a time stops there.",
        rfc: None,
        chapter: 8,
        run: idle_connection,
    },
    Check {
        name: "slow-connection",
        tier: Tier::Robust,
        what: "A client in the middle of its request does not keep others waiting.",
        why: "Half a request is enough to stop a server that serves one at a time.",
        rfc: None,
        chapter: 8,
        run: slow_connection,
    },
    Check {
        name: "sixty-four-idle",
        tier: Tier::Robust,
        what: "Sixty-four silent or half-finished connections do not keep others waiting.",
        why: "A small pool of threads is full before a page with a few tabs is.",
        rfc: None,
        chapter: 8,
        run: sixty_four_idle,
    },
    Check {
        name: "deaf-client",
        tier: Tier::Robust,
        what: "A client that never reads its answers does not keep others waiting.",
        why: "A write blocks when the peer's buffer is full; what is held meanwhile is held from all.",
        rfc: None,
        chapter: 8,
        run: deaf_client,
    },
    Check {
        name: "huge-head",
        tier: Tier::Robust,
        what: "A head of four megabytes is refused.",
        why: "Without a limit each connection may take all memory.",
        rfc: Some("RFC 6585 §5"),
        chapter: 3,
        run: huge_head,
    },
    Check {
        name: "mixed-load",
        tier: Tier::Robust,
        what: "Two seconds of parallel sets and gets lose no acknowledged pair.",
        why: "Data races show under load, not in a test that asks twice.",
        rfc: None,
        chapter: 8,
        run: mixed_load,
    },
    Check {
        name: "same-process",
        tier: Tier::Robust,
        what: "The server that was started is the one that still serves.",
        why: "A server that ends, or stops answering, takes what it had in memory with it.",
        rfc: None,
        chapter: 2,
        run: same_process,
    },
];

/// Whether others are served now: a set and its get, soon.
fn serves_others(run: &mut Run, while_what: &str) -> Outcome {
    let soon = run.client.patience.answer.min(Duration::from_secs(3));
    let client = run.client.with_timeout(soon);
    let (key, value) = (run.fresh("k"), run.fresh("v"));
    let to = format!("for another client {while_what}");
    if !client.dialect.works {
        return answered(client.ask("GET", "/"), &to).map(|_| Pass::Plainly);
    }
    let (set, answer) = answered(client.set(&key, &value), &to)?;
    if !client.dialect.accepts(&answer) {
        return Err(fail(format!("expected that a set succeeds {while_what}")).with(&set));
    }
    answered(client.get(&key), &to)?;
    run.expect(&key, &key, &value).map_err(|stop| stop.after(&set))
}

fn bare_connect(run: &mut Run) -> Outcome {
    for number in 0..20 {
        let mut wire = run.connect()?;
        match number % 3 {
            0 => drop(wire),
            1 => wire.reset(),
            _ => wire.end_sending(),
        }
    }
    serves_others(run, "after twenty that said nothing")
}

fn client_leaves(run: &mut Run) -> Outcome {
    let whole = run.some_get();
    let body = begun_body(run);
    for number in 0..8 {
        for bytes in [&whole[..whole.len() / 2], &whole, body.as_bytes()] {
            let mut wire = run.connect()?;
            wire.send(bytes);
            match number % 3 {
                0 => drop(wire),
                1 => wire.reset(),
                _ => wire.end_sending(),
            }
        }
    }
    let others = serves_others(run, "after some that left in the middle");
    // On a busy machine a server may notice them only now. If it ends then, it is this that ended it.
    let _ = run.target.ended_within(Duration::from_millis(300));
    others
}

/// How long a body is said to be.
const BODY: usize = 100;

/// A set in this server's own form, with the beginning of a body. Where the body is what counts, its
/// key is one of ours too.
fn begun_body(run: &mut Run) -> String {
    let (key, value) = (run.fresh("k"), run.fresh("v"));
    let (target, _) = run.client.dialect.set(&key, &value);
    let fields = format!("Host: {}\r\nContent-Length: {BODY}\r\n", run.client.host());
    let begun = format!("{key}={value}");
    request(run.client.dialect.method, &target, &fields) + &begun
}

fn survives_garbage(run: &mut Run) -> Outcome {
    // The same bytes each time: a failure can be looked at again.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for number in 0..40 {
        let length = random() % 1_500;
        let mut bytes: Vec<u8> = (0..length).map(|_| random().to_le_bytes()[4]).collect();
        if number % 2 == 0 {
            let beginnings =
                [&b"GET /get?key="[..], b"POST /set HTTP/1.1\r\n", b"\r\n\r\n", b"PRI * "];
            bytes.splice(..0, beginnings[number / 2 % 4].iter().copied());
        }
        let mut wire = run.connect()?;
        wire.send(&bytes);
        wire.send(b"\r\n\r\n");
        wire.end_sending();
        wire.until_closed(Duration::from_millis(20));
    }
    serves_others(run, "after forty that sent random bytes")
}

fn idle_connection(run: &mut Run) -> Outcome {
    // One that is silent from the beginning, and one that is silent after a request.
    let get = run.some_get();
    let silent = run.connect()?;
    let others = serves_others(run, "while one is silent");
    finish(silent, &get);
    others?;
    let mut between = run.connect()?;
    between.send(&get);
    let answer = between.answer(false);
    answered(Exchange::of(&between, answer), "to the first request of a connection")?;
    let others = serves_others(run, "while one is between two requests");
    finish(between, &get);
    others
}

/// Sends the rest of a request and takes the answer: a server that ends when a client leaves fails
/// in the checks that are about leaving, and not here.
fn finish(mut wire: Wire, rest: &[u8]) {
    wire.send(rest);
    wire.until_answered(Duration::from_secs(1));
}

fn slow_connection(run: &mut Run) -> Outcome {
    let body = begun_body(run);
    let whole = run.some_get();
    let (half, rest) = whole.split_at(whole.len() / 2);
    let mut wire = run.connect()?;
    wire.send(half);
    let others = serves_others(run, "while one is in the middle of its head");
    finish(wire, rest);
    others?;
    let mut wire = run.connect()?;
    wire.send(body.as_bytes());
    let others = serves_others(run, "while one is in the middle of its body");
    let begun = body.rsplit("\r\n").next().map_or(0, str::len);
    finish(wire, &vec![b'x'; BODY.saturating_sub(begun)]);
    others
}

fn sixty_four_idle(run: &mut Run) -> Outcome {
    let whole = run.some_get();
    let (half, rest) = whole.split_at(whole.len() / 2);
    let hasty = run.client.with_timeout(Duration::from_millis(200));
    let mut held: Vec<Wire> = Vec::new();
    let mut refused = 0;
    // Some of these may be refused; those that are not must not stop the others.
    for number in 0..64 {
        match hasty.connect() {
            Ok(mut wire) => {
                if number % 2 == 1 {
                    wire.send(half);
                }
                held.push(wire);
            }
            Err(_) => refused += 1,
        }
        if refused > 5 {
            break;
        }
    }
    let others = serves_others(run, &format!("while {} are silent or half-way", held.len()));
    for (number, wire) in held.iter_mut().enumerate() {
        wire.send(if number % 2 == 1 { rest } else { &whole });
    }
    let enough = Instant::now() + Duration::from_secs(2);
    for mut wire in held {
        wire.until_answered(enough.saturating_duration_since(Instant::now()));
    }
    others
}

fn deaf_client(run: &mut Run) -> Outcome {
    let (key, value) = (run.fresh("k"), run.fresh("v"));
    if run.client.dialect.works {
        // The longest that this server takes: a limit is another matter.
        let is_stored = |length| {
            let set = run.client.set(&key, &format!("{value}{}", "x".repeat(length)));
            set.is_stored(&run.client.dialect)
        };
        if ![4_000, 1_000, 200].into_iter().any(is_stored) {
            run.set(&key, &value)?;
        }
    }
    let mut deaf = run.connect()?;
    deaf.write_within(Duration::from_millis(300));
    let many = run.client.get_bytes(&key).repeat(200);
    // Until its buffers and ours are full, or the server has closed. A system's buffers take some
    // megabytes each way, and a server needs its time to fill them.
    let deadline = Instant::now() + Duration::from_secs(4);
    while deaf.send(&many) && Instant::now() < deadline {}
    serves_others(run, "while one does not read its answers")
}

fn huge_head(run: &mut Run) -> Outcome {
    let (key, value) = (run.fresh("k"), run.fresh("v"));
    if run.client.dialect.works {
        run.set(&key, &value)?;
    }
    let mut wire = run.connect()?;
    wire.write_within(Duration::from_secs(2));
    let target = run.client.dialect.get(&key);
    let first = format!("GET {target} HTTP/1.1\r\nHost: {}\r\n", run.client.host());
    let line = format!("X-Filling: {}\r\n", "x".repeat(1_000));
    let lines = line.repeat(64);
    let mut goes_on = wire.send(first.as_bytes());
    for _ in 0..65 {
        goes_on = goes_on && wire.send(lines.as_bytes());
    }
    wire.send(b"\r\n");
    let answer = wire.answer(false);
    match &answer {
        Ok(answer) if !answer.is_success() => Ok(Pass::Plainly),
        Err(Trouble::Closed | Trouble::Cut) => Ok(Pass::Plainly),
        _ => {
            let got = outcome(&Exchange::of(&wire, answer.clone()));
            let expected = format!("expected an error or a close for a head of 4 MB, got {got}");
            Err(fail(expected).with(&Exchange::of(&wire, answer)))
        }
    }
}

fn mixed_load(run: &mut Run) -> Outcome {
    run.needs_dialect()?;
    // Where each request takes a connection, fewer of them: the system has only so many ports.
    let requests = if run.needs_keep_alive().is_ok() { 20_000 } else { 700 };
    let overwrites = run.overwrites()?;
    let order = Order { tag: run.fresh("load"), writers: 8, requests, reads: true, overwrites };
    let seen = write(&run.client, &order, |count| wait(Duration::from_secs(2), count, 1));
    if let Some((kept, get)) = seen.wrong {
        let expected =
            format!("expected {}, which the same client had just set", short(&kept.value));
        return Err(fail(expected).with(&get));
    }
    if seen.kept.is_empty() {
        return Err(fail("expected answers to sets from eight clients at the same time, got none"));
    }
    match lost(&run.client, &seen.kept) {
        (0, _) => Ok(Pass::Plainly),
        (count, first) => Err(missing_of(count, seen.kept.len(), first.as_ref())),
    }
}

/// A failure that shows the first of the pairs that are lost.
fn missing_of(count: usize, of: usize, first: Option<&(Kept, Exchange)>) -> Stop {
    let stop = fail(format!("expected all {of} acknowledged pairs, {count} are not there"));
    first.into_iter().fold(stop, |stop, (_, get)| stop.with(get))
}

fn same_process(run: &mut Run) -> Outcome {
    if let Some(death) = run.deaths.first() {
        let during: Vec<&str> = run.deaths.iter().map(|death| death.during).collect();
        let expected = format!(
            "expected that the server outlives all checks; in {} {}",
            during.join(", "),
            death.how
        );
        return Err(fail(expected).with_output(death.output.clone()));
    }
    if let (false, Some((key, value))) = (run.target.can_restart(), run.first_pair.clone()) {
        return run.expect(&key, &key, &value);
    }
    Ok(Pass::Plainly)
}
