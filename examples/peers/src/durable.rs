//! Sets that are on the disk before they are answered: ours, redis, SQLite, and the disk itself.
//!
//! All in one folder, so on one disk, and in turn. Next: [`crate::loading`].

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::building::Built;
use crate::client::Client;
use crate::figures::Durable;
use crate::load::{self, Run, Scenario};
use crate::options::Options;
use crate::process::Server;
use crate::progress::say;
use crate::redis;
use crate::subjects::Subject;

/// One connection waits for each sync; of many, those that wait together can share one.
const CONNECTIONS: [u32; 2] = [1, 64];

/// What takes the sets.
enum Target {
    Http(Server),
    Redis(Server),
    /// Appends 100 bytes to a file and syncs it, again and again: no server that appends can do more on
    /// one connection.
    Disk,
}

/// Measures the rounds. What is not installed is left out.
///
/// # Errors
///
/// If a server does not start, or does not keep a pair.
pub(crate) fn measure(
    subjects: &[&'static Subject],
    built: &Built,
    options: &Options,
    folder: &Path,
) -> Result<Vec<Durable>> {
    let mut targets = vec![("the disk alone".to_owned(), Target::Disk)];
    if redis::is_installed() {
        let own = folder.join("durable-redis");
        fs::create_dir(&own)?;
        let (server, _) = redis::start("redis", redis::DURABLE, &own)?;
        targets.push(("redis".to_owned(), Target::Redis(server)));
    }
    for subject in subjects {
        if let (Some(words), Some(arguments)) = (built.words(subject), subject.durable) {
            let data = folder.join(format!("{}.data", subject.name.replace(' ', "-")));
            let mut server = Server::start(subject.name, words, arguments, folder, &data)?;
            server.wait_until(|port| Client::connect(port).is_ok())?;
            keeps(&server)?;
            targets.push((subject.name.to_owned(), Target::Http(server)));
        }
    }
    let mut found: Vec<Durable> = Vec::new();
    // Keys that no other run has: the numbers of the other runs are below.
    let mut number = 5000;
    for round in 0..options.rounds {
        for connections in CONNECTIONS {
            say(format!(
                "round {} of {}: durable sets, connections: {connections}",
                round + 1,
                options.rounds
            ));
            for (name, target) in &targets {
                number += 1;
                let run = match target {
                    Target::Http(server) => load::run(server, &sets(connections), options, number)?,
                    Target::Redis(server) => redis::load(server, connections, options.seconds)?,
                    Target::Disk if connections == 1 => disk(folder, options.seconds)?,
                    Target::Disk => continue,
                };
                say(format!("      {name:<20} {:>7.0}/s", run.per_second));
                let is_same = |d: &&mut Durable| d.name == *name && d.connections == connections;
                match found.iter_mut().find(is_same) {
                    Some(durable) => durable.runs.push(run),
                    None => {
                        found.push(Durable { name: name.clone(), connections, runs: vec![run] });
                    }
                }
            }
        }
    }
    found.sort_by_key(|durable| durable.connections);
    Ok(found)
}

fn sets(connections: u32) -> Scenario {
    Scenario {
        name: "durable sets",
        what: "",
        connections,
        mode: "new",
        depth: 1,
        closes: false,
        on_one_core: false,
    }
}

fn keeps(server: &Server) -> Result<()> {
    let mut client = Client::connect(server.port)?;
    let set = client.get("/set?alpha=beta")?;
    let get = client.get("/get?key=alpha")?;
    let is_kept = set.status == 200 && get.status == 200 && get.body == b"beta";
    ensure!(is_kept, "{} does not keep a pair: {}", server.name, server.said());
    Ok(())
}

fn disk(folder: &Path, seconds: f64) -> Result<Run> {
    let path = folder.join("disk");
    let mut file = File::create(&path).with_context(|| path.display().to_string())?;
    let begun = Instant::now();
    let mut times = Vec::new();
    while begun.elapsed().as_secs_f64() < seconds {
        let before = Instant::now();
        file.write_all(&[b'v'; 100])?;
        file.sync_data()?;
        times.push(before.elapsed().as_secs_f64());
    }
    let per_second = times.len() as f64 / begun.elapsed().as_secs_f64();
    fs::remove_file(&path)?;
    times.sort_by(f64::total_cmp);
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or(0.0);
    Ok(Run { per_second, p50: at(50), p99: at(99), cpu: 0.0, errors: 0, others: 0.0 })
}
