//! Step 10, file: each set is a line at the end of a file, and the start reads them all again.
//!
//! TUTORIAL.md, chapter 10. Run it with `cargo run --example step10_file`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{env, io, thread};

use anyhow::{Context as _, bail};
use percent_encoding::percent_decode;
use serde_json::{Value, json};

/// What is kept, in memory and in a file.
struct Pairs {
    map: HashMap<String, String>,
    file: File,
    /// How long the file is: so much of it is whole lines.
    length: u64,
}

/// Whoever wants to look at it waits until nobody else does.
type Store = Mutex<Pairs>;

const MAX_HEAD_BYTES: usize = 64 << 10;
const MAX_BODY_BYTES: usize = 1 << 20;
/// Answers that have grown to this do not wait for more of them.
const MAX_OUTPUT_BYTES: usize = 64 << 10;

/// From one request to the next.
const IDLE_TIME: Duration = Duration::from_mins(1);
/// From the first byte of a head to its last, and from there to the end of the body.
const HEAD_TIME: Duration = Duration::from_secs(10);
const BODY_TIME: Duration = Duration::from_secs(30);
/// After our last word, for the client to read it.
const LINGER_TIME: Duration = Duration::from_secs(1);

fn main() -> anyhow::Result<()> {
    let port = env::args().nth(1).map_or(Ok(4000), |port| port.parse())?;
    let path = env::args().nth(2).unwrap_or("data.jsonl".into());
    let store = Arc::new(Mutex::new(Pairs::open(&path).with_context(|| path.clone())?));
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    println!("Listening on http://localhost:{}/", listener.local_addr()?.port());

    for stream in listener.incoming() {
        let store = Arc::clone(&store);
        let served = thread::Builder::new().spawn(move || {
            // What can go wrong here is that the client has left.
            let _ = stream.and_then(|stream| Connection::new(stream).serve(&store));
        });
        // Without a thread the client is lost, and the others are not.
        drop(served);
    }
    Ok(())
}

/// One client.
struct Connection {
    stream: TcpStream,
    /// What came, and is not used yet.
    input: Vec<u8>,
    /// What we owe the client.
    output: Vec<u8>,
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Connection { stream, input: Vec::new(), output: Vec::new() }
    }

    /// Answers request after request, until one of the two sides has had enough.
    fn serve(&mut self, store: &Store) -> io::Result<()> {
        loop {
            let (answer, with_body, keep) = match self.next_request()? {
                Ok(request) => (route(&request, store), request.method != "HEAD", request.keep),
                Err(refusal) => (refusal, true, false),
            };
            answer.write_to(&mut self.output, with_body, keep);
            if !keep {
                self.flush()?;
                return self.linger();
            }
            if self.output.len() > MAX_OUTPUT_BYTES {
                self.flush()?;
            }
        }
    }

    /// The next request, with its body read and thrown away. `Err` inside is the answer to what
    /// can't become one.
    fn next_request(&mut self) -> io::Result<Result<Request, Answer>> {
        while self.input.is_empty() {
            self.fill(Instant::now() + IDLE_TIME)?;
        }
        // It has begun: from now on a client that is too slow is told so.
        match self.read_request() {
            Err(error) if is_timeout(&error) => {
                Ok(Err(Answer::new("408 Request Timeout", "The request is too slow.\n")))
            }
            result => result,
        }
    }

    /// Reads a request that has begun.
    fn read_request(&mut self) -> io::Result<Result<Request, Answer>> {
        let deadline = Instant::now() + HEAD_TIME;
        loop {
            match parse(&self.input) {
                Ok(Some(request)) => {
                    self.input.drain(..request.head_length);
                    self.skip(request.body_length)?;
                    return Ok(Ok(request));
                }
                Ok(None) if self.input.len() < MAX_HEAD_BYTES => self.fill(deadline)?,
                Ok(None) => {
                    let sentence = "The head is larger than 64 KiB.\n";
                    return Ok(Err(Answer::new("431 Request Header Fields Too Large", sentence)));
                }
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
    }

    /// Takes a body of this length out of the input, as it comes.
    fn skip(&mut self, length: usize) -> io::Result<()> {
        let deadline = Instant::now() + BODY_TIME;
        let mut left = length;
        loop {
            let here = left.min(self.input.len());
            self.input.drain(..here);
            left -= here;
            if left == 0 {
                return Ok(());
            }
            self.fill(deadline)?;
        }
    }

    /// Waits for more bytes, but not past `deadline`. First the client gets what we owe it.
    fn fill(&mut self, deadline: Instant) -> io::Result<()> {
        self.flush()?;
        let time = deadline.saturating_duration_since(Instant::now());
        if time.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(time))?;
        let mut buffer = [0; 4096];
        let read = self.stream.read(&mut buffer)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.input.extend_from_slice(&buffer[..read]);
        Ok(())
    }

    /// All answers that are ready, in one write.
    fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.output)?;
        self.output.clear();
        Ok(())
    }

    /// Ends our direction, and reads for a moment what still comes. Closed with bytes unread, the
    /// system would take our last words back (RFC 9112 §9.6).
    fn linger(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)?;
        let deadline = Instant::now() + LINGER_TIME;
        while self.fill(deadline).is_ok() {
            self.input.clear();
        }
        Ok(())
    }
}

