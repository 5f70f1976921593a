//! The brief, first part: what a key-value store owes to whoever uses it.

use std::time::Duration;

use crate::checks::check::{Check, Tier};
use crate::checks::run::{Run, looks_ours};
use crate::checks::steps::{answered, outcome, short};
use crate::checks::verdict::{Outcome, Pass, Stop, fail};
use crate::client::dialect::{Missing, Place};
use crate::client::exchange::Exchange;
use crate::client::likeness::{Likeness, is_missing, judge};
use crate::client::load::in_parallel;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "set-then-get",
        tier: Tier::Brief,
        what: "A pair that was set comes back with get.",
        why: "This is the whole task: everything else builds on it.",
        rfc: None,
        chapter: 7,
        run: set_then_get,
    },
    Check {
        name: "brief-form",
        tier: Tier::Brief,
        what: "Set and get work in the brief's own form, /set?somekey=somevalue and /get?key=somekey.",
        why: "Clients are written against the brief: another path or other field names are another interface.",
        rfc: None,
        chapter: 5,
        run: brief_form,
    },
    Check {
        name: "overwrite",
        tier: Tier::Brief,
        what: "A second set of the same key replaces the value.",
        why: "A store that keeps the first value, or both, answers with what is no longer true.",
        rfc: None,
        chapter: 7,
        run: overwrite,
    },
    Check {
        name: "many-keys",
        tier: Tier::Brief,
        what: "Fifty keys keep fifty values.",
        why: "A server that remembers the last pair alone passes every test that uses one key.",
        rfc: None,
        chapter: 7,
        run: many_keys,
    },
    Check {
        name: "missing-key",
        tier: Tier::Brief,
        what: "A key that was never set is told from one that was.",
        why: "A client must know whether there is a value before it can use it.",
        rfc: None,
        chapter: 7,
        run: missing_key,
    },
    Check {
        name: "keeps-case",
        tier: Tier::Brief,
        what: "Upper and lower case stay as they are, in keys and in values.",
        why: "Keys that differ in case are two keys, and a value is data, not a word to be tidied.",
        rfc: None,
        chapter: 6,
        run: keeps_case,
    },
    Check {
        name: "values-are-text",
        tier: Tier::Brief,
        what: "Values such as 007, 1.50, true and null come back as they were sent.",
        why: "Values are text: a server that guesses types changes what it was given.",
        rfc: None,
        chapter: 7,
        run: values_are_text,
    },
    Check {
        name: "empty-value",
        tier: Tier::Brief,
        what: "An empty value is kept or refused, never acknowledged and lost.",
        why: "A 200 is a promise that the pair is there.",
        rfc: None,
        chapter: 6,
        run: empty_value,
    },
    Check {
        name: "prototype-keys",
        tier: Tier::Brief,
        what: "constructor, __proto__ and toString are keys like any other.",
        why: "A plain object used as a map already has these: a missing key looks stored, or a set changes the server.",
        rfc: None,
        chapter: 7,
        run: prototype_keys,
    },
    Check {
        name: "two-pairs",
        tier: Tier::Brief,
        what: "A second pair in one set is stored or refused, never glued to the first value.",
        why: "Whoever cuts at the first = without splitting at & stores somevalue&other=thing.",
        rfc: Some("RFC 3986 §3.4"),
        chapter: 6,
        run: two_pairs,
    },
    Check {
        name: "repeated-key",
        tier: Tier::Brief,
        what: "The same key twice in one set is refused, or one of the values stored, never a list.",
        why: "Query libraries make a list of it: what comes back then is a text that nobody has sent.",
        rfc: Some("RFC 3986 §3.4"),
        chapter: 6,
        run: repeated_key,
    },
    Check {
        name: "long-values",
        tier: Tier::Brief,
        what: "Values of 2,000 and of 6,000 bytes come back whole.",
        why: "A buffer of one read (1,024 or 4,096 bytes) cuts them, or never sees the end of the request.",
        rfc: None,
        chapter: 3,
        run: long_values,
    },
    Check {
        name: "settings-is-not-set",
        tier: Tier::Brief,
        what: "/settings does not set.",
        why: "A route that compares the beginning of a path takes every longer path too.",
        rfc: None,
        chapter: 5,
        run: settings_is_not_set,
    },
    Check {
        name: "parallel-sets",
        tier: Tier::Brief,
        what: "A hundred sets at the same time are all there afterwards.",
        why: "Threads that share a map without a lock lose pairs, or crash.",
        rfc: None,
        chapter: 8,
        run: parallel_sets,
    },
];

