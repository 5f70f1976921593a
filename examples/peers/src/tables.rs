//! The tables, in Markdown: a short one for README, and the page with everything.
//!
//! Next: [`crate::plots`].

use std::fmt::Write as _;

use crate::figures::{Conditions, Durable, Figures, ServerFigures, median};
use crate::load::{Run, SCENARIOS, Scenario};
use crate::plots::PLOTS;

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

/// README's section, without its heading.
pub(crate) fn section(figures: &Figures) -> String {
    let c = &figures.conditions;
    let ours = &figures.servers[0];
    let mut out = format!(
        "Pairs in memory, {1} cores shared with the client. {0}'s row has requests per second, the others their ratio to that: above\n\
         1 is faster than {0}. The columns: gets on 1 connection (client and server on one core), 16, 64, 256 and 1,000; *pipelined*,\n\
         16 at once on each of 64; *set*, on 64; *closed*, gets on 16, each on a new connection. At 64 connections, p99 and CPU per\n\
         request. Memory per idle connection; dbcheck's points without its durable tier; lines of code; crates. *plain* parses nothing\n\
         and sends a canned answer. {2}, {3}. This section is made by\n\
         `cargo run --release --manifest-path examples/peers/Cargo.toml`; [examples/peers](examples/peers/README.md) has the servers,\n\
         how to read this, and [all figures](examples/peers/RESULTS.md).\n\n",
        ours.name,
        c.cores,
        rounds_of(c),
        c.date,
    );
    let mut head = vec![String::new()];
    head.extend(SHORT.iter().map(|(_, head)| (*head).to_owned()));
    head.extend(["p99", "CPU", "idle", "dbcheck", "lines", "crates"].map(String::from));
    let rows = figures.servers.iter().map(|server| {
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

/// How often and how long.
fn rounds_of(c: &Conditions) -> String {
    match c.rounds {
        1 => format!("One round of {} s", c.seconds),
        rounds => format!("Medians of {rounds} interleaved rounds of {} s", c.seconds),
    }
}

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

fn beside(server: &ServerFigures) -> [String; 3] {
    [
        cell(server.score, |(passed, of)| format!("{passed}/{of}")),
        whole(server.lines as f64),
        cell(server.crates, |crates| crates.to_string()),
    ]
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

fn table(out: &mut String, head: &[String], rows: impl Iterator<Item = Vec<String>>) {
    let _ = writeln!(out, "| {} |", head.join(" | "));
    let _ = writeln!(out, "|---{}|", "|--:".repeat(head.len() - 1));
    for row in rows {
        let _ = writeln!(out, "| {} |", row.join(" | "));
    }
}

fn cell<T>(figure: Option<T>, form: impl Fn(T) -> String) -> String {
    figure.map_or_else(|| "–".to_owned(), form)
}

fn ratio(ratio: f64) -> String {
    if ratio < 10.0 { format!("{ratio:.2}") } else { format!("{ratio:.0}") }
}

/// Seconds, in the unit that gives one to three digits before the point.
fn time(seconds: f64) -> String {
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
