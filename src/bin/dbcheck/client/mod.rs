//! Talking to the server: sockets, answers as they are read, and the dialect that it speaks.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod reader;
pub(crate) mod wire;

pub(crate) mod template;

pub(crate) mod dialect;
pub(crate) mod likeness;

pub(crate) mod exchange;
pub(crate) mod learn;
pub(crate) mod session;

pub(crate) mod load;
