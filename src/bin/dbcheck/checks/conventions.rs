//! The conventions of the task: which status, and what body. Elsewhere nothing depends on them.

use crate::checks::check::{Check, Tier};
use crate::checks::run::Run;
use crate::checks::steps::{answered, differ_at, outcome, short, status_at};
use crate::checks::verdict::{Outcome, Pass, fail};
use crate::client::answer::Flaw;
use crate::client::exchange::{Exchange, encode};

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "success-is-200",
        tier: Tier::Conventions,
        what: "A set and a get that succeed answer 200.",
        why: "The task's convention: 200 for all successful operations.",
        rfc: Some("RFC 9110 §15.3.1"),
        chapter: 2,
        run: success_is_200,
    },
    Check {
        name: "set-body-empty",
        tier: Tier::Conventions,
        what: "The answer to a set has an empty body.",
        why: "The task's convention: there is nothing to say but the status.",
        rfc: None,
        chapter: 7,
        run: set_body_empty,
    },
    Check {
        name: "value-alone",
        tier: Tier::Conventions,
        what: "The body of a get is the value and nothing else, byte for byte.",
        why: "A client should not have to cut a newline, quotes or a sentence off the value.",
        rfc: None,
        chapter: 7,
        run: value_alone,
    },
    Check {
        name: "missing-is-404",
        tier: Tier::Conventions,
        what: "A missing key answers 404.",
        why: "The task's convention, and what 404 means: no such thing here.",
        rfc: Some("RFC 9110 §15.5.5"),
        chapter: 7,
        run: missing_is_404,
    },
    Check {
        name: "missing-body-empty",
        tier: Tier::Conventions,
        what: "The answer for a missing key has a body of zero length.",
        why: "The task's convention: a zero-length string and 404 for keys that are not present.",
        rfc: None,
        chapter: 7,
        run: missing_body_empty,
    },
    Check {
        name: "unknown-path-is-500",
        tier: Tier::Conventions,
        what: "Another path answers 500.",
        why: "The task's convention: 500 for anything that is not in the spec.",
        rfc: None,
        chapter: 5,
        run: unknown_path_is_500,
    },
    Check {
        name: "malformed-query-is-500",
        tier: Tier::Conventions,
        what: "A get without a key, a set without a pair and a set with two answer 500.",
        why: "The task's convention: 500 for anything that is not in the spec.",
        rfc: None,
        chapter: 6,
        run: malformed_query_is_500,
    },
    Check {
        name: "extra-field",
        tier: Tier::Conventions,
        what: "A get with another field beside its key is refused.",
        why: "The task's convention; and whoever sends a field means something by it that was not done.",
        rfc: None,
        chapter: 6,
        run: extra_field,
    },
    Check {
        name: "other-method-is-500",
        tier: Tier::Conventions,
        what: "A method that is not in the spec answers 500.",
        why: "The task's convention: 500 for anything that is not in the spec.",
        rfc: None,
        chapter: 5,
        run: other_method_is_500,
    },
    Check {
        name: "refused-stores-nothing",
        tier: Tier::Conventions,
        what: "A request that is refused has stored nothing.",
        why: "A client that is told no must be able to rely on it.",
        rfc: Some("RFC 9110 §15.5"),
        chapter: 5,
        run: refused_stores_nothing,
    },
];

fn success_is_200(run: &mut Run) -> Outcome {
    let (key, value) = (run.fresh("k"), run.fresh("v"));
    let set = run.set(&key, &value)?;
    let (get, _) = run.get(&key)?;
    for exchange in [set, get] {
        wants(&exchange, 200, "expected 200 for what succeeds")?;
    }
    Ok(Pass::Plainly)
}

fn set_body_empty(run: &mut Run) -> Outcome {
    let (key, value) = (run.fresh("k"), run.fresh("v"));
    let (set, answer) = answered(run.set(&key, &value)?, "to the set")?;
    if answer.body.is_empty() {
        return Ok(Pass::Plainly);
    }
    let body = String::from_utf8_lossy(&answer.body);
    let expected = format!("expected an empty body, got {}", short(&body));
    Err(fail(expected).with(&set).at(answer.body_at))
}

fn value_alone(run: &mut Run) -> Outcome {
    let (key, value) = (run.fresh("k"), run.fresh("v"));
    let set = run.set(&key, &value)?;
    let pass = run.expect(&key, &key, &value).map_err(|stop| stop.after(&set))?;
    alone(run, pass, &key, &value)?;
    // A page in which text is escaped shows that with a text that needs it.
    if run.needs_decoding().is_ok() {
        let (key, value) = (run.fresh("k"), run.fresh("<b>"));
        run.client.set(&key, &encode(&value));
        // Where another value comes, that is said elsewhere.
        if let Ok(pass) = run.expect(&key, &key, &value) {
            alone(run, pass, &key, &value)?;
        }
    }
    Ok(Pass::Plainly)
}

/// Whether a value that was recognised is alone.
fn alone(run: &Run, pass: Pass, key: &str, value: &str) -> Outcome {
    let Pass::Loosely(how) = pass else { return Ok(Pass::Plainly) };
    let (get, answer) = run.get(key)?;
    let same = differ_at(&answer.body, value.as_bytes());
    let expected = format!("expected {} and nothing else: {how}", short(value));
    Err(fail(expected).with(&get).at(answer.body_at + same))
}

