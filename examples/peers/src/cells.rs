//! How figures are written: numbers, times, ratios, and the tables they stand in.
//!
//! Next: [`crate::section`].

use std::fmt::Write as _;

use crate::figures::{Conditions, ServerFigures};

/// dbcheck's points, lines of code, crates.
pub(crate) fn beside(server: &ServerFigures) -> [String; 3] {
    [
        cell(server.score, |(passed, of)| format!("{passed}/{of}")),
        whole(server.lines as f64),
        cell(server.crates, |crates| crates.to_string()),
    ]
}

/// How often and how long.
pub(crate) fn rounds_of(c: &Conditions) -> String {
    match c.rounds {
        1 => format!("One round of {} s", c.seconds),
        rounds => format!("Medians of {rounds} interleaved rounds of {} s", c.seconds),
    }
}

/// A table: the first column is text, the others are figures.
pub(crate) fn table(out: &mut String, head: &[String], rows: impl Iterator<Item = Vec<String>>) {
    let _ = writeln!(out, "| {} |", head.join(" | "));
    let _ = writeln!(out, "|---{}|", "|--:".repeat(head.len() - 1));
    for row in rows {
        let _ = writeln!(out, "| {} |", row.join(" | "));
    }
}

/// A figure in a form, and a dash where there is none.
pub(crate) fn cell<T>(figure: Option<T>, form: impl Fn(T) -> String) -> String {
    figure.map_or_else(|| "–".to_owned(), form)
}

/// Two decimals, or none where the figure is large.
pub(crate) fn ratio(ratio: f64) -> String {
    if ratio < 10.0 { format!("{ratio:.2}") } else { format!("{ratio:.0}") }
}

/// Seconds, in the unit that gives one to three digits before the point.
pub(crate) fn time(seconds: f64) -> String {
    match seconds * 1e6 {
        us if us < 10.0 => format!("{us:.1} µs"),
        us if us < 1000.0 => format!("{us:.0} µs"),
        us if us < 10_000.0 => format!("{:.1} ms", us / 1000.0),
        us => format!("{:.0} ms", us / 1000.0),
    }
}

/// A whole number with commas.
pub(crate) fn whole(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
