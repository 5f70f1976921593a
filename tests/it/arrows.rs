//! The rooms of the source, and the rule that arrows go down only: a room knows those below it, and
//! nobody above. Each arrow that goes up is named with its file and line.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A room, or a file in it, and the paths that may follow `crate::` there, with all below them. Files
/// beside the rooms may know all.
type Rooms<'a> = &'a [(&'a str, &'a [&'a str])];

/// `watch` has two floors: everybody may say what happens, and who shows it is above everybody.
const LIBRARY: Rooms = &[
    ("net", &["net", "http", "store::engine", "config", "lock", "watch::stage", "watch::warning"]),
    ("http", &["http", "handlers", "store::engine", "config", "watch::stage"]),
    ("store", &["store", "lock", "watch::stage", "watch::warning"]),
    ("watch/stage.rs", &[]),
    ("watch/warning.rs", &[]),
];

/// What `http` gets along without: it is handed bytes, and the time.
const NOT_IN_HTTP: [&str; 5] = ["TcpStream", "TcpListener", "std::thread", "Instant", "::now("];

const DBCHECK: Rooms = &[
    ("client", &["client"]),
    ("target", &["target", "client"]),
    ("checks", &["checks", "target", "client"]),
    ("report", &["report", "checks", "client"]),
];

/// A place in the source, and the path that is used there, without `crate::`.
struct Arrow {
    file: PathBuf,
    line: usize,
    path: Vec<String>,
}

/// What goes up from a room, as `FILE:LINE: …`.
fn going_up(arrows: &[Arrow], rooms: Rooms) -> Vec<String> {
    let mut wrong = Vec::new();
    for (room, allowed) in rooms {
        for Arrow { file, line, path } in arrows.iter().filter(|arrow| arrow.file.starts_with(room))
        {
            let path = path.join("::");
            let is_below = |room: &&str| format!("{path}::").starts_with(&format!("{room}::"));
            if !allowed.iter().any(is_below) {
                let file = file.display();
                wrong.push(format!("{file}:{line}: {room}/ must not know crate::{path}"));
            }
        }
    }
    wrong
}

/// Files that know each other in a circle, inside a room or across: they can only be read at once.
/// A file that is not in any of them, and is not used by any, is left out step by step; what stays
/// is a circle.
fn in_a_circle(arrows: &[Arrow]) -> Vec<String> {
    let mut left: Vec<(PathBuf, PathBuf, String)> = arrows
        .iter()
        .map(|Arrow { file, line, path }| {
            // A path with a small first letter on its second place names a file of a room.
            let inner = path.get(1).filter(|name| name.starts_with(char::is_lowercase));
            let to: PathBuf = match inner {
                Some(inner) if arrows.iter().any(|it| it.file.starts_with(&path[0])) => {
                    [&path[0], &format!("{inner}.rs")].iter().collect()
                }
                _ => format!("{}.rs", path[0]).into(),
            };
            (file.clone(), to, format!("{}:{line}: crate::{}", file.display(), path.join("::")))
        })
        .filter(|(from, to, _)| from != to)
        .collect();
    loop {
        let before = left.len();
        let all = left.clone();
        left.retain(|(from, to, _)| {
            all.iter().any(|(_, used, _)| used == from) && all.iter().any(|(user, ..)| user == to)
        });
        if left.len() == before {
            return left.into_iter().map(|(.., sentence)| sentence).collect();
        }
    }
}

/// What stands above a file's unit tests: those need somebody to try things with.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default()
}

/// The files below this folder, without those that have nothing but unit tests.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(inner).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs")
            {
                all.push(path);
            }
        }
    }
    all
}

/// All uses of `crate::…` in the files below this folder.
fn arrows(folder: &Path) -> Vec<Arrow> {
    let mut all = Vec::new();
    for path in files(folder) {
        let file = path.strip_prefix(folder).unwrap();
        all.extend(arrows_of(file, without_tests(&fs::read_to_string(&path).unwrap())));
    }
    all
}

