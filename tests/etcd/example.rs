//! `examples/cluster`, as somebody who has read the README tries it: its own lines, typed one after the other.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{PATIENCE, Server, hear_signals, program};

/// The example, ended with all that it has started when the test ends, however it ends.
struct Example(Child);

impl Example {
    fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        let _ = Command::new("kill").args([&format!("-{name}"), &pid]).status();
    }

    fn wait(&mut self) -> Option<ExitStatus> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.0.try_wait().unwrap() {
                return Some(status);
            }
            thread::sleep(Duration::from_millis(10));
        }
        None
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        if self.0.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        // Its nodes end when it does so by itself.
        self.signal("TERM");
        if self.wait().is_none() {
            let _ = self.0.kill();
        }
    }
}

/// Builds it with the command of the README, into the folder that this test was built into.
fn build() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--features", "etcd", "--example", "cluster", "--profile"]);
    cargo.arg(if profile.ends_with("debug") {
        "dev".as_ref()
    } else {
        profile.file_name().unwrap()
    });
    cargo.arg("--target-dir").arg(profile.parent().unwrap());
    assert!(cargo.status().unwrap().success());
    profile.join("examples/cluster")
}

/// What a line prints in a shell.
fn type_in(line: &str) -> String {
    let output =
        Command::new("sh").arg("-c").arg(line).env("no_proxy", "localhost").output().unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Types a line until it prints this: a cluster that has lost its leader takes a moment.
fn type_until(line: &str, wanted: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let printed = type_in(line);
        if printed == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{line}: {printed:?}, not {wanted:?}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_example_says_what_to_type_and_it_works_with_a_node_dead() {
    let folder = tempfile::tempdir().unwrap();
    hear_signals();
    let mut command = Command::new(build());
    let child = command.env("TMPDIR", folder.path()).stdout(Stdio::piped()).spawn().unwrap();
    let mut example = Example(child);
    let mut said = Vec::new();
    for line in BufReader::new(example.0.stdout.take().unwrap()).lines() {
        said.push(line.unwrap().trim().to_string());
        if said.last().unwrap().ends_with("Ctrl-C ends everything.") {
            break;
        }
    }
    let starting = |start: &str| {
        let lines = said.iter().filter(|line| line.starts_with(start));
        lines.cloned().collect::<Vec<_>>()
    };
    let [set, get] = &starting("curl ")[..] else { panic!("{said:?}") };
    let kills = starting("kill -9 ");
    assert_eq!((type_in(set), type_in(get)), (String::new(), "somevalue\n".into()));

    // The node that both servers ask first.
    type_in(&kills[0]);
    type_until(&set.replace("somevalue", "another"), "");
    type_until(get, "another\n");
    // A server of one's own, in front of what is left.
    let nodes = starting("The nodes: ");
    let urls = nodes[0].trim_start_matches("The nodes: ").split(". ").next().unwrap();
    let own = tempfile::tempdir().unwrap();
    let mut command = program();
    command.args(["--etcd", urls]);
    let server = Server::start_command(own.into(), command);
    assert_eq!(server.get("/get?key=somekey").text(), "another");
    server.stop();

    example.signal("INT");
    let status = example.wait();
    assert!(status.is_some_and(|it| it.success()), "{status:?}");
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    for kill in kills {
        let pid = kill.split(' ').nth(2).unwrap();
        assert!(!Path::new("/proc").join(pid).exists(), "etcd {pid} still runs");
    }
}
