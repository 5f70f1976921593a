//! Before the clock runs: a server that answers wrongly is not compared, however fast.
//!
//! The few answers that all must give, whether a server can do what a scenario needs, and the pairs
//! that the load then asks for. How much more of HTTP each of them does is dbcheck's business.
//! Next: [`crate::load`].

use anyhow::{Context as _, Result, ensure};

use crate::client::Client;
use crate::process::Server;

/// What a server can do of what not all can.
#[derive(Default, Clone, Copy)]
pub(crate) struct Abilities {
    pub(crate) keeps_open: bool,
    pub(crate) pipelines: bool,
    pub(crate) closing: Closing,
}

/// What a server does when it is asked to close the connection.
#[derive(Default, Clone, Copy, PartialEq)]
pub(crate) enum Closing {
    /// It keeps it open.
    #[default]
    No,
    /// It closes it and does not say so in the answer, which wrk takes for an error.
    Silent,
    /// It says so, and closes it.
    Said,
}

/// Target, status, and body and type where it matters.
type Expected = (&'static str, u16, Option<&'static str>);

const EXPECTED: &[Expected] = &[
    ("/get?key=missing", 404, Some("")),
    ("/set?alpha=beta", 200, Some("")),
    ("/get?key=alpha", 200, Some("beta")),
    ("/set?alpha=gamma", 200, Some("")),
    ("/get?key=alpha", 200, Some("gamma")),
    ("/set?a%20b%26=1%2B1+%3D%202", 200, Some("")),
    ("/get?key=a+b%26", 200, Some("1+1 = 2")),
    ("/set?%C3%A9t%C3%A9=%E2%82%AC", 200, Some("")),
    ("/get?key=%C3%A9t%C3%A9", 200, Some("€")),
    ("/", 500, None),
    ("/nope?key=alpha", 500, None),
    ("/get", 500, None),
    ("/set", 500, None),
    ("/get?key=alpha", 200, Some("gamma")),
];

/// Asks for each of [`EXPECTED`].
///
/// # Errors
///
/// At the first answer that is wrong.
pub(crate) fn check(server: &Server) -> Result<()> {
    let name = &server.name;
    let mut client = Client::connect(server.port)?;
    for &(target, status, body) in EXPECTED {
        let answer = client.get(target).with_context(|| format!("{name}: GET {target}"))?;
        let is_right = answer.status == status
            && body.is_none_or(|body| answer.body == body.as_bytes())
            && (body.is_none_or(str::is_empty) || answer.content_type.starts_with("text/plain"));
        ensure!(
            is_right,
            "{name} answers wrongly: GET {target}: expected {status} {body:?} as text/plain, got {} {:?} as {:?}",
            answer.status,
            String::from_utf8_lossy(&answer.body),
            answer.content_type
        );
        if answer.closes {
            client = Client::connect(server.port)?;
        }
    }
    Ok(())
}

/// Tries what a server can do.
pub(crate) fn abilities(server: &Server) -> Abilities {
    let mut can = Abilities::default();
    let Ok(mut client) = Client::connect(server.port) else { return can };
    let target = "/get?key=alpha";
    can.keeps_open = (0..2).all(|_| client.get(target).is_ok_and(|answer| !answer.closes));
    can.pipelines = can.keeps_open
        && client.send(&[target; 3], "").is_ok()
        && (0..3).all(|_| client.answer().is_ok());
    if let Ok(mut client) = Client::connect(server.port) {
        let is_sent = client.send(&[target], "Connection: close\r\n").is_ok();
        can.closing = match client.answer() {
            Ok(answer) if is_sent && client.is_closed() => {
                if answer.closes {
                    Closing::Said
                } else {
                    Closing::Silent
                }
            }
            _ => Closing::No,
        };
    }
    can
}

/// The key with this number, of 10 bytes; `scenario.lua` makes the same.
pub(crate) fn key(number: usize) -> String {
    format!("k{number:09}")
}

/// The value of a key, of 100 bytes.
pub(crate) fn value(key: &str) -> String {
    format!("{key}-{}", "v".repeat(99 - key.len()))
}

/// Sets the pairs that the load asks for, and reads the last one back.
///
/// # Errors
///
/// If one of them is not kept.
pub(crate) fn fill(server: &Server, can: Abilities, count: usize) -> Result<()> {
    let targets: Vec<String> =
        (0..count).map(key).map(|key| format!("/set?{key}={}", value(&key))).collect();
    let mut client = Client::connect(server.port)?;
    for batch in targets.chunks(if can.pipelines { 100 } else { 1 }) {
        let batch: Vec<&str> = batch.iter().map(String::as_str).collect();
        client.send(&batch, "")?;
        for target in &batch {
            let status = client.answer()?.status;
            ensure!(status == 200, "{}: GET {target} is answered with {status}", server.name);
        }
        if !can.keeps_open {
            client = Client::connect(server.port)?;
        }
    }
    let last = key(count - 1);
    let answer = Client::connect(server.port)?.get(&format!("/get?key={last}"))?;
    ensure!(answer.body == value(&last).as_bytes(), "{} does not keep {last}", server.name);
    Ok(())
}
