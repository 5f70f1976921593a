//! An engine of your own, a file for each key: `cargo run --example own_engine 4002` serves it.

use std::{fs, io::ErrorKind, sync::Arc, thread, time::Duration};

use dbserver::{Config, Engine, Failed, listener, serve};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

#[derive(Debug)]
struct Folder;

fn path(key: &str) -> String {
    format!("own_engine.data/{}", utf8_percent_encode(key, NON_ALPHANUMERIC))
}

impl Engine for Folder {
    fn find(&self, key: &str, found: &mut dyn FnMut(&str)) -> Result<(), Failed> {
        match fs::read_to_string(path(key)) {
            Ok(value) => found(&value),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(Failed::NotRead(error.to_string().into())),
        }
        Ok(())
    }

    fn set(&self, key: &str, value: &str) -> Result<(), Failed> {
        // Written beside it and renamed: a reader finds the old value or the new one, and no half.
        let new = format!("own_engine.data/{:?}", thread::current().id());
        let kept = fs::write(&new, value).and_then(|()| fs::rename(new, path(key)));
        kept.map_err(|error| Failed::NotKept(error.to_string().into()))
    }
}

fn main() -> anyhow::Result<()> {
    fs::create_dir_all("own_engine.data")?;
    let port = std::env::args().nth(1).map_or(Ok(4002), |port| port.parse())?;
    let _server = serve(listener::bind("localhost", port)?, Arc::new(Folder), Config::default())?;
    thread::sleep(Duration::MAX);
    Ok(())
}
