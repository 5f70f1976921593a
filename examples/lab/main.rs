//! The labs of TUTORIAL.md: small experiments that break a naive server before your eyes, and
//! leave a right one standing.
//!
//! ```console
//! $ cargo run -q --example lab
//! $ cargo run -q --example lab -- split-packet --step 2
//! ```
//!
//! Each lab is a file of its own: one function, read from top to bottom. They are also examples of
//! clients on a raw socket: `client` shows how such a client sends its bytes as it likes and never
//! waits for ever. `fresh` builds the server, `subject` and `process` start and end it, `options` reads the command
//! line, and `tell` prints. None of it uses the library.
//!
//! Exit code: 0 the server stands, 1 it broke, 2 wrong usage, or the server could not be started.

mod options;
mod fresh;
mod subject;
mod process;
#[path = "../../src/bin/dbcheck/target/free_port.rs"]
mod free_port;
mod client;
mod tell;

mod split_packet;
mod big_head;
mod idle_sockets;
mod poisoned_lock;
mod two_in_one_packet;
mod slowloris;
mod kill_mid_write;
mod torn_tail;
mod two_servers_one_file;
mod power_cut;
mod recording;
mod disk;
mod slow_reader;
mod who_may_ask;
mod page;

use std::process::ExitCode;

use crate::options::{Command, Options};
use crate::subject::Subject;
use crate::tell::Verdict;

/// One experiment.
struct Lab {
    name: &'static str,
    /// What it does, in a sentence.
    what: &'static str,
    /// What to look at on the page of `dbserver --watch`.
    look: &'static str,
    needs: Needs,
    run: fn(&Subject) -> anyhow::Result<Verdict>,
}

/// What a lab must be able to do with the server, besides asking it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    /// Start it and end it.
    Starting,
    /// The same, and its data file.
    DataFile,
}

/// All of them, in the order in which the tutorial comes to them.
const LABS: &[Lab] = &[
    Lab {
        name: "split-packet",
        what: "Sends half a request, waits, and sends the rest.",
        look: "the packets of one request, and the four bytes of the empty line that light up across them.",
        needs: Needs::Nothing,
        run: split_packet::run,
    },
    Lab {
        name: "big-head",
        what: "Sends a head that has no end, and one that is long but has.",
        look: "the head that never ends: its packets, its deadline, and the 431.",
        needs: Needs::Nothing,
        run: big_head::run,
    },
    Lab {
        name: "idle-sockets",
        what: "Opens four connections, says nothing on them, and asks on a fifth.",
        look: "four lanes on which nothing begins, and a fifth that is answered at once.",
        needs: Needs::Nothing,
        run: idle_sockets::run,
    },
    Lab {
        name: "poisoned-lock",
        what: "Closes the server's standard output, so that a println! panics.",
        look: "that the locks go on being taken, whatever was closed.",
        needs: Needs::Starting,
        run: poisoned_lock::run,
    },
    Lab {
        name: "two-in-one-packet",
        what: "Sends two requests at once, on one connection.",
        look: "one packet, two answers, one write.",
        needs: Needs::Nothing,
        run: two_in_one_packet::run,
    },
    Lab {
        name: "slowloris",
        what: "Sends a byte of a head each second, for as long as it may.",
        look: "the bar that runs down, and no byte that fills it up again.",
        needs: Needs::Nothing,
        run: slowloris::run,
    },
    Lab {
        name: "kill-mid-write",
        what: "Kills the server while clients set pairs, ten times, and looks for each pair.",
        look: "sets that share a sync, and the file that grows; after each kill the page waits for the server.",
        needs: Needs::DataFile,
        run: kill_mid_write::run,
    },
    Lab {
        name: "torn-tail",
        what: "Cuts the data file at each byte of its last line, and starts the server from it.",
        look: "the size of the file at each start.",
        needs: Needs::DataFile,
        run: torn_tail::run,
    },
    Lab {
        name: "two-servers-one-file",
        what: "Starts a second server on the file of the first.",
        look: "the first server, which goes on as if nothing had happened.",
        needs: Needs::DataFile,
        run: two_servers_one_file::run,
    },
    Lab {
        name: "power-cut",
        what: "Records what the server asks of the disk, and starts it from each state that is left.",
        look: "the batches: what is not synced yet is what a loss of power takes.",
        needs: Needs::DataFile,
        run: power_cut::run,
    },
    Lab {
        name: "slow-reader",
        what: "Asks again and again, and never reads an answer.",
        look: "the lane that stays at its answers until the server gives it up.",
        needs: Needs::Nothing,
        run: slow_reader::run,
    },
    Lab {
        name: "who-may-ask",
        what: "Asks as the browser does for a page of another site; with --page, from a real one.",
        look: "the 403s, and that none of them reaches a handler.",
        needs: Needs::Nothing,
        run: who_may_ask::run,
    },
];

fn main() -> ExitCode {
    let outcome = match options::parse(std::env::args_os().skip(1)) {
        Ok(Command::Help) => {
            tell::raw(&options::help());
            return ExitCode::SUCCESS;
        }
        Ok(Command::Run(options)) => run(options),
        Err(sentence) => Err(anyhow::anyhow!("{sentence}\nTry 'lab --help'.")),
    };
    match outcome {
        Ok(Verdict::Stands) => ExitCode::SUCCESS,
        Ok(Verdict::Broke) => ExitCode::FAILURE,
        Err(error) => {
            tell::complain(&format!("{error:#}"));
            ExitCode::from(2)
        }
    }
}

fn run(options: Options) -> anyhow::Result<Verdict> {
    process::end_with_us()?;
    let subject = Subject::new(options.origin, options.page, options.lab.look)?;
    (options.lab.run)(&subject)
}
