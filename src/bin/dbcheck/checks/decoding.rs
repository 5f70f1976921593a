//! The brief, second part: what a query contains, and what it means.

use crate::checks::check::{Check, Tier};
use crate::checks::run::Run;
use crate::checks::verdict::{Outcome, Pass};
use crate::client::exchange::encode;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "decode-space",
        tier: Tier::Brief,
        what: "%20 in a value is a space.",
        why: "Every client encodes a space: without decoding, a text is stored that nobody sent.",
        rfc: Some("RFC 3986 §2.1"),
        chapter: 6,
        run: decode_space,
    },
    Check {
        name: "decode-reserved",
        tier: Tier::Brief,
        what: "%2B, %26, %3D and %25 in a value are + & = and %.",
        why: "These have a meaning in a query, so data must encode them; split first, then decode.",
        rfc: Some("RFC 3986 §2.2"),
        chapter: 6,
        run: decode_reserved,
    },
    Check {
        name: "decode-once",
        tier: Tier::Brief,
        what: "%2541 is the text %41, not A.",
        why: "Decoding twice turns data into other data, and lets it through filters.",
        rfc: Some("RFC 3986 §2.4"),
        chapter: 6,
        run: decode_once,
    },
    Check {
        name: "decode-utf8",
        tier: Tier::Brief,
        what: "UTF-8 sent as %C3%A9 comes back as é, in the same bytes.",
        why: "Names of people and places need it; decoding byte by byte into characters makes Ã© of it.",
        rfc: Some("RFC 3986 §2.5"),
        chapter: 6,
        run: decode_utf8,
    },
    Check {
        name: "decode-key",
        tier: Tier::Brief,
        what: "Keys are decoded too: %61bc and abc are one key, in set and in get.",
        why: "Clients differ in what they encode: the same key must not be two.",
        rfc: Some("RFC 3986 §6.2.2.2"),
        chapter: 6,
        run: decode_key,
    },
    Check {
        name: "plus-is-space",
        tier: Tier::Brief,
        what: "+ in a value is a space, as HTML forms send it.",
        why: "Browsers and most libraries encode a query so.",
        rfc: None,
        chapter: 6,
        run: plus_is_space,
    },
    Check {
        name: "equals-in-value",
        tier: Tier::Brief,
        what: "A value may contain =: /set?a=b=c stores b=c.",
        why: "A split at every = cuts Base64 and formulas; only the first = separates.",
        rfc: None,
        chapter: 6,
        run: equals_in_value,
    },
    Check {
        name: "key-named-key",
        tier: Tier::Brief,
        what: "A key may be called key: /set?key=value, then /get?key=key.",
        why: "The name of get's field is no reserved word of set.",
        rfc: None,
        chapter: 5,
        run: key_named_key,
    },
    Check {
        name: "special-characters",
        tier: Tier::Brief,
        what: "Quotes, backslashes, commas, tabs, newlines and < come back as they were sent.",
        why: "Values are data: nothing in them may end a line, a string or a tag.",
        rfc: None,
        chapter: 6,
        run: special_characters,
    },
];

fn decode_space(run: &mut Run) -> Outcome {
    let word = run.fresh("two");
    run.round_trip(&format!("{word}%20words"), &format!("{word} words"))
}

fn decode_reserved(run: &mut Run) -> Outcome {
    run.needs_decoding()?;
    let mut pass = Pass::Plainly;
    for (escape, meant) in [("%2B", "+"), ("%26", "&"), ("%3D", "="), ("%25", "%"), ("%2b", "+")] {
        let word = run.fresh("v");
        pass = pass.and(run.round_trip(&format!("{word}{escape}z"), &format!("{word}{meant}z"))?);
    }
    Ok(pass)
}

fn decode_once(run: &mut Run) -> Outcome {
    run.needs_decoding()?;
    let word = run.fresh("v");
    let pass = run.round_trip(&format!("{word}%2541"), &format!("{word}%41"))?;
    Ok(pass.and(run.round_trip(&format!("{word}%252bz"), &format!("{word}%2bz"))?))
}

fn decode_utf8(run: &mut Run) -> Outcome {
    run.needs_decoding()?;
    let mut pass = Pass::Plainly;
    for text in ["café", "łódź", "東京", "🦀"] {
        let value = run.fresh(text);
        pass = pass.and(run.keeps(&value)?);
    }
    Ok(pass)
}

fn decode_key(run: &mut Run) -> Outcome {
    run.needs_decoding()?;
    // Set one way, get the other: each side must decode.
    let mut pass = Pass::Plainly;
    let (plain, value) = (run.fresh("abc"), run.fresh("v"));
    let escaped = plain.replace("abc", "%61bc");
    let set = run.set(&escaped, &value)?;
    pass = pass.and(run.expect(&plain, &plain, &value).map_err(|stop| stop.after(&set))?);
    let (plain, value) = (run.fresh("abc"), run.fresh("v"));
    let escaped = plain.replace("abc", "%61bc");
    let set = run.set(&plain, &value)?;
    pass = pass.and(run.expect(&escaped, &plain, &value).map_err(|stop| stop.after(&set))?);
    // And what separates, as part of a key.
    for key in ["a b", "a=b", "a&b", "clé"] {
        let (key, value) = (run.fresh(key), run.fresh("v"));
        let set = run.set(&encode(&key), &value)?;
        let got = run.expect(&encode(&key), &key, &value);
        pass = pass.and(got.map_err(|stop| stop.after(&set))?);
    }
    Ok(pass)
}

fn plus_is_space(run: &mut Run) -> Outcome {
    let word = run.fresh("two");
    run.round_trip(&format!("{word}+words"), &format!("{word} words"))
}

fn equals_in_value(run: &mut Run) -> Outcome {
    let word = run.fresh("a");
    let pass = run.round_trip(&format!("{word}=b=c"), &format!("{word}=b=c"))?;
    let word = run.fresh("base64");
    Ok(pass.and(run.round_trip(&format!("{word}=="), &format!("{word}=="))?))
}

fn key_named_key(run: &mut Run) -> Outcome {
    run.may_set("key")?;
    let value = run.fresh("v");
    let set = run.set("key", &value)?;
    run.expect("key", "key", &value).map_err(|stop| stop.after(&set))
}

fn special_characters(run: &mut Run) -> Outcome {
    run.needs_decoding()?;
    let mut pass = Pass::Plainly;
    for text in SPECIAL {
        let value = run.fresh(text);
        pass = pass.and(run.keeps(&value)?);
    }
    Ok(pass)
}

/// Values that end something in one format or another.
pub(crate) const SPECIAL: &[&str] = &[
    "\"quoted\" and 'single'",
    "back\\slash \\n \\u0041",
    "two\nlines\n",
    "carriage\r\nreturn",
    "tab\tand | bar",
    "a,b;c:d=e&f",
    "{\"a\":[1]}",
    "<b>&amp;</b>",
    "# ${home} %s",
];
