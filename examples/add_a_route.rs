//! A third route in a few lines: `GET /count` answers how many keys there are.
//!
//! ```console
//! $ cargo run --example add_a_route
//! $ curl 'http://localhost:4001/set?a=1'; curl http://localhost:4001/count
//! 1
//! ```

use dbserver::Status;
use dbserver::{Config, Routes, Store, listener, serve};

fn main() -> anyhow::Result<()> {
    let routes = Routes::default().and("GET", "/count", |store, _query, reply| {
        Ok(reply.send(Status::Ok, &store.len().to_string()))
    });
    let listeners = listener::bind("localhost", 4001)?;
    let _server = serve(listeners, Store::in_memory(), Config { routes, ..Config::default() })?;
    println!("http://localhost:4001/count says how many keys there are; Ctrl-C ends this");
    loop {
        std::thread::park();
    }
}
