//! The servers that are compared: one row for each, and how each is built and started.
//!
//! A new one is a row here and, if it is in Rust, a program in `servers/` with a feature of its own
//! in `Cargo.toml`. Next: [`crate::process`], where they run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::progress::say;

/// One server.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) program: Program,
    /// What it is started with, pairs in memory only. `{port}` is replaced.
    pub(crate) memory: &'static str,
    /// What it is started with when a 200 shall mean that the pair is on the disk. `{data}` is
    /// replaced, too. None: it cannot, or is not asked.
    pub(crate) durable: Option<&'static str>,
    /// Its source, from the root of the repository: files, or a folder without its `bin`.
    pub(crate) sources: &'static [&'static str],
    /// In the plots: blue to violet for event loops, green for threads, brown for other languages. A
    /// colour of middle brightness can be read on white and on black.
    pub(crate) colour: (u8, u8, u8),
}

/// Where a server's program comes from.
#[derive(Clone, Copy)]
pub(crate) enum Program {
    /// One of dbserver's own package: `--bin` or `--example`, and its name.
    Ours(&'static str, &'static str),
    /// A binary of this package, behind the feature of the same name; `plain` needs none.
    Peer(&'static str),
    /// A script, and the program that runs it.
    Script(&'static str, &'static str),
    /// The one in Go.
    Go,
}

const PORT: &str = "--port {port}";
const FILE: &str = "--port {port} --data {data}";
const SHARED: &str = "examples/peers/servers/shared.rs";
const TASK: &str = "examples/peers/servers/task.rs";

/// All of them, ours first: the ratios are to the first row.
pub(crate) const SUBJECTS: &[Subject] = &[
    Subject {
        name: "dbserver",
        what: "this project: a thread for each connection",
        program: Program::Ours("--bin", "dbserver"),
        memory: "--port {port} --memory",
        durable: Some(FILE),
        sources: &["src"],
        colour: (224, 82, 20),
    },
    Subject {
        name: "plain",
        what: "a thread for each connection, a canned answer, no parsing",
        program: Program::Peer("plain"),
        memory: PORT,
        durable: None,
        sources: &["examples/peers/servers/plain.rs"],
        colour: (128, 128, 128),
    },
    Subject {
        name: "hyper",
        what: "the HTTP library below axum, on tokio",
        program: Program::Peer("hyper"),
        memory: PORT,
        durable: None,
        sources: &["examples/peers/servers/hyper.rs", SHARED, TASK],
        colour: (46, 125, 220),
    },
    Subject {
        name: "axum",
        what: "a framework on hyper and tokio",
        program: Program::Peer("axum"),
        memory: PORT,
        durable: None,
        sources: &["examples/peers/servers/axum.rs", SHARED],
        colour: (26, 145, 160),
    },
    Subject {
        name: "actix-web",
        what: "a framework with an HTTP of its own",
        program: Program::Peer("actix"),
        memory: PORT,
        durable: None,
        sources: &["examples/peers/servers/actix.rs", SHARED],
        colour: (134, 98, 214),
    },
    Subject {
        name: "ntex",
        what: "a framework with an HTTP of its own",
        program: Program::Peer("ntex"),
        memory: PORT,
        durable: None,
        sources: &["examples/peers/servers/ntex.rs", SHARED],
        colour: (190, 80, 180),
    },
    Subject {
        name: "tiny_http",
        what: "an HTTP library of threads",
        program: Program::Peer("tiny_http"),
        memory: PORT,
        durable: None,
        sources: &["examples/peers/servers/tiny_http.rs", SHARED, TASK],
        colour: (52, 145, 72),
    },
    Subject {
        name: "rouille",
        what: "a framework on tiny_http",
        program: Program::Peer("rouille"),
        memory: PORT,
        durable: None,
        sources: &["examples/peers/servers/rouille.rs", SHARED, TASK],
        colour: (122, 138, 40),
    },
    Subject {
        name: "Go",
        what: "net/http of the standard library",
        program: Program::Go,
        memory: "{port}",
        durable: None,
        sources: &["examples/peers/servers/go/main.go"],
        colour: (176, 130, 20),
    },
    Subject {
        name: "Node",
        what: "http of the standard library, one process",
        program: Program::Script("node", "examples/peers/servers/node.js"),
        memory: "{port}",
        durable: None,
        sources: &["examples/peers/servers/node.js"],
        colour: (186, 108, 62),
    },
    Subject {
        name: "Python",
        what: "http.server of the standard library, a thread for each connection",
        program: Program::Script("python3", "examples/peers/servers/python.py"),
        memory: "{port}",
        durable: None,
        sources: &["examples/peers/servers/python.py"],
        colour: (150, 112, 92),
    },
];

/// The durable server that most would write. It is compared only where sets are durable.
pub(crate) const SQLITE: Subject = Subject {
    name: "SQLite behind axum",
    what: "WAL, synchronous=FULL",
    program: Program::Peer("sqlite"),
    memory: FILE,
    durable: Some(FILE),
    sources: &["examples/peers/servers/sqlite.rs"],
    colour: (128, 128, 128),
};

/// The programs, once they are built: for each server the words that start it, up to its arguments.
pub(crate) struct Built {
    words: BTreeMap<&'static str, Vec<PathBuf>>,
    /// The checker of this repository.
    pub(crate) dbcheck: PathBuf,
}

impl Built {
    /// The words that start a server; None where what it needs is not installed.
    pub(crate) fn words(&self, subject: &Subject) -> Option<&[PathBuf]> {
        self.words.get(subject.name).map(Vec::as_slice)
    }
}

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}

