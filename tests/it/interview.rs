//! The interview: what a candidate is handed starts, has the same score in each language, and shows no
//! answer.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// What the checks of each tier say, counted: `{"durable": {"failed": 7, …}, …}`.
type Counts = BTreeMap<String, BTreeMap<String, usize>>;

fn output(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let streams = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    assert!(output.status.code().is_some_and(|code| code < 2), "{command:?}: {streams:?}");
    output
}

fn pack() -> Command {
    let mut pack = Command::new("bash");
    pack.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/interview/pack"));
    pack.env("DBCHECK", assert_cmd::cargo::cargo_bin!("dbcheck"));
    // All that the Rust starter needs is here, and a test needs no network.
    pack.env("CARGO_NET_OFFLINE", "true");
    // It is built once.
    pack.env("CARGO_INCREMENTAL", "0").env("CARGO_PROFILE_DEV_DEBUG", "0");
    pack
}

/// A folder for a candidate, and the names of the files in it.
fn packed(language: &str) -> (TempDir, PathBuf, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let packed = folder.path().join("candidate");
    let done = output(pack().arg(language).arg(&packed));
    assert!(done.status.success(), "{done:?}");
    let entries = fs::read_dir(&packed).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort_unstable();
    (folder, packed, names)
}

/// The score of this command, which is run in the candidate's folder.
fn counts(folder: &Path, command: &str) -> Counts {
    let mut dbcheck = Command::new(folder.join("dbcheck"));
    dbcheck.current_dir(folder).args(["--format", "json", "--rounds", "1", "--cmd", command]);
    let report: Value = serde_json::from_slice(&output(&mut dbcheck).stdout).unwrap();
    let mut counts = Counts::new();
    for check in report["checks"].as_array().unwrap() {
        let word = |name: &str| check[name].as_str().unwrap().to_string();
        if word("verdict") == "failed" {
            println!("{command}: {}: {}", check["name"], check["note"]);
        }
        *counts.entry(word("tier")).or_default().entry(word("verdict")).or_default() += 1;
    }
    counts
}

/// Everything is passed but what needs a file.
fn assert_forgets_and_nothing_else(counts: &Counts) {
    for (tier, verdicts) in counts {
        let count = |verdict| verdicts.get(verdict).copied().unwrap_or_default();
        if tier == "durable" {
            // One mistake is one failure; the others need what it lacks.
            assert!(count("failed") == 1 && count("not reached") >= 5, "{counts:?}");
        } else {
            assert_eq!(verdicts.keys().collect::<Vec<_>>(), ["passed"], "{tier}: {counts:?}");
        }
    }
}

#[test]
fn python_starts_with_all_but_the_file() {
    let (_guard, folder, names) = packed("python");
    assert_eq!(names, ["TASK.md", "dbcheck", "dbserver.py"]);
    assert_forgets_and_nothing_else(&counts(&folder, "python3 dbserver.py {port} {data}"));
}

#[test]
fn go_starts_with_all_but_the_file() {
    let (_guard, folder, names) = packed("go");
    assert_eq!(names, ["TASK.md", "dbcheck", "go.mod", "main.go"]);
    let built = output(Command::new("go").args(["build", "-o", "server"]).current_dir(&folder));
    assert!(built.status.success(), "{built:?}");
    assert_forgets_and_nothing_else(&counts(&folder, "./server {port} {data}"));
}

/// Node runs TypeScript by itself from 22.18 on; before that the types are taken out, as it does.
#[test]
fn typescript_starts_with_all_but_the_file() {
    const STRIP: &str = "const ts = require('typescript'), fs = require('fs');
        const target = ts.ScriptTarget.ES2022, module = ts.ModuleKind.ES2022;
        const source = fs.readFileSync('server.ts', 'utf8');
        const { outputText } = ts.transpileModule(source, { compilerOptions: { target, module } });
        fs.writeFileSync('server.js', outputText);";
    let (_guard, folder, names) = packed("typescript");
    assert_eq!(names, ["TASK.md", "dbcheck", "package.json", "server.ts"]);
    let version = output(Command::new("node").arg("--version")).stdout;
    let version = String::from_utf8(version).unwrap();
    let mut numbers =
        version.trim().trim_start_matches('v').split('.').map(|it| it.parse().unwrap());
    let runs_it = (numbers.next(), numbers.next()) >= (Some(22), Some(18));
    if !runs_it {
        let mut node = Command::new("node");
        // Where Debian has the module.
        node.env("NODE_PATH", "/usr/share/nodejs").args(["-e", STRIP]).current_dir(&folder);
        assert!(output(&mut node).status.success());
    }
    let file = if runs_it { "server.ts" } else { "server.js" };
    let command = format!("node {file} {{port}} {{data}}");
    assert_forgets_and_nothing_else(&counts(&folder, &command));
}

#[test]
fn rust_starts_with_all_but_the_file() {
    let (_guard, folder, names) = packed("rust");
    assert_eq!(names, ["Cargo.lock", "Cargo.toml", "TASK.md", "dbcheck", "src", "target"]);
    let source = fs::read_to_string(folder.join("src/main.rs")).unwrap();
    assert!(!source.contains("TUTORIAL") && source.starts_with("//! A key-value store"));
    assert_forgets_and_nothing_else(&counts(&folder, "target/debug/dbserver {port} {data}"));
}

#[test]
fn a_folder_that_is_there_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let refused = output(pack().arg("go").arg(folder.path()));
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
