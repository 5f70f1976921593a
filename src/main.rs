//! The program: reads its options, opens the store, serves, and stops in order.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;

use anyhow::Context as _;
use dbserver::net::{capacity, listener};
use dbserver::options::{self, Command, Options};
use dbserver::watch::flags;
use dbserver::watch::warning::{complain, warn};
use dbserver::{Config, Engine, FileStore, Keeping, MemoryStore, serve, signals};

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
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// What the main thread waits for.
enum Event {
    /// The pairs can be served, or why they can't.
    Opened(anyhow::Result<Arc<dyn Engine>>),
    /// It is time to stop.
    Stop,
}

fn run(options: Options) -> anyhow::Result<()> {
    let (tell, events) = mpsc::channel();
    let stop = tell.clone();
    signals::at_the_first(move || drop(stop.send(Event::Stop)))?;

    let listeners = listener::bind(&options.host, options.port)?;
    let address = listeners.first().context("no listener")?.local_addr()?;
    if !address.ip().is_loopback() {
        warn(format_args!(
            "{} is not a loopback address: whoever reaches it can read and write",
            address.ip()
        ));
    }
    let host = match options.host.as_str() {
        host if host.contains(':') && !host.starts_with('[') => format!("[{host}]"),
        host => host.to_string(),
    };
    // What it was told to listen on is a name of its own too.
    let mut allow_hosts = options.allow_hosts.clone();
    allow_hosts.push(host.clone());
    let (max_connections, log) = (capacity::at_most(options.max_connections), options.log);
    let config = Config { max_connections, allow_hosts, log, ..Config::default() };

    let scribe = flags::begin(&options, &config, address.port())?;
    open_in_a_thread(options, tell)?;
    if let Event::Opened(engine) = events.recv()? {
        let engine = engine?;
        let server = serve(listeners, Arc::clone(&engine), config)?;
        say(&format!("Started Simple DB server on http://{host}:{}/\n", address.port()));
        events.recv()?;
        server.stop();
        engine.close()?;
    }
    if let Some(scribe) = scribe {
        scribe.finish();
    }
    say("Stopped Simple DB server\n");
    Ok(())
}

/// Opens the place for pairs and says so to the main thread, which may be told to stop meanwhile: a
/// large file takes many seconds to read. It can be left at any moment, as by a crash.
fn open_in_a_thread(options: Options, tell: Sender<Event>) -> anyhow::Result<()> {
    let open = move || {
        let opened = catch_unwind(AssertUnwindSafe(|| open(&options)));
        let opened = opened.unwrap_or_else(|_| Err(anyhow::anyhow!("the pairs can't be opened")));
        let _ = tell.send(Event::Opened(opened));
    };
    let thread = thread::Builder::new().name("open".into()).spawn(open);
    thread.map(drop).context("cannot start a thread")
}

fn open(options: &Options) -> anyhow::Result<Arc<dyn Engine>> {
    #[cfg(feature = "etcd")]
    if let Some(cluster) = &options.etcd {
        return Ok(Arc::new(dbserver::EtcdStore::open(cluster)?));
    }
    let Some(path) = &options.data else {
        return Ok(Arc::new(MemoryStore::new()));
    };
    let keeping = Keeping { sync: options.sync, compact_over: options.compact_over };
    Ok(Arc::new(FileStore::open(path, keeping)?))
}

/// Prints on standard output, at once. Where that is closed, the server goes on.
fn say(text: &str) {
    let mut output = std::io::stdout();
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}
