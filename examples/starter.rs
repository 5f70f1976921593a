//! Where the interview starts: the brief's server, with everything in memory.
//!
//! HTTP is done, so that the hour goes into the brief's last sentence: *save the data to a file*.
//! The candidate sees that a restart loses the pairs, has `handlers::set` append each pair to a
//! file, reads the file below, before `serve`, and climbs from there: killed in mid-line, two
//! clients at once, a file that grows. The library's own answer, `FileStore::open`, is for afterwards.
//! TUTORIAL.md, "In an interview", has the questions, and what each answer does to the score.
//!
//! Of the checker's tiers this passes all but one:
//!
//! ```console
//! $ cargo build --example starter
//! $ dbcheck --cmd 'target/debug/examples/starter {port}' --tier durable
//! ```

use std::io::{IsTerminal as _, Read as _, stdin};
use std::sync::{Arc, mpsc};
use std::thread;

use dbserver::{Config, MemoryStore, listener, serve};
use signal_hook::{consts::SIGINT, consts::SIGTERM, iterator::Signals};

fn main() -> anyhow::Result<()> {
    let port = std::env::args().nth(1).map_or(Ok(4000), |port| port.parse())?;
    let (stop, stopped) = mpsc::channel();
    let (mut signals, on_signal) = (Signals::new([SIGINT, SIGTERM])?, stop.clone());
    thread::Builder::new().spawn(move || signals.forever().next().map(|_| on_signal.send(())))?;

    let (listeners, engine) = (listener::bind("localhost", port)?, Arc::new(MemoryStore::new()));
    let server = serve(listeners, engine, Config::default())?;
    println!("Started Simple DB server on http://localhost:{port}/");
    // In a terminal, Enter or Ctrl-D stops it too. A checker starts it without any input.
    if stdin().is_terminal() {
        thread::Builder::new().spawn(move || (stdin().read(&mut [0]), stop.send(())))?;
    }
    let _ = stopped.recv();
    server.stop();
    println!("Stopped Simple DB server");
    Ok(())
}
