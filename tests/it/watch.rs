//! What happens inside, seen from outside: the lines of `--trace-file`, the events of `--watch`, the words
//! of `--trace`.
//!
//! All of it is tested on the real program, as a process has one observer, and the tests share theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use dbserver::watch::event::{Event, What};
use dbserver::watch::hello::{Hello, Kept};
use dbserver::watch::stage::{FileStep, Part, Why};

use crate::common::{Answer, PATIENCE, Server, Wire, example, program};

/// A server with a trace file, and a page on a free port.
pub(crate) struct Watched {
    pub(crate) server: Server,
    trace: PathBuf,
}

impl Watched {
    pub(crate) fn start(options: &[&str]) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let trace = folder.path().join("trace.jsonl");
        let mut all = vec!["--watch=0", "--trace-file", trace.to_str().unwrap()];
        all.extend(options);
        let server = Server::start_in(Arc::clone(&folder), &all);
        Watched { server, trace }
    }

    /// The page's address, which is said before the server is ready.
    pub(crate) fn page(&self) -> SocketAddr {
        let said = "what happens inside: http://localhost:";
        wait_for("the page's address", || {
            let stderr = self.server.stderr.lock().unwrap();
            let port = stderr.split(said).nth(1)?.split('/').next()?;
            Some(([127, 0, 0, 1], port.parse().unwrap()).into())
        })
    }

    /// Where its trace is.
    pub(crate) fn trace(&self) -> &Path {
        &self.trace
    }

    /// All events, once one of them is such.
    fn events_until(&self, is_last: impl Fn(&Event) -> bool) -> Vec<Event> {
        wait_for("an event", || {
            let text = fs::read_to_string(&self.trace).unwrap();
            // The last line may be on its way.
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            let events: Vec<Event> = whole.lines().map(read).collect();
            events.iter().any(&is_last).then_some(events)
        })
    }

    /// All events until connection `c` has closed.
    fn events_of(&self, c: u64) -> Vec<Event> {
        let is_end =
            |event: &Event| event.c == Some(c) && matches!(event.what, What::Closed { .. });
        let mut events = self.events_until(is_end);
        events.retain(|event| event.c == Some(c));
        events
    }

    /// Stops the server, and returns all events.
    pub(crate) fn stop(self) -> Vec<Event> {
        // The trace is in the server's folder.
        let _folder = self.server.stop();
        let text = fs::read_to_string(&self.trace).unwrap();
        assert!(text.ends_with('\n'), "half a line at the end");
        text.lines().map(read).collect()
    }
}

fn read(line: &str) -> Event {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} never came");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The names of events, as the lines have them.
fn names(events: &[Event]) -> Vec<String> {
    let name = |event: &Event| {
        let value = serde_json::to_value(event).unwrap();
        value["e"].as_str().unwrap().to_string()
    };
    events.iter().map(name).collect()
}

/// What the texts of `bytes_read` say was read.
fn bytes_read(events: &[Event]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for event in events {
        if let What::BytesRead { n, text } = &event.what {
            let before = bytes.len();
            let mut rest = text.bytes();
            while let Some(byte) = rest.next() {
                bytes.push(match (byte, byte == b'\\').1.then(|| rest.next().unwrap()) {
                    None => byte,
                    Some(b'r') => b'\r',
                    Some(b'n') => b'\n',
                    Some(b't') => b'\t',
                    Some(b'x') => {
                        let digits = [rest.next().unwrap(), rest.next().unwrap()];
                        u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                    }
                    Some(other) => other,
                });
            }
            assert_eq!(bytes.len() - before, *n, "{text}");
        }
    }
    bytes
}

