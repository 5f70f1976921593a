//! The retry: work that costs as much as the whole file, and has failed, is not tried again at
//! once, nor is the failure told again.
//!
//! A disk that is full stays so for hours. Meanwhile each set finds that a rewrite or a compaction
//! is due. The naive version tries each time, and whoever runs the server has to find the one line
//! that matters among ten thousand equal ones.
//!
//! Next: [`crate::store::record`], how a line looks.

use std::time::{Duration, Instant};

/// Something that can fail and is tried again.
#[derive(Debug)]
pub(crate) struct Retry {
    pause: Duration,
    /// It is not tried before this.
    not_before: Option<Instant>,
    /// Why it failed the last time.
    why: Option<String>,
}

impl Retry {
    /// It can be tried now, and after a failure only when this pause is over.
    pub(crate) fn after(pause: Duration) -> Self {
        Retry { pause, not_before: None, why: None }
    }

    /// Whether it can be tried now.
    pub(crate) fn is_due(&self) -> bool {
        self.not_before.is_none_or(|time| time <= Instant::now())
    }

    /// It has failed. Returns whether that is news: whether it went well before, or failed for
    /// another reason.
    pub(crate) fn failed(&mut self, why: &str) -> bool {
        self.not_before = Instant::now().checked_add(self.pause);
        let is_news = self.why.as_deref() != Some(why);
        self.why = Some(why.into());
        is_news
    }

    /// It went well.
    pub(crate) fn went_well(&mut self) {
        (self.not_before, self.why) = (None, None);
    }

    /// The pause is over, whatever the clock says.
    pub(crate) fn at_once(&mut self) {
        self.not_before = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_after_a_failure_and_says_each_reason_once() {
        let mut retry = Retry::after(Duration::from_hours(1));
        assert!(retry.is_due());
        assert!(retry.failed("the disk is full"));
        assert!(!retry.is_due());
        assert!(!retry.failed("the disk is full"));
        assert!(retry.failed("the disk is gone"));
        retry.at_once();
        assert!(retry.is_due());
        assert!(!retry.failed("the disk is gone"), "said already");
        retry.went_well();
        assert!(retry.is_due());
        assert!(retry.failed("the disk is gone"));
        assert!(Retry::after(Duration::MAX).failed("for ever"));
    }
}
