//! Likeness: whether an answer gives the value that was stored, whatever it wraps it in.
//!
//! The brief says "return the value", and many servers return it in a sentence, in JSON or with a
//! newline after it. Each has its value, so each passes, and the wrapping is named. What counts
//! is the shape that was learned from the first gets: "contains the value" alone would also take
//! `1&b=2` for `1`.

use crate::client::answer::Answer;
use crate::client::dialect::{Dialect, Missing, Shape};
use crate::client::template::{Spellings, Template, stands_in};

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
    // What is text in a page is written with entities; elsewhere they are other data.
    let entities = is_page(answer);
    match &dialect.shape {
        _ if without_newline == Some(value) => Likeness::Wrapped("with a newline after it"),
        Shape::Json if json_has(&body, value) => Likeness::Wrapped("in JSON"),
        Shape::Within(template) => {
            let spellings = Spellings { escapes: template.has_quotes(), entities };
            wrapped(template.fits(&body, key, value, spellings), "with a text around it")
        }
        Shape::Anywhere => {
            let spellings = Spellings { escapes: true, entities };
            wrapped(stands_in(&body, value, spellings), "among other text")
        }
        Shape::Alone | Shape::Newline if entities => {
            let template = Template::of("v", "k", "v");
            let spellings = Spellings { escapes: false, entities };
            let fits = template.fits(body.trim_end_matches(['\r', '\n']), key, value, spellings);
            wrapped(fits, "escaped for HTML")
        }
        _ => Likeness::Other,
    }
}

fn wrapped(fits: bool, how: &'static str) -> Likeness {
    if fits { Likeness::Wrapped(how) } else { Likeness::Other }
}

/// Whether a browser takes the body for a page.
fn is_page(answer: &Answer) -> bool {
    let kind = answer.field("Content-Type").unwrap_or("text/html").to_ascii_lowercase();
    kind.starts_with("text/html") || kind.starts_with("application/xhtml")
}

/// Whether this is what the server says of a key that was never set.
pub(crate) fn is_missing(dialect: &Dialect, answer: &Answer, key: &str) -> bool {
    let body = String::from_utf8_lossy(&answer.body);
    let spellings = Spellings { escapes: true, entities: true };
    match &dialect.missing {
        // 404 is 404 whatever the body says of it, and so is any other refusal.
        Some(_) | None if answer.is_refusal() => true,
        Some(Missing::Told { status, body: told, .. }) => {
            answer.status == *status && told.fits(&body, key, "", spellings)
        }
        Some(Missing::Untold(_)) | None => false,
    }
}

/// Whether `text` is a string anywhere in this JSON, or its only one is a number that is written so.
pub(crate) fn json_has(body: &str, text: &str) -> bool {
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
    use crate::client::answer::End;
    use crate::client::reader::read;

    fn judged(
        shape: Shape,
        missing: (u16, &str),
        answered: u16,
        body: &str,
        value: &str,
        kind: &str,
    ) -> Likeness {
        let (status, sample) = missing;
        let told = Template::of(sample, "somekey", "");
        let missing = Some(Missing::Told { status, body: told, sample: sample.into() });
        let dialect = Dialect { shape, missing, works: true, ..Dialect::default() };
        let head = format!("HTTP/1.0 {answered} x\r\nContent-Type: {kind}");
        let bytes = format!("{head}\r\n\r\n{body}");
        let answer = read(bytes.as_bytes(), 0, false, End::Closed).unwrap();
        judge(&dialect, &answer, "k", value)
    }

    #[test]
    fn knows_a_value_in_its_wrapping_and_nothing_else() {
        let within = |text: &str| Shape::Within(Template::of(text, "k1", "v1"));
        let around = Likeness::Wrapped("with a text around it");
        for (shape, body, value, wanted) in [
            (Shape::Alone, "v", "v", Likeness::Value),
            (Shape::Alone, "v\n", "v", Likeness::Wrapped("with a newline after it")),
            (Shape::Alone, "v\n\n", "v\n", Likeness::Wrapped("with a newline after it")),
            (Shape::Alone, "1&b=2", "1", Likeness::Other),
            (Shape::Alone, "\"v\"", "v", Likeness::Other),
            (Shape::Json, "{\"k\":\"a\\\"b\"}", "a\"b", Likeness::Wrapped("in JSON")),
            (Shape::Json, "{\"k\":7}", "007", Likeness::Other),
            (within("k1 is v1."), "k is v.", "v", around.clone()),
            (within("k1 is v1."), "k is v2.", "v", Likeness::Other),
            (within("12:00 v1 v1"), "9:41 a=b a=b", "a=b", around),
            (within("v1 v1"), "a=b a", "a=b", Likeness::Other),
            (Shape::Anywhere, "{k: [a b]}", "a b", Likeness::Wrapped("among other text")),
            (Shape::Anywhere, "{k: [a bc]}", "a b", Likeness::Other),
            (Shape::Alone, "", "v", Likeness::Other),
            (Shape::Alone, "", "", Likeness::Value),
        ] {
            assert_eq!(
                judged(shape, (404, ""), 200, body, value, "text/plain"),
                wanted,
                "{body:?}"
            );
        }
    }

    #[test]
    fn entities_are_text_in_a_page_and_other_data_elsewhere() {
        for (kind, wanted) in [
            ("text/html; charset=utf-8", Likeness::Wrapped("escaped for HTML")),
            ("text/plain", Likeness::Other),
        ] {
            let judged = |shape| judged(shape, (404, ""), 200, "a &lt; b", "a < b", kind);
            assert_eq!(judged(Shape::Alone), wanted, "{kind}");
        }
    }

    #[test]
    fn compares_a_missing_key_with_what_was_learned() {
        for (missing, status, body, value, wanted) in [
            ((404, ""), 404, "", "v", Likeness::Missing),
            ((404, ""), 500, "oops", "v", Likeness::Missing),
            ((200, ""), 200, "", "v", Likeness::Missing),
            ((200, ""), 200, "", "", Likeness::Missing),
            ((200, "no somekey here"), 200, "no k here", "v", Likeness::Missing),
            ((200, "no somekey here"), 200, "no k2 here", "v", Likeness::Other),
            ((200, "null"), 200, "null", "null", Likeness::Value),
        ] {
            let judged = judged(Shape::Alone, missing, status, body, value, "text/plain");
            assert_eq!(judged, wanted, "{body:?}");
        }
    }
}