/// A read that ran into its timeout says `WouldBlock` on Unix.
fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// What a client asks for.
struct Request {
    method: String,
    target: String,
    /// Names in lower case: they are the same in any case (RFC 9110 §5.1).
    fields: Vec<(String, String)>,
    /// In bytes.
    head_length: usize,
    body_length: usize,
    /// Whether the connection stays open afterwards.
    keep: bool,
}

impl Request {
    /// The values of all fields with this name, which is in lower case.
    fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        let fields = self.fields.iter().filter(move |field| field.0 == name);
        fields.map(|field| field.1.as_str())
    }
}

/// What we say to it.
struct Answer {
    status: &'static str,
    body: String,
}

impl Answer {
    fn new(status: &'static str, body: impl Into<String>) -> Self {
        Answer { status, body: body.into() }
    }

    /// `Content-Length` says where the body ends. The answer to HEAD has the same fields, and ends
    /// before the body (RFC 9110 §9.3.2).
    fn write_to(&self, output: &mut Vec<u8>, with_body: bool, keep: bool) {
        let Answer { status, body } = self;
        let length = body.len();
        let connection = if keep { "" } else { "Connection: close\r\n" };
        let body = if with_body { body } else { "" };
        let answer = format!(
            "HTTP/1.1 {status}\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {length}\r\n\
             {connection}\
             \r\n\
             {body}"
        );
        output.extend_from_slice(answer.as_bytes());
    }
}

/// The request in these bytes, `None` while they are the beginning of one.
fn parse(input: &[u8]) -> Result<Option<Request>, Answer> {
    let bad = |why: String| Answer::new("400 Bad Request", why + "\n");
    let mut fields = [httparse::EMPTY_HEADER; 100];
    let mut head = httparse::Request::new(&mut fields);
    let head_length = match head.parse(input) {
        Ok(httparse::Status::Partial) => return Ok(None),
        Ok(httparse::Status::Complete(length)) => length,
        Err(error) => return Err(bad(error.to_string())),
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut request = Request {
        method: head.method.unwrap_or_default().to_string(),
        target: head.path.unwrap_or_default().to_string(),
        fields: head.headers.iter().map(|f| (f.name.to_lowercase(), text(f.value))).collect(),
        head_length,
        body_length: 0,
        keep: head.version == Some(1),
    };
    // Without it, a server for several names can't tell which is meant (RFC 9112 §3.2).
    if head.version == Some(1) && request.values("host").count() != 1 {
        return Err(bad("HTTP/1.1 asks for one Host field.".into()));
    }
    request.body_length = body_length(&request)?;
    let is_close = |option: &str| option.trim().eq_ignore_ascii_case("close");
    if request.values("connection").any(|list| list.split(',').any(is_close)) {
        request.keep = false;
    }
    if request.values("expect").next().is_some() {
        // A client that waits for our word before it sends the body gets the last one instead.
        (request.body_length, request.keep) = (0, false);
    }
    Ok(Some(request))
}

/// How many bytes of body follow the head (RFC 9112 §6.3). Two parties that disagree about it see
/// different requests in the same bytes, and one of them may be an attacker's.
fn body_length(request: &Request) -> Result<usize, Answer> {
    if request.values("transfer-encoding").next().is_some() {
        return Err(Answer::new("501 Not Implemented", "Bodies in chunks are not read here.\n"));
    }
    let lengths: Vec<&str> = request.values("content-length").collect();
    match lengths[..] {
        [] => Ok(0),
        [length] if !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()) => {
            let length = length.parse().ok().filter(|&length| length <= MAX_BODY_BYTES);
            length.ok_or(Answer::new("413 Content Too Large", "The body is larger than 1 MiB.\n"))
        }
        _ => Err(Answer::new("400 Bad Request", "Content-Length is not one number.\n")),
    }
}

/// Takes the query of a request and the store, and answers it. What is wrong with the query is an
/// answer too.
type Handler = fn(&str, &Store) -> Result<Answer, Answer>;

/// The dispatch table: all that this server does.
const ROUTES: [(&str, &str, Handler); 3] =
    [("GET", "/set", set), ("GET", "/get", get), ("HEAD", "/get", get)];

