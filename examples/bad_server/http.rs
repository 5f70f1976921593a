//! Messages and connections: bytes into requests, replies into bytes.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::app::{self, Reply};
use crate::bugs::{Bug, dies_of, has, has_any};
use crate::store::Store;

const MAX_HEAD: usize = 64 << 10;
const MAX_BODY: u64 = 1 << 20;
const IDLE: Duration = Duration::from_mins(1);
const HEAD_TIME: Duration = Duration::from_secs(10);
const BODY_TIME: Duration = Duration::from_secs(30);

/// What a request's head says.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    version: u8,
    /// Whether the connection closes after the answer.
    close: bool,
    body: Body,
    wants_continue: bool,
}

#[derive(Clone, Copy)]
enum Body {
    Length(u64),
    Chunked,
}

/// Why there is no request.
enum Stop {
    /// It is answered with this status, and the connection closed.
    Refuse(u16),
    /// The client is gone.
    Leave,
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        let is_late = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
        if is_late { Stop::Refuse(408) } else { Stop::Leave }
    }
}

/// A connection.
struct Wire {
    stream: TcpStream,
    /// What has been read and not yet used.
    input: Vec<u8>,
    /// When what is being read must be there.
    deadline: Instant,
    /// How many requests have come.
    requests: usize,
}

/// Answers requests until the connection ends.
pub(crate) fn serve(stream: TcpStream, store: &Arc<Store>) {
    let _ = stream.set_nodelay(true);
    let _ = stream.set_write_timeout(Some(BODY_TIME));
    let mut wire = Wire { stream, input: Vec::new(), deadline: Instant::now(), requests: 0 };
    let mut held = Vec::new();
    loop {
        let (mut answer, close) = match wire.request() {
            Ok(request) => match app::answer(&request, store) {
                Some(reply) => (render(&request, &reply), request.close),
                None if has_any([Bug::PostCloses, Bug::UnknownCloses]) => return,
                None => return while wire.fill().is_ok() {},
            },
            Err(Stop::Refuse(status)) => (head(status, true) + "Content-Length: 0\r\n\r\n", true),
            Err(Stop::Leave) => return,
        };
        if has_any([Bug::PipeliningFirstOnly, Bug::OneRead]) {
            wire.input.clear();
        }
        if has(Bug::PipeliningReversed) {
            held.insert(0, answer);
            if !close && wire.input.ends_with(b"\r\n\r\n") {
                continue;
            }
            answer = std::mem::take(&mut held).concat();
        }
        let write = || (&wire.stream).write_all(answer.as_bytes());
        let written = if has(Bug::DeafBlocksAll) { store.with_lock(write) } else { write() };
        if written.is_err() {
            return;
        }
        if close || has_any([Bug::ClosesSilently, Bug::NoStatusLine]) {
            return wire.close();
        }
    }
}

impl Wire {
    /// The next request. Its body has been read and thrown away.
    fn request(&mut self) -> Result<Request, Stop> {
        static READING: Mutex<()> = Mutex::new(());
        if self.input.is_empty() {
            self.deadline = Instant::now() + IDLE;
            self.fill().map_err(|_| {
                if self.requests == 0 {
                    dies_of(Bug::DiesOnLeave);
                }
                Stop::Leave
            })?;
        }
        self.requests += 1;
        let _lock = has(Bug::SlowBlocksAll).then(|| READING.lock());
        self.deadline = Instant::now() + HEAD_TIME;
        let (length, request) = loop {
            match parse(&self.input) {
                Ok(Some(found)) => break found,
                Ok(None) if has(Bug::OneRead) => return Err(Stop::Refuse(400)),
                Ok(None) => {}
                Err(status) => return Err(Stop::Refuse(status)),
            }
            self.fill().inspect_err(|_| dies_of(Bug::DiesMidRequest))?;
        };
        self.input.drain(..length);
        self.deadline = Instant::now() + BODY_TIME;
        if request.wants_continue && self.input.is_empty() {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        match request.body {
            _ if has(Bug::BodyAsRequest) => {}
            Body::Length(length) => self.skip(length)?,
            Body::Chunked if has(Bug::ChunkedAsRequest) => {}
            Body::Chunked => self.skip_chunks()?,
        }
        Ok(request)
    }

    /// Reads some more bytes.
    fn fill(&mut self) -> Result<(), Stop> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        self.stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        let mut buffer = [0; 16 << 10];
        let read = self.stream.read(&mut buffer)?;
        self.input.extend_from_slice(&buffer[..read]);
        if read == 0 { Err(Stop::Leave) } else { Ok(()) }
    }

    fn skip(&mut self, length: u64) -> Result<(), Stop> {
        let length = usize::try_from(length.min(MAX_BODY + 1)).unwrap_or(usize::MAX);
        if length as u64 > MAX_BODY {
            return Err(Stop::Refuse(413));
        }
        while self.input.len() < length {
            self.fill()?;
        }
        self.input.drain(..length);
        Ok(())
    }

    fn skip_chunks(&mut self) -> Result<(), Stop> {
        let mut total = 0_u64;
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or("").trim_end();
            let size = u64::from_str_radix(size, 16).map_err(|_| Stop::Refuse(400))?;
            total = total.saturating_add(size);
            if total > MAX_BODY {
                return Err(Stop::Refuse(413));
            }
            self.skip(size)?;
            // Behind the last chunk, which is empty, come fields and an empty line.
            while !self.line()?.is_empty() {
                if size > 0 {
                    return Err(Stop::Refuse(400));
                }
            }
            if size == 0 {
                return Ok(());
            }
        }
    }

    /// A line of a chunked body, without its CR LF.
    fn line(&mut self) -> Result<String, Stop> {
        loop {
            if let Some(end) = self.input.windows(2).position(|two| two == b"\r\n") {
                let line = String::from_utf8_lossy(&self.input[..end]).into_owned();
                self.input.drain(..end + 2);
                return Ok(line);
            }
            if self.input.len() > MAX_HEAD {
                return Err(Stop::Refuse(400));
            }
            self.fill()?;
        }
    }

    /// Closes our side, and reads on for a moment: closing with unread bytes would be a reset, and
    /// the client might lose the answer.
    fn close(mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
        self.deadline = Instant::now() + Duration::from_secs(1);
        self.input.clear();
        while self.input.len() < 256 << 10 && self.fill().is_ok() {}
    }
}

