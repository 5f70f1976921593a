//! A console fence, read: which commands it has, which of them start a server that stays, and what
//! port they mean.
//!
//! The text's servers are on port 4000. Here each chapter has a port of its own, with as many
//! digits, so that a message which names the port is as long as the reader's.

use std::fmt::Write as _;

/// The port in the text, for servers; a second one in a chapter may have the next.
pub(crate) const PORT: u16 = 4000;

/// What a console fence is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Script {
    /// What is typed, and what that prints.
    Typed(Vec<Exchange>),
    /// What the server's terminal shows since it was last looked at; first, perhaps, Ctrl-C.
    Screen { interrupt: bool, wanted: Vec<String> },
}

/// A command and what it prints.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exchange {
    /// As it stands in the fence: `$ `, and all lines of it.
    pub(crate) typed: Vec<String>,
    pub(crate) wanted: Vec<String>,
}

/// Reads a fence.
pub(crate) fn parse(lines: &[String]) -> Script {
    if !lines.first().is_some_and(|line| line.starts_with("$ ")) {
        let interrupt = lines.first().is_some_and(|line| line.trim() == "^C");
        return Script::Screen { interrupt, wanted: lines[usize::from(interrupt)..].to_vec() };
    }
    let mut exchanges: Vec<Exchange> = Vec::new();
    let mut goes_on = false;
    for line in lines {
        match exchanges.last_mut() {
            Some(exchange) if goes_on => exchange.typed.push(line.clone()),
            Some(exchange) if !line.starts_with("$ ") => {
                exchange.wanted.push(line.clone());
                continue;
            }
            _ => exchanges.push(Exchange { typed: vec![line.clone()], wanted: Vec::new() }),
        }
        goes_on = line.ends_with('\\');
    }
    Script::Typed(exchanges)
}

impl Exchange {
    /// The command, for bash.
    pub(crate) fn command(&self) -> String {
        let text = self.typed.join("\n");
        text.strip_prefix("$ ").unwrap_or(&text).to_string()
    }
}

/// A command that starts a server, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Launch<'a> {
    /// `cargo run` and its options.
    pub(crate) cargo: &'a str,
    /// `step02_answer`, or `dbserver`.
    pub(crate) program: &'a str,
    /// What comes after ` -- `.
    pub(crate) arguments: Option<&'a str>,
}

/// Reads a command as one that starts a server in the foreground, if it is that.
pub(crate) fn launch(command: &str) -> Option<Launch<'_>> {
    let is_list = [";", " | ", "&&", " & "].iter().any(|mark| command.contains(mark));
    if !command.starts_with("cargo run") || is_list || command.trim_end().ends_with('&') {
        return None;
    }
    let (cargo, arguments) = match command.split_once(" -- ") {
        Some((cargo, arguments)) => (cargo, Some(arguments)),
        None => (command, None),
    };
    let mut words = cargo.split_whitespace().skip_while(|w| *w != "--example" && *w != "--bin");
    let program = words.nth(1).unwrap_or("dbserver");
    let ends = ["--help", "-h", "--version", "-V", "--list"];
    let mut given = arguments.unwrap_or_default().split_whitespace();
    let is_server = takes_port(program).is_some() && !given.any(|word| ends.contains(&word));
    is_server.then_some(Launch { cargo, program, arguments })
}

/// How a program is told its port, if it is a server.
fn takes_port(program: &str) -> Option<&'static str> {
    match program {
        "dbserver" | "bad_server" => Some("--port "),
        step if step.starts_with("step") => Some(""),
        _ => None,
    }
}

impl Launch<'_> {
    /// The arguments, with the port among them.
    pub(crate) fn arguments(&self, port: u16) -> String {
        let flag = takes_port(self.program).unwrap_or_default();
        let given = self.arguments.unwrap_or_default();
        let mut words = given.split_whitespace();
        let mut arguments = with_port(given, port);
        let is_told = match flag {
            "" => words.next().is_some(),
            _ => words.any(|word| word.starts_with("--port") || word.starts_with("-p")),
        };
        if !is_told {
            let _ = write!(arguments, " {flag}{port}");
        }
        arguments.trim_start().to_string()
    }
}

/// Whether a command starts its own server, and looks at no file of its chapter: a lab that is told
/// a step, or the checker on a program of ours.
pub(crate) fn is_on_its_own(command: &str) -> bool {
    let is_lab = command.contains("--example lab -- ") && command.contains(" --step ");
    let programs = ["--cmd 'target/debug/", "--cmd 'python3 tests/"];
    let is_check = command.starts_with("target/debug/dbcheck ")
        && programs.iter().any(|program| command.contains(program));
    (is_lab || is_check) && !command.contains(['>', '&'])
}

/// A command of the text with the real ports.
pub(crate) fn with_port(text: &str, port: u16) -> String {
    let text = replace_number(text, PORT, port);
    replace_number(&text, PORT + 1, port + 1)
}

/// What was printed, with the ports of the text.
pub(crate) fn without_port(text: &str, port: u16) -> String {
    let text = replace_number(text, port, PORT);
    replace_number(&text, port + 1, PORT + 1)
}

