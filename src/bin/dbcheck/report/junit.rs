//! The report for the CI of a hiring team: `JUnit`, a test suite for each tier.

use std::fmt::Write as _;

use crate::checks::check::Tier;
use crate::checks::runner::{Finding, Verdict};
use crate::report::transcript;

/// A test suite for each tier. What was not reached is an error there: it was not tried.
pub(crate) fn document(findings: &[Finding]) -> String {
    let mut text =
        String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"dbcheck\">\n");
    for tier in Tier::ALL {
        let of_tier: Vec<&Finding> = findings.iter().filter(|f| f.check.tier == tier).collect();
        if of_tier.is_empty() {
            continue;
        }
        let count = |name: &str| of_tier.iter().filter(|f| f.verdict.named().0 == name).count();
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
            let mut lines = vec![finding.check.why.to_string(), finding.check.read_on()];
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
    use super::*;
    use crate::report::samples::findings;

    #[test]
    fn junit_holds_nothing_that_xml_cant() {
        let xml = document(&findings());
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
}
