//! The report for scripts: one JSON document, with everything.

use serde_json::{Value, json};

use crate::checks::check::Tier;
use crate::checks::runner::{Finding, Verdict};
use crate::report::score::{all_passed, score};
use crate::report::transcript;

/// What a document says besides the findings.
#[derive(Debug, Default)]
pub(crate) struct About {
    pub(crate) address: Option<String>,
    /// The dialect, in words.
    pub(crate) speaks: Option<String>,
    pub(crate) notes: Vec<String>,
    /// Why the server could not be started, and its last lines.
    pub(crate) error: Option<(String, String)>,
}

/// One document, whole even if the server did not start.
pub(crate) fn document(about: &About, findings: &[Finding]) -> String {
    let tiers: Vec<Value> = Tier::ALL
        .iter()
        .filter_map(|&tier| {
            let score = score(findings, Some(tier))?;
            Some(json!({"name": tier.name(), "passed": score.passed, "of": score.of, "skipped": score.skipped}))
        })
        .collect();
    let total = score(findings, None);
    let checks: Vec<Value> = findings.iter().map(check).collect();
    let document = json!({
        "dbcheck": env!("CARGO_PKG_VERSION"),
        "address": about.address,
        "speaks": about.speaks,
        "error": about.error.as_ref().map(|(sentence, _)| sentence),
        "output": about.error.as_ref().map(|(_, output)| output),
        "notes": about.notes,
        "all_passed": all_passed(findings),
        "passed": total.map(|total| total.passed),
        "of": total.map(|total| total.of),
        "tiers": tiers,
        "checks": checks,
    });
    format!("{document:#}\n")
}

fn check(finding: &Finding) -> Value {
    let check = finding.check;
    let (verdict, note) = finding.verdict.named();
    let mut value = json!({
        "name": check.name,
        "tier": check.tier.name(),
        "verdict": verdict,
        "what": check.what,
        "why": check.why,
        "rfc": check.rfc,
        "chapter": check.chapter,
        "seconds": finding.time.as_secs_f64(),
    });
    if let Some(note) = note {
        value["note"] = json!(note);
    }
    if let Verdict::Failed(failure) = &finding.verdict {
        let exchanges: Vec<Value> = failure
            .exchanges
            .iter()
            .map(|exchange| {
                let sent = transcript::lines(&exchange.sent, None);
                let received = transcript::lines(&exchange.received, None);
                json!({"curl": exchange.curl, "sent": sent, "received": received})
            })
            .collect();
        value["exchanges"] = json!(exchanges);
        value["first_wrong_byte"] = json!(failure.caret);
        value["file"] = json!(failure.file.as_ref().map(|file| transcript::lines(file, None)));
        value["output"] = json!(failure.output);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples::findings;

    #[test]
    fn json_has_the_bytes_of_a_failure() {
        let findings = findings();
        let failed = check(&findings[2]);
        assert_eq!(failed["verdict"], "failed");
        assert_eq!(failed["first_wrong_byte"], 21);
        assert_eq!(failed["exchanges"][0]["received"][2], "]]>\\x00\\x1b<&\"");
        assert_eq!(check(&findings[1])["note"], "in <JSON>");
        assert_eq!(check(&findings[0]).get("note"), None);
    }
}
