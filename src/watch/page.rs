//! The page: what `--watch` serves, on a port of its own.
//!
//! | target | answer |
//! |---|---|
//! | `GET /` | the page; the other files of the table [`FILES`] belong to it |
//! | `GET /events` | the events as they happen, as Server-Sent Events (HTML Standard §9.2): `data: ` and a line of [`crate::watch::event`] |
//! | anything else | 404 or 405 and a sentence |
//!
//! HEAD gets the head of what GET gets (RFC 9110 §9.3.2).
//!
//! It shows keys and values, so it is for the user of this machine alone:
//!
//! 1. It listens on loopback, whatever `--host` says, and answers under the names of [`crate::http::access`] only.
//! 2. Pages of other sites can link to it, and can't read it: no CORS field is ever sent. `/events` is for this
//!    page alone, and for programs, which say nothing of where they come from.
//! 3. It runs only scripts that came from here, and none of them can make HTML of a text ([`FIELDS`]).
//! 4. It only reads. Nothing that is sent here changes anything.
//! 5. A watcher that takes nothing waits alone ([`crate::watch::watcher`]).
//!
//! Heads are read and understood by the same modules as those of the server; only the answers differ, and each
//! ends its connection. The naive version listens on all addresses and sends
//! `Access-Control-Allow-Origin: *`: esbuild, Vite and mitmproxy have all been read by the pages that their users
//! looked at (GHSA-67mh-4wv8-2f99, CVE-2025-24010, CVE-2018-14505).
//!
//! Next: [`crate::watch::flags`], which begins all this.

use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::http::access;
use crate::http::head::HeadSearch;
use crate::http::input::Input;
use crate::http::refusal::Refusal;
use crate::http::request::Request;
use crate::net::socket::{Socket, Wait};
use crate::watch::scribe::Scribe;
use crate::watch::watcher;

/// What there is besides the events: the page, and the moments that it can show without a server.
const FILES: [File; 16] = [
    File::new("/", HTML, include_str!("page/index.html")),
    File::new("/page.css", "text/css; charset=utf-8", include_str!("page/page.css")),
    File::new("/main.js", SCRIPT, include_str!("page/main.js")),
    File::new("/model.js", SCRIPT, include_str!("page/model.js")),
    File::new("/moments.js", SCRIPT, include_str!("page/moments.js")),
    File::new("/player.js", SCRIPT, include_str!("page/player.js")),
    File::new("/save.js", SCRIPT, include_str!("page/save.js")),
    File::new("/stages.js", SCRIPT, include_str!("page/stages.js")),
    File::new("/view.js", SCRIPT, include_str!("page/view.js")),
    File::new("/words.js", SCRIPT, include_str!("page/words.js")),
    File::new("/moments/chapter-3.jsonl", LINES, include_str!("page/moments/chapter-3.jsonl")),
    File::new("/moments/chapter-8.jsonl", LINES, include_str!("page/moments/chapter-8.jsonl")),
    File::new("/moments/chapter-9.jsonl", LINES, include_str!("page/moments/chapter-9.jsonl")),
    File::new("/moments/chapter-11.jsonl", LINES, include_str!("page/moments/chapter-11.jsonl")),
    File::new("/moments/chapter-12.jsonl", LINES, include_str!("page/moments/chapter-12.jsonl")),
    File::new("/moments/chapter-13.jsonl", LINES, include_str!("page/moments/chapter-13.jsonl")),
];
const HTML: &str = "text/html; charset=utf-8";
const LINES: &str = "application/json; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// A file that a browser may have.
struct File {
    target: &'static str,
    media: &'static str,
    content: &'static str,
}

impl File {
    const fn new(target: &'static str, media: &'static str, content: &'static str) -> Self {
        File { target, media, content }
    }
}

/// The fields of every answer: what a browser may do with it, and what not.
const FIELDS: &str = "\
    Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'\r\n\
    X-Content-Type-Options: nosniff\r\n\
    Cross-Origin-Resource-Policy: same-origin\r\n\
    Cross-Origin-Opener-Policy: same-origin-allow-popups\r\n\
    Referrer-Policy: no-referrer\r\n\
    Cache-Control: no-store\r\n\
    Connection: close\r\n";

/// How many may watch at a time.
const WATCHERS: usize = 4;

/// How many connections there may be besides. A browser opens some before it needs them.
const VISITORS: usize = 16;

/// The largest head, in bytes, and how long it may take.
const HEAD_BYTES: usize = 16 << 10;
const HEAD_TIME: Duration = Duration::from_secs(5);

/// How long a client may take for each 64 KiB of what it is sent.
const WRITE_TIME: Duration = Duration::from_secs(5);

/// After an `accept()` that failed.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves the page and the events of `scribe` on these listeners, in threads of its own, until the
/// process ends.
///
/// # Errors
/// Where a thread can't be had.
pub fn serve(listeners: Vec<TcpListener>, scribe: &Scribe) -> anyhow::Result<()> {
    let page = Arc::new(Page {
        scribe: scribe.clone(),
        visitors: AtomicUsize::new(0),
        watchers: AtomicUsize::new(0),
    });
    for listener in listeners {
        let page = Arc::clone(&page);
        let thread = thread::Builder::new().name("page".into());
        thread.spawn(move || page.accept(&listener)).context("cannot start a thread")?;
    }
    Ok(())
}