/// Reads a head: its length and what it says, `None` where it is not whole yet, or the status that
/// it is refused with.
fn parse(input: &[u8]) -> Result<Option<(usize, Request)>, u16> {
    if has(Bug::HugeHead) && input.len() > MAX_HEAD && !input.ends_with(b"\r\n\r\n") {
        return Ok(None);
    }
    let mut fields = vec![httparse::EMPTY_HEADER; if has(Bug::HugeHead) { 10_000 } else { 100 }];
    let mut head = httparse::Request::new(&mut fields);
    let parsed = match head.parse(input) {
        Ok(parsed) => parsed,
        Err(_) if has(Bug::GarbageHangs) => return Ok(None),
        Err(_) if has(Bug::GarbageIs200) => return Err(200),
        Err(error) => {
            dies_of(Bug::DiesOnGarbage);
            let is_http2 = input.windows(7).any(|at| at == b" HTTP/2");
            return Err(match error {
                httparse::Error::TooManyHeaders => 431,
                httparse::Error::Version if is_http2 => 505,
                _ => 400,
            });
        }
    };
    let length = if let httparse::Status::Complete(length) = parsed { length } else { input.len() };
    if length > MAX_HEAD && !has(Bug::HugeHead) {
        return Err(431);
    }
    // The parser would take LF alone for a line end.
    if input[..length].split(|&b| b == b'\n').rev().skip(1).any(|line| !line.ends_with(b"\r")) {
        return Err(400);
    }
    let (true, Some(method), Some(target), Some(version)) =
        (parsed.is_complete(), head.method, head.path, head.version)
    else {
        return Ok(None);
    };
    if version == 0 && has(Bug::Http10Refused) {
        return Err(505);
    }
    if target.len() > 7 << 10 && has(Bug::ShortLines) {
        return Err(414);
    }

    let values = |name: &str| -> Vec<&str> {
        let named = head.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| std::str::from_utf8(field.value).unwrap_or("?").trim()).collect()
    };
    let lists = |name: &str, word: &str| {
        let mut words = values(name).into_iter().flat_map(|value| value.split(','));
        words.any(|listed| listed.trim().eq_ignore_ascii_case(word))
    };
    let is_host = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    match values("Host")[..] {
        _ if has(Bug::HostIgnored) => {}
        [] if version == 0 => {}
        [host] if !host.is_empty() && host.bytes().all(is_host) => {}
        _ => return Err(400),
    }
    let origin = target.strip_prefix("http://").filter(|_| !has(Bug::AbsoluteRefused));
    let target = origin.map_or(target, |rest| rest.find('/').map_or("/", |at| &rest[at..]));
    if target.contains('#') {
        return Err(400);
    }
    let body = match (&values("Content-Length")[..], &values("Transfer-Encoding")[..]) {
        ([], []) => Body::Length(0),
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => Body::Chunked,
        ([], _) => return Err(501),
        ([length, rest @ ..], []) => {
            let is_same = rest.iter().all(|other| other == length) || has(Bug::LengthsDiffer);
            let is_number = is_same && length.bytes().all(|b| b.is_ascii_digit());
            Body::Length(length.parse().ok().filter(|_| is_number).ok_or(400_u16)?)
        }
        _ => return Err(400),
    };
    let close = match version {
        0 => !lists("Connection", "keep-alive") && !has(Bug::Http10KeptOpen),
        _ => lists("Connection", "close") && !has(Bug::IgnoresClose),
    };
    let wants_continue = lists("Expect", "100-continue");
    let (method, target) = (method.to_string(), target.to_string());
    Ok(Some((length, Request { method, target, version, close, body, wants_continue })))
}

fn render(request: &Request, (status, body): &Reply) -> String {
    let mut answer = head(*status, request.close);
    if request.version == 0 && !request.close {
        answer += "Connection: keep-alive\r\n";
    }
    answer += &match body.len() {
        _ if has(Bug::NoLength) => String::new(),
        _ if has_any([Bug::LengthInCharacters, Bug::UndecodedLength]) => {
            content_length(body.chars().count())
        }
        bytes if has(Bug::LengthTooLong) => content_length(bytes + 2),
        bytes => content_length(bytes),
    };
    answer += "\r\n";
    if has(Bug::BareLf) {
        answer = answer.replace("\r\n", "\n");
    }
    if has(Bug::NoStatusLine) {
        answer.clear();
    }
    if request.method != "HEAD" || has(Bug::HeadWithBody) {
        answer += body;
    }
    answer
}

fn content_length(length: usize) -> String {
    format!("Content-Length: {length}\r\n")
}

fn head(status: u16, close: bool) -> String {
    let reason = match status {
        200 => "OK",
        201 => "Created",
        303 => "See Other",
        404 => "Not Found",
        500 => "Internal Server Error",
        _ => "Refused",
    };
    let close = if close { "Connection: close\r\n" } else { "" };
    let kind = if has_any([Bug::TextAsHtml, Bug::AnswersPage]) { "html" } else { "plain" };
    format!("HTTP/1.1 {status} {reason}\r\nContent-Type: text/{kind}; charset=utf-8\r\n{close}")
}
