//! Learning the dialect: once, before the first check.
//!
//! 1. The first words are a user's: a set, and a get only where the set was accepted. Some servers
//!    end on a get while there is nothing to get.
//! 2. The brief's own form is tried first, by GET, POST and PUT; where none works, other readings of
//!    the task that are found in the wild.
//! 3. Asking twice shows which part of a body is different each time.
//! 4. A key that is missing comes last: there are servers that never answer that, or end.

use std::thread;
use std::time::{Duration, Instant};

use crate::client::answer::Answer;
use crate::client::dialect::{Dialect, Missing, Shape};
use crate::client::exchange::{Client, Exchange};
use crate::client::likeness::json_has;
use crate::client::template::Template;
use crate::client::wire::Trouble;

/// How long after the answer to a set its pair may appear, and still be called late rather than
/// lost.
const LATE: Duration = Duration::from_millis(400);

/// Tries the readings, and returns the one that works with what was said in the brief's own form.
/// After a reading that does not work `revive` is called: it may have ended the server, and says
/// whether there is still somebody to talk to.
pub(crate) fn learn(
    client: &Client,
    tag: &str,
    mut revive: impl FnMut(&mut Client) -> bool,
) -> (Dialect, Vec<Exchange>) {
    // Enough for a slow answer; a server that is silent to one reading is silent to many.
    let mut client = client.with_timeout(client.patience.answer.min(Duration::from_secs(3)));
    let mut first = Vec::new();
    let mut silent = 0;
    for (number, reading) in Dialect::readings().enumerate() {
        client.dialect = reading;
        let pair = (format!("{tag}learn{number}"), format!("{tag}value{number}"));
        let tried = attempt(&client, &pair);
        if number == 0 {
            first.clone_from(&tried.said);
        }
        client.dialect.works = !matches!(tried.came, Came::Never);
        if client.dialect.works {
            if let Came::Late(late) = tried.came {
                client.dialect.late = Some(late);
            }
            let set = tried.said.first().and_then(|set| set.answer.as_ref().ok());
            client.dialect.redirects = set.is_some_and(Answer::is_redirect);
            client.dialect.shape = shape(&client, &pair, tag);
            return (client.dialect, first);
        }
        let is_silent = |said: &Exchange| matches!(said.answer, Err(Trouble::Silent(_)));
        silent += usize::from(tried.said.iter().any(is_silent));
        if silent == 3 || !revive(&mut client) {
            break;
        }
    }
    (Dialect::default(), first)
}

/// What came of a reading.
struct Attempt {
    said: Vec<Exchange>,
    came: Came,
}

/// When a pair that was set was there.
enum Came {
    AtOnce,
    /// How long after the set was answered.
    Late(Duration),
    Never,
}

/// Sets a pair and asks for it.
fn attempt(client: &Client, (key, value): &(String, String)) -> Attempt {
    let set = client.set(key, value);
    let is_accepted =
        set.answer.as_ref().is_ok_and(|answer| answer.is_success() || answer.is_redirect());
    if !is_accepted {
        return Attempt { said: vec![set], came: Came::Never };
    }
    let begun = Instant::now();
    let brings = |get: &Exchange| body(get).is_some_and(|body| body.contains(value.as_str()));
    let get = client.get(key);
    if brings(&get) {
        return Attempt { said: vec![set, get], came: Came::AtOnce };
    }
    while get.answer.is_ok() && begun.elapsed() < LATE {
        thread::sleep(Duration::from_millis(10));
        if brings(&client.get(key)) {
            return Attempt { said: vec![set, get], came: Came::Late(begun.elapsed()) };
        }
    }
    Attempt { said: vec![set, get], came: Came::Never }
}

/// The body of a success.
fn body(exchange: &Exchange) -> Option<String> {
    exchange.answer.as_ref().ok().filter(|answer| answer.is_success()).map(text)
}

fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

/// What surrounds values: that of this pair, asked for twice, and of another.
fn shape(client: &Client, pair: &(String, String), tag: &str) -> Shape {
    let other = (format!("{tag}other"), format!("{tag}another"));
    let mut seen = Vec::new();
    for (key, value) in [pair, pair, &other] {
        if key == &other.0 {
            client.set(key, value);
        }
        if let Some(body) = body(&client.get(key)) {
            seen.push((body, key.as_str(), value.as_str()));
        }
    }
    common_shape(&seen)
}