/// Builds all that these servers need. What is not installed is said, and left out.
///
/// # Errors
///
/// If something does not compile.
pub(crate) fn build(subjects: &[&'static Subject], quick: bool) -> Result<Built> {
    let mut ours = vec!["--bin", "dbcheck"];
    let mut peers = Vec::new();
    let mut features = Vec::new();
    for subject in subjects {
        match subject.program {
            Program::Ours(kind, name) => ours.extend([kind, name]),
            Program::Peer(name) => {
                peers.push(format!("--bin=peer-{name}"));
                features.extend((name != "plain").then_some(name));
            }
            Program::Script(..) | Program::Go => {}
        }
    }
    let peers: Vec<&str> = peers.iter().map(String::as_str).collect();
    let features = features.join(",");
    let mut options = vec!["--no-default-features", "--features", &features];
    options.extend(peers);
    let mut programs = cargo_build(&root().join("Cargo.toml"), &ours, quick)?;
    programs.extend(cargo_build(&root().join("examples/peers/Cargo.toml"), &options, quick)?);

    let find = |name: &str| {
        programs.get(name).cloned().with_context(|| format!("cargo did not say where {name} is"))
    };
    let mut built = Built { words: BTreeMap::new(), dbcheck: find("dbcheck")? };
    for subject in subjects {
        let words = match subject.program {
            Program::Ours(_, name) => Some(vec![find(name)?]),
            Program::Peer(name) => Some(vec![find(&format!("peer-{name}"))?]),
            Program::Script(runs, file) => which(runs).map(|runs| vec![runs, root().join(file)]),
            Program::Go => go_build()?.map(|program| vec![program]),
        };
        match words {
            Some(words) => drop(built.words.insert(subject.name, words)),
            None => say(format!("{} is left out: it is not installed", subject.name)),
        }
    }
    Ok(built)
}

/// Builds with cargo; returns where each program is.
fn cargo_build(
    manifest: &Path,
    options: &[&str],
    quick: bool,
) -> Result<BTreeMap<String, PathBuf>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--locked", "--message-format=json-render-diagnostics"]);
    command.args((!quick).then_some("--release")).args(options);
    command.arg("--manifest-path").arg(manifest).stderr(Stdio::inherit());
    let output = command.output().context("cannot run cargo")?;
    ensure!(output.status.success(), "{} does not build", manifest.display());
    let mut programs = BTreeMap::new();
    for line in output.stdout.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let message: Value = serde_json::from_slice(line).context("cargo's message")?;
        if let (Some(path), Some(name)) =
            (message["executable"].as_str(), message["target"]["name"].as_str())
        {
            programs.insert(name.to_owned(), PathBuf::from(path));
        }
    }
    Ok(programs)
}

/// Builds the server in Go beside this program; None where there is no Go.
fn go_build() -> Result<Option<PathBuf>> {
    let Some(go) = which("go") else { return Ok(None) };
    let program = std::env::current_exe()?.with_file_name("peer-go");
    let mut command = Command::new(go);
    command.args(["build", "-o"]).arg(&program).arg(".");
    let folder = root().join("examples/peers/servers/go");
    if !command.current_dir(folder).status().context("cannot run go")?.success() {
        bail!("the server in Go does not build");
    }
    Ok(Some(program))
}

/// Where a program is that the user has installed.
pub(crate) fn which(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file())
}
