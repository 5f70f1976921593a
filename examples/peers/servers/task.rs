//! The task as one function, for the stacks that leave dispatch and decoding to us.

use crate::{Pairs, only_pair};

/// What there is to answer.
pub enum Answer {
    /// 200, empty.
    Stored,
    /// 200 and the value.
    Found(String),
    /// 404, empty.
    Missing,
    /// 500, empty: anything that is not one of the two requests.
    Refused,
}

/// The task: what to answer to a request for `path?query`.
pub fn answer(pairs: &Pairs, method: &str, path: &str, query: &str) -> Answer {
    // Split, then decoded. Bytes that are not UTF-8 become U+FFFD, as with the frameworks' extractors.
    let query = form_urlencoded::parse(query.as_bytes()).into_owned();
    match (method, path, only_pair(query)) {
        ("GET", "/set", Some((key, value))) => {
            pairs.set(key, value);
            Answer::Stored
        }
        ("GET", "/get", Some((field, key))) if field == "key" => {
            pairs.get(&key).map_or(Answer::Missing, Answer::Found)
        }
        _ => Answer::Refused,
    }
}
