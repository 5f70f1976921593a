//! The source is read in one order: that of the `mod` lines in `src/lib.rs` and in its rooms, of the
//! picture above them, and of the word "Next" at the end of each module's introduction.

use std::fs;
use std::path::Path;

fn source(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names in the `mod` lines of a file.
fn mod_lines(text: &str) -> Vec<&str> {
    text.lines()
        .filter_map(|line| {
            line.trim_start_matches("pub ")
                .trim_start_matches("pub(crate) ")
                .strip_prefix("mod ")?
                .strip_suffix(';')
        })
        .collect()
}

/// The files in the order of their `mod` lines, each room's after the room itself: the module's path
/// and the file's.
fn modules() -> Vec<(String, String)> {
    let mut modules = Vec::new();
    for name in mod_lines(&source("lib.rs")) {
        let room = format!("{name}/mod.rs");
        if !Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(&room).exists() {
            modules.push((name.to_string(), format!("{name}.rs")));
            continue;
        }
        let text = source(&room);
        modules.push((name.to_string(), room));
        for inner in mod_lines(&text) {
            modules.push((format!("{name}::{inner}"), format!("{name}/{inner}.rs")));
        }
    }
    assert!(modules.len() > 20, "{modules:?}");
    modules
}

#[test]
fn each_module_names_the_next() {
    let modules = modules();
    for ((_, file), (next, _)) in modules.iter().zip(&modules[1..]) {
        let text = source(file);
        let introduction = text.lines().take_while(|line| line.starts_with("//!"));
        let link = format!("//! Next: [`crate::{next}`]");
        assert!(
            introduction.clone().any(|line| line.starts_with(&link)),
            "src/{file}: no line begins with {link}"
        );
    }
}

#[test]
fn the_picture_has_the_modules_in_their_order() {
    let lib = source("lib.rs");
    let picture = lib.split("```text").nth(1).unwrap().split("```").next().unwrap();
    let modules = modules();
    let names: Vec<&str> =
        modules.iter().map(|(path, _)| path.rsplit("::").next().unwrap()).collect();
    // A line's first word is a file or a room; those that stand for none are drawn.
    let first_words = picture.lines().filter_map(|line| {
        line.split(|c: char| !(c.is_ascii_alphabetic() || c == '_')).find(|word| !word.is_empty())
    });
    assert_eq!(first_words.collect::<Vec<_>>(), names);
}

#[test]
fn every_source_file_is_in_the_list() {
    let modules = modules();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let rooms = modules.iter().filter_map(|(_, file)| file.strip_suffix("/mod.rs"));
    for folder in rooms.chain([""]) {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
            if path.extension().is_some_and(|it| it == "rs")
                && !["lib.rs", "main.rs"].contains(&name)
            {
                assert!(modules.iter().any(|(_, file)| file == name), "src/{name} is in no list");
            }
        }
    }
}
