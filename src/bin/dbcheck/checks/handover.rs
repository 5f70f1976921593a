//! The handover: the end of one process, and the start of the next in its place.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::Signal;

use crate::checks::check::{Check, Tier};
use crate::checks::run::Run;
use crate::checks::verdict::{Outcome, Pass, Stop, fail};
use crate::target::family::Alone;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "sigterm-ends-children",
        tier: Tier::Durable,
        what: "SIGTERM to the server alone ends what it has started too.",
        why: "Service managers signal one process: a child that is left keeps the port, and writes to the file of the next.",
        rfc: None,
        chapter: 12,
        run: sigterm_ends_children,
    },
    Check {
        name: "restart-same-port",
        tier: Tier::Durable,
        what: "After its end the server starts again on the same port at once.",
        why: "Without SO_REUSEADDR the system keeps the port for a minute after the last connection: each restart is an outage.",
        rfc: Some("RFC 9293 §3.3.2"),
        chapter: 12,
        run: restart_same_port,
    },
];

fn sigterm_ends_children(run: &mut Run) -> Outcome {
    run.needs_command()?;
    // Whatever state it is in, it is one that was started in order.
    run.start_clean()?;
    let outcome = match run.target.stop_alone(Signal::TERM, run.client.address.port()) {
        Alone::Ended => Ok(Pass::Plainly),
        Alone::Ignored => {
            Ok(Pass::Loosely("the signal did not end the server; SIGKILL did".into()))
        }
        Alone::Unknown => {
            let why = "which of its processes is the server can't be told";
            Err(Stop::Skipped(why.into()))
        }
        Alone::Left(left) => {
            let expected = format!(
                "expected that nothing is left when SIGTERM has ended the server; still there: {}",
                left.join(", ")
            );
            Err(fail(expected))
        }
    };
    run.start_again()?;
    outcome
}

fn restart_same_port(run: &mut Run) -> Outcome {
    run.needs_command()?;
    run.needs_dialect()?;
    // A connection that the server ends, and not we: whoever ends it first has to remember it.
    let port = run.client.address.port();
    let mut held = TcpStream::connect(run.client.address)
        .map_err(|error| fail(format!("expected a connection: {error}")))?;
    let _ = held.set_read_timeout(Some(Duration::from_secs(2)));
    let _ = held.write_all(&run.some_get());
    let _ = held.read(&mut [0; 16 << 10]);
    run.target.stop(Signal::TERM);
    drop(held);
    match run.target.start_on(port) {
        Ok(address) => {
            run.client.address = address;
            Ok(Pass::Plainly)
        }
        Err(not_up) => {
            let expected = format!(
                "expected that the server starts on port {port}, which it had a moment ago: {}",
                not_up.sentence
            );
            Err(fail(expected).with_output(not_up.output))
        }
    }
}
