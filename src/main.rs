//! The program: reads its options, opens the store, serves, and stops in order.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;
use dbserver::net::listener;
use dbserver::options::{self, Command, Options};
use dbserver::watch::warning::{complain, warn};
use dbserver::{Config, Engine, FileStore, Keeping, MemoryStore, serve};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

fn main() -> ExitCode {
    let options = match options::parse(std::env::args_os().skip(1)) {
        Ok(Command::Serve(options)) => options,
        Ok(Command::Print(text)) => {
            say(text);
            return ExitCode::SUCCESS;
        }
        Err(sentence) => {
            complain(format_args!("{sentence}\nTry 'dbserver --help'."));
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> anyhow::Result<()> {
    let mut signals = watch_signals()?;
    let max_connections = room_for(options.max_connections);
    let listeners = listener::bind(&options.host, options.port)?;
    let address = listeners.first().context("no listener")?.local_addr()?;
    if !address.ip().is_loopback() {
        warn(format_args!(
            "{} is not a loopback address: whoever reaches it can read and write",
            address.ip()
        ));
    }
    let engine: Arc<dyn Engine> = match &options.data {
        Some(path) => {
            let keeping = Keeping { sync: options.sync, compact_over: options.compact_over };
            Arc::new(FileStore::open(path, keeping)?)
        }
        None => Arc::new(MemoryStore::new()),
    };
    let host = match options.host.as_str() {
        host if host.contains(':') && !host.starts_with('[') => format!("[{host}]"),
        host => host.to_string(),
    };
    // What it was told to listen on is a name of its own too.
    let mut allow_hosts = options.allow_hosts.clone();
    allow_hosts.push(host.clone());
    let config = Config { max_connections, allow_hosts, log: options.log, ..Config::default() };
    let server = serve(listeners, Arc::clone(&engine), config)?;
    say(&format!("Started Simple DB server on http://{host}:{}/\n", address.port()));
    signals.forever().next();
    server.stop();
    engine.close()?;
    say("Stopped Simple DB server\n");
    Ok(())
}

/// Signals that end the server in order: Ctrl-C, kill, and a terminal that is gone. The second one
/// ends it at once.
fn watch_signals() -> anyhow::Result<Signals> {
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // In this order: the first time, the first handler finds `asked` still false.
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&asked))?;
        signal_hook::flag::register(signal, Arc::clone(&asked))?;
    }
    // A file that may not grow any more (ulimit -f) is an error of the write, and no reason to die.
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default())?;
    Ok(Signals::new([SIGINT, SIGTERM, SIGHUP])?)
}

/// Raises the limit on open files as far as the system lets us, and returns how many connections
/// fit below it.
fn room_for(wanted: usize) -> usize {
    /// Listeners and the threads that wait there, the data file and its replacement, the standard
    /// streams, and some to spare.
    const OURS: u64 = 32;
    let limit = getrlimit(Resource::Nofile);
    // macOS has a highest number that it does not tell: 10240 is the one in its header files.
    let aims = [limit.maximum, Some(10_240)].into_iter().map(|current| Rlimit { current, ..limit });
    let mut higher = aims.filter(|aim| aim.current.is_none() || aim.current > limit.current);
    let raised = higher.find(|aim| setrlimit(Resource::Nofile, *aim).is_ok());
    let now = raised.unwrap_or(limit);
    let room = now.current.map_or(u64::MAX, |files| files.saturating_sub(OURS).max(1));
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    if room < wanted {
        warn(format_args!(
            "the system's limit on open files leaves room for {room} connections, not {wanted}"
        ));
    }
    room.min(wanted)
}

/// Prints on standard output, at once. Where that is closed, the server goes on.
fn say(text: &str) {
    let mut output = std::io::stdout();
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}
