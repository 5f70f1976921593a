//! The page of who-may-ask: of another site as a browser sees it, and its script tries to write to
//! the server.
//!
//! Served by hand over std's TCP. A browser opens connections that it does not use yet (see the lab
//! idle-sockets), so each one gets a thread.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::subject::Server;
use crate::tell;
use crate::who_may_ask::fresh;

/// How long we wait for a browser.
const PATIENCE: Duration = Duration::from_mins(2);

/// The ways in which the page tries, and their keys.
const WAYS: [(&str, &str); 3] =
    [("fetch()", "lab-page-fetch"), ("an image", "lab-page-image"), ("a form", "lab-page-form")];

/// Its words in capitals are replaced.
const PAGE: &str = include_str!("page.html");

/// Serves the page until it has reported back, and looks each second what it has stored. Returns the
/// ways in which it did.
pub(crate) fn serve(server: &Server) -> anyhow::Result<Vec<&'static str>> {
    let values = WAYS.map(|(_, key)| fresh(server, key));
    let page = PAGE.replace("SERVER", &server.origin());
    let page = page.replace("FETCH", values[0]).replace("IMAGE", values[1]);
    let page = Arc::new(page.replace("FORM", values[2]));

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let (done, on_done) = channel();
    let accept = move || {
        for stream in listener.incoming().flatten() {
            let (page, done) = (Arc::clone(&page), done.clone());
            // A browser that goes away in the middle is no matter.
            let answer = move || drop(answer(&stream, &page, &done));
            let _ = thread::Builder::new().name("page".into()).spawn(answer);
        }
    };
    // It ends with this program.
    thread::Builder::new().name("pages".into()).spawn(accept)?;
    tell::raw(&format!("\n    open http://{address}/ in a browser: you have two minutes\n"));

    let mut stored = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let news = on_done.recv_timeout(Duration::from_secs(1));
        for ((way, key), value) in WAYS.into_iter().zip(values) {
            if !stored.contains(&way) && server.get(key).as_deref() == Some(value) {
                tell::note(&format!("{way} of the page has stored its pair"));
                stored.push(way);
            }
        }
        if news != Err(RecvTimeoutError::Timeout) {
            tell::note("the page has tried everything");
            break;
        }
        if Instant::now() > deadline {
            tell::note("the page has not reported back, so there is only what stands above");
            break;
        }
    }
    Ok(stored)
}

/// Answers one request, and closes.
fn answer(mut stream: &TcpStream, page: &str, done: &Sender<()>) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(Duration::from_secs(5)))?;
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.windows(4).any(|four| four == b"\r\n\r\n") && request.len() < 64 << 10 {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            read => request.extend_from_slice(&buffer[..read]),
        }
    }
    let (status, body) = if request.starts_with(b"GET / ") {
        ("200 OK", page)
    } else if request.starts_with(b"GET /done ") {
        let _ = done.send(());
        ("200 OK", "")
    } else {
        ("404 Not Found", "")
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}
