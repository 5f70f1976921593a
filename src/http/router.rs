//! The dispatch table: which handler serves which method and path.
//!
//! Only this module knows methods and paths. The table is a list that is read from the top, which
//! for three lines is as fast as anything, and which a reader takes in at one look:
//!
//! | method | path   | handler |
//! |--------|--------|---------|
//! | GET    | `/get` | [`handlers::get`] |
//! | HEAD   | `/get` | [`handlers::get`] |
//! | GET    | `/set` | [`handlers::set`] |
//!
//! Methods are case-sensitive (RFC 9110 §9.1), and a path is compared as it was sent: `/get/`,
//! `//get`, `/Get` and `/g%65t` are other paths. The naive version asks whether the target *starts
//! with* `/set`, and serves `/settings`.
//!
//! Next: [`crate::http::query`], what the handlers ask first.

use crate::handlers;
use crate::http::refusal::Refusal;
use crate::http::response::{Reply, Sent};
use crate::store::engine::Engine;
use crate::watch::stage::{Stage, reached};

/// Serves one request: is given the engine and the query as it was sent, and answers.
///
/// What it refuses is answered by the caller.
pub type Handler = fn(&dyn Engine, &str, Reply<'_>) -> Result<Sent, Refusal>;

/// A dispatch table.
#[derive(Debug, Clone)]
pub struct Routes(Vec<(&'static str, &'static str, Handler)>);

impl Default for Routes {
    /// The table above.
    fn default() -> Self {
        Routes(vec![
            ("GET", "/get", handlers::get),
            ("HEAD", "/get", handlers::get),
            ("GET", "/set", handlers::set),
        ])
    }
}

impl Routes {
    /// The table with one line more.
    #[must_use]
    pub fn and(mut self, method: &'static str, path: &'static str, handler: Handler) -> Self {
        self.0.push((method, path, handler));
        self
    }

    /// The handler for a method and a path.
    ///
    /// # Errors
    /// [`Refusal::NoRoute`] where the table has no such line.
    pub(crate) fn find(&self, method: &str, path: &str) -> Result<Handler, Refusal> {
        let line = self.0.iter().find(|line| (line.0, line.1) == (method, path));
        let &(_, path, handler) = line.ok_or(Refusal::NoRoute)?;
        reached(Stage::Routed { path });
        Ok(handler)
    }
}

/// Whether requests for this path only read: a link on a page of another site may lead to it. Lines
/// that were added to the table never count.
pub(crate) fn only_reads(path: &str) -> bool {
    path == "/get"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serves_what_the_table_says_and_nothing_else() {
        let routes = Routes::default();
        for (method, path) in [("GET", "/get"), ("HEAD", "/get"), ("GET", "/set")] {
            assert!(routes.find(method, path).is_ok(), "{method} {path}");
        }
        for (method, path) in [
            ("HEAD", "/set"),
            ("POST", "/set"),
            ("get", "/get"),
            ("GET", "/"),
            ("GET", "/get/"),
            ("GET", "//get"),
            ("GET", "/Get"),
            ("GET", "/g%65t"),
            ("GET", "/settings"),
            ("OPTIONS", "*"),
        ] {
            assert_eq!(routes.find(method, path).err(), Some(Refusal::NoRoute), "{method} {path}");
        }
    }
}
