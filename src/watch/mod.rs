//! Seeing it: what the server says of itself to those who look.
//!
//! Next: [`crate::watch::warning`].

pub mod warning;
pub mod stage;
