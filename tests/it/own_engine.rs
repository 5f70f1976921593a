//! The example `own_engine`: what the checker says of a server with another place for its pairs.

use std::process::Command;

use crate::common::example;

#[test]
fn it_gets_full_marks_with_a_file_for_each_key() {
    let folder = tempfile::tempdir().unwrap();
    let mut dbcheck = Command::new(assert_cmd::cargo::cargo_bin!("dbcheck"));
    dbcheck.current_dir(folder.path()).args(["--terse", "--cmd"]);
    dbcheck.arg(format!("'{}' {{port}}", example("own_engine").display()));
    for tier in ["brief", "conventions", "http", "robust"] {
        dbcheck.args(["--tier", tier]);
    }
    let output = dbcheck.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("64/64"), "{said}");
}