/// Those of one file. `use crate::{a, b::C}` has two.
fn arrows_of(file: &Path, text: &str) -> Vec<Arrow> {
    let mut found = Vec::new();
    let code: Vec<&str> =
        text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code = code.join("\n");
    for (at, word) in code.match_indices("crate::") {
        let line = code[..at].matches('\n').count() + 1;
        let rest = &code[at + word.len()..];
        let paths = match rest.strip_prefix('{') {
            None => vec![rest],
            Some(group) => {
                let mut depth = 0;
                let is_between = |c: char| {
                    depth += i32::from(c == '{') - i32::from(c == '}');
                    depth < 0 || (depth == 0 && c == ',')
                };
                let whole = group.split(';').next().unwrap_or_default();
                whole.split(is_between).map(str::trim).filter(|path| !path.is_empty()).collect()
            }
        };
        for path in paths {
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
            let end = path.find(|c| !is_word(c)).unwrap_or(path.len());
            let path = path[..end].split("::").filter(|name| !name.is_empty());
            let path: Vec<String> = path.map(str::to_string).collect();
            if !path.is_empty() {
                found.push(Arrow { file: file.to_path_buf(), line, path });
            }
        }
    }
    found
}

fn assert_arrows_go_down(folder: &str, rooms: Rooms) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let arrows = arrows(&folder);
    // A table with a room that is not there, or rooms that nobody reads, would hold nothing.
    let mut counts: BTreeMap<&str, usize> = rooms.iter().map(|(room, _)| (*room, 0)).collect();
    for arrow in &arrows {
        let room = arrow.file.iter().next().and_then(|room| room.to_str()).unwrap_or_default();
        if let Some(count) = counts.get_mut(room) {
            *count += 1;
        }
    }
    counts.retain(|room, _| !room.contains('/'));
    assert!(counts.values().all(|&count| count > 0), "rooms without an arrow: {counts:?}");
    let wrong = going_up(&arrows, rooms);
    assert!(wrong.is_empty(), "in {}:\n{}", folder.display(), wrong.join("\n"));
}

#[test]
fn arrows_of_the_library_go_down() {
    assert_arrows_go_down("src", LIBRARY);
}

#[test]
fn no_files_of_the_library_know_each_other_in_a_circle() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut arrows = arrows(&folder);
    arrows.retain(|arrow| !arrow.file.starts_with("bin"));
    let circle = in_a_circle(&arrows);
    assert!(circle.is_empty(), "{}", circle.join("\n"));
}

#[test]
fn http_knows_no_socket_no_thread_and_no_clock() {
    let http = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http");
    for path in files(&http) {
        let text = fs::read_to_string(&path).unwrap();
        let lines = (1..).zip(without_tests(&text).lines());
        for (number, line) in lines.filter(|(_, line)| !line.trim_start().starts_with("//")) {
            let found = NOT_IN_HTTP.iter().find(|&&word| line.contains(word));
            assert!(found.is_none(), "{}:{number}: {line}", path.display());
        }
    }
}

#[test]
fn arrows_of_the_checker_go_down() {
    assert_arrows_go_down("src/bin/dbcheck", DBCHECK);
}

#[test]
fn no_files_of_the_checker_know_each_other_in_a_circle() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin/dbcheck");
    let circle = in_a_circle(&arrows(&folder));
    assert!(circle.is_empty(), "{}", circle.join("\n"));
}

#[test]
fn an_arrow_that_goes_up_is_named_with_its_place() {
    let rooms: Rooms = &[("low", &["low"]), ("high", &["high", "low"])];
    let text = "//! crate::high in words\nuse std::io;\nuse crate::{\n    low::a,\n    high::{b, c},\n};\n";
    let mut all = arrows_of(Path::new("low/x.rs"), text);
    all.extend(arrows_of(
        Path::new("high/y.rs"),
        "use crate::low::x;\nlet a = crate::other::b();\n",
    ));
    let wrong = [
        "low/x.rs:3: low/ must not know crate::high",
        "high/y.rs:2: high/ must not know crate::other::b",
    ];
    assert_eq!(going_up(&all, rooms), wrong);
}

#[test]
fn a_circle_is_named_with_the_places_that_make_it() {
    let file = |name: &str, text: &str| arrows_of(Path::new(name), text);
    let mut all = file("a/one.rs", "use crate::a::two::X;\n");
    all.extend(file("a/two.rs", "use crate::b::three;\nuse crate::b::leaf;\n"));
    assert_eq!(in_a_circle(&all), [""; 0]);
    all.extend(file("b/three.rs", "\nuse crate::a::one::Y;\n"));
    let circle = [
        "a/one.rs:1: crate::a::two::X",
        "a/two.rs:1: crate::b::three",
        "b/three.rs:2: crate::a::one::Y",
    ];
    assert_eq!(in_a_circle(&all), circle);
}
