//! On axum, the framework that many choose. It has the accept loop, HTTP (hyper's), the dispatch
//! table and the decoding of queries; what is left is below.
//!
//! What it does not ask: what a query with two pairs means (here 500), who may ask (everybody, under
//! any Host), how long a head may take (for ever), how many may come (as many as there are files).

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::serve::ListenerExt;
use serde::Deserialize;
use shared::{Pairs, only_pair};

#[tokio::main]
async fn main() -> io::Result<()> {
    let app = Router::new()
        .route("/set", get(set_pair))
        .route("/get", get(get_value))
        // Without these two, 404 to other paths and 405 to other methods.
        .fallback(refuse)
        .method_not_allowed_fallback(refuse)
        .with_state(Arc::new(Pairs::default()));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", shared::port())).await?;
    // Nagle's algorithm would hold small answers back.
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, app).await
}

/// `/set?somekey=somevalue` has a field whose name nobody knows beforehand: a list of pairs.
async fn set_pair(
    State(pairs): State<Arc<Pairs>>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Result<(), StatusCode> {
    let Query(list) = query.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let (key, value) = only_pair(list).ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
    pairs.set(key, value);
    Ok(())
}

/// What `/get` takes: one field and, unlike what serde would let pass, no other.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lookup {
    key: String,
}

/// A query that does not fit `Lookup` would be 400 by itself; as a `Result`, it is ours to answer.
async fn get_value(
    State(pairs): State<Arc<Pairs>>,
    lookup: Result<Query<Lookup>, QueryRejection>,
) -> Result<String, StatusCode> {
    let Query(lookup) = lookup.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    pairs.get(&lookup.key).ok_or(StatusCode::NOT_FOUND)
}

async fn refuse() -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}
