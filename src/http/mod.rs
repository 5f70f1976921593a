//! Bytes, and what they mean: HTTP/1.1 (RFC 9110, RFC 9112) from bytes that came to bytes that go.
//!
//! Nothing here knows a socket, a thread, or a clock that it was not handed. So each rule can be
//! tested on a few bytes, and any way to wait can be put around it.
//!
//! Next: [`crate::http::exchange`], which puts it all together.

pub mod exchange;
pub mod input;
pub mod head;
pub mod request;
pub(crate) mod authority;
pub mod body;
pub mod answers;
pub(crate) mod access;
pub(crate) mod router;
pub mod query;
pub(crate) mod response;
pub mod refusal;
mod access_log;
