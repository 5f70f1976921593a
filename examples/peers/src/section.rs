//! README's section: one table, one plot, and what there is to say of the disk.
//!
//! Next: [`crate::results`], the page that has room for everything.

use std::fmt::Write as _;

use crate::cells::{beside, cell, ratio, rounds_of, table, time, whole};
use crate::figures::{Durable, Figures, median};

/// The columns of README's table: a scenario, and what stands above it.
const SHORT: [(&str, &str); 8] = [
    ("get1core", "1, one core"),
    ("get16", "16"),
    ("get64", "64"),
    ("get256", "256"),
    ("get1000", "1,000"),
    ("pipe64", "pipelined"),
    ("set64", "set"),
    ("close16", "closed"),
];

/// These are on the page with all figures only: README is short.
const LEFT_OUT: [&str; 4] = ["ntex", "rouille", "Node", "Python"];

/// README's section, without its heading.
pub(crate) fn text(figures: &Figures) -> String {
    let c = &figures.conditions;
    let ours = &figures.servers[0];
    let mut out = format!(
        "Requests per second, pairs in memory, {1} cores shared with the client; below {0}, ratios to it. Gets on 1 connection to 1,000; 16\n\
         at once on 64; sets on 64; gets on 16, closed after each. p99 and CPU per request at 64, memory per idle connection, dbcheck\n\
         without the durable tier, lines, crates. {2}, {3}: `cargo run --release --manifest-path examples/peers/Cargo.toml` ([more](examples/peers/README.md)).\n\n",
        ours.name,
        c.cores,
        rounds_of(c),
        c.date,
    );
    let mut head = vec![String::new()];
    head.extend(SHORT.iter().map(|(_, head)| (*head).to_owned()));
    head.extend(["p99", "CPU", "idle", "dbcheck", "lines", "crates"].map(String::from));
    let shown = figures.servers.iter().filter(|it| !LEFT_OUT.contains(&it.name.as_str()));
    let rows = shown.map(|server| {
        let mut row = vec![server.name.clone()];
        for (scenario, _) in SHORT {
            row.push(if std::ptr::eq(server, ours) {
                cell(server.median(scenario, |run| run.per_second), whole)
            } else {
                cell(server.ratio(ours, scenario), ratio)
            });
        }
        row.push(cell(server.median("get64", |run| run.p99), time));
        row.push(cell(server.median("get64", |run| run.cpu), time));
        row.push(cell(server.idle_connection(), |kib| format!("{kib:.0} KiB")));
        row.extend(beside(server));
        row
    });
    table(&mut out, &head, rows);
    out.push_str(
        "\n![Requests per second against connections, 1 to 1,000, both logarithmic: one line for each server]\
         (examples/peers/plots/requests.svg)\n\n",
    );
    out.push_str(&disk_sentences(figures));
    out
}

/// What README says of the disk.
fn disk_sentences(figures: &Figures) -> String {
    let mut parts = Vec::new();
    for durable in figures.durable.iter().filter(|d| is_server(figures, d)) {
        let rate = whole(durable.median(|run| run.per_second));
        let on = if durable.connections == 1 { "1 connection" } else { "64 connections" };
        let mut part = format!("{} {rate} sets/s on {on}", durable.name);
        let others = figures.durable.iter().filter(|d| !is_server(figures, d));
        for other in others.filter(|other| other.connections == durable.connections) {
            let times = cell(durable.ratio(other), ratio);
            let _ = write!(part, ", {times} × {}", other.name);
        }
        parts.push(part);
    }
    let mut out = format!(
        "On the disk before the answer (`--sync always`; redis with appendfsync always):\n{}.\n",
        parts.join(";\n")
    );
    if let Some((ours, others)) = figures.loading.split_first() {
        let seconds = cell(median(ours.seconds.clone()), |s| format!("{s:.2} s"));
        let memory = cell(median(ours.memory.clone()), |kib| format!("{:.0} MiB", kib / 1024.0));
        let loaded = whole(figures.conditions.loaded as f64);
        let _ = write!(out, "{} loads {loaded} pairs in {seconds}, with {memory}", ours.name);
        for other in others {
            let times = cell(ours.ratio(other), ratio);
            let _ = write!(out, ", {times} × the time of {}", other.name);
        }
        out.push_str(".\n");
    }
    out
}

fn is_server(figures: &Figures, durable: &Durable) -> bool {
    figures.servers.iter().any(|server| server.name == durable.name)
}