struct Page {
    scribe: Scribe,
    visitors: AtomicUsize,
    watchers: AtomicUsize,
}

impl Page {
    fn accept(self: Arc<Self>, listener: &TcpListener) {
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    let Some(place) = Place::take(&self, |page| &page.visitors, VISITORS) else {
                        continue;
                    };
                    let thread = thread::Builder::new().name("visitor".into());
                    // Where there is no thread to be had, the connection is closed.
                    let _ = thread.spawn(move || {
                        let _ = visit(&stream, place);
                    });
                }
                Err(_) => thread::sleep(PAUSE),
            }
        }
    }
}

/// One of a limited number of places, free again when it is dropped.
struct Place {
    page: Arc<Page>,
    taken: fn(&Page) -> &AtomicUsize,
}

impl Place {
    fn take(page: &Arc<Page>, taken: fn(&Page) -> &AtomicUsize, most: usize) -> Option<Self> {
        let before = taken(page).fetch_add(1, SeqCst);
        let place = Place { page: Arc::clone(page), taken };
        (before < most).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        (self.taken)(&self.page).fetch_sub(1, SeqCst);
    }
}

/// Serves one request.
fn visit(stream: &TcpStream, place: Place) -> io::Result<()> {
    let mut socket = Socket::new(stream);
    let mut input = Input::default();
    let (answer, with_body) = match read(&mut socket, &mut input)? {
        Ok(request) => (answer(&request), request.method != "HEAD"),
        Err(refusal) => (Err(refusal), true),
    };
    let response = match answer {
        Ok(Answer::File(File { media, content, .. })) => response("200 OK", media, content),
        Ok(Answer::Sentence(status, sentence)) => response(status, TEXT, sentence),
        Ok(Answer::Events) if with_body => {
            let page = Arc::clone(&place.page);
            match Place::take(&page, |page| &page.watchers, WATCHERS) {
                Some(_watcher) => {
                    drop(place);
                    return watcher::serve(&mut socket, &page.scribe, &events_head());
                }
                None => response("503 Service Unavailable", TEXT, ENOUGH),
            }
        }
        Ok(Answer::Events) => events_head(),
        Err(refusal) => {
            let (status, sentence) = refusal.response();
            response(status.text(), TEXT, &sentence)
        }
    };
    let head = response.find("\r\n\r\n").map_or(response.len(), |end| end + 4);
    let sent = if with_body { response.len() } else { head };
    socket.write(&response.as_bytes()[..sent], WRITE_TIME)?;
    socket.linger(input.space());
    Ok(())
}

/// Reads a request: its head, and nothing of a body.
fn read<'i>(
    socket: &mut Socket<'_>,
    input: &'i mut Input,
) -> io::Result<Result<Request<'i>, Refusal>> {
    let mut search = HeadSearch::default();
    let deadline = Wait::Until(Instant::now() + HEAD_TIME);
    let head = loop {
        match search.look(input.unread(), HEAD_BYTES) {
            Ok(Some(head)) => break head,
            Ok(None) => {}
            Err(refusal) => return Ok(Err(refusal)),
        }
        match socket.read(input.space(), deadline)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            read => input.filled(read),
        }
    };
    Ok(Request::parse(&mut input.unread()[head]))
}

enum Answer {
    File(&'static File),
    Sentence(&'static str, &'static str),
    Events,
}

/// Decides what a request gets.
fn answer(request: &Request<'_>) -> Result<Answer, Refusal> {
    let file = FILES.iter().find(|file| file.target == request.path);
    // A link to the page is harmless: the user who follows it reads the page, and the other site does not.
    access::check_linked(request, &[], file.is_some())?;
    if !matches!(request.method, "GET" | "HEAD") {
        return Ok(Answer::Sentence("405 Method Not Allowed", ONLY_READS));
    }
    match file {
        Some(file) => Ok(Answer::File(file)),
        None if request.path == "/events" => {
            // Programs say nothing of this; a browser that opens the address says "none".
            match request.browser.site {
                None | Some(b"same-origin") => Ok(Answer::Events),
                Some(_) => Err(Refusal::OtherSite),
            }
        }
        None => Ok(Answer::Sentence("404 Not Found", NOT_HERE)),
    }
}

const ENOUGH: &str = "There are enough watchers: close one of them.";
const ONLY_READS: &str = "This is only to be looked at: use GET.";
const NOT_HERE: &str = "There is nothing here: the page is at /, its events are at /events.";

fn events_head() -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{FIELDS}\r\n")
}

fn response(status: &str, media: &str, content: &str) -> String {
    let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
    let length = content.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {media}\r\n{FIELDS}{allow}\
         Content-Length: {length}\r\n\r\n{content}"
    )
}
