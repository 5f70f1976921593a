//! The conventions of the task: which status, and what body. Elsewhere nothing depends on them.

use crate::check::{Check, Tier};

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "success-is-200",
        tier: Tier::Conventions,
        what: "A set and a get that succeed answer 200.",
        why: "The task's convention: 200 for all successful operations.",
        rfc: Some("RFC 9110 §15.3.1"),
        chapter: 2,
    },
    Check {
        name: "set-body-empty",
        tier: Tier::Conventions,
        what: "The answer to a set has an empty body.",
        why: "The task's convention: there is nothing to say but the status.",
        rfc: None,
        chapter: 7,
    },
    Check {
        name: "value-alone",
        tier: Tier::Conventions,
        what: "The body of a get is the value and nothing else, byte for byte.",
        why: "A client should not have to cut a newline, quotes or a sentence off the value.",
        rfc: None,
        chapter: 7,
    },
    Check {
        name: "missing-is-404",
        tier: Tier::Conventions,
        what: "A missing key answers 404.",
        why: "The task's convention, and what 404 means: no such thing here.",
        rfc: Some("RFC 9110 §15.5.5"),
        chapter: 7,
    },
    Check {
        name: "missing-body-empty",
        tier: Tier::Conventions,
        what: "The answer for a missing key has a body of zero length.",
        why: "The task's convention: a zero-length string and 404 for keys that are not present.",
        rfc: None,
        chapter: 7,
    },
    Check {
        name: "unknown-path-is-500",
        tier: Tier::Conventions,
        what: "Another path answers 500.",
        why: "The task's convention: 500 for anything that is not in the spec.",
        rfc: None,
        chapter: 5,
    },
    Check {
        name: "malformed-query-is-500",
        tier: Tier::Conventions,
        what: "A get without a key, a set without a pair and a set with two answer 500.",
        why: "The task's convention: 500 for anything that is not in the spec.",
        rfc: None,
        chapter: 6,
    },
    Check {
        name: "other-method-is-500",
        tier: Tier::Conventions,
        what: "A method that is not in the spec answers 500.",
        why: "The task's convention: 500 for anything that is not in the spec.",
        rfc: None,
        chapter: 5,
    },
    Check {
        name: "refused-stores-nothing",
        tier: Tier::Conventions,
        what: "A request that is refused has stored nothing.",
        why: "Who is told no must be able to rely on it.",
        rfc: Some("RFC 9110 §15.5"),
        chapter: 5,
    },
];
