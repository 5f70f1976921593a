//! The query: from `some%20key=some+value` to a key and a value.
//!
//! Only this module knows `&`, `=`, `+` and `%`. The rules are those of HTML forms
//! (`application/x-www-form-urlencoded`, URL Standard §5), which browsers and HTTP clients send:
//!
//! 1. The query is split on `&`; empty pieces are ignored. `;` is data.
//! 2. Each piece is split at its *first* `=`: in `a=b=c` the value is `b=c`.
//! 3. Only then is each half decoded: `+` is a space, `%XX` a byte. A `%` that is not followed by
//!    two hex digits stays as it is.
//! 4. What comes out must be UTF-8, and neither half may be empty.
//! 5. There is exactly one pair.
//!
//! The naive version decodes first and splits afterwards. Then `/set?a%26b=c` is two pieces and
//! `/set?a%3Db=c` has the key `a`: whoever encoded the `&` and the `=` did so to keep them from
//! meaning anything.
//!
//! Next: [`crate::http::response`], on the way back to the client.

use std::borrow::Cow;

use memchr::{memchr, memchr3};
use percent_encoding::percent_decode;

use crate::http::refusal::Refusal;
use crate::watch::stage::{Stage, reached};

/// Key and value of a `/set`: the one pair of the query, decoded.
///
/// Nothing is copied where there is nothing to decode.
///
/// # Errors
/// A [`Refusal`] (status 500) where the query is not exactly one pair of non-empty UTF-8 texts.
///
/// # Examples
/// ```
/// let (key, value) = dbserver::http::query::pair("1%2B1=+2").unwrap();
/// assert_eq!((&*key, &*value), ("1+1", " 2"));
/// ```
pub fn pair(query: &str) -> Result<(Cow<'_, str>, Cow<'_, str>), Refusal> {
    let (key, value) = only_pair(query)?;
    reached(Stage::Decoded { key: &key, value: Some(&value) });
    Ok((key, value))
}

/// The key of a `/get`: the value of the query's one pair, whose name must be `key`.
///
/// # Errors
/// As [`pair`], and where the pair has another name.
///
/// # Examples
/// ```
/// assert_eq!(dbserver::http::query::key("key=a+b").as_deref(), Ok("a b"));
/// ```
pub fn key(query: &str) -> Result<Cow<'_, str>, Refusal> {
    let (name, key) = only_pair(query)?;
    if name != "key" {
        return Err(Refusal::NotTheKeyField);
    }
    reached(Stage::Decoded { key: &key, value: None });
    Ok(key)
}

fn only_pair(query: &str) -> Result<(Cow<'_, str>, Cow<'_, str>), Refusal> {
    // Most queries have neither a second piece nor anything to decode.
    if memchr3(b'&', b'+', b'%', query.as_bytes()).is_none() {
        let (key, value) = split(query)?;
        return Ok((Cow::Borrowed(key), Cow::Borrowed(value)));
    }
    // What is left has an & only between two pieces that are not empty.
    let piece = query.trim_matches('&');
    if memchr(b'&', piece.as_bytes()).is_some() {
        return Err(Refusal::SeveralPairs);
    }
    let (key, value) = split(piece)?;
    Ok((Cow::Owned(decode(key)?), Cow::Owned(decode(value)?)))
}

/// Splits a piece into two halves that are not empty.
fn split(piece: &str) -> Result<(&str, &str), Refusal> {
    if piece.is_empty() {
        return Err(Refusal::NoPair);
    }
    let equals = piece.bytes().position(|byte| byte == b'=').ok_or(Refusal::NoEqualsSign)?;
    let (key, value) = (&piece[..equals], &piece[equals + 1..]);
    if key.is_empty() || value.is_empty() {
        return Err(Refusal::EmptyHalf);
    }
    Ok((key, value))
}

