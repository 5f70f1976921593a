//! kill-mid-write: SIGKILL while clients set pairs. The naive server writes all pairs anew with each
//! set, and for a moment the file is empty.

use std::fs;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::PATIENCE;
use crate::subject::{NotStarted, Server, Subject};
use crate::tell::{self, Verdict};

const ROUNDS: u32 = 10;
const CLIENTS: usize = 4;

/// A client that nobody stops ends after so many sets.
const MOST_SETS: usize = 400;

/// Long values: a file that is rewritten should take its time.
const VALUE_BYTES: usize = 4_000;

pub(crate) fn run(subject: &Subject) -> anyhow::Result<Verdict> {
    let mut server = subject.start()?;
    tell::before(
        "Four clients set pairs as quickly as they can. In the middle of that the server gets SIGKILL, \
         which no program can catch: at the moment when its file gets shorter, if it ever does. It is \
         started again from the same file, and every pair that was answered with 200 must be there. \
         We do this ten times. A server that writes all pairs anew with each set makes the file \
         empty first: killed there, it has lost what it had promised to keep.",
    );
    tell::note(
        "round  answers  the file after the kill                              started again",
    );
    let mut kept: Vec<String> = Vec::new();
    for round in 1..=ROUNDS {
        let kill_after = answers_before_kill(round);
        let before = kept.len();
        set_until_killed(subject, &server, round, &mut kept)?;
        drop(server);
        tell::raw(&format!("    {round:5}  {kill_after:7}  {:50}   ", file(subject)));
        if kept.len() < before + kill_after as usize {
            tell::raw("\n");
            return Ok(tell::broke("The server stopped answering before it was killed."));
        }
        server = match subject.start() {
            Ok(server) => server,
            Err(NotStarted::Other(error)) => return Err(error),
            Err(ended) => {
                tell::raw(&format!("not at all\n    {ended}\n"));
                return Ok(tell::broke(
                    "It does not start again from the file that its own end has left.",
                ));
            }
        };
        let is_missing = |key: &&String| server.get(key) != Some(value(key));
        let missing: Vec<&String> = kept.iter().filter(is_missing).collect();
        let Some(key) = missing.first() else {
            tell::raw("all pairs are there\n");
            continue;
        };
        tell::raw(&format!("{} of {} pairs are lost\n", missing.len(), kept.len()));
        let get = format!("/get?key={key}");
        tell::sent(server.request(&get));
        tell::came(&server.ask(&get));
        return Ok(tell::broke(
            "Pairs that were answered with 200 are gone. Either the file is written anew with each \
             set: File::create empties it, and until the last pair is back, only a part of them is on \
             the disk. Or the answer goes out before the line does. Append, and answer then: what is \
             there is never touched.",
        ));
    }
    Ok(tell::stands(
        "Ten kills lost nothing that was answered. A set only adds to the end of the file, so a kill \
         can cost no more than the line that was being written, and nobody was promised that one.",
    ))
}

/// Other numbers in each round.
fn answers_before_kill(round: u32) -> u32 {
    5 + round * 7 % 40
}

/// Has clients set pairs, kills the server, and adds the keys that were answered for.
fn set_until_killed(
    subject: &Subject,
    server: &Server,
    round: u32,
    kept: &mut Vec<String>,
) -> anyhow::Result<()> {
    let (answered, answers): (Sender<String>, Receiver<String>) = channel();
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let answered = answered.clone();
            let set = move || {
                for number in 0..MOST_SETS {
                    let key = format!("lab-{round}-{client}-{number}");
                    // The first one without an answer is the end of the server.
                    if !server.set(&key, &value(&key)) || answered.send(key).is_err() {
                        break;
                    }
                }
            };
            thread::Builder::new().spawn_scoped(scope, set)?;
        }
        // Ours alone is left when the clients have ended.
        drop(answered);
        let begun = Instant::now();
        let count = answers_before_kill(round);
        kept.extend((0..count).map_while(|_| answers.recv_timeout(PATIENCE).ok()));
        // In the time of two or three sets, whatever a server does for a set has been done again.
        let from_one_to_the_next = begun.elapsed() / count;
        wait_until_shorter(&subject.data(), from_one_to_the_next * (20 + round) / 10);
        server.kill();
        // Answers that were on their way count too.
        kept.extend(answers);
        Ok(())
    })
}

/// Looks at the length of a file again and again, until it is less than it was.
fn wait_until_shorter(path: &Path, time: Duration) {
    let length = || fs::metadata(path).map_or(0, |file| file.len());
    let deadline = Instant::now() + time;
    let mut longest = length();
    while Instant::now() < deadline {
        let now = length();
        if now < longest {
            break;
        }
        longest = now;
    }
}

/// The value of a key. The key is at its end, where it is seen in the last bytes of the file.
fn value(key: &str) -> String {
    format!("{}-{key}", "x".repeat(VALUE_BYTES))
}

/// What the file looks like.
fn file(subject: &Subject) -> String {
    let Ok(bytes) = fs::read(subject.data()) else { return "there is none".into() };
    if bytes.is_empty() {
        return "it is empty".into();
    }
    let lines = bytes.iter().filter(|&&byte| byte == b'\n').count();
    let end = tell::readable(&bytes[bytes.len().saturating_sub(16)..]);
    format!("{lines:3} lines, {:>9} bytes, the last are {end}", tell::grouped(bytes.len()))
}
