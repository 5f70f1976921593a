//! Step 12, second part, stop: it ends when it is told to, and those who have begun get their answers.
//!
//! TUTORIAL.md, chapter 12. Run it with `cargo run --example step12b_stop`.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{env, io, iter, thread};

use anyhow::{Context as _, bail};
use percent_encoding::percent_decode;
use serde_json::{Value, json};
use signal_hook::{consts::SIGINT, consts::SIGTERM, iterator::Signals};

/// What is kept.
type Map = HashMap<String, String>;

/// What the threads of all clients share.
struct Store {
    map: Mutex<Map>,
    /// To the one thread that writes to the file.
    sets: Sender<Set>,
}

/// A pair on its way into the file.
struct Set {
    key: String,
    value: String,
    /// Told when it is on the disk, or why it is not.
    kept: Sender<Result<(), String>>,
}

const MAX_HEAD_BYTES: usize = 64 << 10;
const MAX_BODY_BYTES: usize = 1 << 20;
/// Answers that have grown to this do not wait for more of them.
const MAX_OUTPUT_BYTES: usize = 64 << 10;
/// Each is two open files here, and some systems allow a process no more than 256.
const MAX_CONNECTIONS: usize = 100;

/// From one request to the next.
const IDLE_TIME: Duration = Duration::from_mins(1);
/// From the first byte of a head to its last, and from there to the end of the body.
const HEAD_TIME: Duration = Duration::from_secs(10);
const BODY_TIME: Duration = Duration::from_secs(30);
/// For a client to take the answers that are ready, some 64 KiB.
const WRITE_TIME: Duration = Duration::from_secs(30);
/// After our last word, for the client to read it.
const LINGER_TIME: Duration = Duration::from_secs(1);
/// For the requests that have begun when we are told to stop.
const STOP_TIME: Duration = Duration::from_secs(5);

fn main() -> anyhow::Result<()> {
    let port = env::args().nth(1).map_or(Ok(4000), |port| port.parse())?;
    let path = env::args().nth(2).unwrap_or("data.jsonl".into());
    let (map, journal) = Journal::open(&path).with_context(|| path.clone())?;
    let (sets, queue) = mpsc::channel();
    let store = Arc::new(Store { map: Mutex::new(map), sets });
    let writer = Arc::clone(&store);
    thread::Builder::new().spawn(move || write(journal, &queue, &writer.map))?;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let is_told_to_stop = on_signal(listener.local_addr()?)?;
    println!("Listening on http://localhost:{}/", listener.local_addr()?.port());

    let clients = Arc::new(Clients::default());
    for (number, stream) in listener.incoming().enumerate() {
        if is_told_to_stop.load(Ordering::SeqCst) {
            break;
        }
        let Ok(mut stream) = stream else {
            // Most likely too many files are open. That passes, and not by asking again at once.
            thread::sleep(Duration::from_millis(10));
            continue;
        };
        let Some(place) = Clients::enter(&clients, number, &stream) else {
            let mut bytes = Vec::new();
            let refusal = Answer::new("503 Service Unavailable", "Too many clients.\n");
            refusal.write_to(&mut bytes, true, false);
            let _ = stream.write_all(&bytes);
            continue;
        };
        let store = Arc::clone(&store);
        // Without a thread this client is lost, and the others are not.
        let _ = thread::Builder::new().spawn(move || {
            // What can go wrong here is that the client has left.
            let _ = Connection::new(stream).serve(&store);
            drop(place);
        });
    }
    // From here on nobody new finds us.
    drop(listener);
    clients.leave();
    // Nobody may be there to read it: then println! would panic.
    let _ = writeln!(io::stdout(), "Stopped");
    Ok(())
}

/// Waits for Ctrl-C or `kill` on a thread of its own, and says so to the listener.
fn on_signal(address: SocketAddr) -> io::Result<Arc<AtomicBool>> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let told = Arc::new(AtomicBool::new(false));
    let tell = Arc::clone(&told);
    thread::Builder::new().spawn(move || {
        let mut first = None;
        for _ in signals.forever() {
            // A second signal within a second is the same wish: some programs send each twice.
            if first.get_or_insert_with(Instant::now).elapsed() > Duration::from_secs(1) {
                signal_hook::low_level::exit(1);
            }
            tell.store(true, Ordering::SeqCst);
            // The listener waits for a client, so here is one.
            let _ = TcpStream::connect(address);
        }
    })?;
    Ok(told)
}

