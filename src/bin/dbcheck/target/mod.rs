//! The server under test, as a process: its port, its files, its start and its end.

pub(crate) mod process;

pub(crate) mod free_port;
pub(crate) mod port;

pub(crate) mod command;

pub(crate) mod folder;

pub(crate) mod borrowed;

pub(crate) mod workplace;
pub(crate) mod files;

pub(crate) mod family;
pub(crate) mod launch;

pub(crate) mod greeting;

pub(crate) mod server;

/// Ends the server, puts the user's data back, and removes what is ours, at once. The checker must
/// be ended afterwards.
pub(crate) fn abandon() {
    launch::abandon();
    borrowed::abandon();
    folder::abandon();
}
