//! The table of all checks. It is above them: a check knows what is below it, the run, and never
//! its neighbours' names.

use crate::checks::check::Check;
use crate::checks::{
    brief, conventions, crash, decoding, durable, exposure, framing, handover, requests, robust,
};

/// All checks, in the order in which they run.
pub(crate) fn all() -> impl Iterator<Item = &'static Check> {
    [
        brief::CHECKS,
        decoding::CHECKS,
        conventions::CHECKS,
        framing::CHECKS,
        requests::CHECKS,
        exposure::CHECKS,
        robust::CHECKS,
        durable::CHECKS,
        crash::CHECKS,
        handover::CHECKS,
    ]
    .into_iter()
    .flatten()
}

/// The chapter that teaches to keep pairs: what sets one can't be passed before.
const PAIRS: u8 = 7;

/// The checks that a server can pass before that.
const WITHOUT_PAIRS: &[&str] = &[
    "status-line",
    "line-ends",
    "body-length",
    "bare-connect",
    "client-leaves",
    "same-process",
    "huge-head",
    "garbage",
    "survives-garbage",
    "unknown-path-is-500",
    "other-method-is-500",
    "head-no-body",
    "every-path-answered",
    "malformed-query-is-500",
    "bad-escape",
];

/// Whether a server that has done the chapters up to this one must pass a check.
pub(crate) fn is_due(check: &Check, chapter: u8) -> bool {
    let first = if WITHOUT_PAIRS.contains(&check.name) { 1 } else { PAIRS };
    check.chapter.max(first) <= chapter
}