#[test]
fn a_set_and_a_get_leave_a_line_for_each_stage() {
    let watched = Watched::start(&[]);
    let mut wire = watched.server.connect();
    wire.get("/set?a=b%20c");
    wire.get("/get?key=a");
    wire.end().expect_end();
    let events = watched.events_of(1);
    assert_eq!(
        names(&events).join(" "),
        "opened \
         bytes_read parsed routed decoded joined journaled synced locked answered written \
         bytes_read parsed routed decoded locked answered written \
         closed"
    );
    assert!(events.iter().is_sorted_by_key(|event| event.t));
    // An answer says whether it is the last one on its connection.
    let closes = events.iter().filter_map(|event| match &event.what {
        What::Answered { close, .. } => Some(*close),
        _ => None,
    });
    assert_eq!(closes.collect::<Vec<_>>(), [false, false]);
    let requests: Vec<u64> = events.iter().filter_map(|event| event.r).collect();
    assert_eq!(requests, [[1; 10].as_slice(), &[2; 7]].concat());
    let whats: Vec<&What> = events.iter().map(|event| &event.what).collect();
    let line = "{\"key\":\"a\",\"value\":\"b c\"}\n".len();
    for wanted in [
        What::Decoded { key: "a".into(), value: Some("b c".into()) },
        What::Joined { batch: 1, leads: true },
        What::Journaled { batch: 1, sets: 1, n: line, at: 0, records: 1, keys: 0 },
        What::Synced { batch: 1, sets: 1, n: line, at: 0, begun: None },
        What::Decoded { key: "a".into(), value: None },
        What::Closed { why: Why::Client },
    ] {
        assert!(whats.contains(&&wanted), "{wanted:?} in {whats:#?}");
    }
    let all = watched.stop();
    let What::Hello(Hello { version, kept, sync, limits, open, .. }) = &all[0].what else {
        panic!("{:?}", all[0])
    };
    assert_eq!((version.as_str(), sync.as_str()), (env!("CARGO_PKG_VERSION"), "always"));
    assert_eq!(*kept, Kept::File);
    assert_eq!((limits.head_ms, limits.idle_ms, limits.head_bytes), (10_000, 60_000, 65_536));
    assert!(open.is_empty());
    let opened = What::File { step: FileStep::Opened, bytes: 0, records: 0, keys: Some(0) };
    assert_eq!(all[1].what, opened);
}

#[test]
fn a_split_request_is_its_packets_put_together() {
    let watched = Watched::start(&["--memory"]);
    let request = b"GET /get?key=\"%C3%A9'\\ HTTP/1.1\r\nHost: localhost\r\nX: \t\xff\r\n\r\n";
    let mut wire = watched.server.connect();
    // The empty line is cut in two.
    let pieces = [&request[..5], &request[5..request.len() - 2], &request[request.len() - 2..]];
    for (number, piece) in pieces.iter().enumerate() {
        wire.send(piece);
        // The next one when this has been read: more is waited for.
        watched.events_until(|event| match event.what {
            What::Partial { part: Part::Head, .. } if number < 2 => {
                event.c == Some(1) && event.t > 0 && count_partials(&watched) > number
            }
            What::Written { .. } => true,
            _ => false,
        });
    }
    assert_eq!(wire.answer().status, 404);
    wire.end().expect_end();
    let events = watched.events_of(1);
    assert_eq!(bytes_read(&events), request);
    assert_eq!(
        names(&events)[..7].join(" "),
        "opened bytes_read partial bytes_read partial bytes_read parsed"
    );
    let partials: Vec<(usize, u64)> = events
        .iter()
        .filter_map(|event| match event.what {
            What::Partial { have, begun, .. } => Some((have, begun)),
            _ => None,
        })
        .collect();
    // Bytes do not put the deadline off.
    assert_eq!(partials[0].1, partials[1].1);
    assert_eq!((partials[0].0, partials[1].0), (5, request.len() - 2));
}

fn count_partials(watched: &Watched) -> usize {
    let text = fs::read_to_string(&watched.trace).unwrap();
    text.matches("\"e\":\"partial\"").count()
}

#[test]
fn a_request_of_single_bytes_is_told_whole() {
    let watched = Watched::start(&["--memory"]);
    let mut wire = watched.server.connect();
    let request = format!("GET /get?key={} HTTP/1.1\r\nHost: localhost\r\n\r\n", "k".repeat(200));
    for byte in request.as_bytes() {
        wire.send([*byte]);
        thread::yield_now();
    }
    assert_eq!(wire.answer().status, 404);
    wire.end().expect_end();
    let events = watched.events_of(1);
    assert_eq!(bytes_read(&events), request.as_bytes());
}

#[test]
fn two_requests_in_one_packet_are_one_read_two_answers_and_one_write() {
    let watched = Watched::start(&["--memory"]);
    let mut wire = watched.server.connect();
    wire.send("GET /set?a=b HTTP/1.1\r\nHost: a.localhost\r\n\r\n".repeat(2));
    wire.answer();
    wire.answer();
    wire.end().expect_end();
    let events = watched.events_of(1);
    let stages = "parsed routed decoded locked answered ";
    assert_eq!(
        names(&events).join(" "),
        format!("opened bytes_read {stages}{stages}written closed")
    );
    let Some(Event { r, what: What::Written { answers, .. }, .. }) = events.iter().rev().nth(1)
    else {
        panic!("{events:#?}")
    };
    assert_eq!((*r, *answers), (Some(2), 2));
}

