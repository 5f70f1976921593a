//! The brief, second part: what stands in a query, and what it means.

use crate::check::{Check, Tier};

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "decode-space",
        tier: Tier::Brief,
        what: "%20 in a value is a space.",
        why: "Every client encodes a space: who does not decode stores a text that nobody sent.",
        rfc: Some("RFC 3986 §2.1"),
        chapter: 6,
    },
    Check {
        name: "decode-reserved",
        tier: Tier::Brief,
        what: "%2B, %26, %3D and %25 in a value are + & = and %.",
        why: "These have a meaning in a query, so data must encode them; split first, then decode.",
        rfc: Some("RFC 3986 §2.2"),
        chapter: 6,
    },
    Check {
        name: "decode-once",
        tier: Tier::Brief,
        what: "%2541 is the text %41, not A.",
        why: "Decoding twice turns data into other data, and lets it through filters.",
        rfc: Some("RFC 3986 §2.4"),
        chapter: 6,
    },
    Check {
        name: "decode-utf8",
        tier: Tier::Brief,
        what: "UTF-8 sent as %C3%A9 comes back as é, in the same bytes.",
        why: "Names of people and places need it; decoding byte by byte into characters makes Ã© of it.",
        rfc: Some("RFC 3986 §2.5"),
        chapter: 6,
    },
    Check {
        name: "decode-key",
        tier: Tier::Brief,
        what: "Keys are decoded too: %61bc and abc are one key, in set and in get.",
        why: "Clients differ in what they encode: the same key must not be two.",
        rfc: Some("RFC 3986 §6.2.2.2"),
        chapter: 6,
    },
    Check {
        name: "plus-is-space",
        tier: Tier::Brief,
        what: "+ in a value is a space, as HTML forms send it.",
        why: "Browsers and most libraries encode a query so.",
        rfc: None,
        chapter: 6,
    },
    Check {
        name: "equals-in-value",
        tier: Tier::Brief,
        what: "A value may contain =: /set?a=b=c stores b=c.",
        why: "A split at every = cuts Base64 and formulas; only the first = separates.",
        rfc: None,
        chapter: 6,
    },
    Check {
        name: "key-named-key",
        tier: Tier::Brief,
        what: "A key may be called key: /set?key=value, then /get?key=key.",
        why: "The name of get's field is no reserved word of set.",
        rfc: None,
        chapter: 5,
    },
    Check {
        name: "special-characters",
        tier: Tier::Brief,
        what: "Quotes, backslashes, commas, tabs, newlines and < come back as they were sent.",
        why: "Values are data: nothing in them may end a line, a string or a tag.",
        rfc: None,
        chapter: 6,
    },
];
