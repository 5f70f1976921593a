//! Durability, first part: what survives a restart.

use rustix::process::Signal;

use crate::checks::check::{Check, Tier};
use crate::checks::decoding::SPECIAL;
use crate::checks::run::Run;
use crate::checks::steps::{differ_at, short, status_at};
use crate::checks::verdict::{Outcome, Pass, fail};
use crate::client::exchange::encode;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "restart-sigterm",
        tier: Tier::Durable,
        what: "A restart after SIGTERM keeps the pairs.",
        why: "This is how service managers and kill end a program.",
        rfc: None,
        chapter: 10,
        run: restart_sigterm,
    },
    Check {
        name: "restart-sigint",
        tier: Tier::Durable,
        what: "A restart after SIGINT (Ctrl-C) keeps the pairs.",
        why: "This is how you end it at your desk.",
        rfc: None,
        chapter: 10,
        run: restart_sigint,
    },
    Check {
        name: "restarts-add-up",
        tier: Tier::Durable,
        what: "Pairs of three runs are all there in the fourth, each with its latest value.",
        why: "A file that is opened for writing from the start forgets all but the last run.",
        rfc: None,
        chapter: 10,
        run: restarts_add_up,
    },
    Check {
        name: "reload-special",
        tier: Tier::Durable,
        what: "Newlines, quotes, separators and UTF-8 survive a restart.",
        why: "What separates pairs in the file may also be in them: escape it, or the file can't be read again.",
        rfc: None,
        chapter: 10,
        run: reload_special,
    },
    Check {
        name: "reload-text",
        tier: Tier::Durable,
        what: "007, 1.50, true and null are the same after a restart.",
        why: "A reader that guesses types changes values by loading them.",
        rfc: None,
        chapter: 10,
        run: reload_text,
    },
];

/// Sets pairs, ends the server with this signal, and expects them.
fn survives(run: &mut Run, signal: Signal) -> Outcome {
    run.start_clean()?;
    run.needs_keeping()?;
    let pairs: Vec<_> = (0..5).map(|_| (run.fresh("k"), run.fresh("v"))).collect();
    for (key, value) in &pairs {
        run.set(key, value)?;
    }
    let mut pass = run.restart(signal)?;
    for (key, value) in &pairs {
        pass = pass.and(run.expect(key, key, value)?);
    }
    Ok(pass)
}

fn restart_sigterm(run: &mut Run) -> Outcome {
    survives(run, Signal::TERM)
}

fn restart_sigint(run: &mut Run) -> Outcome {
    survives(run, Signal::INT)
}

fn restarts_add_up(run: &mut Run) -> Outcome {
    run.start_clean()?;
    let signal = run.needs_keeping()?;
    let overwrites = run.overwrites()?;
    let keys: Vec<_> = (0..4).map(|_| run.fresh("k")).collect();
    let mut latest = vec![String::new(); keys.len()];
    let mut pass = Pass::Plainly;
    // What each run sets: the second overwrites one of the first, where that can be.
    for sets in [&[0, 1][..], &[1, 2], &[3]] {
        for &number in sets {
            if latest[number].is_empty() || overwrites {
                latest[number] = run.fresh("v");
                run.set(&keys[number], &latest[number])?;
            }
        }
        pass = pass.and(run.restart(signal)?);
    }
    for (key, value) in keys.iter().zip(&latest) {
        pass = pass.and(run.expect(key, key, value)?);
    }
    Ok(pass)
}

fn reload_special(run: &mut Run) -> Outcome {
    let more = [
        " spaces ",
        "\"7\"",
        "café 東京 🦀",
        "a=b==",
        "x\ty\u{b}z",
        "\u{2028}\u{85}",
        "ends in a backslash\\",
    ];
    let values: Vec<&str> = SPECIAL.iter().copied().chain(more).collect();
    same_after_restart(run, &values)
}

fn reload_text(run: &mut Run) -> Outcome {
    let values = ["007", "1.50", "true", "null", "1e3", "[1]", "-0"];
    same_after_restart(run, &values)
}

/// Stores these, each as a value and as a part of a key, and compares what the server says of them
/// before and after a restart. Whether that was right before is not asked here.
fn same_after_restart(run: &mut Run, texts: &[&str]) -> Outcome {
    run.start_clean()?;
    let signal = run.needs_keeping()?;
    let mut before = Vec::new();
    for text in texts {
        let pairs = [(run.fresh("k"), encode(text)), (encode(&run.fresh(text)), run.fresh("v"))];
        for (key, value) in pairs {
            // A server may refuse what it can't keep.
            let set = run.client.set(&key, &value);
            if set.is_stored(&run.client.dialect) {
                let (get, answer) = run.get(&key)?;
                before.push((*text, key, get, (answer.status, answer.body)));
            }
        }
    }
    let pass = run.restart(signal)?;
    for (text, key, earlier, (status, body)) in before {
        let (get, answer) = run.get(&key)?;
        if (answer.status, &answer.body) != (status, &body) {
            let at = if answer.status == status {
                answer.body_at + differ_at(&answer.body, &body)
            } else {
                status_at(&get)
            };
            let expected =
                format!("expected the same answer as before the restart for {}", short(text));
            return Err(fail(expected).with(&earlier).with(&get).at(at));
        }
    }
    Ok(pass)
}
