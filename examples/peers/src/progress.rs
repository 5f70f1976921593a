//! What is said while it runs, on standard error: what is going on, and how long since the start.

use std::sync::LazyLock;
use std::time::Instant;

static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// One line, with the minutes and seconds since the first one.
pub(crate) fn say(text: impl AsRef<str>) {
    let seconds = BEGUN.elapsed().as_secs();
    eprintln!("{:2}:{:02} {}", seconds / 60, seconds % 60, text.as_ref());
}