#[test]
fn parallel_sets_share_batches_and_none_is_answered_before_its_sync() {
    let watched = Watched::start(&[]);
    let (clients, sets) = (16, 40);
    let address = watched.server.address();
    let threads: Vec<_> = (0..clients)
        .map(|client| {
            thread::spawn(move || {
                let mut wire = Wire::connect(address);
                for set in 0..sets {
                    assert_eq!(wire.get(&format!("/set?{client}=v{set}")).status, 200);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let events = watched.stop();
    assert!(!events.iter().any(|event| matches!(event.what, What::Lost { .. })));
    let (mut synced, mut joined, mut journaled) = (BTreeMap::new(), BTreeMap::new(), 0);
    let (mut total, mut leaders, mut end) = (0, BTreeSet::new(), 0);
    for event in &events {
        let request = (event.c, event.r);
        match event.what {
            What::Joined { batch, leads } => {
                assert!(!leads || leaders.insert(batch), "two lead batch {batch}");
                assert!(batch > journaled, "{batch} is joined after it is closed");
                joined.insert(request, batch);
            }
            What::Journaled { batch, n, at, .. } => {
                assert_eq!(at, end, "there is a gap before batch {batch}");
                (end, journaled) = (at + n as u64, batch);
            }
            What::Synced { batch, sets, .. } => {
                total += sets;
                synced.insert(batch, sets);
            }
            What::Answered { .. } => {
                assert!(synced.contains_key(&joined[&request]), "{event:?} before its sync");
            }
            _ => {}
        }
    }
    assert_eq!(total, clients * sets);
    assert_eq!(leaders.len(), synced.len());
    for (batch, sets) in synced {
        assert_eq!(joined.values().filter(|&&of| of == batch).count(), sets, "batch {batch}");
    }
}

/// Checks that the syncs in the background cover these sets without a gap, each after its answer.
fn assert_synced_in_the_background(events: &[Event], all: usize) {
    let (mut end, mut sets, mut answered) = (0, 0, 0);
    let mut journaled: Vec<(u64, usize)> = Vec::new();
    for event in events {
        match event.what {
            What::Journaled { batch, sets, .. } => journaled.push((batch, sets)),
            What::Answered { .. } => answered += 1,
            What::Synced { batch, sets: more, n, at, begun } => {
                assert_eq!((event.c, event.r, at), (None, None, end), "{event:?}");
                assert!(begun.is_some_and(|begun| begun <= event.t), "{event:?}");
                assert!(n > 0 && more > 0, "{event:?}");
                (end, sets) = (end + n as u64, sets + more);
                let of_it = journaled.iter().filter(|(number, _)| *number <= batch);
                assert_eq!(of_it.map(|(_, sets)| sets).sum::<usize>(), sets, "{event:?}");
            }
            _ => {}
        }
    }
    assert_eq!((sets, answered), (all, all));
}

#[test]
fn a_sync_in_the_background_tells_which_sets_it_made_safe() {
    let watched = Watched::start(&["--sync", "300ms", "--trace"]);
    let mut wire = watched.server.connect();
    for number in 0..5 {
        assert_eq!(wire.get(&format!("/set?a=value{number}")).status, 200);
    }
    let is_synced = |event: &Event| matches!(event.what, What::Synced { .. });
    let first = watched.events_until(is_synced);
    let What::Synced { batch, .. } = first.iter().find(|event| is_synced(event)).unwrap().what
    else {
        unreachable!()
    };
    assert_eq!(wire.get("/set?a=last").status, 200);
    watched.events_until(|event| match event.what {
        What::Synced { batch: later, .. } => later > batch,
        _ => false,
    });
    let stderr = Arc::clone(&watched.server.stderr);
    let data = watched.server.data();
    let length = fs::metadata(data).unwrap().len();
    let events = watched.stop();
    assert_synced_in_the_background(&events, 6);
    let ends = events.iter().filter_map(|event| match event.what {
        What::Synced { n, at, .. } => Some(at + n as u64),
        _ => None,
    });
    assert_eq!(ends.max(), Some(length));
    let words = stderr.lock().unwrap().clone();
    assert!(words.contains("synced      up to batch 6: "), "{words}");
}

#[test]
fn without_syncs_there_is_one_at_the_end() {
    let watched = Watched::start(&["--sync", "never"]);
    for number in 0..3 {
        assert_eq!(watched.server.get(&format!("/set?a=value{number}")).status, 200);
    }
    let events = watched.stop();
    assert_synced_in_the_background(&events, 3);
    assert_eq!(names(&events).iter().filter(|name| *name == "synced").count(), 1);
}

#[test]
fn a_slow_head_closes_late_and_no_byte_puts_that_off() {
    let watched = Watched::start(&["--memory"]);
    let mut wire = watched.server.connect();
    for byte in b"GET /get?" {
        wire.send([*byte]);
        thread::sleep(Duration::from_secs(1));
    }
    assert_eq!(wire.answer().status, 408);
    wire.expect_end();
    let events = watched.events_of(1);
    let begun = events.iter().filter_map(|event| match event.what {
        What::Partial { begun, .. } => Some(begun),
        _ => None,
    });
    assert_eq!(begun.collect::<BTreeSet<_>>().len(), 1);
    let why = What::Closed { why: Why::Late };
    assert_eq!(events.last().unwrap().what, why);
    let answered = events.iter().find(|event| matches!(event.what, What::Answered { .. }));
    let Some(Event { what: What::Answered { status, close, sentence, .. }, .. }) = answered else {
        panic!("{events:#?}")
    };
    assert_eq!((*status, *close), (408, true));
    assert!(sentence.as_deref().unwrap().contains("not complete in time"), "{sentence:?}");
}

#[test]
fn the_oldest_makes_room() {
    let watched = Watched::start(&["--memory", "--max-connections", "2"]);
    let connect = |c: u64| {
        let wire = watched.server.connect();
        let is_it = |event: &Event| event.c == Some(c) && matches!(event.what, What::Opened { .. });
        watched.events_until(is_it);
        wire
    };
    let mut oldest = connect(1);
    let mut second = connect(2);
    let mut third = connect(3);
    oldest.expect_end();
    assert_eq!(third.get("/get?key=a").status, 404);
    let _fourth = connect(4);
    second.expect_end();
    let evicted = |c| watched.events_of(c).last().unwrap().what.clone();
    for c in [1, 2] {
        assert_eq!(evicted(c), What::Closed { why: Why::Evicted }, "{c}");
    }
    drop(third);
    assert_eq!(evicted(3), What::Closed { why: Why::Client });
}

#[test]
fn a_compaction_syncs_before_it_renames() {
    let watched = Watched::start(&["--compact-over", "1000", "--sync", "never"]);
    let mut wire = watched.server.connect();
    for number in 0..500 {
        assert_eq!(wire.get(&format!("/set?a=value{number}")).status, 200);
    }
    let is_replaced =
        |event: &Event| matches!(event.what, What::File { step: FileStep::Replaced, .. });
    watched.events_until(is_replaced);
    let events = watched.stop();
    let mut steps = events.iter().filter_map(|event| match event.what {
        What::File { step, bytes, records, keys } => Some((step, bytes, records, keys)),
        _ => None,
    });
    assert_eq!(steps.next(), Some((FileStep::Opened, 0, 0, Some(0))));
    let first: Vec<_> = steps.by_ref().take(5).collect();
    assert_eq!(
        first.iter().map(|step| step.0).collect::<Vec<_>>(),
        [
            FileStep::Compacting,
            FileStep::Copied,
            FileStep::Synced,
            FileStep::Renamed,
            FileStep::Replaced
        ]
    );
    assert!(first[0].1 > 1000 && first[0].2 > 2, "{first:?}");
    assert!(
        first[2..].iter().all(|step| (step.1, step.2) == (first[2].1, first[2].2)),
        "{first:?}"
    );
    assert_eq!(first[4].3, Some(1));
    // What is set next goes to the end of the new file.
    let (replaced, length) = (events.iter().position(is_replaced).unwrap(), first[4].1);
    let next = events[replaced..].iter().find_map(|event| match event.what {
        What::Journaled { at, .. } => Some(at),
        _ => None,
    });
    assert!(next.is_none_or(|at| at == length), "{next:?}, not {length}");
}

#[test]
fn what_a_client_sends_stays_text() {
    let watched = Watched::start(&["--trace"]);
    // NUL, ESC, a mark that turns the writing direction, and the end of a script.
    let hostile = "%00%1B%5B2J%E2%80%AE%3C/script%3E%3Cimg+onerror=x%3E";
    assert_eq!(watched.server.get(&format!("/set?k{hostile}={hostile}")).status, 200);
    let raw = b"GET /get?key=\x7f\xc2\x9b<img> HTTP/1.1\r\nHost: localhost\r\nX: \x1b[2J\r\n\r\n";
    watched.server.only_answer(raw);
    watched.events_of(2);
    let lines = fs::read(&watched.trace).unwrap();
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~' | b'\n');
    let bad: Vec<u8> = lines.iter().copied().filter(|byte| !is_plain(byte)).collect();
    assert_eq!(bad.escape_ascii().to_string(), "");
    let text = String::from_utf8(lines).unwrap();
    assert!(!text.contains(['<', '>', '&']), "{text}");
    assert!(text.contains(r"k\u0000\u001b[2J\u202e\u003c/script\u003e"), "{text}");
    let stderr = Arc::clone(&watched.server.stderr);
    watched.stop();
    let words = stderr.lock().unwrap().clone();
    assert!(words.contains(r"decoded     k\0\u{1b}[2J\u{202e}</script>"), "{words}");
    assert!(words.chars().all(|c| matches!(c, ' '..='~' | '\n' | 'µ' | '…')), "{words}");
}

#[test]
fn the_trace_fits_a_terminal_and_has_no_colours_elsewhere() {
    let watched = Watched::start(&["--trace"]);
    let long = "x".repeat(5000);
    assert_eq!(watched.server.get(&format!("/set?{long}={long}")).status, 200);
    assert_eq!(watched.server.get("/get?key=nobody").status, 404);
    let stderr = Arc::clone(&watched.server.stderr);
    watched.stop();
    let words = stderr.lock().unwrap().clone();
    let lines: Vec<&str> = words.lines().filter(|line| !line.starts_with("dbserver: ")).collect();
    assert_eq!(lines[0], " request       µs  stage");
    assert!(lines.len() > 15, "{words}");
    for line in &lines {
        assert!(line.chars().count() <= 80, "{line}");
    }
    for wanted in
        ["    1.1 ", "bytes_read", "batch 1: 1 set", "404, ", "    2  ", "closed      client"]
    {
        assert!(lines.iter().any(|line| line.contains(wanted)), "{wanted:?} in {words}");
    }
}

/// A watcher's connection, and what it has been told.
pub(crate) struct Watcher {
    stream: BufReader<std::net::TcpStream>,
}

impl Watcher {
    pub(crate) fn connect(page: SocketAddr) -> Self {
        let mut wire = Wire::connect(page);
        wire.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let mut watcher = Watcher { stream: BufReader::new(wire.stream.try_clone().unwrap()) };
        assert_eq!(watcher.line(), "HTTP/1.1 200 OK");
        while !watcher.line().is_empty() {}
        watcher
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        line.trim_end().to_string()
    }

    /// The next event.
    fn next(&mut self) -> Event {
        let line = self.line();
        let event = read(line.strip_prefix("data: ").unwrap_or_else(|| panic!("{line:?}")));
        assert_eq!(self.line(), "");
        event
    }

    /// The events up to and with the first that is such.
    pub(crate) fn until(&mut self, is_last: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut events = vec![self.next()];
        while !is_last(&events[events.len() - 1]) {
            events.push(self.next());
        }
        events
    }
}

#[test]
fn a_watcher_is_told_what_there_is_and_then_what_happens() {
    let watched = Watched::start(&[]);
    let page = watched.page();
    watched.server.get("/set?a=b");
    watched.events_of(1);
    let mut waits = watched.server.connect();
    waits.send("GET /get?");
    let is_half = |event: &Event| matches!(event.what, What::Partial { .. });
    watched.events_until(is_half);
    let mut reader = Watcher::connect(page);
    let What::Hello(Hello { file, open, .. }) = reader.next().what else { panic!("no hello") };
    let file = file.unwrap();
    assert_eq!((file.bytes, file.records), (fs::metadata(watched.server.data()).unwrap().len(), 1));
    assert_eq!(open.iter().map(|open| open.c).collect::<Vec<_>>(), [2]);
    // What was under way is not told by half.
    waits.send("key=a HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(waits.answer().text(), "b");
    assert_eq!(waits.get("/get?key=a").text(), "b");
    waits.end().expect_end();
    let events = reader.until(|event| matches!(event.what, What::Closed { .. }));
    assert_eq!(
        names(&events).join(" "),
        "bytes_read parsed routed decoded locked answered written closed"
    );
    assert_eq!(events[0].r, Some(2));
}

#[test]
fn the_page_is_for_this_machine_and_its_own_origin() {
    let watched = Watched::start(&["--memory"]);
    let page = watched.page();
    let ask = |target: &str, fields: &str| -> Answer {
        let mut wire = Wire::connect(page);
        wire.send(format!("GET {target} HTTP/1.1\r\n{fields}\r\n\r\n"));
        let answer = wire.answer();
        wire.expect_end();
        answer
    };
    let index = ask("/", "Host: localhost");
    assert_eq!(index.field("Content-Type"), Some("text/html; charset=utf-8"));
    assert!(!index.text().contains("<script>") && !index.text().contains("style="), "inline");
    for target in ["/", "/main.js", "/page.css", "/nothing"] {
        let answer = ask(target, "Host: localhost");
        assert_eq!(answer.status, if target == "/nothing" { 404 } else { 200 });
        assert_eq!(
            answer.field("Content-Security-Policy"),
            Some(
                "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                 img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; \
                 require-trusted-types-for 'script'; trusted-types 'none'"
            )
        );
        assert_eq!(answer.field("X-Content-Type-Options"), Some("nosniff"));
        assert_eq!(answer.field("Cross-Origin-Resource-Policy"), Some("same-origin"));
        assert_eq!(answer.field("Cross-Origin-Opener-Policy"), Some("same-origin-allow-popups"));
        assert!(!answer.head.to_lowercase().contains("access-control"), "{}", answer.head);
    }
    let navigation = "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document";
    // A link to the page may stand anywhere; nothing else may come from there.
    let linked = format!("Host: localhost\r\nSec-Fetch-Site: cross-site\r\n{navigation}");
    assert_eq!(ask("/", &linked).status, 200);
    for (target, fields) in [
        ("/", "Host: evil.example"),
        ("/events", "Host: evil.example"),
        ("http://evil.example/events", "Host: localhost"),
        ("/events", &linked),
        ("/events", "Host: localhost\r\nSec-Fetch-Site: cross-site"),
        ("/events", "Host: localhost\r\nSec-Fetch-Site: same-site"),
        ("/events", &format!("Host: localhost\r\nSec-Fetch-Site: none\r\n{navigation}")),
        ("/events", "Host: localhost\r\nOrigin: http://evil.example"),
        ("/events", "Host: localhost\r\nOrigin: null"),
        (
            "/events",
            &format!("Host: localhost\r\nOrigin: http://localhost:{}", watched.server.port),
        ),
        ("/main.js", "Host: localhost\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors"),
    ] {
        let answer = ask(target, fields);
        assert_eq!(answer.status, 403, "{target} {fields}");
        assert!(!answer.text().contains("hello"), "{target} {fields}");
    }
    let mut wire = Wire::connect(page);
    wire.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nGET");
    let answer = wire.answer();
    assert_eq!((answer.status, answer.field("Allow")), (405, Some("GET, HEAD")));
    wire.expect_end();
    // The same request, from the page itself.
    let mut own = Wire::connect(page);
    own.send("GET /events HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\n\r\n");
    let mut own = BufReader::new(own.stream.try_clone().unwrap());
    let mut line = String::new();
    own.read_line(&mut line).unwrap();
    assert_eq!(line, "HTTP/1.1 200 OK\r\n");
}

#[test]
fn head_gets_the_head_of_what_get_gets() {
    let watched = Watched::start(&["--memory"]);
    let page = watched.page();
    let ask = |method: &str, target: &str, host: &str| {
        let mut wire = Wire::connect(page);
        wire.send(format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        wire
    };
    let (media, stream) = ("text/html; charset=utf-8", "text/event-stream");
    let sentence = "text/plain; charset=utf-8";
    for (target, host, status, media) in [
        ("/", "localhost", 200, media),
        ("/events", "localhost", 200, stream),
        ("/nothing", "localhost", 404, sentence),
        ("/", "evil.example", 403, sentence),
    ] {
        // All that comes up to the end of the connection.
        let head = ask("HEAD", target, host).rest();
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{target}: {head}");
        assert!(head.contains(&format!("\r\nContent-Type: {media}\r\n")), "{target}: {head}");
        assert!(
            head.find("\r\n\r\n") == Some(head.len() - 4),
            "{target}: more than a head: {head}"
        );
        if target != "/events" {
            let got = ask("GET", target, host).answer();
            assert_eq!(got.head.trim_end(), head.trim_end(), "{target}");
        }
    }
    // It is no watcher: there is room for four.
    let _watchers: Vec<Watcher> = (0..4).map(|_| Watcher::connect(page)).collect();
}

#[test]
fn the_first_line_says_how_many_connections_there_can_be() {
    let watched = Watched::start(&["--memory", "--max-connections", "1000000"]);
    let said = wait_for("the warning", || {
        let stderr = watched.server.stderr.lock().unwrap().clone();
        let said = stderr.split("leaves room for ").nth(1)?.split(' ').next()?.parse::<usize>();
        Some(said.unwrap())
    });
    let warnings = watched.server.stderr.lock().unwrap().matches("leaves room for").count();
    assert_eq!(warnings, 1);
    let events = watched.stop();
    let What::Hello(Hello { limits, .. }) = &events[0].what else { panic!("{:?}", events[0]) };
    assert_eq!(limits.connections, said);
}

#[test]
fn there_are_four_watchers_and_whoever_leaves_makes_room() {
    let watched = Watched::start(&["--memory"]);
    let page = watched.page();
    let mut watchers: Vec<Watcher> = (0..4).map(|_| Watcher::connect(page)).collect();
    let fifth = || {
        let mut wire = Wire::connect(page);
        wire.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let mut line = String::new();
        BufReader::new(wire.stream.try_clone().unwrap()).read_line(&mut line).unwrap();
        line
    };
    assert_eq!(fifth(), "HTTP/1.1 503 Service Unavailable\r\n");
    watchers.pop();
    wait_for("a place", || fifth().starts_with("HTTP/1.1 200").then_some(()));
}

/// Sends `rounds` times 64 requests on each of 8 connections, and returns how many that were.
fn flood(server: &Server, rounds: usize) -> u64 {
    let address = server.address();
    let threads: Vec<_> = (0..8)
        .map(|_| {
            thread::spawn(move || {
                let mut wire = Wire::connect(address);
                for round in 0..rounds {
                    wire.send("GET /get?key=a HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(63));
                    wire.send(format!("GET /set?a={round} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
                    for _ in 0..64 {
                        wire.answer();
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    8 * rounds as u64 * 64
}

/// Checks that no request is there by half, and returns how many are there and how many were lost.
fn whole_and_lost(events: &[Event]) -> (u64, u64) {
    let (mut begun, mut answered, mut lost) = (BTreeSet::new(), BTreeSet::new(), 0);
    let mut unwritten: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    for event in events {
        if let What::Lost { requests, .. } = event.what {
            assert!(requests > 0);
            lost += requests;
        }
        let (Some(c), Some(r)) = (event.c, event.r) else { continue };
        match event.what {
            What::Parsed { .. } => assert!(begun.insert((c, r))),
            What::Routed { .. } | What::Decoded { .. } | What::Locked { .. } => {
                assert!(begun.contains(&(c, r)), "{event:?} of a request that never began");
            }
            What::Answered { .. } => {
                assert!(begun.contains(&(c, r)) && answered.insert((c, r)), "{event:?}");
                unwritten.entry(c).or_default().insert(r);
            }
            What::Written { .. } => {
                // The last answer of a write may be to a request that is not there.
                unwritten.entry(c).or_default().retain(|&answer| answer > r);
            }
            _ => {}
        }
    }
    let halves: Vec<_> = begun.symmetric_difference(&answered).collect();
    assert_eq!(halves, [] as [&(u64, u64); 0]);
    assert!(unwritten.values().all(BTreeSet::is_empty), "{unwritten:?} were never written");
    (answered.len() as u64, lost)
}

#[test]
fn a_flood_is_recorded_in_whole_requests_and_the_rest_is_counted() {
    let watched = Watched::start(&["--memory"]);
    let page = watched.page();
    let sent = thread::scope(|scope| {
        let flood = scope.spawn(|| flood(&watched.server, 60));
        // The page answers meanwhile.
        while !flood.is_finished() {
            let mut wire = Wire::connect(page);
            wire.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
            assert_eq!(wire.answer().status, 200);
        }
        flood.join().unwrap()
    });
    let events = watched.stop();
    let (whole, lost) = whole_and_lost(&events);
    assert!(lost > 0, "{sent} requests were no flood: {whole}");
    assert!(whole > 100, "{whole}");
    assert_eq!(whole + lost, sent);
}

#[test]
fn a_watcher_that_takes_nothing_delays_no_request() {
    let watched = Watched::start(&["--memory"]);
    let page = watched.page();
    let stopped: Vec<Watcher> = (0..3).map(|_| Watcher::connect(page)).collect();
    // They are let go once their sockets and their queues are full: then two others can look.
    wait_for("a place for two", || {
        flood(&watched.server, 40);
        let mut watchers: Vec<Wire> = Vec::new();
        for _ in 0..2 {
            let mut wire = Wire::connect(page);
            wire.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
            let mut line = String::new();
            BufReader::new(wire.stream.try_clone().unwrap()).read_line(&mut line).unwrap();
            watchers.push(wire);
            if !line.starts_with("HTTP/1.1 200") {
                return None;
            }
        }
        Some(())
    });
    assert_eq!(watched.server.get("/get?key=a").status, 200);
    drop(stopped);
}

#[test]
fn the_server_stops_in_time_with_watchers() {
    let watched = Watched::start(&[]);
    let page = watched.page();
    let mut reader = Watcher::connect(page);
    let _silent = Watcher::connect(page);
    let _visitor = Wire::connect(page);
    let started = Instant::now();
    watched.stop();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    // The watcher hears of it, and of its own end.
    let mut line = String::new();
    while reader.stream.read_line(&mut line).unwrap() > 0 {}
    assert!(line.starts_with("data: "), "{line}");
}

#[test]
fn a_watcher_hears_of_all_that_was_before_the_stop() {
    for _ in 0..10 {
        let watched = Watched::start(&[]);
        let mut reader = Watcher::connect(watched.page());
        let mut wire = watched.server.connect();
        wire.send("GET /get?key=a HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100));
        for _ in 0..100 {
            assert_eq!(wire.answer().status, 404);
        }
        watched.stop();
        let mut text = String::new();
        reader.stream.read_to_string(&mut text).unwrap();
        let events = text.lines().filter_map(|line| line.strip_prefix("data: ")).map(read);
        let ended = events.filter(|event| matches!(event.what, What::Closed { .. })).count();
        assert_eq!(ended, 1, "{}", text.len());
    }
}

#[test]
fn a_trace_file_that_is_the_data_and_a_page_without_a_port_stop_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data.jsonl");
    let link = folder.path().join("link");
    fs::write(&data, "{\"key\":\"a\",\"value\":\"b\"}\n").unwrap();
    fs::hard_link(&data, &link).unwrap();
    let run = |arguments: &[&str]| {
        let output = program().args(["--port", "0", "--data"]).arg(&data).args(arguments).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    for trace in [&data, &link] {
        let stderr = run(&["--trace-file", trace.to_str().unwrap()]);
        assert!(stderr.contains("--trace-file: ") && stderr.contains("the data file"), "{stderr}");
    }
    assert_eq!(fs::read(&data).unwrap(), b"{\"key\":\"a\",\"value\":\"b\"}\n");
    let nowhere = folder.path().join("nowhere/trace");
    let stderr = run(&["--trace-file", nowhere.to_str().unwrap()]);
    assert!(stderr.contains("--trace-file: cannot write"), "{stderr}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let stderr = run(&[&format!("--watch={port}")]);
    assert!(stderr.contains(&format!("--watch: cannot listen on localhost:{port}")), "{stderr}");
}

/// A program that is killed when the test ends, however it ends.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_observer_of_ones_own_is_told_of_each_request() {
    let mut command = std::process::Command::new(example("own_observer"));
    let child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut child = Killed(child);
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let ready = lines.next().unwrap().unwrap();
    let port = ready.split("localhost:").nth(1).unwrap().split('/').next().unwrap();
    let mut wire = Wire::connect(([127, 0, 0, 1], port.parse().unwrap()).into());
    for _ in 0..2 {
        assert_eq!(wire.get("/get?key=a").status, 404);
        let line = lines.next().unwrap().unwrap();
        assert!(line.starts_with("answered after "), "{line}");
    }
}
