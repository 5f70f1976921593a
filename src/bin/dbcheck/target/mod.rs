//! The server under test, as a process: its port, its folder, its start and its end.

pub(crate) mod folder;
pub(crate) mod port;

pub(crate) mod launch;

pub(crate) mod greeting;
pub(crate) mod server;

/// Ends the server and removes its files, at once.
pub(crate) fn abandon() {
    launch::abandon();
    folder::abandon();
}
