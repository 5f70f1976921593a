//! poisoned-lock: a thread that panics with the lock in hand. The naive server unwraps the lock, so
//! that every thread after it panics too.

use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Answer, NoAnswer};
use crate::subject::{Server, Subject};
use crate::tell::{self, Verdict};

pub(crate) fn run(subject: &Subject) -> anyhow::Result<Verdict> {
    let mut server = subject.start_unread()?;
    tell::before(
        "Rust's println! panics where standard output is closed, as in `server | head -1`. We close \
         it, and set a pair: if the server prints while it holds the lock, that thread dies with the \
         lock in hand, and the lock is poisoned. lock().unwrap() then panics in every other thread.",
    );
    if let Some(process) = server.process() {
        process.close_output();
        tell::note("the server's standard output is closed");
    }
    let set = ask(&mut server, "/set?lab=value");
    let get = ask(&mut server, "/get?key=lab");
    if get.is_err() {
        let end = server.process().and_then(|process| process.end_within(MOMENT));
        return Ok(tell::broke(if end.is_some() {
            "The whole server has ended: nobody reads what it prints, so it stopped."
        } else {
            "The first thread died with the lock in hand, and its client got no answer. From then on \
             lock() returns an error to everybody, and unwrap() makes a panic of it: the process \
             lives, and nobody is served. Print elsewhere, with writeln! and its error dropped; and \
             decide what a poisoned lock means: where each change to the map is one call, the map is \
             whole, and into_inner() goes on with it."
        }));
    }
    Ok(tell::stands(if set.is_ok() {
        "Nobody reads what the server prints, and it serves as before."
    } else {
        "One client got no answer, and no other client noticed: the lock outlived the thread."
    }))
}

/// Asks this on a connection of its own, and shows the panics that came of it.
fn ask(server: &mut Server, target: &str) -> Result<Answer, NoAnswer> {
    tell::sent(server.request(target));
    let known = panics(server).len();
    let answer = server.ask(target);
    tell::came(&answer);
    // It may still be on its way to us.
    let deadline = Instant::now() + MOMENT;
    while answer.is_err() && panics(server).len() == known && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    for panic in panics(server).iter().skip(known) {
        tell::note(&format!("a thread of the server panicked: {panic}"));
    }
    answer
}

/// What the server's threads said when they panicked: the line below `thread '…' panicked at …:`.
fn panics(server: &mut Server) -> Vec<String> {
    let errors = server.process().map(|process| process.errors()).unwrap_or_default();
    let lines = errors.lines().zip(errors.lines().skip(1));
    lines.filter(|(line, _)| line.contains(" panicked at ")).map(|(_, next)| next.into()).collect()
}

/// A process that is about to end, or to say something, has so much time to do so.
const MOMENT: Duration = Duration::from_secs(1);
