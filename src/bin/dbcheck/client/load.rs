//! The load: many clients at the same time, which write down what was acknowledged.
//!
//! Only acknowledged sets are judged. Each writer has keys of its own, so what must be there is
//! known without asking anybody: the last acknowledged value, or the one that was under way.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::answer::Answer;
use crate::client::exchange::{Client, Exchange};
use crate::client::likeness::{Likeness, judge};
use crate::client::session::Session;

/// Does this for each item at the same time, on a thread each.
pub(crate) fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
) -> Vec<Option<R>> {
    thread::scope(|scope| {
        let work = &work;
        let started: Vec<_> = items
            .iter()
            .map(|item| thread::Builder::new().spawn_scoped(scope, move || work(item)).ok())
            .collect();
        started.into_iter().map(|thread| thread?.join().ok()).collect()
    })
}

/// A key, and what a get of it may bring: the last acknowledged value, or one that was sent
/// after it.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) later: Vec<String>,
}

/// A writer's order.
pub(crate) struct Order {
    /// Before the names of its keys, so that they are its own.
    pub(crate) tag: String,
    /// How many writers at the same time.
    pub(crate) writers: usize,
    /// At most this many requests each.
    pub(crate) requests: usize,
    /// Whether a writer asks for what it has set.
    pub(crate) reads: bool,
    /// Whether a writer sets one of its keys again and again.
    pub(crate) overwrites: bool,
}

/// What the writers saw.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) kept: Vec<Kept>,
    /// A get that brought something other than the pair that its writer had just set.
    pub(crate) wrong: Option<(Kept, Exchange)>,
}

/// Writes until `until` returns, which is given the number of acknowledged sets.
pub(crate) fn write(client: &Client, order: &Order, until: impl FnOnce(&AtomicUsize)) -> Seen {
    let (stop, acknowledged) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut all = Seen::default();
    thread::scope(|scope| {
        let (stop, acknowledged) = (&stop, &acknowledged);
        let writers: Vec<_> = (0..order.writers)
            .filter_map(|number| {
                let work = move || writer(client, order, number, stop, acknowledged);
                thread::Builder::new().spawn_scoped(scope, work).ok()
            })
            .collect();
        until(acknowledged);
        stop.store(true, Ordering::Relaxed);
        for seen in writers.into_iter().filter_map(|writer| writer.join().ok()) {
            all.kept.extend(seen.kept);
            all.wrong = all.wrong.take().or(seen.wrong);
        }
    });
    all
}

/// One writer: a key that it overwrites all the time, and new keys in between.
fn writer(
    client: &Client,
    order: &Order,
    number: usize,
    stop: &AtomicBool,
    acknowledged: &AtomicUsize,
) -> Seen {
    let mut session = Session::new(client);
    let mut seen = Seen::default();
    let mut hot: Option<Kept> = None;
    for round in 0..order.requests {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let is_hot = order.overwrites && round % 2 == 0;
        let tag = &order.tag;
        let key =
            if is_hot { format!("{tag}hot{number}") } else { format!("{tag}k{number}x{round}") };
        let value = format!("{tag}v{number}x{round}");
        let set = session.ask(&client.set_bytes(&key, &value));
        let kept = Kept { key, value, later: Vec::new() };
        // What is stored later than it is said is acknowledged when it is there.
        let is_set = set.is_ok_and(|answer| client.dialect.accepts(&answer))
            && client.dialect.settles_in().is_none_or(|time| {
                thread::sleep(time);
                let get = session.ask(&client.get_bytes(&kept.key));
                get.is_ok_and(|answer| gives(client, &answer, &kept))
            });
        if is_set {
            acknowledged.fetch_add(1, Ordering::Relaxed);
            if order.reads && !brings(&mut session, client, &kept) {
                let shown = session.show(&kept.key);
                seen.wrong.get_or_insert((kept.clone(), shown));
            }
            if is_hot {
                hot = Some(kept);
            } else {
                seen.kept.push(kept);
            }
        } else {
            if let (true, Some(hot)) = (is_hot, &mut hot) {
                hot.later.push(kept.value);
            }
            // Refused connections come at once: do not spin on them.
            thread::sleep(Duration::from_millis(5));
        }
    }
    seen.kept.extend(hot);
    seen
}

/// Whether a get brings the pair. Where there is no answer, nobody can tell.
fn brings(session: &mut Session<'_>, client: &Client, kept: &Kept) -> bool {
    let Ok(answer) = session.ask(&client.get_bytes(&kept.key)) else { return true };
    gives(client, &answer, kept)
}

/// Whether this answer gives the pair, or what was set after it.
fn gives(client: &Client, answer: &Answer, kept: &Kept) -> bool {
    std::iter::once(&kept.value).chain(&kept.later).any(|value| {
        let like = judge(&client.dialect, answer, &kept.key, value);
        matches!(like, Likeness::Value | Likeness::Wrapped(_))
    })
}

/// Asks for all of these, and returns how many are not there, with the first of them.
pub(crate) fn lost(client: &Client, kept: &[Kept]) -> (usize, Option<(Kept, Exchange)>) {
    let part = kept.len().div_ceil(4).max(1);
    let lost: Vec<&Kept> = thread::scope(|scope| {
        let readers: Vec<_> = kept
            .chunks(part)
            .filter_map(|part| {
                let work = || {
                    let mut session = Session::new(client);
                    let lost = part.iter().filter(|kept| !brings(&mut session, client, kept));
                    lost.collect::<Vec<_>>()
                };
                thread::Builder::new().spawn_scoped(scope, work).ok()
            })
            .collect();
        readers.into_iter().filter_map(|reader| reader.join().ok()).flatten().collect()
    });
    let first = lost.first().map(|&kept| (kept.clone(), client.get(&kept.key)));
    (lost.len(), first)
}

/// Waits for `time`, and if by then nothing was acknowledged, a little longer for that.
pub(crate) fn wait(time: Duration, acknowledged: &AtomicUsize, least: usize) {
    let begun = Instant::now();
    loop {
        let enough = acknowledged.load(Ordering::Relaxed) >= least;
        if begun.elapsed() >= time && (enough || begun.elapsed() >= time + Duration::from_secs(2)) {
            return;
        }
        thread::sleep(Duration::from_millis(2));
    }
}
