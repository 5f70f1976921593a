//! A small HTTP client on one connection, for what wrk cannot do: look at the answers.
//!
//! Next: [`crate::answers`], which says what they have to be.

use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection to a server.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    port: u16,
}

/// An answer, as far as it is looked at.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
    /// The server says that this is the last one on the connection.
    pub(crate) closes: bool,
}

impl Client {
    /// # Errors
    ///
    /// If nobody listens.
    pub(crate) fn connect(port: u16) -> io::Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Client { stream: BufReader::new(stream), port })
    }

    /// Asks for one target.
    ///
    /// # Errors
    ///
    /// If no whole answer comes in time.
    pub(crate) fn get(&mut self, target: &str) -> io::Result<Answer> {
        self.send(&[target], "")?;
        self.answer()
    }

    /// Sends requests in one write, each with these field lines.
    ///
    /// # Errors
    ///
    /// If the server does not take them.
    pub(crate) fn send(&mut self, targets: &[&str], fields: &str) -> io::Result<()> {
        let port = self.port;
        let head = |target: &&str| {
            format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{fields}\r\n")
        };
        let heads: String = targets.iter().map(head).collect();
        self.stream.get_mut().write_all(heads.as_bytes())
    }

    /// Reads the next answer. Its body ends where Content-Length or the chunks say, or with the
    /// connection.
    ///
    /// # Errors
    ///
    /// If no whole answer comes in time.
    pub(crate) fn answer(&mut self) -> io::Result<Answer> {
        let line = self.line()?;
        let mut words = line.split(' ');
        let is_old = words.next() == Some("HTTP/1.0");
        let status = words.next().and_then(|word| word.parse().ok());
        let status = status.ok_or_else(|| bad(&line))?;
        let mut answer =
            Answer { status, content_type: String::new(), body: Vec::new(), closes: is_old };
        let mut length = None;
        let mut is_chunked = false;
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-type" => value.clone_into(&mut answer.content_type),
                "content-length" => length = Some(value.parse().map_err(|_| bad(value))?),
                "transfer-encoding" => is_chunked = value.eq_ignore_ascii_case("chunked"),
                "connection" if value.eq_ignore_ascii_case("close") => answer.closes = true,
                "connection" if value.eq_ignore_ascii_case("keep-alive") => answer.closes = false,
                _ => {}
            }
        }
        match length {
            Some(length) => self.take(length, &mut answer.body)?,
            None if is_chunked => self.chunks(&mut answer.body)?,
            None => drop(self.stream.read_to_end(&mut answer.body)?),
        }
        Ok(answer)
    }

    /// Whether the server closes the connection, now that all answers have been read.
    pub(crate) fn is_closed(&mut self) -> bool {
        match self.stream.fill_buf() {
            Ok(bytes) => bytes.is_empty(),
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let line = self.line()?;
            let size = usize::from_str_radix(line.trim(), 16).map_err(|_| bad(&line))?;
            self.take(size, body)?;
            self.line()?;
            if size == 0 {
                return Ok(());
            }
        }
    }

    fn take(&mut self, length: usize, body: &mut Vec<u8>) -> io::Result<()> {
        let begin = body.len();
        body.resize(begin + length, 0);
        self.stream.read_exact(&mut body[begin..])
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "the connection was closed"));
        }
        line.truncate(line.trim_end_matches(['\r', '\n']).len());
        Ok(line)
    }
}

fn bad(text: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("not HTTP: {text:?}"))
}
