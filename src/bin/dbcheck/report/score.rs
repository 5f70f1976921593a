//! The score: what counts, for whom, and what to do next.
//!
//! What was skipped does not count. What was not reached counts as not passed: something else has
//! to be mended first.

use crate::checks::check::{Check, Tier};
use crate::checks::runner::{Finding, Verdict};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Score {
    pub(crate) passed: usize,
    pub(crate) of: usize,
    pub(crate) skipped: usize,
}

/// The score of a tier, or of all. None where no check of it was run.
pub(crate) fn score(findings: &[Finding], tier: Option<Tier>) -> Option<Score> {
    let mut score = Score { passed: 0, of: 0, skipped: 0 };
    for finding in findings.iter().filter(|finding| tier.is_none_or(|t| t == finding.check.tier)) {
        match finding.verdict {
            Verdict::Passed | Verdict::Loosely(_) => {
                score.passed += 1;
                score.of += 1;
            }
            Verdict::Failed(_) | Verdict::NotReached(_) => score.of += 1,
            Verdict::Skipped(_) => score.skipped += 1,
        }
    }
    (score.of + score.skipped > 0).then_some(score)
}

/// Whether nothing is left to mend.
pub(crate) fn all_passed(findings: &[Finding]) -> bool {
    score(findings, None).is_none_or(|score| score.passed == score.of)
}

/// What is worth mending first: the tiers are climbed in order.
pub(crate) fn next(findings: &[Finding]) -> Option<&'static Check> {
    let failed = |finding: &&Finding| matches!(finding.verdict, Verdict::Failed(_));
    findings.iter().find(failed).map(|finding| finding.check)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::table;
    use std::time::Duration;

    #[test]
    fn counts_what_was_not_reached_and_leaves_out_what_was_skipped() {
        let verdicts = [
            Verdict::Passed,
            Verdict::Loosely("in JSON".into()),
            Verdict::NotReached("x".into()),
            Verdict::Skipped("x".into()),
            Verdict::Failed(Box::default()),
        ];
        let findings: Vec<Finding> = table::all()
            .zip(verdicts)
            .map(|(check, verdict)| Finding { check, verdict, time: Duration::ZERO })
            .collect();
        assert_eq!(score(&findings, None), Some(Score { passed: 2, of: 4, skipped: 1 }));
        assert_eq!(score(&findings, Some(Tier::Robust)), None);
        assert_eq!(next(&findings).map(|check| check.name), Some(findings[4].check.name));
        assert!(!all_passed(&findings));
        assert!(all_passed(&findings[..2]));
    }
}
