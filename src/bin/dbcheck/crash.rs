//! Durability, second part: what survives a crash.

use crate::check::{Check, Tier};

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "kill-keeps-answered",
        tier: Tier::Durable,
        what: "A kill -9 right after an answer keeps that pair.",
        why: "Who was answered relies on it: write before you answer, not at the end.",
        rfc: None,
        chapter: 10,
    },
    Check {
        name: "kill-storm",
        tier: Tier::Durable,
        what: "Kills under concurrent writers never lose an acknowledged pair.",
        why: "A file that is rewritten for each set is empty for a moment; only a kill in that moment shows it.",
        rfc: None,
        chapter: 11,
    },
    Check {
        name: "storm-starts",
        tier: Tier::Durable,
        what: "After each of these kills the server starts from what is there.",
        why: "A crash that needs a person to repair the file is an outage.",
        rfc: None,
        chapter: 11,
    },
    Check {
        name: "empty-file",
        tier: Tier::Durable,
        what: "The server starts from a file of zero bytes.",
        why: "This is what a crash right after making the file leaves.",
        rfc: None,
        chapter: 11,
    },
    Check {
        name: "torn-line",
        tier: Tier::Durable,
        what: "The server starts from a file that ends anywhere in its last line.",
        why: "This is what a crash in the middle of a write leaves: all but the last pair must be there.",
        rfc: None,
        chapter: 11,
    },
    Check {
        name: "damaged-middle",
        tier: Tier::Durable,
        what: "A file damaged in the middle is never thrown away.",
        why: "Refuse to start or serve the rest; who overwrites it destroys what could have been repaired.",
        rfc: None,
        chapter: 11,
    },
];
