//! Durability, first part: what survives a restart.

use crate::check::{Check, Tier};

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "restart-sigterm",
        tier: Tier::Durable,
        what: "A restart after SIGTERM keeps the pairs.",
        why: "This is how service managers and kill end a program.",
        rfc: None,
        chapter: 10,
    },
    Check {
        name: "restart-sigint",
        tier: Tier::Durable,
        what: "A restart after SIGINT (Ctrl-C) keeps the pairs.",
        why: "This is how you end it at your desk.",
        rfc: None,
        chapter: 10,
    },
    Check {
        name: "restarts-add-up",
        tier: Tier::Durable,
        what: "Pairs of three runs are all there in the fourth, each with its latest value.",
        why: "A file that is opened for writing from the start forgets all but the last run.",
        rfc: None,
        chapter: 10,
    },
    Check {
        name: "reload-special",
        tier: Tier::Durable,
        what: "Newlines, quotes, separators and UTF-8 survive a restart.",
        why: "What separates pairs in the file may also be in them: escape it, or the file can't be read again.",
        rfc: None,
        chapter: 10,
    },
    Check {
        name: "reload-text",
        tier: Tier::Durable,
        what: "007, 1.50, true and null are the same after a restart.",
        why: "A reader that guesses types changes values by loading them.",
        rfc: None,
        chapter: 10,
    },
];
