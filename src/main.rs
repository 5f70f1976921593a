//! The program: reads its options, opens the port and the store, serves, and stops in order.

use std::io::Write as _;
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use dbserver::net::{capacity, listener};
use dbserver::options::{self, Command, Options};
use dbserver::watch::flags;
use dbserver::watch::scribe::Scribe;
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
    /// What happens is recorded from now on.
    Recorded(Scribe),
    /// Clients can be served, or why they can't.
    Opened(anyhow::Result<Opened>),
    /// It is time to stop.
    Stop,
}

/// All that it takes to serve.
struct Opened {
    listeners: Vec<TcpListener>,
    /// The server's name and port, as the user would type them.
    address: String,
    config: Config,
    engine: Arc<dyn Engine>,
}

/// A stop takes no longer than this, whoever is waited for (CONTRACT §4).
const STOP_TIME: Duration = Duration::from_millis(4750);

fn run(options: Options) -> anyhow::Result<()> {
    let (tell, events) = mpsc::channel();
    let stop = tell.clone();
    signals::at_the_first(move || drop(stop.send(Event::Stop)))?;
    open_in_a_thread(options, tell)?;

    let mut scribe = None;
    let opened = loop {
        match events.recv()? {
            Event::Recorded(begun) => scribe = Some(begun),
            Event::Opened(opened) => break Some(opened?),
            Event::Stop => break None,
        }
    };
    let mut stopped = Instant::now();
    if let Some(Opened { listeners, address, config, engine }) = opened {
        let server = serve(listeners, Arc::clone(&engine), config)?;
        say(&format!("Started Simple DB server on http://{address}/\n"));
        events.recv()?;
        stopped = Instant::now();
        server.stop();
        engine.close()?;
    }
    if let Some(scribe) = scribe {
        scribe.finish(stopped + STOP_TIME);
    }
    say("Stopped Simple DB server\n");
    Ok(())
}

/// Opens all that there is to open, and says so to the main thread, which may be told to stop meanwhile:
/// a large file takes many seconds to read, a name server may never answer, and a pipe opens when
/// somebody reads it. Each of them can be left at any moment, as by a crash.
fn open_in_a_thread(options: Options, tell: Sender<Event>) -> anyhow::Result<()> {
    let open = move || {
        let opened = catch_unwind(AssertUnwindSafe(|| open(&options, &tell)));
        let opened = opened.unwrap_or_else(|_| Err(anyhow::anyhow!("the server can't be started")));
        let _ = tell.send(Event::Opened(opened));
    };
    let thread = thread::Builder::new().name("open".into()).spawn(open);
    thread.map(drop).context("cannot start a thread")
}

fn open(options: &Options, tell: &Sender<Event>) -> anyhow::Result<Opened> {
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

    if let Some(scribe) = flags::begin(options, &config, address.port())? {
        let _ = tell.send(Event::Recorded(scribe));
    }
    let address = format!("{host}:{}", address.port());
    Ok(Opened { listeners, address, config, engine: open_engine(options)? })
}

fn open_engine(options: &Options) -> anyhow::Result<Arc<dyn Engine>> {
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