fn missing_is_404(run: &mut Run) -> Outcome {
    run.needs_missing()?;
    let key = run.fresh("absent");
    let (get, _) = run.get(&key)?;
    wants(&get, 404, "expected 404 for a missing key")
}

fn missing_body_empty(run: &mut Run) -> Outcome {
    run.needs_missing()?;
    let key = run.fresh("absent");
    let (get, answer) = run.get(&key)?;
    if answer.body.is_empty() {
        return Ok(Pass::Plainly);
    }
    let body = String::from_utf8_lossy(&answer.body);
    let expected = format!("expected a body of zero length, got {}", short(&body));
    Err(fail(expected).with(&get).at(answer.body_at))
}

fn unknown_path_is_500(run: &mut Run) -> Outcome {
    let word = run.fresh("path");
    for path in ["/".to_string(), format!("/{word}"), format!("/{word}?key=a")] {
        wants(&run.client.ask("GET", &path), 500, "expected 500 for another path")?;
    }
    Ok(Pass::Plainly)
}

fn malformed_query_is_500(run: &mut Run) -> Outcome {
    let key = run.fresh("k");
    let dialect = &run.client.dialect;
    let (set, body) = dialect.set(&key, "v");
    let path = set.split('?').next().unwrap_or("/set").to_string();
    let other_field = dialect.get("v").replacen("?key=", &format!("?{key}="), 1);
    let get_path = other_field.split('?').next().unwrap_or("/get").to_string();
    let method = dialect.method;
    let mut requests = vec![("GET", get_path, None, "a get without a query")];
    if !dialect.bare_key {
        requests.push(("GET", other_field, None, "a get without key"));
    }
    if let Some(body) = body {
        requests.push((method, path.clone(), Some(String::new()), "a set without a pair"));
        requests.push((method, path.clone(), Some(key.clone()), "a set without ="));
        requests.push((method, path, Some(format!("{body}&{key}b=w")), "a set with two pairs"));
    } else {
        requests.push((method, path.clone(), None, "a set without a query"));
        requests.push((method, format!("{path}?"), None, "a set with an empty query"));
        requests.push((method, format!("{path}?{key}"), None, "a set without ="));
        requests.push((method, format!("{set}&{key}b=w"), None, "a set with two pairs"));
    }
    for (method, target, body, what) in requests {
        let ask = run.client.ask_with(method, &target, body.as_deref());
        wants(&ask, 500, &format!("expected 500 for {what}"))?;
    }
    Ok(Pass::Plainly)
}

fn extra_field(run: &mut Run) -> Outcome {
    let (key, value, other) = (run.fresh("k"), run.fresh("v"), run.fresh("other"));
    run.set(&key, &value)?;
    let target = format!("{}&{other}=w", run.client.dialect.get(&key));
    let (get, answer) = answered(run.client.ask("GET", &target), "to a get with a second field")?;
    match answer.status {
        500 => Ok(Pass::Plainly),
        // Which status a wrong query gets is another check's matter.
        other if answer.is_refusal() => {
            Ok(Pass::Loosely(format!("a second field gets {other}, the task says 500")))
        }
        _ => {
            let expected =
                format!("expected 500 for a get with a second field, got {}", outcome(&get));
            Err(fail(expected).with(&get).at(status_at(&get)))
        }
    }
}

fn other_method_is_500(run: &mut Run) -> Outcome {
    let key = run.fresh("k");
    let (target, _) = run.client.dialect.set(&key, "v");
    let ask = run.client.ask("DELETE", &target);
    let (ask, answer) = answered(ask, "to DELETE")?;
    if matches!(answer.status, 405 | 501) {
        return Ok(Pass::Loosely(format!(
            "{} is what HTTP says, the task says 500",
            answer.status
        )));
    }
    wants(&ask, 500, "expected 500 for a method that is not in the spec")
}

fn refused_stores_nothing(run: &mut Run) -> Outcome {
    run.needs_dialect()?;
    let method = run.client.dialect.method;
    let mut words = Vec::new();
    for _ in 0..6 {
        words.push((run.untouched("k")?, run.fresh("v")));
    }
    let target = |number: usize| {
        let (untouched, value) = &words[number];
        let (target, _) = run.client.dialect.set(&untouched.key, value);
        target
    };
    let second = format!("{}2=w", words[0].0.key);
    for (number, method, target) in [
        (0, method, format!("{}&{second}", target(0))),
        (1, "DELETE", target(1)),
        (2, "HEAD", target(2)),
        (3, method, target(3).replacen("/set", "/Set", 1)),
        (4, method, target(4).replacen("/set", "/set/more", 1)),
        (5, method, target(5).replacen("/set", "/get", 1)),
    ] {
        let ask = run.client.ask_elsewhere(method, &target);
        if ask.is_stored(&run.client.dialect) {
            // It was not refused, so it may have stored; other checks have an opinion of that.
            continue;
        }
        run.client.settle();
        let got = run.expect_untouched(&words[number].0, "the set was refused");
        got.map_err(|stop| stop.after(&ask))?;
    }
    Ok(Pass::Plainly)
}

/// Whether the answer has this status.
fn wants(exchange: &Exchange, status: u16, expected: &str) -> Outcome {
    let (exchange, answer) = answered(exchange.clone(), "")?;
    if answer.status == status && answer.fault(Flaw::StatusLine).is_none_or(|fault| fault.at != 0) {
        return Ok(Pass::Plainly);
    }
    let stop = fail(format!("{expected}, got {}", outcome(&exchange)));
    Err(stop.with(&exchange).at(status_at(&exchange)))
}