/// The clients that are here, by a number of their own.
#[derive(Default)]
struct Clients {
    streams: Mutex<HashMap<usize, TcpStream>>,
    one_left: Condvar,
}

/// One of them. Dropped when its thread ends, even by a panic.
struct Place {
    clients: Arc<Clients>,
    number: usize,
}

impl Clients {
    /// `None` where there are too many.
    fn enter(clients: &Arc<Self>, number: usize, stream: &TcpStream) -> Option<Place> {
        let mut streams = lock(&clients.streams);
        if streams.len() >= MAX_CONNECTIONS {
            return None;
        }
        streams.insert(number, stream.try_clone().ok()?);
        Some(Place { clients: Arc::clone(clients), number })
    }

    /// Lets each client finish what it began, but not begin anything more: its next read is the
    /// end of its input.
    fn leave(&self) {
        let streams = lock(&self.streams);
        for stream in streams.values() {
            let _ = stream.shutdown(Shutdown::Read);
        }
        let is_busy = |streams: &mut HashMap<_, _>| !streams.is_empty();
        drop(self.one_left.wait_timeout_while(streams, STOP_TIME, is_busy));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.clients.streams).remove(&self.number);
        self.clients.one_left.notify_all();
    }
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
        let mut buffer = [0; 4096];
        let read = loop {
            // What has come is read, however late it is: after Ctrl-Z and fg the lateness is ours.
            let time = deadline.saturating_duration_since(Instant::now());
            self.stream.set_read_timeout(Some(time.max(Duration::from_millis(1))))?;
            match self.stream.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.input.extend_from_slice(&buffer[..read]);
        Ok(())
    }

    /// All answers that are ready, in one write, or in several if the client is slow to take them.
    fn flush(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + WRITE_TIME;
        while !self.output.is_empty() {
            let time = deadline.saturating_duration_since(Instant::now());
            if time.is_zero() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.stream.set_write_timeout(Some(time))?;
            match self.stream.write(&self.output) {
                Err(error) if is_timeout(&error) => {}
                written => drop(self.output.drain(..written?)),
            }
        }
        Ok(())
    }

    /// Ends our direction, and reads for a moment what still comes. Closed with bytes unread, the
    /// system would take our last words back (RFC 9112 §9.6).
    fn linger(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)?;
        let deadline = Instant::now() + LINGER_TIME;
        while Instant::now() < deadline && self.fill(deadline).is_ok() {
            self.input.clear();
        }
        Ok(())
    }
}

/// A read or write that ran into its timeout says `WouldBlock` on Unix.
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
             X-Content-Type-Options: nosniff\r\n\
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
    if !may_ask(request) {
        return Answer::new("403 Forbidden", "Pages of other sites may not ask.\n");
    }
    let (path, query) = split(&request.target);
    match ROUTES.iter().find(|route| (route.0, route.1) == (&request.method, path)) {
        Some((_, _, handler)) => handler(query, store).unwrap_or_else(|refusal| refusal),
        None => failure("This server knows GET /set?somekey=somevalue and GET /get?key=somekey."),
    }
}

/// Whether this is the user, and not a page of somebody else in the user's browser. The browser
/// says from where it asks; curl and other programs say nothing.
fn may_ask(request: &Request) -> bool {
    // A page can point a name of its own at our address. Its name is in Host then.
    let is_ours = |host: &str| {
        let name = host.rsplit_once(':').map_or(host, |(name, _port)| name);
        ["localhost", "127.0.0.1"].contains(&name)
    };
    let host = request.values("host").next();
    host.is_none_or(is_ours)
        && request.values("sec-fetch-site").all(|site| ["same-origin", "none"].contains(&site))
        && request.values("origin").all(|origin| origin.strip_prefix("http://") == host)
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
    let (kept, wait) = mpsc::channel();
    let _ = store.sets.send(Set { key, value, kept });
    match wait.recv() {
        Ok(Ok(())) => Ok(Answer::new("200 OK", "")),
        Ok(Err(why)) => Err(failure(&format!("The pair could not be kept: {why}."))),
        Err(_) => Err(failure("Nothing more is kept since a write failed. Restart the server.")),
    }
}