/// The shape that these bodies have, which were seen for these keys and values.
fn common_shape(seen: &[(String, &str, &str)]) -> Shape {
    let all = |is: fn(&str, &str) -> bool| {
        !seen.is_empty() && seen.iter().all(|(body, _, value)| is(body, value))
    };
    if all(|body, value| body == value) {
        return Shape::Alone;
    }
    if all(|body, value| body.trim_end_matches(['\r', '\n']) == value) {
        return Shape::Newline;
    }
    if all(json_has) {
        return Shape::Json;
    }
    let mut templates =
        seen.iter().map(|(body, key, value)| Template::of(body, key, value)).map(Some);
    let first = templates.next().flatten();
    let common = templates.fold(first, |one, other| one?.and(&other?));
    common.map_or(Shape::Anywhere, Shape::Within)
}

/// What a missing key is answered with. Asked for twice, and between the two a pair is set: what
/// brings the value of that does not know what is missing.
pub(crate) fn missing(client: &Client, tag: &str) -> (Missing, Option<Exchange>) {
    let client = client.with_timeout(client.patience.answer.min(Duration::from_secs(3)));
    let values = [format!("{tag}present1"), format!("{tag}present2")];
    let mut seen: Vec<(u16, Template, String)> = Vec::new();
    for (number, value) in values.iter().enumerate() {
        client.set(&format!("{tag}there{number}"), value);
        client.get(&format!("{tag}there{number}"));
        let key = format!("{tag}absent{number}");
        let get = client.get(&key);
        let untold = match &get.answer {
            Err(Trouble::Silent(_)) => Some("is never answered".into()),
            Err(trouble) => Some(format!("gets no answer ({trouble})")),
            Ok(answer) if answer.is_success() && text(answer).contains(value) => {
                Some("is answered with the value of another".into())
            }
            Ok(_) => None,
        };
        let (None, Ok(answer)) = (&untold, &get.answer) else {
            return (Missing::Untold(untold.unwrap_or_default()), Some(get));
        };
        let body = text(answer);
        let sample = body.replace(&key, "…");
        seen.push((answer.status, Template::of(&body, &key, ""), sample));
    }
    let told = seen.into_iter().reduce(|(status, body, sample), (_, other, _)| {
        let body = body.and(&other).unwrap_or(body);
        (status, body, sample)
    });
    let missing = match told {
        Some((status, body, sample)) => Missing::Told { status, body, sample },
        None => Missing::Untold("was not asked for".into()),
    };
    (missing, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learns_what_stands_around_a_value() {
        let seen = |bodies: [&str; 3]| {
            let [one, again, other] = bodies.map(str::to_string);
            common_shape(&[(one, "k1", "v1"), (again, "k1", "v1"), (other, "k2", "v2")])
        };
        for (bodies, wanted) in [
            (["v1", "v1", "v2"], Shape::Alone),
            (["v1\r\n", "v1\r\n", "v2\r\n"], Shape::Newline),
            (["\"v1\"", "\"v1\"", "\"v2\""], Shape::Json),
            (
                ["{\"t\": 1, \"k1\": \"v1\"}", "{\"t\": 2, \"k1\": \"v1\"}", "{\"k2\": \"v2\"}"],
                Shape::Json,
            ),
            (["v1", "v1 v1", "v2, v2"], Shape::Anywhere),
            (["[]", "{k1: v1}", "{k1: v1, k2: v2}"], Shape::Anywhere),
        ] {
            assert_eq!(seen(bodies), wanted, "{bodies:?}");
        }
        let Shape::Within(template) = seen(["1 Ada: v1", "2 Bob: v1", "3 Eve: v2"]) else {
            panic!()
        };
        let plain = crate::client::template::Spellings { escapes: false, entities: false };
        assert!(template.fits("12 Zoe: x", "k", "x", plain));
        // In JSON, but within a longer string.
        let said = ["{\"a\": \"k1 is v1\"}", "{\"a\": \"k1 is v1\"}", "{\"a\": \"k2 is v2\"}"];
        assert!(matches!(seen(said), Shape::Within(_)));
    }
}
