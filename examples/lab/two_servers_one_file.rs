//! two-servers-one-file: somebody starts the server twice. The naive one does not notice, and each
//! of the two believes that the file is its own.

use std::fs;

use crate::client::Answer;
use crate::subject::{NotStarted, Server, Subject};
use crate::tell::{self, Verdict};

pub(crate) fn run(subject: &Subject) -> anyhow::Result<Verdict> {
    let first = subject.start()?;
    tell::before(
        "Started twice, on two ports and one file: it happens to everybody. Each server reads the file \
         once, at its start, and knows nothing of what the other one appends. A server that locks \
         its file refuses to be the second.",
    );
    tell::note("the first server runs");
    set(&first, "the first", "lab-a", "one");
    let second = match subject.start() {
        Ok(server) => server,
        Err(NotStarted::Other(error)) => return Err(error),
        Err(refused) => {
            tell::note(&format!("the second does not start: {refused}"));
            set(&first, "the first", "lab-b", "two");
            return Ok(match get(&first, "the first", "lab-b") {
                Some(_) => tell::stands(
                    "The first goes on, and the second has not touched the file. The lock belongs to \
                     the open file: the system gives it back when the process ends, however it ends.",
                ),
                None => tell::broke("The second refused, and the first does not serve any more."),
            });
        }
    };
    tell::note("the second server runs too, on the same file");
    set(&first, "the first", "lab-a", "new");
    set(&second, "the second", "lab-b", "two");
    get(&first, "the first", "lab-b");
    get(&second, "the second", "lab-a");
    tell::note("SIGKILL for both; the file:");
    drop((first, second));
    let file = fs::read(subject.data()).unwrap_or_default();
    for line in file.split_inclusive(|&byte| byte == b'\n') {
        tell::note(&tell::readable(line));
    }
    let again = subject.start()?;
    tell::note("a server is started again");
    get(&again, "the server", "lab-a");
    get(&again, "the server", "lab-b");
    Ok(tell::broke(
        "Both said 200, and each denies what the other one stored: which value there is depends on \
         whom you ask. The first compaction makes a loss of it: one server replaces the file, and the \
         other goes on writing to the one that is gone.",
    ))
}

fn set(server: &Server, who: &str, key: &str, value: &str) {
    show(server, who, &format!("/set?{key}={value}"));
}

fn get(server: &Server, who: &str, key: &str) -> Option<String> {
    show(server, who, &format!("/get?key={key}"))
}

/// Asks one of them, and shows it. Returns the body of a success.
fn show(server: &Server, who: &str, target: &str) -> Option<String> {
    tell::raw(&format!("  > to {who}: GET {target}\n"));
    let answer = server.ask(target);
    tell::came(&answer);
    let answer = answer.ok().filter(Answer::is_success)?;
    Some(String::from_utf8_lossy(&answer.body).into_owned())
}
