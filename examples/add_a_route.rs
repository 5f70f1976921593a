//! A third route in a few lines: `GET /length?key=<key>` answers how many bytes a value has.
//!
//! ```console
//! $ cargo run --example add_a_route
//! $ curl 'http://localhost:4001/set?a=hello'; curl 'http://localhost:4001/length?key=a'
//! 5
//! ```

use std::sync::Arc;

use dbserver::{Config, MemoryStore, Routes, Status, listener, serve};

fn main() -> anyhow::Result<()> {
    let routes = Routes::default().and("GET", "/length", |engine, query, reply| {
        let key = dbserver::http::query::key(query)?;
        let mut length = 0;
        engine.find(&key, &mut |value| length = value.len())?;
        Ok(reply.send(Status::Ok, &length.to_string()))
    });
    let (listeners, engine) = (listener::bind("localhost", 4001)?, Arc::new(MemoryStore::new()));
    let _server = serve(listeners, engine, Config { routes, ..Config::default() })?;
    println!("http://localhost:4001/length?key=a says how long a value is; Ctrl-C ends this");
    loop {
        std::thread::park();
    }
}
