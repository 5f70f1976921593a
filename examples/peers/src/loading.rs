//! The start with a full file: how long until a value can be read, and with how much memory.
//!
//! The same pairs for all, in a JSON-lines file for ours, and in the two forms of redis. The files
//! have just been written, so what is measured is the reading, not the disk. Next: [`crate::size`].

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Result, ensure};

use crate::building::Built;
use crate::client::Client;
use crate::figures::Loading;
use crate::options::Options;
use crate::process::Server;
use crate::progress::say;
use crate::redis;
use crate::subjects::Subject;

/// Measures the rounds.
///
/// # Errors
///
/// If a server does not start, or does not have all pairs.
pub(crate) fn measure(
    subject: &'static Subject,
    built: &Built,
    options: &Options,
    folder: &Path,
) -> Result<Vec<Loading>> {
    let count = options.pairs;
    say(format!("writing {count} pairs"));
    let data = folder.join("loading.jsonl");
    write_lines(&data, count)?;
    let redis_folder = folder.join("loading-redis");
    if redis::is_installed() {
        fs::create_dir(&redis_folder)?;
        let (server, _) = redis::start("redis", redis::APPEND_ONLY, &redis_folder)?;
        redis::fill(server.port, pairs(count))?;
        let saved = redis::command(server.port, "SAVE")?;
        ensure!(saved == "+OK", "redis-server does not save: {saved}");
    }
    let mut found: Vec<Loading> = Vec::new();
    for round in 0..options.rounds {
        say(format!("round {} of {}: loading {count} pairs", round + 1, options.rounds));
        let mut note = |name: &str, seconds: f64, server: &Server| {
            let memory = server.status("VmHWM") as f64;
            say(format!("      {name:<20} {seconds:.2} s, {:.0} MiB", memory / 1024.0));
            if !found.iter().any(|loading| loading.name == name) {
                let name = name.to_owned();
                found.push(Loading { name, seconds: Vec::new(), memory: Vec::new() });
            }
            for loading in found.iter_mut().filter(|loading| loading.name == name) {
                loading.seconds.push(seconds);
                loading.memory.push(memory);
            }
        };
        if let (Some(words), Some(arguments)) = (built.words(subject), subject.durable) {
            let mut server = Server::start(subject.name, words, arguments, folder, &data)?;
            let (key, value) = pair(count - 1);
            let target = format!("/get?key={key}");
            let has_last = |port| {
                let answer = Client::connect(port).and_then(|mut client| client.get(&target));
                answer.is_ok_and(|answer| answer.body == value.as_bytes())
            };
            let took = server.wait_until(has_last)?.as_secs_f64();
            note(subject.name, took, &server);
        }
        if redis::is_installed() {
            for (name, mode) in
                [("redis, snapshot", redis::SNAPSHOT), ("redis, log", redis::APPEND_ONLY)]
            {
                let (server, took) = redis::start("redis", mode, &redis_folder)?;
                let size = redis::command(server.port, "DBSIZE")?;
                ensure!(size == format!(":{count}"), "{name} has {size} pairs, not {count}");
                note(name, took.as_secs_f64(), &server);
            }
        }
    }
    Ok(found)
}

fn write_lines(path: &Path, count: usize) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for (key, value) in pairs(count) {
        writeln!(file, r#"{{"key":"{key}","value":"{value}"}}"#)?;
    }
    file.into_inner()?.sync_all()?;
    Ok(())
}

fn pairs(count: usize) -> impl Iterator<Item = (String, String)> {
    (0..count).map(pair)
}

/// A key of 16 bytes and a value of 100 that does not compress, as redis would do it: letters and
/// digits by splitmix64, which gives the same in each run.
fn pair(number: usize) -> (String, String) {
    const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    let mut state = number as u64;
    let mut value = String::with_capacity(100);
    while value.len() < 100 {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        for shift in (0..60).step_by(6).take(100 - value.len()) {
            value.push(char::from(LETTERS[(bits >> shift & 63) as usize]));
        }
    }
    (format!("key:{number:012}"), value)
}
