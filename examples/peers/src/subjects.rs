//! The servers that are compared: one row for each.
//!
//! A new one is a row here and, if it is in Rust, a program in `servers/` with a feature of its own
//! in `Cargo.toml`. Next: [`crate::building`].

use std::path::Path;

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
        name: "event_loop",
        what: "this project's HTTP on epoll: two threads for all clients",
        program: Program::Ours("--example", "event_loop"),
        memory: PORT,
        durable: Some(FILE),
        sources: &["examples/event_loop"],
        colour: (214, 51, 108),
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

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}
