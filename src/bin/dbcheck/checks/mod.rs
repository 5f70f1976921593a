//! What is looked at: what checks share, the checks of each tier, and the table above them.

pub(crate) mod verdict;

pub(crate) mod run;

mod steps;

mod known;

pub(crate) mod check;

mod brief;
mod decoding;

mod conventions;

mod framing;
mod requests;

mod exposure;

mod robust;

mod durable;

mod torn;

mod crash;

mod handover;

pub(crate) mod table;

pub(crate) mod runner;