/// The optimized programs take minutes to build and print the same: the test runs the others.
pub(crate) fn without_release(command: &str) -> String {
    let command = command.replace("target/release/", "target/debug/");
    if command.starts_with("cargo ") { command.replace(" --release", "") } else { command }
}

/// Replaces a number where it stands alone.
fn replace_number(text: &str, old: u16, new: u16) -> String {
    let (old, new) = (old.to_string(), new.to_string());
    let mut replaced = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(&old) {
        let (before, after) = (&rest[..at], &rest[at + old.len()..]);
        let is_part = before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '.')
            || after.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        replaced += before;
        replaced += if is_part { &old } else { &new };
        rest = after;
    }
    replaced + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_nothing_of_its_chapter_is_known() {
        for (command, wanted) in [
            ("cargo run -q --example lab -- slowloris --step 8", true),
            (
                "for lab in a b; do cargo run -q --example lab -- $lab --step 12 | grep It; done",
                true,
            ),
            ("cargo run -q --example lab -- slowloris", false),
            ("target/debug/dbcheck --cmd 'target/debug/examples/step10_file {port} {data}'", true),
            ("target/debug/dbcheck --cmd 'python3 tests/simple_db_server.py --port {port}'", true),
            ("target/debug/dbcheck --cmd 'python3 mine.py {port}'", false),
            ("target/debug/dbcheck --cmd 'target/debug/dbserver --port {port}' > report", false),
            ("target/debug/dbcheck --addr localhost:4000", false),
        ] {
            assert_eq!(is_on_its_own(command), wanted, "{command}");
        }
    }

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_string).collect()
    }

    #[test]
    fn a_fence_is_of_one_of_three_kinds() {
        let typed =
            |typed: &str, wanted: &str| Exchange { typed: lines(typed), wanted: lines(wanted) };
        for (text, wanted) in [
            ("$ a", Script::Typed(vec![typed("$ a", "")])),
            ("$ a\nb\n\n$ c\nd", Script::Typed(vec![typed("$ a", "b\n\n"), typed("$ c", "d")])),
            ("$ a \\\n  b\nc", Script::Typed(vec![typed("$ a \\\n  b", "c")])),
            ("a\n$ b", Script::Screen { interrupt: false, wanted: lines("a\n$ b") }),
            ("^C\nbye", Script::Screen { interrupt: true, wanted: lines("bye") }),
            ("", Script::Screen { interrupt: false, wanted: Vec::new() }),
        ] {
            assert_eq!(parse(&lines(text)), wanted, "{text}");
        }
        assert_eq!(typed("$ a \\\n  b", "").command(), "a \\\n  b");
    }

    #[test]
    fn servers_are_known_and_told_their_port() {
        for (command, wanted) in [
            ("cargo run -q --example step02_answer", Some(("step02_answer", "4321"))),
            (
                "cargo run -q --example step10_file -- 4000 x.jsonl",
                Some(("step10_file", "4321 x.jsonl")),
            ),
            ("cargo run -q --example step10_file -- 4001 x", Some(("step10_file", "4322 x"))),
            ("cargo run", Some(("dbserver", "--port 4321"))),
            ("cargo run -q -- --log", Some(("dbserver", "--log --port 4321"))),
            ("cargo run -q -- --port 4000", Some(("dbserver", "--port 4321"))),
            ("cargo run -q -- -p 0", Some(("dbserver", "-p 0"))),
            ("cargo run -q -- --memory 2> log", Some(("dbserver", "--memory 2> log --port 4321"))),
            ("cargo run --example step05_route", Some(("step05_route", "4321"))),
            (
                "cargo run -q --example bad_server -- --memory",
                Some(("bad_server", "--memory --port 4321")),
            ),
            ("cargo run -q --example bad_server -- --list", None),
            ("cargo run -q -- --help", None),
            ("cargo run -q --example lab -- slowloris", None),
            ("cargo run -q --bin dbcheck -- --list", None),
            ("cargo run -q -- --log | head", None),
            ("cargo run -q &", None),
            ("cargo build", None),
            ("curl localhost:4000", None),
        ] {
            let found = launch(command).map(|launch| (launch.program, launch.arguments(4321)));
            let found = found.as_ref().map(|(program, arguments)| (*program, arguments.as_str()));
            assert_eq!(found, wanted, "{command}");
        }
    }

    #[test]
    fn the_port_is_replaced_where_it_stands_alone() {
        for (text, wanted) in [
            ("curl 'http://localhost:4000/set?a=b'", "curl 'http://localhost:4321/set?a=b'"),
            ("lab x --addr localhost:4000", "lab x --addr localhost:4321"),
            ("4000 and 4001", "4321 and 4322"),
            ("14000 4000x 40001 1.4000", "14000 4000x 40001 1.4000"),
        ] {
            assert_eq!(with_port(text, 4321), wanted);
            assert_eq!(without_port(wanted, 4321), text);
        }
        assert_eq!(without_release("cargo run --release -- --log"), "cargo run -- --log");
        assert_eq!(without_release("target/release/dbcheck --list"), "target/debug/dbcheck --list");
    }
}
