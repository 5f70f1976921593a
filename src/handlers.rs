//! The handlers: what the two requests do.
//!
//! By the time a handler runs, everything about HTTP is settled, and what is left is the task
//! itself. Both are as short as the sentence that describes them; that is what the modules around
//! them are for.
//!
//! Next: [`crate::store`], where the pairs are.

use crate::http::query;
use crate::http::refusal::Refusal;
use crate::http::response::{Reply, Sent, Status};
use crate::store::file::Store;

/// `GET /get?key=<key>`: 200 and the value, or 404 and nothing.
///
/// # Errors
/// Where the query is not one pair with the name `key`.
pub fn get(store: &Store, query: &str, reply: Reply<'_>) -> Result<Sent, Refusal> {
    let key = query::key(query)?;
    Ok(store.read(&key, |value| match value {
        Some(value) => reply.send(Status::Ok, value),
        None => reply.send(Status::NotFound, ""),
    }))
}

/// `GET /set?<key>=<value>`: 200 and nothing, once the pair is kept.
///
/// # Errors
/// Where the query is not one pair, or the pair could not be kept.
pub fn set(store: &Store, query: &str, reply: Reply<'_>) -> Result<Sent, Refusal> {
    let (key, value) = query::pair(query)?;
    store.set(&key, &value).map_err(Refusal::NotKept)?;
    Ok(reply.send(Status::Ok, ""))
}
