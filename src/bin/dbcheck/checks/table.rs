//! The table of all checks. It stands above them: a check knows what is below it, the run, and never
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