/// Decodes one half of a pair. A half that is not empty decodes to at least one byte.
fn decode(half: &str) -> Result<String, Refusal> {
    // Spaces first: a plus sign that was meant as one comes as %2B, and must not be touched.
    let spaced = half.replace('+', " ");
    let bytes: Vec<u8> = percent_decode(spaced.as_bytes()).collect();
    String::from_utf8(bytes).map_err(|_| Refusal::NotUtf8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn splits_then_decodes() {
        let table = [
            ("a=b", "a", "b"),
            ("a=b=c", "a", "b=c"),
            ("a==", "a", "="),
            ("&a=b&&", "a", "b"),
            ("a;c=b;d=e", "a;c", "b;d=e"),
            ("a+b=c+d", "a b", "c d"),
            ("a%2Bb=c%2bd", "a+b", "c+d"),
            ("a%26b=%3D%25", "a&b", "=%"),
            ("%C3%A9=%e2%82%ac", "é", "€"),
            ("é=€", "é", "€"),
            ("100%=5%zz%4", "100%", "5%zz%4"),
            ("%=%%", "%", "%%"),
            ("%%41=%2541", "%A", "%41"),
            ("a=%00%0A", "a", "\0\n"),
        ];
        for (query, key, value) in table {
            let (got_key, got_value) = pair(query).unwrap();
            assert_eq!((&*got_key, &*got_value), (key, value), "{query}");
        }
    }

    #[test]
    fn refuses_all_but_one_whole_pair() {
        let table = [
            ("", Refusal::NoPair),
            ("&&", Refusal::NoPair),
            ("a", Refusal::NoEqualsSign),
            ("a=b&c", Refusal::SeveralPairs),
            ("a=b&c=d", Refusal::SeveralPairs),
            ("a=b&a=b", Refusal::SeveralPairs),
            ("=", Refusal::EmptyHalf),
            ("=b", Refusal::EmptyHalf),
            ("a=", Refusal::EmptyHalf),
            ("a=%FF", Refusal::NotUtf8),
            ("%C3=b", Refusal::NotUtf8),
            ("a=%ED%A0%80", Refusal::NotUtf8),
        ];
        for (query, refusal) in table {
            assert_eq!(pair(query), Err(refusal), "{query}");
        }
    }

    #[test]
    fn get_takes_the_field_key_alone() {
        assert_eq!(key("key=a%20b").as_deref(), Ok("a b"));
        assert_eq!(key("k%65y=a").as_deref(), Ok("a"));
        assert_eq!(key("Key=a"), Err(Refusal::NotTheKeyField));
        assert_eq!(key("name=a"), Err(Refusal::NotTheKeyField));
    }

    #[test]
    fn copies_nothing_that_needs_no_decoding() {
        let (key, value) = pair("a-b=c~d").unwrap();
        assert!(matches!((key, value), (Cow::Borrowed(_), Cow::Borrowed(_))));
    }

    /// Every byte as %XX.
    fn all_encoded(text: &str) -> String {
        text.bytes().map(|byte| format!("%{byte:02X}")).collect()
    }

    /// Only what would be read as something else, spaces as %20 or as `+`.
    fn least_encoded(text: &str, space: &str) -> String {
        text.chars()
            .map(|c| match c {
                ' ' => space.to_string(),
                '&' | '=' | '+' | '%' | '#' => all_encoded(c.encode_utf8(&mut [0; 4])),
                c => c.to_string(),
            })
            .collect()
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(key in ".{1,40}|[ +%&=;]{1,9}", value in "(?s).{1,40}") {
            for (k, v) in [
                (all_encoded(&key), all_encoded(&value)),
                (least_encoded(&key, "%20"), least_encoded(&value, "%20")),
                (least_encoded(&key, "+"), least_encoded(&value, "+")),
            ] {
                let query = format!("{k}={v}");
                let (got_key, got_value) = pair(&query).unwrap();
                prop_assert_eq!((&*got_key, &*got_value), (&*key, &*value));
            }
        }

        #[test]
        fn no_query_makes_it_panic(query in "(?s).*", tight in "[&=+%0-9a-fA-F]{0,24}") {
            let _ = (pair(&query), key(&query), pair(&tight), key(&tight));
        }
    }
}
