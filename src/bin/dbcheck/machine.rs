//! The reports for machines: JSON for scripts, `JUnit` for the CI of a hiring team.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::check::Tier;
use crate::report::read_on;
use crate::run::Run;
use crate::runner::{Finding, Verdict};
use crate::score::{all_passed, score};
use crate::transcript;

/// Name of a verdict, and what is to be said about it.
fn named(verdict: &Verdict) -> (&'static str, Option<&str>) {
    match verdict {
        Verdict::Passed => ("passed", None),
        Verdict::Loosely(note) => ("passed loosely", Some(note)),
        Verdict::Failed(failure) => ("failed", Some(&failure.expected)),
        Verdict::Skipped(why) => ("skipped", Some(why)),
        Verdict::NotReached(why) => ("not reached", Some(why)),
    }
}

/// One document, with everything.
pub(crate) fn json(run: &Run, findings: &[Finding]) -> String {
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
        "address": run.client.address.to_string(),
        "speaks": run.client.dialect.describe(),
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
    let (verdict, note) = named(&finding.verdict);
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

/// A test suite for each tier. What was not reached is an error there: it was not tried.
pub(crate) fn junit(findings: &[Finding]) -> String {
    let mut text =
        String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"dbcheck\">\n");
    for tier in Tier::ALL {
        let of_tier: Vec<&Finding> = findings.iter().filter(|f| f.check.tier == tier).collect();
        if of_tier.is_empty() {
            continue;
        }
        let count = |name: &str| of_tier.iter().filter(|f| named(&f.verdict).0 == name).count();
        let time: f64 = of_tier.iter().map(|finding| finding.time.as_secs_f64()).sum();
        let _ = writeln!(
            text,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{time:.3}\">",
            tier.name(),
            of_tier.len(),
            count("failed"),
            count("not reached"),
            count("skipped"),
        );
        for finding in of_tier {
            text += &test_case(finding);
        }
        text += "  </testsuite>\n";
    }
    text + "</testsuites>\n"
}

fn test_case(finding: &Finding) -> String {
    let (tier, name) = (finding.check.tier.name(), finding.check.name);
    let time = finding.time.as_secs_f64();
    let begin =
        format!("    <testcase classname=\"dbcheck.{tier}\" name=\"{name}\" time=\"{time:.3}\"");
    let inner = match &finding.verdict {
        Verdict::Passed => return format!("{begin}/>\n"),
        Verdict::Loosely(note) => {
            format!("<system-out>passed loosely: {}</system-out>", escape(note))
        }
        Verdict::Skipped(why) => format!("<skipped message=\"{}\"/>", escape(why)),
        Verdict::NotReached(why) => format!("<error message=\"not reached: {}\"/>", escape(why)),
        Verdict::Failed(failure) => {
            let mut lines = vec![finding.check.why.to_string(), read_on(finding.check)];
            for (exchange, caret) in failure.with_carets() {
                lines.extend(exchange.curl.iter().map(|curl| format!("curl: {curl}")));
                lines.push("sent:".into());
                lines.extend(transcript::lines(&exchange.sent, None));
                lines.push("received:".into());
                lines.extend(transcript::lines(&exchange.received, caret));
            }
            lines.extend(failure.file.iter().flat_map(|file| transcript::lines(file, None)));
            lines.extend(failure.output.clone());
            let (message, text) = (escape(&failure.expected), escape(&lines.join("\n")));
            format!("<failure message=\"{message}\">{text}</failure>")
        }
    };
    format!("{begin}>{inner}</testcase>\n")
}

/// A text as XML. Characters that XML can't hold were made visible before, or are left out.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(character),
            '\u{fffe}' | '\u{ffff}' => {}
            control if control.is_control() => escaped.extend(control.escape_default()),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::answer;
    use crate::client::Exchange;
    use crate::verdict::{Stop, fail};

    fn findings() -> Vec<Finding> {
        let received = b"HTTP/1.1 200 OK\r\n\r\n]]>\0\x1b<&\"".to_vec();
        let answer = answer::read(&received, 0, false, answer::End::Closed);
        let exchange = Exchange {
            sent: b"GET /get?key=a HTTP/1.1\r\n\r\n".to_vec(),
            answer: Ok(answer.unwrap()),
            received,
            curl: Some("curl -i 'http://localhost:1/get?key=a'".into()),
        };
        let Stop::Failed(failure) = fail("expected \"a\" & <b>\u{1}").with(&exchange).at(21) else {
            panic!()
        };
        let verdicts = [
            Verdict::Passed,
            Verdict::Loosely("in <JSON>".into()),
            Verdict::Failed(failure),
            Verdict::Skipped("needs --cmd".into()),
            Verdict::NotReached("see \"above\"".into()),
        ];
        let time = Duration::from_millis(1500);
        crate::check::all()
            .zip(verdicts)
            .map(|(check, verdict)| Finding { check, verdict, time })
            .collect()
    }

    #[test]
    fn junit_holds_nothing_that_xml_cant() {
        let xml = junit(&findings());
        assert!(xml.chars().all(|c| c == '\n' || !c.is_control()), "{xml:?}");
        for part in [
            "tests=\"5\" failures=\"1\" errors=\"1\" skipped=\"1\" time=\"7.500\"",
            "<failure message=\"expected &quot;a&quot; &amp; &lt;b&gt;\\u{1}\">",
            "]]&gt;\\x00\\x1b&lt;&amp;&quot;",
            "<error message=\"not reached: see &quot;above&quot;\"/>",
            "<system-out>passed loosely: in &lt;JSON&gt;</system-out>",
        ] {
            assert!(xml.contains(part), "{part} in {xml}");
        }
        assert_eq!(xml.matches("<testcase ").count(), 5);
    }

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
