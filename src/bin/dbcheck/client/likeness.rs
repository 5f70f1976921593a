//! Likeness: whether an answer gives the value that was stored, whatever it wraps it in.
//!
//! The brief says "return the value", and many servers return it in a sentence, in JSON or with a
//! newline behind it. Each has its value, so each passes, and the wrapping is named. What counts
//! is the shape that was learned from the first get: "contains the value" alone would also take
//! `1&b=2` for `1`.

use crate::client::answer::Answer;
use crate::client::dialect::{Dialect, KEY, Shape};

/// What a get was answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Likeness {
    /// The value, byte for byte.
    Value,
    /// The value, in the wrapping that this names.
    Wrapped(&'static str),
    /// What this server says for a key that it does not have.
    Missing,
    /// Something else.
    Other,
}

/// Compares an answer to a get of `key` with the `value` that should be there.
pub(crate) fn judge(dialect: &Dialect, answer: &Answer, key: &str, value: &str) -> Likeness {
    if answer.is_success() && answer.body == value.as_bytes() && !value.is_empty() {
        return Likeness::Value;
    }
    if is_missing(dialect, answer, key) {
        return Likeness::Missing;
    }
    if !answer.is_success() {
        return Likeness::Other;
    }
    if answer.body == value.as_bytes() {
        return Likeness::Value;
    }
    let body = String::from_utf8_lossy(&answer.body);
    let without_newline =
        body.strip_suffix('\n').map(|body| body.strip_suffix('\r').unwrap_or(body));
    match &dialect.shape {
        _ if without_newline == Some(value) => Likeness::Wrapped("with a newline behind it"),
        Shape::Json if json_has(&body, value) => Likeness::Wrapped("in JSON"),
        Shape::Within(before, behind)
            if body == before.replace(KEY, key) + value + &behind.replace(KEY, key) =>
        {
            Likeness::Wrapped("with a text around it")
        }
        _ => Likeness::Other,
    }
}

/// Whether this is what the server says of a key that was never set.
pub(crate) fn is_missing(dialect: &Dialect, answer: &Answer, key: &str) -> bool {
    let body = String::from_utf8_lossy(&answer.body);
    match &dialect.missing {
        // 404 is 404 whatever the body says of it, and so is any other refusal.
        Some(_) | None if answer.is_refusal() => true,
        Some(missing) => answer.status == missing.status && body == missing.body.replace(KEY, key),
        None => false,
    }
}

/// Whether `text` is a string anywhere in this JSON, or its only one is a number that is written so.
fn json_has(body: &str, text: &str) -> bool {
    fn has(json: &serde_json::Value, text: &str) -> bool {
        match json {
            serde_json::Value::String(string) => string == text,
            serde_json::Value::Array(items) => items.iter().any(|item| has(item, text)),
            serde_json::Value::Object(fields) => fields.values().any(|item| has(item, text)),
            _ => false,
        }
    }
    serde_json::from_str(body).is_ok_and(|json| has(&json, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::answer::{End, read};
    use crate::client::dialect::Missing;

    fn judged(
        shape: Shape,
        missing: (u16, &str),
        status: u16,
        body: &str,
        value: &str,
    ) -> Likeness {
        let missing = Some(Missing { status: missing.0, body: missing.1.into() });
        let dialect = Dialect { shape, missing, works: true, ..Dialect::default() };
        let bytes = format!("HTTP/1.0 {status} x\r\n\r\n{body}");
        let answer = read(bytes.as_bytes(), 0, false, End::Closed).unwrap();
        judge(&dialect, &answer, "k", value)
    }

    #[test]
    fn knows_a_value_in_its_wrapping_and_nothing_else() {
        let within = || Shape::Within(format!("{KEY} is "), ".".into());
        for (shape, body, value, wanted) in [
            (Shape::Alone, "v", "v", Likeness::Value),
            (Shape::Alone, "v\n", "v", Likeness::Wrapped("with a newline behind it")),
            (Shape::Alone, "v\n\n", "v\n", Likeness::Wrapped("with a newline behind it")),
            (Shape::Alone, "1&b=2", "1", Likeness::Other),
            (Shape::Alone, "\"v\"", "v", Likeness::Other),
            (Shape::Json, "{\"k\":\"a\\\"b\"}", "a\"b", Likeness::Wrapped("in JSON")),
            (Shape::Json, "{\"k\":7}", "007", Likeness::Other),
            (within(), "k is v.", "v", Likeness::Wrapped("with a text around it")),
            (within(), "k is v2.", "v", Likeness::Other),
            (Shape::Alone, "", "v", Likeness::Other),
            (Shape::Alone, "", "", Likeness::Value),
        ] {
            assert_eq!(judged(shape, (404, ""), 200, body, value), wanted, "{body:?}");
        }
    }

    #[test]
    fn compares_a_missing_key_with_what_was_learned() {
        let not_found = format!("no {KEY} here");
        for (missing, status, body, value, wanted) in [
            ((404, ""), 404, "", "v", Likeness::Missing),
            ((404, ""), 500, "oops", "v", Likeness::Missing),
            ((200, ""), 200, "", "v", Likeness::Missing),
            ((200, ""), 200, "", "", Likeness::Missing),
            ((200, not_found.as_str()), 200, "no k here", "v", Likeness::Missing),
            ((200, not_found.as_str()), 200, "no k2 here", "v", Likeness::Other),
            ((200, "null"), 200, "null", "null", Likeness::Value),
        ] {
            assert_eq!(judged(Shape::Alone, missing, status, body, value), wanted, "{body:?}");
        }
    }
}
