//! The words: what a person is told of an event.
//!
//! Each begins with the name that the line of JSON has too, so that what the trace says can be found in the file and
//! in the source. Numbers have their unit, and commas between thousands. What a client sent is in here as it came:
//! whoever prints it escapes it.
//!
//! Next: [`crate::watch::watcher`], the events in a browser.

use crate::watch::event::{Event, What};

/// A stage's name, and what there is to say of it.
pub(crate) fn in_words(event: &Event) -> Option<(&'static str, String)> {
    Some(match &event.what {
        What::Hello(_) => return None,
        What::Opened { peer } => ("opened", peer.clone()),
        What::BytesRead { n, text } => ("bytes_read", format!("{}: {text}", bytes(*n))),
        What::Partial { part, have, .. } => (
            "partial",
            format!("{} so far, and the {part:?} is not whole", bytes(*have)).to_lowercase(),
        ),
        What::Parsed { method, path, query, head } => {
            let mark = if query.is_empty() { "" } else { "?" };
            ("parsed", format!("{method} {path}{mark}{query}, a head of {}", bytes(*head)))
        }
        What::Routed { path } => ("routed", path.clone()),
        What::Decoded { key, value: None } => ("decoded", key.clone()),
        What::Decoded { key, value: Some(value) } => ("decoded", format!("{key} = {value}")),
        What::Locked { shard } => ("locked", format!("shard {shard}")),
        What::Joined { batch, leads: true } => ("joined", format!("batch {batch}, and leads it")),
        What::Joined { batch, leads: false } => ("joined", format!("batch {batch}")),
        What::Journaled { batch, sets, n, at, .. } => {
            let at = thousands(*at);
            ("journaled", format!("batch {batch}: {}, {} at {at}", plural(*sets, "set"), bytes(*n)))
        }
        What::Synced { batch, sets, begun: None, .. } => {
            ("synced", format!("batch {batch}: {}", plural(*sets, "set")))
        }
        What::Synced { batch, sets, begun: Some(begun), .. } => {
            let (sets, time) =
                (plural(*sets, "set"), thousands(event.t.saturating_sub(*begun) / 1000));
            ("synced", format!("up to batch {batch}: {sets}, in the background, {time} µs"))
        }
        What::Answered { status, n, close, sentence } => {
            let last = if *close { ", the last one" } else { "" };
            let said = sentence.as_deref().map(|it| format!(": {it}")).unwrap_or_default();
            ("answered", format!("{status}, {}{last}{said}", bytes(*n)))
        }
        What::Written { n, answers: 1 } => ("written", bytes(*n)),
        What::Written { n, answers } => ("written", format!("{}, {answers} answers", bytes(*n))),
        What::Closed { why } => ("closed", format!("{why:?}").to_lowercase()),
        What::File { step, bytes: n, records, keys } => {
            let keys = keys.map(|keys| format!(", {}", plural(keys, "key"))).unwrap_or_default();
            let records = thousands(*records);
            let step = format!("{step:?}").to_lowercase();
            let n = thousands(*n);
            ("file", format!("{step}: {n} bytes, {records} records{keys}"))
        }
        What::Lost { requests, connections } => {
            let (requests, connections) = (thousands(*requests), thousands(*connections));
            ("lost", format!("{requests} requests and {connections} connections are not shown"))
        }
    })
}

fn bytes(n: usize) -> String {
    plural(n, "byte")
}

fn plural(n: usize, word: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} {word}{s}", thousands(n as u64))
}

/// A number as people read it: `1,234,567`.
pub(crate) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(t: u64, what: What) -> String {
        let (stage, rest) = in_words(&Event { t, c: None, r: None, what }).unwrap();
        format!("{stage}: {rest}")
    }

    #[test]
    fn a_number_is_as_people_read_it() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (123_456, "123,456"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(thousands(number), text);
        }
        assert_eq!((bytes(1), bytes(2000)), ("1 byte".into(), "2,000 bytes".into()));
    }

    #[test]
    fn a_sync_says_whether_sets_waited_for_it() {
        let synced = |begun| What::Synced { batch: 7, sets: 2, n: 60, at: 0, begun };
        assert_eq!(words(9_000_000, synced(None)), "synced: batch 7: 2 sets");
        let background = "synced: up to batch 7: 2 sets, in the background, 8,999 µs";
        assert_eq!(words(9_000_000, synced(Some(1_000))), background);
        // It may begin before the recording does.
        assert!(words(0, synced(Some(1))).ends_with(", 0 µs"));
    }

    #[test]
    fn an_answer_says_what_it_says_where_it_is_no_value() {
        let answered = |close, sentence: Option<&str>| What::Answered {
            status: 500,
            n: 1,
            close,
            sentence: sentence.map(Into::into),
        };
        assert_eq!(words(0, answered(false, None)), "answered: 500, 1 byte");
        let last = "answered: 500, 1 byte, the last one: The disk is full";
        assert_eq!(words(0, answered(true, Some("The disk is full"))), last);
    }
}
