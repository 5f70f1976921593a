//! Exposure: what a server gives away to whoever can reach it, and to their browsers.

use std::fs;
use std::path::{Path, PathBuf};

use crate::checks::check::{Check, Tier};
use crate::checks::run::Run;
use crate::checks::steps::short;
use crate::checks::verdict::{Outcome, Pass, Stop, fail};
use crate::client::answer::Answer;
use crate::client::exchange::{Exchange, encode};

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "text-is-no-page",
        tier: Tier::Robust,
        what: "A stored <script> does not come back as a page.",
        why: "Whoever can set a pair, or make somebody's browser set it, runs a script in the browser of whoever gets it.",
        rfc: Some("RFC 9110 §8.3"),
        chapter: 2,
        run: text_is_no_page,
    },
    Check {
        name: "serves-no-files",
        tier: Tier::Robust,
        what: "No file of the server's folder, or of the system, is to be had.",
        why: "What is not in the spec is left to a framework, and some of them serve files: the source, the data, the keys.",
        rfc: None,
        chapter: 5,
        run: serves_no_files,
    },
];

fn text_is_no_page(run: &mut Run) -> Outcome {
    run.needs_dialect()?;
    let decodes = run.needs_decoding().is_ok();
    let value = run.fresh(if decodes { "<script>alert(1)</script>" } else { "v" });
    let key = run.fresh("k");
    let set = run.client.set(&key, &encode(&value));
    if !set.is_stored(&run.client.dialect) {
        // Refused: nobody gets it.
        return Ok(Pass::Plainly);
    }
    let (get, answer) = run.get(&key)?;
    let is_there = String::from_utf8_lossy(&answer.body).contains(&value);
    let kind = answer.field("Content-Type").map(str::to_ascii_lowercase);
    let is_page = |kind: &str| {
        ["text/html", "application/xhtml", "image/svg"].iter().any(|page| kind.starts_with(page))
    };
    match kind {
        Some(kind) if is_there && is_page(&kind) => {
            let expected =
                format!("expected that {} is not a page; it comes as {kind}", short(&value));
            Err(fail(expected).with(&set).with(&get).at(content_type_at(&get, &answer)))
        }
        None if is_there && answer.field("X-Content-Type-Options").is_none() => {
            Ok(Pass::Loosely("without Content-Type a browser guesses what the value is".into()))
        }
        _ => Ok(Pass::Plainly),
    }
}

/// Where Content-Type is in what was received.
fn content_type_at(get: &Exchange, answer: &Answer) -> usize {
    let head = get.received.get(..answer.body_at).unwrap_or_default().to_ascii_lowercase();
    head.windows(13).position(|window| window == b"content-type:").unwrap_or(0)
}

/// Pages and pictures are made to be served.
const PUBLIC: [&str; 9] =
    ["html", "htm", "css", "ico", "png", "svg", "webmanifest", "woff2", "txt"];

/// No more files of one folder are asked for.
const MOST_FILES: usize = 12;

fn serves_no_files(run: &mut Run) -> Outcome {
    run.needs_dialect()?;
    let folders = run.target.working_folders(run.client.address.port());
    // In a folder that is ours there may be nothing yet that it could serve.
    let planted = plant(run);
    let mut listed = Vec::new();
    for folder in &folders {
        let files = files(folder);
        listed.push(files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
        for (name, content) in files {
            for target in [format!("/{}", encode(&name)), format!("/get/../{}", encode(&name))] {
                let ask = run.client.ask_elsewhere("GET", &target);
                brings(&ask, &content, &format!("{name} of the server's folder"))?;
            }
        }
    }
    if let Some(file) = planted {
        let _ = fs::remove_file(file);
    }
    lists_no_folder(run, &listed)?;
    let Ok(system) = fs::read("/etc/passwd") else { return Ok(Pass::Plainly) };
    let up = [("../", "/"), ("%2e%2e/", "/"), ("..%2f", "%2f")];
    for (parent, slash) in up {
        let target = format!("/{}etc{slash}passwd", parent.repeat(12));
        brings(&run.client.ask_elsewhere("GET", &target), &system, "/etc/passwd")?;
    }
    Ok(Pass::Plainly)
}

/// A file in the folder that is ours, for the time of this check.
fn plant(run: &mut Run) -> Option<PathBuf> {
    let folder = run.target.files.own_folder()?;
    let file = folder.join("config.json");
    let content = format!("{{\"password\": \"{}\"}}\n", run.fresh("secret"));
    (!file.exists() && fs::write(&file, content).is_ok()).then_some(file)
}

/// Names and contents of what is in a folder and not made to be served.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    let is_public = |path: &PathBuf| {
        let end = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        PUBLIC.contains(&end.as_str())
    };
    let known = paths.into_iter().filter(|path| !is_public(path)).filter_map(|path| {
        let about = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
        let size = about.len();
        let content = fs::read(&path).ok().filter(|_| (16..1 << 20).contains(&size))?;
        Some((path.file_name()?.to_str()?.to_string(), content))
    });
    known.take(MOST_FILES).collect()
}

/// Whether this answer is without the beginning of a file.
fn brings(ask: &Exchange, content: &[u8], what: &str) -> Result<(), Stop> {
    let Ok(answer) = &ask.answer else { return Ok(()) };
    let begin = &content[..content.len().min(64)];
    match answer.body.windows(begin.len()).position(|window| window == begin) {
        Some(at) => {
            let expected = format!("expected an error, got {what}");
            Err(fail(expected).with(ask).at(answer.body_at + at))
        }
        None => Ok(()),
    }
}

/// Whether / is not a list of a folder's files.
fn lists_no_folder(run: &Run, folders: &[Vec<String>]) -> Result<(), Stop> {
    let ask = run.client.ask_elsewhere("GET", "/");
    let Some(answer) = ask.answer.as_ref().ok() else { return Ok(()) };
    let body = String::from_utf8_lossy(&answer.body);
    let is_listed = |names: &&Vec<String>| {
        names.len() > 1 && names.iter().all(|name| body.contains(name.as_str()))
    };
    match folders.iter().find(is_listed) {
        Some(names) => {
            let expected =
                format!("expected an error, got a list of files, {} among them", names[0]);
            Err(fail(expected).with(&ask).at(answer.body_at))
        }
        None => Ok(()),
    }
}
