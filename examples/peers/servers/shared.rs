//! What the Rust servers here share: where the pairs are, and the port on the command line.
//!
//! Where a stack has neither a dispatch table nor a query decoder, the server takes [`task`] too.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

#[cfg(feature = "query")]
pub mod task;

/// The pairs: one map under one lock, which many may read at once. This is what most people would
/// write, and all Rust servers here have it, so that what differs is the stack.
#[derive(Default)]
pub struct Pairs(RwLock<HashMap<String, String>>);

impl Pairs {
    /// The value of a key. It is copied: the lock is not held while the answer is on its way.
    pub fn get(&self, key: &str) -> Option<String> {
        // A panic of another thread cannot leave the map half changed, so poison means nothing here.
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Keeps a pair, in the place of an older one.
    pub fn set(&self, key: String, value: String) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(key, value);
    }
}

/// The one pair of a decoded query. None where there are more or fewer, and where a half is empty, as
/// no extractor tells `/set?key` from `/set?key=`. The task answers all of these with 500.
pub fn only_pair(query: impl IntoIterator<Item = (String, String)>) -> Option<(String, String)> {
    let mut pairs = query.into_iter();
    let (first, second) = (pairs.next(), pairs.next());
    first.filter(|(key, value)| second.is_none() && !key.is_empty() && !value.is_empty())
}

/// The value of `--NAME VALUE` on the command line.
///
/// # Panics
///
/// If it is not there: these programs are started by `compare`, which gives it.
#[must_use]
pub fn option(name: &str) -> String {
    let mut words = std::env::args().skip_while(|word| word != name).skip(1);
    words.next().unwrap_or_else(|| panic!("usage: {name} VALUE"))
}

/// The port to listen on, given as `--port N`.
///
/// # Panics
///
/// If it is not there, or not a port.
#[must_use]
pub fn port() -> u16 {
    option("--port").parse().expect("--port takes a number below 65536")
}
