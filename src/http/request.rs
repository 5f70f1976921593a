//! The request: from the lines of a head to what they mean.
//!
//! Only this module knows httparse. httparse splits the lines and checks their characters; what
//! they mean together is decided here, once, and the rest of the program works with a
//! [`Request`] that can't be inconsistent:
//!
//! 1. The target has a path and a query, whichever of the forms of RFC 9112 §3.2 it came in.
//! 2. An HTTP/1.1 request has exactly one Host, and it is well-formed (RFC 9112 §3.2).
//! 3. Where the body ends is known, or the request is refused (RFC 9112 §6.3). A message whose end
//!    two programs in a row see in two places smuggles a request past the first of them, so
//!    whatever is doubtful is an error: no repair, no guess.
//! 4. The version is 1.0 or 1.1; a later 1.x is served as 1.1 (RFC 9110 §2.5).
//!
//! The naive version looks for `Content-Length` with `find`, and never hears of the second one.
//!
//! Next: [`crate::http::authority`], which server it is for.

use std::mem::MaybeUninit;

use httparse::{Error, Header, Status};
use memchr::memchr;

use crate::http::authority::Authority;
use crate::http::refusal::Refusal;
use crate::http::response::Persistence;

/// More fields than this are refused with 431.
const MAX_FIELDS: usize = 100;

/// A request, without its body. Everything borrows from the connection's input.
#[derive(Debug)]
pub struct Request<'b> {
    /// The request line, without its line end. A later HTTP/1.x has become 1.1 in it.
    pub(crate) line: &'b [u8],
    /// How long the head is, in bytes, with the empty line that ends it.
    pub head_bytes: usize,
    /// The method, as sent: `GET`.
    pub method: &'b str,
    /// The path of the target, as sent: `/get`.
    pub path: &'b str,
    /// What comes after the first `?` of the target, as sent; empty if there is none.
    pub query: &'b str,
    /// Who the client thinks we are: the target's authority, or else Host (RFC 9112 §3.2.2).
    pub(crate) authority: Option<Authority<'b>>,
    /// Where the body ends.
    pub framing: Framing,
    /// Whether the connection stays open, by the client's wish (RFC 9112 §9.3).
    pub(crate) persistence: Persistence,
    /// Whether the client waits for `100 Continue` before it sends the body (RFC 9110 §10.1.1).
    pub expects_continue: bool,
    /// What a browser says about where the request comes from.
    pub(crate) browser: Browser<'b>,
}

/// Where the body of a request ends (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// After this many bytes; 0 where nothing is said of a body.
    Length(u64),
    /// With the last chunk.
    Chunked,
}

/// Sec-Fetch-Site, -Mode and -Dest (Fetch Metadata), and Origin. Programs that are not browsers send
/// none of them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Browser<'b> {
    pub(crate) site: Option<&'b [u8]>,
    pub(crate) mode: Option<&'b [u8]>,
    pub(crate) dest: Option<&'b [u8]>,
    pub(crate) origin: Option<&'b [u8]>,
}

impl<'b> Request<'b> {
    /// Reads a head, from its request line to its empty line.
    ///
    /// The head is written to in one place: the version of a later HTTP/1.x becomes 1.1.
    ///
    /// # Errors
    /// The [`Refusal`] that the head deserves.
    ///
    /// # Examples
    /// ```
    /// use dbserver::http::request::{Framing, Request};
    ///
    /// let mut head = *b"GET /get?key=a HTTP/1.1\r\nHost: localhost\r\n\r\n";
    /// let request = Request::parse(&mut head).unwrap();
    /// assert_eq!((request.method, request.path, request.query), ("GET", "/get", "key=a"));
    /// assert_eq!(request.framing, Framing::Length(0));
    /// ```
    pub fn parse(head: &'b mut [u8]) -> Result<Self, Refusal> {
        // HeadSearch found the empty line that ends it.
        Self::parse_lines(head)?.ok_or(Refusal::BadRequestLine)
    }

    /// Reads the lines that there are; `None` while they are well-formed and more must follow.
    fn parse_lines(head: &'b mut [u8]) -> Result<Option<Self>, Refusal> {
        let line_end = accept_later_1_x(head)?;
        let head: &'b [u8] = head;
        let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let mut parsed = httparse::Request::new(&mut []);
        let head_bytes = match parsed.parse_with_uninit_headers(head, &mut fields) {
            Ok(Status::Complete(bytes)) => bytes,
            Ok(Status::Partial) => return Ok(None),
            Err(Error::TooManyHeaders) => return Err(Refusal::FieldsTooLarge),
            Err(Error::HeaderName | Error::HeaderValue) => return Err(Refusal::BadField),
            Err(_) => return Err(Refusal::BadRequestLine),
        };
        let (Some(method), Some(target), Some(minor)) =
            (parsed.method, parsed.path, parsed.version)
        else {
            return Err(Refusal::BadRequestLine);
        };
        let fields = Fields::read(parsed.headers, minor)?;
        let (authority, path, query) = split_target(method, target)?;
        Ok(Some(Request {
            line: &head[..line_end],
            head_bytes,
            method,
            path,
            query,
            authority: authority.or(fields.host),
            framing: fields.framing(minor)?,
            persistence: match (minor, fields.close, fields.keep_alive) {
                (1, false, _) => Persistence::Default,
                (0, false, true) => Persistence::KeepAlive,
                _ => Persistence::Close,
            },
            expects_continue: fields.expects_continue && minor == 1,
            browser: fields.browser,
        }))
    }
}

/// Refuses the beginning of a head, some whole lines, where no request can come of it.
///
/// # Errors
/// As [`Request::parse`].
pub(crate) fn check_lines(head: &mut [u8]) -> Result<(), Refusal> {
    Request::parse_lines(head).map(drop)
}

