//! The picture of a trace: a row for each connection, in the order of the events.
//!
//! A moment has microseconds and seconds side by side, so the axis is not to scale: each event has
//! a column of its own, and its true time is above it. In a trace that lasts less than [`TO_SCALE`]
//! the axis is time.
//!
//! What a client sent goes into the picture as text, escaped.

#![expect(clippy::cast_precision_loss, reason = "a picture has no 52 bits of places")]

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, ensure};
use dbserver::watch::event::{Event, What};
use dbserver::watch::stage::FileStep;

/// A trace that is shorter than this is drawn to scale, in nanoseconds.
const TO_SCALE: u64 = 50_000_000;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 110.0;
const TOP: f64 = 46.0;
const ROW: f64 = 26.0;

/// What is drawn of a request.
#[derive(Debug, Default)]
struct Request {
    begun: Option<u64>,
    joined: Option<(u64, u64)>,
    answered: Option<u16>,
    written: Option<u64>,
}

const STYLE: &str = "
  text { font: 12px system-ui, sans-serif; fill: #1b1f24; }
  .soft { fill: #59636e; } .time { font-size: 10px; }
  .line { stroke: #d0d7de; } .open { stroke: #9aa4af; stroke-width: 2; } .packet { fill: #8a4600; } .end { stroke: #a40e26; stroke-width: 2; }
  .request { fill: #0757b8; } .wait { fill: #b9d4f5; } .sync { fill: #116329; } .bad { fill: #a40e26; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e4e7eb; } .soft { fill: #9aa4af; } .line { stroke: #444c56; } .open { stroke: #6a737d; } .packet { fill: #ffb757; }
    .request { fill: #7ab8ff; } .wait { fill: #28466b; } .sync { fill: #6fdd8b; } .end { stroke: #ff9492; }
    .bad { fill: #ff9492; }
  }
";

/// Draws a trace: JSON lines, as `--trace-file` writes them.
pub(crate) fn draw(trace: &str) -> anyhow::Result<String> {
    let events: Vec<Event> = trace
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| line.to_string()))
        .collect::<Result<_, _>>()?;
    let events: Vec<Event> = events.into_iter().filter(|event| is_drawn(&event.what)).collect();
    let axis = Axis::new(&events)?;
    let rows = rows(&events);
    let mut requests: BTreeMap<(u64, u64), Request> = BTreeMap::new();
    let mut syncs: BTreeMap<u64, (u64, Option<u64>, usize)> = BTreeMap::new();
    for Event { t, c, r, what } in &events {
        let key = (c.unwrap_or(0), r.unwrap_or(0));
        match what {
            What::BytesRead { .. } => {
                requests.entry(key).or_default().begun.get_or_insert(*t);
            }
            What::Joined { batch, .. } => {
                requests.entry(key).or_default().joined = Some((*t, *batch));
            }
            What::Journaled { batch, sets, .. } => drop(syncs.insert(*batch, (*t, None, *sets))),
            What::Synced { batch, begun: None, .. } => {
                if let Some(sync) = syncs.get_mut(batch) {
                    sync.1 = Some(*t);
                }
            }
            What::Answered { status, .. } => {
                requests.entry(key).or_default().answered = Some(*status);
            }
            What::Written { .. } => {
                let of_it = requests.range_mut((key.0, 0)..=key);
                of_it
                    .filter(|(_, it)| it.written.is_none())
                    .for_each(|(_, it)| it.written = Some(*t));
            }
            _ => {}
        }
    }

    let has_steps =
        |event: &Event| matches!(event.what, What::File { step: FileStep::Replaced, .. });
    let steps = if events.iter().any(has_steps) { 60.0 } else { 0.0 };
    let height = TOP + ROW * rows.len() as f64 + 56.0 + steps;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n\
         <style>{STYLE}</style>\n"
    );
    axis.draw(&mut svg, height);
    for (name, y) in &rows {
        let label = if *name == 0 { "the file".to_string() } else { format!("c{name}") };
        text(&mut svg, 8.0, y + 4.0, "", &label);
    }
    for Event { t, c, what, .. } in &events {
        if let (Some(y), What::Opened { .. }) = (rows.get(&c.unwrap_or(0)), what) {
            let is_end = |it: &&Event| it.c == *c && matches!(it.what, What::Closed { .. });
            let to = events.iter().find(is_end).map_or(WIDTH - RIGHT, |it| axis.x(it.t));
            line(&mut svg, "open", (axis.x(*t), *y), (to, *y));
        }
    }
    for ((c, _), request) in &requests {
        if let Some(y) = rows.get(c) {
            bar(&mut svg, &axis, *y, request, &syncs);
        }
    }
    for (batch, (from, to, sets)) in &syncs {
        let (Some(y), Some(to)) = (rows.get(&0), to) else { continue };
        rect(&mut svg, axis.x(*from), axis.x(*to), *y, 8.0, "sync");
        if axis.is_to_scale {
            let who = if *sets == 1 { "1 set:".into() } else { format!("{sets} sets share") };
            let label = format!("{who} sync {batch}, {}", time(to - from));
            text(&mut svg, axis.x(*from), y + 20.0, "time", &label);
        }
    }
    for Event { t, c, what, .. } in &events {
        let Some(y) = rows.get(&c.unwrap_or(0)) else { continue };
        mark(&mut svg, axis.x(*t), *y, what);
    }
    legend(&mut svg, height - 14.0);
    svg.push_str("</svg>\n");
    Ok(svg)
}

fn is_drawn(what: &What) -> bool {
    !matches!(
        what,
        What::Hello { .. }
            | What::Parsed { .. }
            | What::Routed { .. }
            | What::Decoded { .. }
            | What::Locked { .. }
    )
}

/// The height of each connection's row, by its number; the file has 0 and the last row.
fn rows(events: &[Event]) -> BTreeMap<u64, f64> {
    let mut numbers: Vec<u64> = events.iter().filter_map(|event| event.c).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let has_file = |event: &Event| matches!(event.what, What::File { .. } | What::Journaled { .. });
    numbers.extend(events.iter().any(has_file).then_some(0));
    let y = |place: usize| TOP + ROW * (place as f64 + 0.5);
    numbers.into_iter().enumerate().map(|(place, number)| (number, y(place))).collect()
}

/// Where a moment is, from left to right.
struct Axis {
    times: Vec<u64>,
    is_to_scale: bool,
}

impl Axis {
    fn new(events: &[Event]) -> anyhow::Result<Self> {
        let mut times: Vec<u64> = events.iter().map(|event| event.t).collect();
        times.sort_unstable();
        times.dedup();
        ensure!(!times.is_empty(), "no events to draw");
        let is_busy = |event: &&Event| {
            !matches!(event.what, What::Opened { .. } | What::Closed { .. } | What::File { .. })
        };
        let busy: Vec<u64> = events.iter().filter(is_busy).map(|event| event.t).collect();
        let span = busy.iter().max().unwrap_or(&0) - busy.iter().min().unwrap_or(&0);
        let is_to_scale = span < TO_SCALE && times.len() > 60;
        if is_to_scale {
            // Before and after there is only the wait of those who are connected.
            let (first, last) = (busy.iter().min().copied(), busy.iter().max().copied());
            times = vec![first.unwrap_or(0), last.unwrap_or(0)];
        }
        Ok(Axis { times, is_to_scale })
    }

    fn x(&self, t: u64) -> f64 {
        let (first, last) = (self.times[0], self.times[self.times.len() - 1]);
        let share = if self.is_to_scale {
            (t.clamp(first, last) - first) as f64 / (last - first).max(1) as f64
        } else {
            self.times.partition_point(|&it| it < t) as f64 / (self.times.len() - 1).max(1) as f64
        };
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }

    fn draw(&self, svg: &mut String, height: f64) {
        let first = self.times[0];
        let words = if self.is_to_scale {
            "time, to scale"
        } else {
            "each event one step; the times are true, the distances are not"
        };
        text(svg, LEFT, 14.0, "soft", words);
        let ticks: Vec<u64> = if self.is_to_scale {
            let span = self.times[1] - first;
            (0..=8).map(|part| first + span * part / 8).collect()
        } else {
            let every = self.times.len().div_ceil(16).max(1);
            self.times.iter().copied().step_by(every).collect()
        };
        for (place, tick) in ticks.into_iter().enumerate() {
            let x = self.x(tick);
            line(svg, "line", (x, TOP), (x, height - 40.0));
            // Two rows of labels, so that neighbours do not touch.
            text(svg, x - 14.0, 27.0 + 12.0 * (place % 2) as f64, "soft time", &time(tick - first));
        }
    }
}

/// A request: what it does in the dark colour, its wait for the disk in the light one.
fn bar(
    svg: &mut String,
    axis: &Axis,
    y: f64,
    request: &Request,
    syncs: &BTreeMap<u64, (u64, Option<u64>, usize)>,
) {
    let (Some(from), Some(to)) = (request.begun, request.written) else { return };
    let class =
        if request.answered.is_some_and(|status| status >= 400) { "bad" } else { "request" };
    rect(svg, axis.x(from), axis.x(to), y, 8.0, class);
    if let Some((joined, batch)) = request.joined
        && let Some((_, Some(synced), _)) = syncs.get(&batch)
    {
        rect(svg, axis.x(joined), axis.x(*synced), y, 8.0, "wait");
    }
    if let Some(status) = request.answered
        && (!axis.is_to_scale || status != 200)
    {
        text(svg, axis.x(to) - 8.0, y - 6.0, "time", &status.to_string());
    }
}

fn mark(svg: &mut String, x: f64, y: f64, what: &What) {
    match what {
        What::BytesRead { n, .. } => {
            let _ = writeln!(
                svg,
                "<circle class=\"packet\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"><title>{n} bytes</title></circle>"
            );
        }
        What::Closed { why } => {
            line(svg, "end", (x, y - 8.0), (x, y + 8.0));
            let word =
                serde_json::to_value(why).ok().and_then(|it| it.as_str().map(str::to_string));
            text(svg, x + 4.0, y + 4.0, "time soft", &word.unwrap_or_default());
        }
        What::File { step, bytes, .. } if *step != FileStep::Opened => {
            let _ = writeln!(svg, "<circle class=\"sync\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>");
            let word =
                serde_json::to_value(step).ok().and_then(|it| it.as_str().map(str::to_string));
            // Each a row lower than the one before, as they come close to each other.
            let row = match step {
                FileStep::Opened | FileStep::Compacting => 0.0,
                FileStep::Copied | FileStep::Failed => 1.0,
                FileStep::Synced => 2.0,
                FileStep::Renamed => 3.0,
                FileStep::Replaced | FileStep::StartedOver => 4.0,
            };
            let words = format!("{}, {bytes} bytes", word.unwrap_or_default());
            text(svg, x + 7.0, y + 18.0 + 13.0 * row, "time", &words);
        }
        _ => {}
    }
}

fn legend(svg: &mut String, y: f64) {
    let mut x = LEFT;
    for (class, words) in [
        ("packet", "packet"),
        ("request", "request"),
        ("wait", "waits for the disk"),
        ("sync", "append and sync"),
        ("bad", "answered 4xx or 5xx"),
    ] {
        rect(svg, x, x + 14.0, y - 4.0, 8.0, class);
        text(svg, x + 20.0, y, "", words);
        x += 40.0 + 7.0 * words.len() as f64;
    }
}

fn rect(svg: &mut String, from: f64, to: f64, y: f64, height: f64, class: &str) {
    let (width, top) = ((to - from).max(2.0), y - height / 2.0);
    let _ = writeln!(
        svg,
        "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height}\" rx=\"2\"/>"
    );
}

fn line(svg: &mut String, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    let _ = writeln!(
        svg,
        "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
    );
}

fn text(svg: &mut String, x: f64, y: f64, class: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(svg, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{words}</text>");
}

/// 253 µs, 1.42 ms, 3.10 s.
fn time(nanoseconds: u64) -> String {
    let value = nanoseconds as f64;
    match nanoseconds {
        0..1_000_000 => format!("{:.0} µs", value / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", value / 1e6),
        _ => format!("{:.1} s", value / 1e9),
    }
}
