//! axum in front of SQLite: the durable server that most would write. Beside `--sync always`, each
//! 200 here means the same: the pair is on the disk.
//!
//! SQLite has one writer at a time, and each set is a transaction with a sync of its own. It blocks,
//! so it runs on the threads that tokio keeps for that.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::serve::ListenerExt;
use rusqlite::{Connection, OptionalExtension};
use serde::Deserialize;

/// One connection: a second one would only wait for the first one's transaction.
type Database = Arc<Mutex<Connection>>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let database = Connection::open(shared::option("--data"))?;
    // A journal of what is to come, synced at every commit (FULL): the fastest that is durable.
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "FULL")?;
    let table = "CREATE TABLE IF NOT EXISTS pairs (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID";
    database.execute(table, [])?;
    let app = Router::new()
        .route("/set", get(set_pair))
        .route("/get", get(get_value))
        .fallback(|| async { StatusCode::INTERNAL_SERVER_ERROR })
        .with_state(Arc::new(Mutex::new(database)));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", shared::port())).await?;
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, app).await?)
}

async fn set_pair(
    State(database): State<Database>,
    Query(list): Query<Vec<(String, String)>>,
) -> Result<(), StatusCode> {
    let (key, value) = shared::only_pair(list).ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
    blocking(database, move |database| {
        let mut insert = database.prepare_cached("INSERT OR REPLACE INTO pairs VALUES (?, ?)")?;
        insert.execute([key, value]).map(|_| ())
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lookup {
    key: String,
}

async fn get_value(
    State(database): State<Database>,
    Query(lookup): Query<Lookup>,
) -> Result<String, StatusCode> {
    let found = blocking(database, move |database| {
        let mut select = database.prepare_cached("SELECT value FROM pairs WHERE key = ?")?;
        select.query_row([lookup.key], |row| row.get(0)).optional()
    });
    found.await?.ok_or(StatusCode::NOT_FOUND)
}

/// Runs a statement where it may block. An error of the database is 500, and so is a panic.
async fn blocking<T: Send + 'static>(
    database: Database,
    run: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
) -> Result<T, StatusCode> {
    let task = tokio::task::spawn_blocking(move || {
        run(&database.lock().unwrap_or_else(PoisonError::into_inner))
    });
    match task.await {
        Ok(Ok(done)) => Ok(done),
        _ => Err(StatusCode::INTERNAL_SERVER_ERROR),
    }
}
