//! The page with all figures, in Markdown.
//!
//! Next: [`crate::plots`].

use std::fmt::Write as _;

use crate::cells::{beside, cell, ratio, rounds_of, table, time, whole};
use crate::figures::{Durable, Figures, ServerFigures, median};
use crate::load::{Run, SCENARIOS, Scenario};
use crate::plots::PLOTS;

/// The page with all figures.
pub(crate) fn page(figures: &Figures) -> String {
    let c = &figures.conditions;
    let mut out = format!(
        "# Figures\n\n\
         Written by `cargo run --release` in this folder; [README.md](README.md) says how to read them.\n\n\
         {}, {}, {} cores, shared by server and client. {} (twice that from 256 connections). {} pairs, keys of 10 bytes, values\n\
         of 100. {}\n",
        c.date,
        c.system,
        c.cores,
        rounds_of(c),
        whole(c.pairs as f64),
        others(figures),
    );
    if !figures.left_out.is_empty() {
        let _ = writeln!(out, "\nNot installed, so not here: {}.", figures.left_out.join(", "));
    }

    out.push_str("\n## The servers\n\n");
    let head = ["", "what it is", "dbcheck", "lines of code", "crates"].map(String::from);
    let rows = figures.servers.iter().map(|server| {
        let mut row = vec![server.name.clone(), server.what.clone()];
        row.extend(beside(server));
        row
    });
    table(&mut out, &head, rows);

    let ours = &figures.servers[0];
    let sections: [(String, Figure); 5] = [
        ("Requests per second".to_owned(), |server, _, scenario| {
            cell(server.median(scenario.name, |run| run.per_second), whole)
        }),
        (format!("Requests per second, {} ÷ each", ours.name), |server, ours, scenario| {
            cell(ours.ratio(server, scenario.name), ratio)
        }),
        ("Latency, median".to_owned(), |server, _, scenario| {
            latency(server, scenario, |run| run.p50)
        }),
        ("Latency, 99th percentile".to_owned(), |server, _, scenario| {
            latency(server, scenario, |run| run.p99)
        }),
        ("CPU of the server for each request".to_owned(), |server, _, scenario| {
            cell(server.median(scenario.name, |run| run.cpu), time)
        }),
    ];
    for (title, figure) in sections {
        let _ = write!(out, "\n## {title}\n\n");
        by_scenario(&mut out, figures, figure);
    }

    memory(&mut out, figures);
    for plot in PLOTS {
        let _ = write!(out, "\n![{}](plots/{})\n", plot.title, plot.file);
    }
    disk(&mut out, figures);
    notes(&mut out, figures);
    out
}

/// A cell for one server, beside ours, in one scenario.
type Figure = fn(&ServerFigures, &ServerFigures, &Scenario) -> String;

/// A row for each scenario that was measured, a column for each server.
fn by_scenario(out: &mut String, figures: &Figures, figure: Figure) {
    let ours = &figures.servers[0];
    let mut head = vec![String::new()];
    head.extend(figures.servers.iter().map(|server| server.name.clone()));
    let was_measured =
        |scenario: &&Scenario| figures.servers.iter().any(|s| s.runs.contains_key(scenario.name));
    let rows = SCENARIOS.iter().filter(was_measured).map(|scenario| {
        let mut row = vec![scenario.what.to_owned()];
        row.extend(figures.servers.iter().map(|server| figure(server, ours, scenario)));
        row
    });
    table(out, &head, rows);
}

/// wrk's percentiles assume that requests are sent one by one.
fn latency(server: &ServerFigures, scenario: &Scenario, figure: fn(&Run) -> f64) -> String {
    let shown = if scenario.depth == 1 { server.median(scenario.name, figure) } else { None };
    cell(shown, time)
}

fn memory(out: &mut String, figures: &Figures) {
    out.push_str("\n## Resident memory, MiB, with idle connections\n\n");
    let most = figures.servers.iter().map(|server| &server.memory).max_by_key(|m| m.len());
    let Some(most) = most else { return };
    let mut head = vec![String::new()];
    head.extend(most.iter().map(|&(connections, _)| whole(f64::from(connections))));
    head.push("KiB for each".to_owned());
    let rows = figures.servers.iter().map(|server| {
        let mut row = vec![server.name.clone()];
        row.extend(most.iter().map(|&(connections, _)| {
            let found = server.memory.iter().find(|(count, _)| *count == connections);
            cell(found, |&(_, kib)| format!("{:.1}", kib as f64 / 1024.0))
        }));
        row.push(cell(server.idle_connection(), |kib| format!("{kib:.1}")));
        row
    });
    table(out, &head, rows);
}

fn disk(out: &mut String, figures: &Figures) {
    out.push_str(
        "\n## Sets that are on the disk before they are answered\n\n\
         redis with appendfsync always; the disk alone: 100 bytes are appended and synced (fdatasync), again and again.\n\n",
    );
    let head = ["", "connections", "sets/s", "p50", "p99", "÷ redis"].map(String::from);
    let rows = figures.durable.iter().map(|durable| {
        let redis = redis_at(figures, durable.connections);
        vec![
            durable.name.clone(),
            durable.connections.to_string(),
            whole(durable.median(|run| run.per_second)),
            time(durable.median(|run| run.p50)),
            time(durable.median(|run| run.p99)),
            cell(redis.and_then(|redis| durable.ratio(redis)), ratio),
        ]
    });
    table(out, &head, rows);
    let loaded = whole(figures.conditions.loaded as f64);
    let _ = write!(
        out,
        "\n## A start with {loaded} pairs\n\n\
         From a file that is in memory already; redis from its snapshot (RDB) and from its log (AOF).\n\n"
    );
    let head = ["", "until a value can be read", "resident memory"].map(String::from);
    let rows = figures.loading.iter().map(|loading| {
        vec![
            loading.name.clone(),
            cell(median(loading.seconds.clone()), |seconds| format!("{seconds:.2} s")),
            cell(median(loading.memory.clone()), |kib| format!("{:.0} MiB", kib / 1024.0)),
        ]
    });
    table(out, &head, rows);
}

fn redis_at(figures: &Figures, connections: u32) -> Option<&Durable> {
    let mut all = figures.durable.iter();
    all.find(|durable| durable.name.starts_with("redis") && durable.connections == connections)
}

/// How quiet the machine was.
fn others(figures: &Figures) -> String {
    let runs = figures.servers.iter().flat_map(|server| server.runs.values());
    let others: Vec<f64> = runs.flatten().flatten().map(|run| run.others).collect();
    let most = others.iter().copied().fold(0.0, f64::max);
    match median(others) {
        Some(median) => {
            format!("Other programs used {median:.2} cores meanwhile (median), at most {most:.2}.")
        }
        None => String::new(),
    }
}

fn notes(out: &mut String, figures: &Figures) {
    out.push_str("\n## What went wrong\n\n");
    let mut lines = Vec::new();
    for server in &figures.servers {
        lines.extend(server.notes.iter().map(|note| format!("- {}: {note}\n", server.name)));
        for (scenario, runs) in &server.runs {
            let errors: u64 = runs.iter().flatten().map(|run| run.errors).sum();
            let failed = runs.iter().filter(|run| run.is_none()).count();
            for (count, what) in
                [(errors, "answers that were errors, or none"), (failed as u64, "failed runs")]
            {
                if count > 0 {
                    let count = whole(count as f64);
                    lines.push(format!("- {}, {scenario}: {count} {what}\n", server.name));
                }
            }
        }
    }
    if lines.is_empty() {
        lines.push("Nothing: each request was answered with 200.\n".to_owned());
    }
    out.extend(lines);
}
