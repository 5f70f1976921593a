//! Step 4, parse: httparse finds method, target and fields in the bytes, or says what is wrong.
//!
//! TUTORIAL.md, chapter 4. Run it with `cargo run --example step04_parse`.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::{env, io};

/// More than browsers and other clients send in practice.
const MAX_HEAD_BYTES: usize = 64 << 10;

fn main() -> anyhow::Result<()> {
    let port = env::args().nth(1).map_or(Ok(4000), |port| port.parse())?;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    println!("Listening on http://localhost:{}/", listener.local_addr()?.port());

    for stream in listener.incoming() {
        if let Err(error) = stream.and_then(serve) {
            println!("a client is lost: {error}");
        }
    }
    Ok(())
}

/// Serves one client: one request, one answer.
fn serve(mut stream: TcpStream) -> io::Result<()> {
    let answer = match read_request(&mut stream)? {
        Ok(request) => describe(&request),
        Err(refusal) => refusal,
    };
    stream.write_all(&answer.to_bytes())
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

    /// `Content-Length` says where the body ends.
    fn to_bytes(&self) -> Vec<u8> {
        let Answer { status, body } = self;
        let length = body.len();
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

/// An answer that shows what was understood.
fn describe(request: &Request) -> Answer {
    let Request { method, target, fields } = request;
    let fields: String =
        fields.iter().map(|(name, value)| format!("field  {name}: {value}\n")).collect();
    Answer::new("200 OK", format!("method {method}\ntarget {target}\n{fields}"))
}
