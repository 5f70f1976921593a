//! Learning the dialect: once, before the first check.
//!
//! The brief's own form is tried first, by GET, POST and PUT; where none works, other readings of
//! the task that are found in the wild.

use std::time::Duration;

use crate::client::dialect::{Dialect, KEY, Missing, Shape};
use crate::client::exchange::{Client, Exchange};
use crate::client::wire::Trouble;

/// Tries the readings, and returns the one that works with what was said in the brief's own form.
pub(crate) fn learn(client: &Client, tag: &str) -> (Dialect, Vec<Exchange>) {
    // Enough for a slow answer; a server that is silent to one reading is silent to many.
    let mut client = client.with_timeout(client.patience.answer.min(Duration::from_secs(3)));
    let mut first = Vec::new();
    let mut silent = 0;
    for (number, reading) in Dialect::readings().enumerate() {
        client.dialect = reading;
        let (key, value) = (format!("{tag}learn{number}"), format!("{tag}value{number}"));
        let set = client.set(&key, &value);
        let get = client.get(&key);
        let trouble = [&set, &get].into_iter().any(|exchange| {
            matches!(exchange.answer, Err(Trouble::Silent(_) | Trouble::Connect(_)))
        });
        let body = get.answer.as_ref().ok().filter(|answer| answer.is_success());
        let body = body.map(|answer| String::from_utf8_lossy(&answer.body).into_owned());
        if number == 0 {
            first = vec![set.clone(), get.clone()];
        }
        if let Some(body) = body.filter(|body| set.is_success() && body.contains(&value)) {
            client.dialect.works = true;
            client.dialect.shape = shape(&body, &key, &value);
            client.dialect.missing = missing(&client, &format!("{tag}absent"));
            return (client.dialect, first);
        }
        silent += usize::from(trouble);
        if silent == 3 {
            break;
        }
    }
    (Dialect::default(), first)
}

/// What stands around `value` in `body`.
fn shape(body: &str, key: &str, value: &str) -> Shape {
    if body == value {
        return Shape::Alone;
    }
    if body.trim_end_matches(['\r', '\n']) == value {
        return Shape::Newline;
    }
    if serde_json::from_str::<serde_json::Value>(body).is_ok() {
        return Shape::Json;
    }
    let (before, behind) = body.split_once(value).unwrap_or((body, ""));
    Shape::Within(before.replace(key, KEY), behind.replace(key, KEY))
}

fn missing(client: &Client, key: &str) -> Option<Missing> {
    let answer = client.get(key).answer.ok()?;
    let body = String::from_utf8_lossy(&answer.body).replace(key, KEY);
    Some(Missing { status: answer.status, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learns_what_stands_around_a_value() {
        let within = |before: &str, behind: &str| Shape::Within(before.into(), behind.into());
        for (body, wanted) in [
            ("v1", Shape::Alone),
            ("v1\r\n", Shape::Newline),
            ("\"v1\"", Shape::Json),
            ("{\"k1\": \"v1\"}", Shape::Json),
            ("k1 is v1.", within("\u{1}key\u{1} is ", ".")),
            ("<p>v1</p>", within("<p>", "</p>")),
        ] {
            assert_eq!(shape(body, "k1", "v1"), wanted, "{body}");
        }
    }
}
