//! The flags: what `--trace`, `--trace-file` and `--watch` begin, and what the end of the server ends.
//!
//! The program calls [`begin`] before it opens the data file, so that nothing that happens is missed, and
//! [`Scribe::finish`] as the last thing of all.
//!
//! This is the last stop of the reading list: start again at [`crate`] with a request in mind.
//!
//! CONTRACT §7.

use std::io;
use std::net::TcpListener;

use anyhow::Context as _;

use crate::config::Config;
use crate::net::listener;
use crate::options::{Options, Watch};
use crate::store::journal::SyncWhen;
use crate::watch::hello::Kept;
use crate::watch::lines::Lines;
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
    let data = options.data.as_deref();
    let file = options.trace_file.as_deref().map(|path| Lines::in_file(path, data));
    let file = file.transpose()?;
    let listeners = options.watch.map(|watch| listen(watch, port)).transpose()?;
    let scribe = Scribe::start(config, kept(options), &in_words(options.sync))?;
    if options.trace {
        scribe.hand_on(Box::new(Trace::on_standard_error()));
    }
    if let Some(file) = file {
        scribe.hand_on(Box::new(file));
    }
    if let Some(listeners) = listeners {
        let address = listeners.first().context("no listener")?.local_addr()?;
        page::serve(listeners, &scribe)?;
        complain(format_args!("what happens inside: http://localhost:{}/", address.port()));
    }
    Ok(Some(scribe))
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

fn kept(options: &Options) -> Kept {
    match (&options.etcd, &options.data) {
        (Some(_), _) => Kept::Etcd,
        (None, None) => Kept::Memory,
        (None, Some(_)) => Kept::File,
    }
}

fn in_words(sync: SyncWhen) -> String {
    match sync {
        SyncWhen::Always => "always".into(),
        SyncWhen::Never => "never".into(),
        SyncWhen::Every(interval) => format!("{}ms", interval.as_millis()),
    }
}