/// `GET /get?key=<key>`
fn get(query: &str, store: &Store) -> Result<Answer, Answer> {
    let (name, key) = only_pair(query)?;
    if name != "key" {
        return Err(failure("/get takes one field, named key."));
    }
    Ok(match lock(&store.map).get(&key) {
        Some(value) => Answer::new("200 OK", value.clone()),
        None => Answer::new("404 Not Found", ""),
    })
}

/// The map is whole even where a thread died with the lock: each change to it is one call.
fn lock<T>(map: &Mutex<T>) -> MutexGuard<'_, T> {
    map.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Keeps what comes through the queue. All that waits there goes into the file together, and one
/// sync is enough for it. Only then may it be read.
///
/// What the disk holds after a write or a sync that failed, nobody knows. So that is the end of
/// this thread, and the handlers notice.
fn write(mut journal: Journal, queue: &Receiver<Set>, map: &Mutex<Map>) {
    while let Ok(first) = queue.recv() {
        let batch: Vec<Set> = iter::once(first).chain(queue.try_iter()).collect();
        let kept = journal.append(&batch).map_err(|error| error.to_string());
        for Set { key, value, kept: waiting } in batch {
            if kept.is_ok() {
                lock(map).insert(key, value);
            }
            // A client that left does not want to know.
            let _ = waiting.send(kept.clone());
        }
        let is_long = journal.lines > 1000 + 2 * lock(map).len();
        let replaced = if is_long { journal.replace(map) } else { Ok(()) };
        if let Err(why) = kept.and_then(|()| replaced.map_err(|error| error.to_string())) {
            eprintln!("nothing more is kept: {why}");
            return;
        }
    }
}

/// The file.
struct Journal {
    path: PathBuf,
    file: File,
    lines: usize,
}

impl Journal {
    /// Reads the file, where later lines win, and goes on at its end.
    fn open(path: &str) -> anyhow::Result<(Map, Self)> {
        let mut file = File::options().read(true).append(true).create(true).open(path)?;
        file.try_lock().context("another server has it")?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut journal = Journal { path: fs::canonicalize(path)?, file, lines: 0 };
        let (mut map, mut length) = (Map::new(), 0);
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            journal.lines += 1;
            let is_ended = line.ends_with(b"\n");
            if let Some((key, value)) = pair(line) {
                map.insert(key, value);
                length += line.len() as u64;
                if !is_ended {
                    journal.file.write_all(b"\n")?;
                }
            } else if is_ended {
                bail!("line {} is damaged", journal.lines);
            } else {
                // A crash in the middle of a write left this. Nobody was told that it is kept.
                println!("cut off half a line, {} bytes", line.len());
                journal.file.set_len(length)?;
            }
        }
        journal.sync()?;
        Ok((map, journal))
    }

    /// One write and one sync for all of them.
    fn append(&mut self, batch: &[Set]) -> io::Result<()> {
        let lines: String = batch.iter().map(|set| line(&set.key, &set.value)).collect();
        self.lines += batch.len();
        self.file.write_all(lines.as_bytes())?;
        self.file.sync_data()
    }

    /// Writes one line for each pair to a second file, and gives it the name of the first. Under
    /// that name there is a whole file at each moment.
    fn replace(&mut self, map: &Mutex<Map>) -> io::Result<()> {
        let lines: Vec<String> = lock(map).iter().map(|(key, value)| line(key, value)).collect();
        let beside = self.path.with_added_extension("new");
        // Left there by a crash in the middle of this.
        let _ = fs::remove_file(&beside);
        let mut file = File::options().append(true).create_new(true).open(&beside)?;
        file.try_lock()?;
        file.write_all(lines.concat().as_bytes())?;
        file.sync_all()?;
        fs::rename(beside, &self.path)?;
        (self.file, self.lines) = (file, lines.len());
        self.sync()
    }

    /// Syncs the file, and the folder: the name is written there, and not in the file.
    fn sync(&self) -> io::Result<()> {
        self.file.sync_all()?;
        File::open(self.path.parent().unwrap_or(Path::new("/")))?.sync_all()
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
