//! The source is read in one order: that of the `mod` lines in `src/lib.rs`, of the picture above
//! them, and of the word "Next" at the end of each module's introduction.

use std::fs;
use std::path::Path;

fn source(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The modules, in the order of their `mod` lines.
fn modules() -> Vec<String> {
    let lib = source("lib.rs");
    let lines = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let modules: Vec<String> = lines.map(str::to_string).collect();
    assert!(modules.len() > 20, "{modules:?}");
    modules
}

#[test]
fn each_module_names_the_next() {
    let modules = modules();
    for (module, next) in modules.iter().zip(&modules[1..]) {
        let text = source(&format!("{module}.rs"));
        let introduction = text.lines().take_while(|line| line.starts_with("//!"));
        let link = format!("//! Next: [`crate::{next}`]");
        assert!(
            introduction.clone().any(|line| line.starts_with(&link)),
            "src/{module}.rs: no line begins with {link}"
        );
    }
}

#[test]
fn the_picture_has_the_modules_in_their_order() {
    let lib = source("lib.rs");
    let picture = lib.split("```text").nth(1).unwrap().split("```").next().unwrap();
    let modules = modules();
    let mut drawn: Vec<&str> = picture
        .split(|c: char| !(c.is_ascii_alphabetic() || c == '_'))
        .filter(|word| modules.iter().any(|module| module == word))
        .collect();
    // A word may stand in a description again; its first place is its own.
    let mut seen = Vec::new();
    drawn.retain(|word| {
        !seen.contains(word) && {
            seen.push(*word);
            true
        }
    });
    assert_eq!(drawn, modules);
}

#[test]
fn every_source_file_is_in_the_list() {
    let modules = modules();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if let Some(module) = name.strip_suffix(".rs")
            && !["lib", "main"].contains(&module)
        {
            assert!(modules.iter().any(|known| known == module), "src/{name} is not in src/lib.rs");
        }
    }
}