fn set_then_get(run: &mut Run) -> Outcome {
    if !run.client.dialect.works {
        let stop = fail("expected that GET /set?k=v succeeds and GET /get?key=k then brings v");
        return Err(run.first_words.iter().fold(stop, Stop::with));
    }
    if let Some(late) = run.client.dialect.late {
        let expected = format!(
            "expected that a pair is there when its set is answered; it comes some {} ms later",
            late.as_millis()
        );
        return Err(run.first_words.iter().fold(fail(expected), Stop::with));
    }
    let value = run.fresh("value");
    run.keeps(&value)
}

fn brief_form(run: &mut Run) -> Outcome {
    run.needs_dialect()?;
    let dialect = &run.client.dialect;
    if !dialect.is_briefs() {
        let expected = "expected that /set?somekey=somevalue stores and /get?key=somekey answers; what works is";
        let stop = fail(format!("{expected} {}", dialect.describe()));
        return Err(run.first_words.iter().fold(stop, Stop::with));
    }
    match dialect.method {
        "GET" => Ok(Pass::Plainly),
        method => Ok(Pass::Loosely(format!("set works by {method}, not by GET as in a browser"))),
    }
}

fn overwrite(run: &mut Run) -> Outcome {
    let (key, first, second) = (run.fresh("k"), run.fresh("first"), run.fresh("second"));
    run.set(&key, &first)?;
    let set = run.set(&key, &second)?;
    run.expect(&key, &key, &second).map_err(|stop| stop.after(&set))
}

fn many_keys(run: &mut Run) -> Outcome {
    let pairs: Vec<_> = (0..50).map(|_| (run.fresh("k"), run.fresh("v"))).collect();
    for (key, value) in &pairs {
        run.set(key, value)?;
    }
    let mut pass = Pass::Plainly;
    for (key, value) in &pairs {
        pass = pass.and(run.expect(key, key, value)?);
    }
    Ok(pass)
}

fn missing_key(run: &mut Run) -> Outcome {
    let (key, value, absent) = (run.fresh("k"), run.fresh("v"), run.fresh("absent"));
    run.set(&key, &value)?;
    let (there, _) = run.get(&key)?;
    if let Some(Missing::Untold(what)) = &run.client.dialect.missing {
        let expected = format!("expected an answer that says that a key is missing; it {what}");
        return Err(run.first_missing.iter().fold(fail(expected), Stop::with));
    }
    // Twice: some stores make a key by asking for it.
    for _ in 0..2 {
        let (get, answer) = run.get(&absent)?;
        if answer.is_refusal() {
            continue;
        }
        let body = String::from_utf8_lossy(&answer.body);
        if !answer.is_success() || body.contains(&value) {
            let expected =
                format!("expected another answer than a stored key gets, got {}", outcome(&get));
            return Err(fail(expected).with(&there).with(&get).at(answer.body_at));
        }
        run.expect_missing(&absent, &absent, "it was never set")?;
        let body = short(body.trim_end());
        return Ok(Pass::Loosely(format!(
            "a missing key gets {} with the body {body}, like a key that stores this text",
            answer.status
        )));
    }
    Ok(Pass::Plainly)
}