/// Finds the handler, and lets it answer.
fn route(request: &Request, store: &Store) -> Answer {
    let (path, query) = split(&request.target);
    match ROUTES.iter().find(|route| (route.0, route.1) == (&request.method, path)) {
        Some((_, _, handler)) => handler(query, store).unwrap_or_else(|refusal| refusal),
        None => failure("This server knows GET /set?somekey=somevalue and GET /get?key=somekey."),
    }
}

/// Path and query of a target. `http://localhost:4000/get` is another way to write `/get`, which
/// proxies use (RFC 9112 §3.2.2).
fn split(target: &str) -> (&str, &str) {
    let path_from = match target.strip_prefix("http://") {
        Some(rest) => target.len() - rest.len() + rest.find(['/', '?']).unwrap_or(rest.len()),
        None => 0,
    };
    target[path_from..].split_once('?').unwrap_or((&target[path_from..], ""))
}

/// What the task asks for where a request is not in its table.
fn failure(sentence: &str) -> Answer {
    Answer::new("500 Internal Server Error", format!("{sentence}\n"))
}

/// `GET /set?<key>=<value>`
fn set(query: &str, store: &Store) -> Result<Answer, Answer> {
    let (key, value) = only_pair(query)?;
    match lock(store).set(key, value) {
        Ok(()) => Ok(Answer::new("200 OK", "")),
        Err(error) => Err(failure(&format!("The pair could not be kept: {error}."))),
    }
}

/// `GET /get?key=<key>`
fn get(query: &str, store: &Store) -> Result<Answer, Answer> {
    let (name, key) = only_pair(query)?;
    if name != "key" {
        return Err(failure("/get takes one field, named key."));
    }
    Ok(match lock(store).map.get(&key) {
        Some(value) => Answer::new("200 OK", value.clone()),
        None => Answer::new("404 Not Found", ""),
    })
}

/// The map is whole even where a thread died with the lock: each change to it is one call.
fn lock(store: &Store) -> MutexGuard<'_, Pairs> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The one pair of a query, decoded. Neither half is empty.
fn only_pair(query: &str) -> Result<(String, String), Answer> {
    let mut pieces = query.split('&').filter(|piece| !piece.is_empty());
    let (Some(piece), None) = (pieces.next(), pieces.next()) else {
        return Err(failure("A query is one pair: ?somekey=somevalue."));
    };
    match piece.split_once('=') {
        Some((key, value)) if !key.is_empty() && !value.is_empty() => {
            Ok((decode(key)?, decode(value)?))
        }
        _ => Err(failure("A pair is a key, = and a value, and neither is empty.")),
    }
}

/// `+` is a space, `%XX` a byte, and all bytes together are UTF-8. The order matters: a plus sign
/// that is meant as one comes as `%2B`.
fn decode(half: &str) -> Result<String, Answer> {
    let spaced = half.replace('+', " ");
    let bytes = percent_decode(spaced.as_bytes()).collect();
    String::from_utf8(bytes).map_err(|_| failure("The query is not UTF-8."))
}

impl Pairs {
    /// Reads the file, where later lines win, and goes on at its end.
    fn open(path: &str) -> anyhow::Result<Self> {
        let mut file = File::options().read(true).append(true).create(true).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut pairs = Pairs { map: HashMap::new(), file, length: 0 };
        for (number, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
            let is_ended = line.ends_with(b"\n");
            if let Some((key, value)) = pair(line) {
                pairs.map.insert(key, value);
                pairs.length += line.len() as u64;
                if !is_ended {
                    pairs.append("\n")?;
                }
            } else if is_ended {
                bail!("line {} is damaged", number + 1);
            } else {
                // A crash in the middle of a write left this. Nobody was told that it is kept.
                println!("cut off half a line, {} bytes", line.len());
                pairs.file.set_len(pairs.length)?;
            }
        }
        Ok(pairs)
    }

    /// The file first: whoever reads a value may rely on it.
    fn set(&mut self, key: String, value: String) -> io::Result<()> {
        self.append(&line(&key, &value))?;
        self.map.insert(key, value);
        Ok(())
    }

    /// One write. Half of a line is taken back, or the next one would be glued to it.
    fn append(&mut self, line: &str) -> io::Result<()> {
        if let Err(error) = self.file.write_all(line.as_bytes()) {
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += line.len() as u64;
        Ok(())
    }
}

/// The line for a pair. JSON escapes newlines, so that the only one is at its end.
fn line(key: &str, value: &str) -> String {
    format!("{}\n", json!({ "key": key, "value": value }))
}

/// The pair in a line.
fn pair(line: &[u8]) -> Option<(String, String)> {
    let record: Value = serde_json::from_slice(line).ok()?;
    Some((record["key"].as_str()?.into(), record["value"].as_str()?.into()))
}
