//! The flags: what `--trace`, `--trace-file` and `--watch` begin, and what the end of the server ends.
//!
//! The program calls [`begin`] before it opens the data file, so that nothing that happens is missed, and
//! [`Scribe::finish`] as the last thing of all.
//!
//! The naive version opens the trace's file as it opens any other for writing, and `--trace-file data.jsonl`
//! empties the data.
//!
//! This is the last stop of the reading list: start again at [`crate`] with a request in mind.
//!
//! CONTRACT §7.

use std::fs::{File, OpenOptions};
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::{Context as _, bail};

use crate::config::Config;
use crate::net::listener;
use crate::options::{Options, Watch};
use crate::store::journal::SyncWhen;
use crate::watch::page;
use crate::watch::scribe::Scribe;
use crate::watch::trace::Trace;
use crate::watch::warning::complain;

/// Begins what these options ask for; `port` is the server's. Nothing is recorded where they ask for nothing.
///
/// # Errors
/// Where the file can't be written, or the page's port is taken: the sentence names the flag.
pub fn begin(options: &Options, config: &Config, port: u16) -> anyhow::Result<Option<Scribe>> {
    if !options.trace && options.trace_file.is_none() && options.watch.is_none() {
        return Ok(None);
    }
    let file = options.trace_file.as_deref().map(|path| trace_file(path, options.data.as_deref()));
    let file = file.transpose()?;
    let listeners = options.watch.map(|watch| listen(watch, port)).transpose()?;
    let scribe = Scribe::start(config, &in_words(options.sync))?;
    if options.trace {
        scribe.hand_on(Box::new(Trace::on_standard_error()));
    }
    if let Some(file) = file {
        scribe.write_to(file);
    }
    if let Some(listeners) = listeners {
        let address = listeners.first().context("no listener")?.local_addr()?;
        page::serve(listeners, &scribe)?;
        complain(format_args!("what happens inside: http://localhost:{}/", address.port()));
    }
    Ok(Some(scribe))
}

/// The file at `path`, empty; made for its owner alone where there is none, as keys and values are in it.
fn trace_file(path: &Path, data: Option<&Path>) -> anyhow::Result<File> {
    let name = path.display();
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.with_context(|| format!("--trace-file: cannot write {name}"))?;
    let found = file.metadata().with_context(|| format!("--trace-file: cannot look at {name}"))?;
    if let Some(data) = data.and_then(|path| path.metadata().ok())
        && (data.dev(), data.ino()) == (found.dev(), found.ino())
    {
        bail!("--trace-file: {name} is the data file: give another");
    }
    if found.is_file() {
        file.set_len(0).with_context(|| format!("--trace-file: cannot empty {name}"))?;
    }
    Ok(file)
}

fn listen(watch: Watch, server: u16) -> anyhow::Result<Vec<TcpListener>> {
    let port = match watch {
        Watch::Port(port) => port,
        Watch::Next => server.checked_add(1).context("--watch: there is no port after 65535")?,
    };
    listener::bind_loopback(port).map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => {
                ": another program listens there; choose a port with --watch=PORT"
            }
            io::ErrorKind::PermissionDenied => ": choose a port above 1023",
            _ => "",
        };
        anyhow::Error::new(error)
            .context(format!("--watch: cannot listen on localhost:{port}{hint}"))
    })
}

fn in_words(sync: SyncWhen) -> String {
    match sync {
        SyncWhen::Always => "always".into(),
        SyncWhen::Never => "never".into(),
        SyncWhen::Every(interval) => format!("{}ms", interval.as_millis()),
    }
}
