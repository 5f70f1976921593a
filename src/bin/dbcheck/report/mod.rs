//! What is said: the transcript of bytes, the score, and a report for people, scripts and a CI.

pub(crate) mod screen;

pub(crate) mod transcript;

pub(crate) mod score;

pub(crate) mod text;

#[cfg(test)]
mod samples;

pub(crate) mod json;
pub(crate) mod junit;

/// How to print what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Human,
    Json,
    Junit,
}
