//! Step 8, threads: one for each connection. They share the map, and a lock lets in one at a time.
//!
//! TUTORIAL.md, chapter 8. Run it with `cargo run --example step08_threads`.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{env, io, thread};

use percent_encoding::percent_decode;

/// What is kept. Whoever wants to look at it waits until nobody else does.
type Store = Mutex<HashMap<String, String>>;

/// How long a client may be silent.
const PATIENCE: Duration = Duration::from_secs(5);

/// More than browsers and other clients send in practice.
const MAX_HEAD_BYTES: usize = 64 << 10;

fn main() -> anyhow::Result<()> {
    let port = env::args().nth(1).map_or(Ok(4000), |port| port.parse())?;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    println!("Listening on http://localhost:{}/", listener.local_addr()?.port());

    let store = Arc::new(Store::default());
    for stream in listener.incoming() {
        let store = Arc::clone(&store);
        let served = thread::Builder::new().spawn(move || {
            if let Err(error) = stream.and_then(|stream| serve(stream, &store)) {
                println!("a client is lost: {error}");
            }
        });
        if let Err(error) = served {
            println!("no thread for a client: {error}");
        }
    }
    Ok(())
}

/// Serves one client: one request, one answer.
fn serve(mut stream: TcpStream, store: &Store) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let (answer, with_body) = match read_request(&mut stream)? {
        Ok(request) => (route(&request, store), request.method != "HEAD"),
        Err(refusal) => (refusal, true),
    };
    stream.write_all(&answer.to_bytes(with_body))
}

/// What a client asks for.
struct Request {
    method: String,
    target: String,
    /// Names in lower case: they are the same in any case (RFC 9110 §5.1).
    fields: Vec<(String, String)>,
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
    fn to_bytes(&self, with_body: bool) -> Vec<u8> {
        let Answer { status, body } = self;
        let length = body.len();
        let body = if with_body { body } else { "" };
        format!(
            "HTTP/1.1 {status}\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {length}\r\n\
             Connection: close\r\n\
             \r\n\
             {body}"
        )
        .into_bytes()
    }
}

/// Reads until the request is whole, or can't become one: then `Err` is the answer to that.
fn read_request(stream: &mut TcpStream) -> io::Result<Result<Request, Answer>> {
    let mut input = Vec::new();
    loop {
        match parse(&input) {
            Ok(None) if input.len() < MAX_HEAD_BYTES => {}
            Ok(None) => {
                let sentence = "The head is larger than 64 KiB.\n";
                return Ok(Err(Answer::new("431 Request Header Fields Too Large", sentence)));
            }
            Ok(Some(request)) => return Ok(Ok(request)),
            Err(refusal) => return Ok(Err(refusal)),
        }
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        input.extend_from_slice(&buffer[..read]);
    }
}

/// The request in these bytes, `None` while they are the beginning of one.
fn parse(input: &[u8]) -> Result<Option<Request>, Answer> {
    let bad = |why: String| Answer::new("400 Bad Request", why + "\n");
    let mut fields = [httparse::EMPTY_HEADER; 100];
    let mut head = httparse::Request::new(&mut fields);
    match head.parse(input) {
        Ok(httparse::Status::Partial) => return Ok(None),
        Ok(httparse::Status::Complete(_)) => {}
        Err(error) => return Err(bad(error.to_string())),
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let request = Request {
        method: head.method.unwrap_or_default().to_string(),
        target: head.path.unwrap_or_default().to_string(),
        fields: head.headers.iter().map(|f| (f.name.to_lowercase(), text(f.value))).collect(),
    };
    // Without it, a server for several names can't tell which is meant (RFC 9112 §3.2).
    if head.version == Some(1) && request.values("host").count() != 1 {
        return Err(bad("HTTP/1.1 asks for one Host field.".into()));
    }
    Ok(Some(request))
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
    let mut pairs = store.lock().unwrap();
    pairs.insert(key, value);
    println!("{} pairs", pairs.len());
    Ok(Answer::new("200 OK", ""))
}

/// `GET /get?key=<key>`
fn get(query: &str, store: &Store) -> Result<Answer, Answer> {
    let (name, key) = only_pair(query)?;
    if name != "key" {
        return Err(failure("/get takes one field, named key."));
    }
    Ok(match store.lock().unwrap().get(&key) {
        Some(value) => Answer::new("200 OK", value.clone()),
        None => Answer::new("404 Not Found", ""),
    })
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
