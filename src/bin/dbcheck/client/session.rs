//! The session: many requests in a row, on one connection as long as the server keeps it.
//!
//! For the checks that send thousands: a connection for each would use up the system's ports.

use crate::client::answer::{Answer, End};
use crate::client::exchange::{Client, Exchange};
use crate::client::wire::{Trouble, Wire};

/// After this many requests a new connection is opened: they are part of the load too.
const MOST_REQUESTS: usize = 100;

pub(crate) struct Session<'c> {
    client: &'c Client,
    wire: Option<(Wire, usize)>,
}

impl<'c> Session<'c> {
    pub(crate) fn new(client: &'c Client) -> Self {
        Session { client, wire: None }
    }

    /// Sends a request and returns its answer. On a connection that the server has closed in the
    /// meantime it is sent once more; sets and gets can be repeated.
    pub(crate) fn ask(&mut self, bytes: &[u8]) -> Result<Answer, Trouble> {
        let is_new = self.wire.is_none();
        match self.try_ask(bytes) {
            Err(Trouble::Closed | Trouble::Cut) if !is_new => self.try_ask(bytes),
            done => done,
        }
    }

    fn try_ask(&mut self, bytes: &[u8]) -> Result<Answer, Trouble> {
        let (mut wire, requests) = match self.wire.take() {
            Some(open) => open,
            None => (self.client.connect()?, 0),
        };
        wire.send(bytes);
        let answer = wire.answer(false)?;
        let stays = answer.field("Connection").is_none_or(|field| !field.contains("close"));
        let is_open = wire.end == End::Open;
        if stays && is_open && requests < MOST_REQUESTS {
            self.wire = Some((wire, requests + 1));
        }
        Ok(answer)
    }

    /// One get that is to be shown.
    pub(crate) fn show(&self, key: &str) -> Exchange {
        self.client.get(key)
    }
}
