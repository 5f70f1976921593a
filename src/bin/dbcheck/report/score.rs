//! The score: what counts, for whom, and what to do next.
//!
//! What was skipped does not count. What was not reached counts as not passed: something else has
//! to be fixed first.

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

/// Whether something was checked, and nothing is left to fix.
pub(crate) fn all_passed(findings: &[Finding]) -> bool {
    score(findings, None).is_some_and(|score| score.of > 0 && score.passed == score.of)
}

/// What is worth fixing first: the check of the lowest chapter, as the chapters are climbed in order.
pub(crate) fn next(findings: &[Finding]) -> Option<&'static Check> {
    let failed = findings.iter().filter(|finding| matches!(finding.verdict, Verdict::Failed(_)));
    failed.map(|finding| finding.check).min_by_key(|check| check.chapter)
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
        // Nothing was checked: that is no success.
        assert!(!all_passed(&findings[3..4]));
        assert!(!all_passed(&[]));
    }

    #[test]
    fn the_lowest_chapter_comes_first() {
        let mut checks: Vec<_> = table::all().collect();
        checks.sort_by_key(|check| std::cmp::Reverse(check.chapter));
        let findings: Vec<Finding> = checks
            .iter()
            .map(|&check| Finding {
                check,
                verdict: Verdict::Failed(Box::default()),
                time: Duration::ZERO,
            })
            .collect();
        let lowest = table::all().map(|check| check.chapter).min();
        assert_eq!(next(&findings).map(|check| check.chapter), lowest);
    }
}
