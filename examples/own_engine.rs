//! An engine of your own: a file for each key, in a folder. `find` and `set` are all that it takes.
//!
//! ```console
//! $ cargo run --example own_engine 4002
//! $ curl 'http://localhost:4002/set?somekey=somevalue'; cat own_engine.data/*
//! somevalue
//! ```

use std::path::PathBuf;
use std::sync::Arc;
use std::{fs, io};

use dbserver::{Config, Engine, Failed, listener, serve};

#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    /// Any key is a file's name in hexadecimal. (255 bytes are the most for a name: 127 for a key.)
    fn path(&self, key: &str) -> PathBuf {
        self.0.join(key.bytes().map(|byte| format!("{byte:02x}")).collect::<String>())
    }
}

impl Engine for Folder {
    fn find(&self, key: &str, found: &mut dyn FnMut(&str)) -> Result<(), Failed> {
        match fs::read_to_string(self.path(key)) {
            Ok(value) => found(&value),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Failed::NotRead(error.to_string().into())),
        }
        Ok(())
    }

    fn set(&self, key: &str, value: &str) -> Result<(), Failed> {
        let path = self.path(key);
        // Written beside it and renamed: a reader finds the old value or the new one, and no half.
        let new = path.with_extension(format!("{:?}", std::thread::current().id()));
        let result = fs::write(&new, value).and_then(|()| fs::rename(new, path));
        result.map_err(|error| Failed::NotKept(error.to_string().into()))
    }
}

fn main() -> anyhow::Result<()> {
    let port = std::env::args().nth(1).map_or(Ok(4002), |port| port.parse())?;
    let folder = Folder("own_engine.data".into());
    fs::create_dir_all(&folder.0)?;
    let _server = serve(listener::bind("localhost", port)?, Arc::new(folder), Config::default())?;
    println!("Started on http://localhost:{port}/; Ctrl-C ends this");
    loop {
        std::thread::park();
    }
}