fn keeps_case(run: &mut Run) -> Outcome {
    let (key, value) = (run.fresh("MixedCase"), run.fresh("MixedCase"));
    let set = run.set(&key, &value)?;
    let pass = run.expect(&key, &key, &value).map_err(|stop| stop.after(&set))?;
    if run.needs_missing().is_err() {
        return Ok(pass);
    }
    let other = key.to_lowercase();
    run.expect_missing(&other, &other, "a key in another case was set")?;
    Ok(pass)
}

fn values_are_text(run: &mut Run) -> Outcome {
    let mut pass = Pass::Plainly;
    for value in ["007", "1.50", "true", "null", "1e3", "0x10", "-0"] {
        pass = pass.and(run.round_trip(value, value)?);
    }
    Ok(pass)
}

fn empty_value(run: &mut Run) -> Outcome {
    run.needs_dialect()?;
    let key = run.fresh("k");
    let set = run.client.set(&key, "");
    let (set, answer) = answered(set, "to a set with an empty value")?;
    if !run.client.dialect.accepts(&answer) {
        if run.needs_missing().is_err() {
            return Ok(Pass::Plainly);
        }
        return run
            .expect_missing(&key, &key, "the set was refused")
            .map_err(|stop| stop.after(&set));
    }
    let (get, answer) = run.get(&key)?;
    if !answer.is_success() {
        let expected =
            format!("expected the empty value that was acknowledged, got {}", outcome(&get));
        return Err(fail(expected).with(&set).with(&get));
    }
    if is_missing(&run.client.dialect, &answer, &key) {
        return Ok(Pass::Loosely("an empty value looks the same as a missing key".into()));
    }
    match judge(&run.client.dialect, &answer, &key, "") {
        Likeness::Value => Ok(Pass::Plainly),
        Likeness::Wrapped(how) => Ok(Pass::Loosely(format!("the value comes {how}"))),
        _ => Err(fail("expected an empty value").with(&set).with(&get).at(answer.body_at)),
    }
}

fn prototype_keys(run: &mut Run) -> Outcome {
    for key in ["constructor", "__proto__", "toString", "hasOwnProperty"] {
        let value = run.fresh("v");
        if run.needs_missing().is_ok() {
            missing_or_ours(run, key)?;
        }
        if !run.target.can_restart() {
            // It runs already: a pair with this key may be somebody's, a moment later.
            continue;
        }
        let set = run.set(key, &value)?;
        run.expect(key, key, &value).map_err(|stop| stop.after(&set))?;
    }
    // After these, an ordinary pair.
    let value = run.fresh("v");
    run.keeps(&value)
}

/// Whether this key is not there yet. A server that keeps its data may have it from an earlier run.
fn missing_or_ours(run: &Run, key: &str) -> Outcome {
    let (get, answer) = run.get(key)?;
    let is_ours = answer.is_success() && looks_ours(&String::from_utf8_lossy(&answer.body));
    if is_ours || is_missing(&run.client.dialect, &answer, key) {
        return Ok(Pass::Plainly);
    }
    let expected = format!("expected that {key} is missing until it is set");
    Err(fail(expected).with(&get).at(answer.body_at))
}

fn two_pairs(run: &mut Run) -> Outcome {
    run.needs_dialect()?;
    if run.client.dialect.place == Place::KeyAndValue {
        return Err(Stop::Skipped("this server wants one pair as key=…&value=…".into()));
    }
    let keys = [run.untouched("k")?, run.untouched("other")?];
    let (value, second) = (run.fresh("v"), run.fresh("w"));
    let [key, other] = [0, 1].map(|number: usize| keys[number].key.as_str());
    let set = run.client.set(key, &format!("{value}&{other}={second}"));
    let (set, answer) = answered(set, "to a set with two pairs")?;
    if !run.client.dialect.accepts(&answer) {
        for key in &keys {
            let got = run.expect_untouched(key, "the set was refused");
            got.map_err(|stop| stop.after(&set))?;
        }
        return Ok(Pass::Plainly);
    }
    let stored = |key: &str, value: &str| run.expect(key, key, value);
    match (stored(key, &value), stored(other, &second)) {
        (Ok(pass), Ok(_)) => Ok(pass),
        (Ok(_), Err(_)) => Ok(Pass::Loosely("only the first of two pairs is stored".into())),
        (Err(_), Ok(_)) => Ok(Pass::Loosely("only the last of two pairs is stored".into())),
        (Err(stop), Err(_)) => Err(stop.after(&set)),
    }
}

