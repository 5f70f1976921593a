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
use crate::store::engine::Engine;

/// `GET /get?key=<key>`: 200 and the value, or 404 and nothing.
///
/// # Errors
/// Where the query is not one pair with the name `key`, or the value could not be read.
pub(crate) fn get(engine: &dyn Engine, query: &str, reply: Reply<'_>) -> Result<Sent, Refusal> {
    let key = query::key(query)?;
    let (mut reply, mut sent) = (Some(reply), None);
    engine.find(&key, &mut |value| {
        if let Some(reply) = reply.take() {
            sent = Some(reply.send(Status::Ok, value));
        }
    })?;
    // Where the engine found nothing, the reply is still here.
    let not_found = reply.map(|reply| reply.send(Status::NotFound, ""));
    sent.or(not_found).ok_or(Refusal::Panic)
}

/// `GET /set?<key>=<value>`: 200 and nothing, once the pair is kept.
///
/// # Errors
/// Where the query is not one pair, or the pair could not be kept.
pub(crate) fn set(engine: &dyn Engine, query: &str, reply: Reply<'_>) -> Result<Sent, Refusal> {
    let (key, value) = query::pair(query)?;
    engine.set(&key, &value)?;
    Ok(reply.send(Status::Ok, ""))
}