/// Makes a later 1.x a 1.1, which is the last that httparse knows, and returns where the line ends.
/// httparse has one and the same error for 1.2, for 2.0 and for garbage.
fn accept_later_1_x(head: &mut [u8]) -> Result<usize, Refusal> {
    let end = memchr(b'\r', head).unwrap_or(head.len());
    if let [.., b' ', b'H', b'T', b'T', b'P', b'/', major, b'.', minor] = &mut head[..end]
        && major.is_ascii_digit()
        && minor.is_ascii_digit()
    {
        if *major != b'1' {
            return Err(Refusal::BadVersion);
        }
        *minor = (*minor).min(b'1');
    }
    Ok(end)
}

/// Splits a target into authority, path and query (RFC 9112 §3.2).
fn split_target<'b>(
    method: &str,
    target: &'b str,
) -> Result<(Option<Authority<'b>>, &'b str, &'b str), Refusal> {
    if memchr(b'#', target.as_bytes()).is_some() {
        return Err(Refusal::Fragment);
    }
    let (authority, rest) = match (method, target) {
        // Authority form, for proxies: well-formed, and not routed anywhere.
        ("CONNECT", target) => {
            let authority = Authority::parse(target.as_bytes()).ok_or(Refusal::BadTarget)?;
            return Ok((Some(authority), target, ""));
        }
        ("OPTIONS", "*") => return Ok((None, target, "")),
        (_, target) if target.starts_with('/') => (None, target),
        (_, target) => {
            let scheme = target.get(..7).filter(|s| s.eq_ignore_ascii_case("http://"));
            let rest = &target[scheme.ok_or(Refusal::BadTarget)?.len()..];
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let (authority, rest) = rest.split_at(end);
            let authority = Authority::parse(authority.as_bytes()).ok_or(Refusal::BadHost)?;
            (Some(authority), rest)
        }
    };
    let (path, query) = match rest.bytes().position(|byte| byte == b'?') {
        Some(mark) => (&rest[..mark], &rest[mark + 1..]),
        None => (rest, ""),
    };
    Ok((authority, if path.is_empty() { "/" } else { path }, query))
}

/// The fields that this server acts on, found in one pass over the head.
#[expect(clippy::struct_excessive_bools, reason = "each is a token that is there or not")]
#[derive(Default)]
struct Fields<'b> {
    host: Option<Authority<'b>>,
    content_length: Option<u64>,
    /// Whether there is a Transfer-Encoding, and the codings it lists.
    transfer_encoding: bool,
    codings: usize,
    chunked: usize,
    ends_chunked: bool,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
    browser: Browser<'b>,
}

impl<'b> Fields<'b> {
    fn read(fields: &[Header<'b>], minor: u8) -> Result<Self, Refusal> {
        let mut read = Fields::default();
        for &Header { name, value } in fields {
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            if is("Host") {
                let host = Authority::parse(value).ok_or(Refusal::BadHost)?;
                if read.host.replace(host).is_some() {
                    return Err(Refusal::TwoHosts);
                }
            } else if is("Content-Length") {
                let length = content_length(value).ok_or(Refusal::BadContentLength)?;
                if read.content_length.replace(length).is_some_and(|it| it != length) {
                    return Err(Refusal::BadContentLength);
                }
            } else if is("Transfer-Encoding") {
                read.transfer_encoding = true;
                for coding in list(value) {
                    read.ends_chunked = coding.eq_ignore_ascii_case(b"chunked");
                    read.codings += 1;
                    read.chunked += usize::from(read.ends_chunked);
                }
            } else if is("Connection") {
                for option in list(value) {
                    read.close |= option.eq_ignore_ascii_case(b"close");
                    read.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            } else if is("Expect") {
                read.expects_continue |=
                    list(value).any(|it| it.eq_ignore_ascii_case(b"100-continue"));
            } else if is("Sec-Fetch-Site") {
                read.browser.site = Some(value);
            } else if is("Sec-Fetch-Mode") {
                read.browser.mode = Some(value);
            } else if is("Sec-Fetch-Dest") {
                read.browser.dest = Some(value);
            } else if is("Origin") {
                read.browser.origin = Some(value);
            }
        }
        if read.host.is_none() && minor == 1 {
            return Err(Refusal::NoHost);
        }
        Ok(read)
    }

    /// RFC 9112 §6.3, where it speaks of requests.
    fn framing(&self, minor: u8) -> Result<Framing, Refusal> {
        if !self.transfer_encoding {
            return Ok(Framing::Length(self.content_length.unwrap_or(0)));
        }
        if self.content_length.is_some() {
            return Err(Refusal::LengthAndChunked);
        }
        match (minor, self.chunked, self.ends_chunked, self.codings) {
            (1, 1, true, 1) => Ok(Framing::Chunked),
            (1, 0, _, 1..) | (1, 1, true, _) => Err(Refusal::UnknownCoding),
            _ => Err(Refusal::BadTransferEncoding),
        }
    }
}

/// The members of a list (RFC 9110 §5.6.1). Empty ones do not count.
fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let members = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    members.filter(|member| !member.is_empty())
}

/// One plain number (RFC 9110 §8.6): no sign, no list, no white space inside. What does not fit
/// is still a number, and larger than any limit.
fn content_length(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value).ok()?;
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// Whether `lines`, each ended by CR LF and the last one empty, are well-formed field lines: the
/// trailer section of a chunked body.
pub(crate) fn are_field_lines(lines: &[u8]) -> bool {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    matches!(httparse::parse_headers(lines, &mut fields), Ok(Status::Complete(_)))
}