fn repeated_key(run: &mut Run) -> Outcome {
    run.needs_dialect()?;
    // What is done to a second pair was seen there.
    run.needs("two-pairs")?;
    if run.client.dialect.place == Place::KeyAndValue {
        return Err(Stop::Skipped("this server wants one pair as key=…&value=…".into()));
    }
    let untouched = run.untouched("k")?;
    let key = untouched.key.as_str();
    let (first, last) = (run.fresh("v"), run.fresh("w"));
    let set = run.client.set(key, &format!("{first}&{key}={last}"));
    let (set, answer) = answered(set, "to a set with one key twice")?;
    if !run.client.dialect.accepts(&answer) {
        let got = run.expect_untouched(&untouched, "the set was refused");
        return got.map_err(|stop| stop.after(&set));
    }
    for (value, which) in [(&first, "first"), (&last, "last")] {
        if run.expect(key, key, value).is_ok() {
            return Ok(Pass::Loosely(format!("the {which} of two values for one key is stored")));
        }
    }
    let (get, answer) = run.get(key)?;
    let expected = format!("expected {} or {}, or a refusal", short(&first), short(&last));
    Err(fail(expected).with(&set).with(&get).at(answer.body_at))
}

fn long_values(run: &mut Run) -> Outcome {
    let short = run.fresh("v");
    let pass = run.keeps(&long(&short, 2_000))?;
    let short = run.fresh("v");
    Ok(pass.and(run.keeps(&long(&short, 6_000))?))
}

/// A text of this many bytes, with marks in it that show where it was cut.
pub(crate) fn long(start: &str, bytes: usize) -> String {
    let marks = (0..).flat_map(|number| format!("-{:07}", number * 8).into_bytes());
    let text: Vec<u8> = start.bytes().chain(marks.skip(start.len())).take(bytes - 3).collect();
    String::from_utf8_lossy(&text).into_owned() + "end"
}

fn settings_is_not_set(run: &mut Run) -> Outcome {
    let untouched = run.untouched("k")?;
    let value = run.fresh("v");
    let (target, _) = run.client.dialect.set(&untouched.key, &value);
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let ask = run.client.ask_elsewhere(run.client.dialect.method, &format!("/settings?{query}"));
    run.client.settle();
    let got = run.expect_untouched(&untouched, "it was sent to /settings");
    got.map_err(|stop| stop.after(&ask))
}

fn parallel_sets(run: &mut Run) -> Outcome {
    run.needs_dialect()?;
    let pairs: Vec<_> = (0..100).map(|_| (run.fresh("k"), run.fresh("v"))).collect();
    // A small backlog makes some clients wait for their second try at a connection.
    let client = run.client.with_timeout(run.client.patience.answer.max(Duration::from_secs(8)));
    let sets = in_parallel(&pairs, |(key, value)| client.set(key, value));
    let is_stored = |set: &Exchange| set.is_stored(&run.client.dialect);
    let acknowledged = sets.iter().flatten().filter(|set| is_stored(set)).count();
    let mut pass = Pass::Plainly;
    for ((key, value), set) in pairs.iter().zip(&sets) {
        let Some(set) = set.as_ref().filter(|set| is_stored(set)) else { continue };
        pass = pass.and(run.expect(key, key, value).map_err(|stop| stop.after(set))?);
    }
    match acknowledged {
        100 => Ok(pass),
        0 => {
            let stop = fail("expected answers to a hundred sets at the same time, got none");
            Err(sets.iter().flatten().take(1).fold(stop, Stop::with))
        }
        some => Ok(Pass::Loosely(format!("{some} of 100 sets were answered; these are there"))),
    }
}
