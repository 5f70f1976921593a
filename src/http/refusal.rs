//! What a peer can do wrong, and what it is told.
//!
//! Every module on a request's path returns a [`Refusal`]; [`Refusal::response`] is the one `match`
//! from there to a status, a sentence, and the rule behind it. The rule is sent along with the
//! sentence: whoever writes a client learns where to read.
//!
//! Two kinds must not be mixed up. What was understood and is not served (403, 500) leaves the
//! connection open. After everything else it is closed; after a *framing* error it must be, because
//! nobody knows any more where the next request begins (RFC 9112 §11.2: that doubt is what request
//! smuggling lives on).
//!
//! The naive version answers 400 and nothing else.
//!
//! Next: [`crate::http::access_log`].

use crate::http::response::{Reply, Sent, Status};
use crate::store::engine::Failed;
use crate::watch::stage::Part;

/// Why a request is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The first line is not `method SP target SP version`.
    BadRequestLine,
    /// The target is in none of the four forms, or not in one that the method may have.
    BadTarget,
    /// The target has a `#`.
    Fragment,
    /// A line ends with LF alone.
    BareLineFeed,
    /// More than one empty line before the request line.
    EmptyLines,
    /// A field line is malformed: folded, white space before the colon, a bare CR, a NUL.
    BadField,
    /// HTTP/1.1 without Host.
    NoHost,
    /// More than one Host.
    TwoHosts,
    /// Host, or the authority of an absolute target, is not `host [":" port]`.
    BadHost,
    /// Content-Length is not one plain number, or there are two that differ.
    BadContentLength,
    /// Content-Length beside Transfer-Encoding.
    LengthAndChunked,
    /// `chunked` is there twice or not last, or comes with HTTP/1.0, or the list is empty.
    BadTransferEncoding,
    /// A transfer coding other than `chunked`.
    UnknownCoding,
    /// A chunk, or the trailer section after the last one, is malformed.
    BadChunk,
    /// Not HTTP/1.x.
    BadVersion,
    /// The request line is longer than the limit on heads.
    LineTooLong,
    /// Head too large, or too many fields in it.
    FieldsTooLarge,
    /// The body is larger than what we are willing to throw away.
    BodyTooLarge,
    /// The head was not complete in time.
    HeadTimeout,
    /// The body was not complete in time.
    BodyTimeout,
    /// All connection slots are taken, and each of those connections is being answered.
    NoSlot,
    /// The name that the client called us by is not ours: DNS rebinding.
    NotOurName,
    /// A browser sends this on behalf of another site.
    OtherSite,
    /// The dispatch table has no line for this method and path.
    NoRoute,
    /// The query has no pair.
    NoPair,
    /// The query has more than one pair.
    SeveralPairs,
    /// The pair has no `=`.
    NoEqualsSign,
    /// The key or the value is empty.
    EmptyHalf,
    /// The key or the value is not UTF-8 after decoding.
    NotUtf8,
    /// `/get` with a field other than `key`.
    NotTheKeyField,
    /// The engine could not store the pair, or not read it, or can't tell.
    Failed(Failed),
    /// A handler panicked.
    Panic,
}

/// What the sentence ends with.
enum Hint {
    /// Where to read more.
    Rule(&'static str),
    /// What is accepted.
    Use,
    /// Nothing.
    None,
}

impl Refusal {
    /// This part of a request was not complete in time.
    #[must_use]
    pub fn late(part: Part) -> Self {
        match part {
            Part::Head => Refusal::HeadTimeout,
            Part::Body => Refusal::BodyTimeout,
        }
    }

    /// Sends its response.
    pub(crate) fn send(&self, reply: Reply<'_>) -> Sent {
        let (status, sentence) = self.response();
        reply.send(status, &sentence)
    }

    /// Its status, and what is wrong and what is accepted, in one sentence.
    #[expect(
        clippy::too_many_lines,
        reason = "a table: one entry for each thing that can be wrong"
    )]
    pub(crate) fn response(&self) -> (Status, String) {
        use Hint::{Rule, Use};
        use Refusal as R;
        use Status as S;
        let (status, problem, hint) = match self {
            R::BadRequestLine => (
                S::BadRequest,
                "The first line of a request is its method, a space, its target, a space, and HTTP/1.1",
                Rule("RFC 9112 §3"),
            ),
            R::BadTarget => (
                S::BadRequest,
                "The request target is a path with a query, or http:// with a host before them",
                Rule("RFC 9112 §3.2"),
            ),
            R::Fragment => (
                S::BadRequest,
                "A request target has no fragment: write # as %23",
                Rule("RFC 9112 §3.2"),
            ),
            R::BareLineFeed => (
                S::BadRequest,
                "Each line of a head ends with CR LF, not with LF alone",
                Rule("RFC 9112 §2.2"),
            ),
            R::EmptyLines => (
                S::BadRequest,
                "At most one empty line may come before a request line",
                Rule("RFC 9112 §2.2"),
            ),
            R::BadField => (
                S::BadRequest,
                "A field line is a name, a colon, and a value, on one line and without control characters",
                Rule("RFC 9112 §5"),
            ),
            R::NoHost => {
                (S::BadRequest, "An HTTP/1.1 request has a Host field", Rule("RFC 9112 §3.2"))
            }
            R::TwoHosts => {
                (S::BadRequest, "A request has only one Host field", Rule("RFC 9112 §3.2"))
            }
            R::BadHost => (
                S::BadRequest,
                "The Host field is a host name or address, with or without a colon and a port",
                Rule("RFC 9110 §7.2"),
            ),
            R::BadContentLength => {
                (S::BadRequest, "Content-Length is one decimal number", Rule("RFC 9112 §6.3"))
            }
            R::LengthAndChunked => (
                S::BadRequest,
                "A request has Content-Length or Transfer-Encoding, not both",
                Rule("RFC 9112 §6.1"),
            ),
            R::BadTransferEncoding => (
                S::BadRequest,
                "Transfer-Encoding of a request is chunked, once, in HTTP/1.1",
                Rule("RFC 9112 §6.1"),
            ),
            R::UnknownCoding => (
                S::NotImplemented,
                "The only transfer coding known here is chunked",
                Rule("RFC 9112 §6.1"),
            ),
            R::BadChunk => (
                S::BadRequest,
                "A chunk is its size in hexadecimal, CR LF, that many bytes, and CR LF",
                Rule("RFC 9112 §7.1"),
            ),
            R::BadVersion => {
                (S::VersionNotSupported, "This server speaks HTTP/1.1", Rule("RFC 9110 §15.6.6"))
            }
            R::LineTooLong => (S::UriTooLong, "The request line is too long", Rule("RFC 9112 §3")),
            R::FieldsTooLarge => {
                (S::FieldsTooLarge, "The fields are too large or too many", Rule("RFC 6585 §5"))
            }
            R::BodyTooLarge => (
                S::ContentTooLarge,
                "The body is too large, and no request here needs one",
                Rule("RFC 9110 §15.5.14"),
            ),
            R::HeadTimeout => (
                S::RequestTimeout,
                "The head of the request was not complete in time",
                Rule("RFC 9110 §15.5.9"),
            ),
            R::BodyTimeout => (
                S::RequestTimeout,
                "The body of the request was not complete in time",
                Rule("RFC 9110 §15.5.9"),
            ),
            R::NoSlot => (
                S::Unavailable,
                "All connections are in use: try again in a second",
                Rule("RFC 9110 §15.6.4"),
            ),
            R::NotOurName => (
                S::Forbidden,
                "The Host field names another host: use localhost, an IP address, or a name given with --allow-host",
                Rule("RFC 9110 §7.4"),
            ),
            R::OtherSite => (
                S::Forbidden,
                "A page of another site may not use this server",
                Rule("Fetch Metadata §2.3"),
            ),
            R::NoRoute => (S::Internal, "This server does two things", Use),
            R::NoPair => (S::Internal, "There is no pair in the query", Use),
            R::SeveralPairs => (S::Internal, "There is more than one pair in the query", Use),
            R::NoEqualsSign => (S::Internal, "There is no = in the query", Use),
            R::EmptyHalf => (S::Internal, "The key or the value is empty", Use),
            R::NotUtf8 => (S::Internal, "The key or the value is not UTF-8", Use),
            R::NotTheKeyField => (S::Internal, "The field of /get is key", Use),
            R::Failed(failed) => {
                let status = match failed {
                    Failed::NotKept(_) | Failed::Unknown(_) => S::Internal,
                    Failed::NotRead(_) => S::Unavailable,
                };
                return (status, format!("{failed}."));
            }
            R::Panic => (S::Internal, "The server failed on this request", Hint::None),
        };
        let sentence = match hint {
            Rule(rule) => format!("{problem} ({rule})."),
            Use => format!("{problem}: use GET /set?<key>=<value> or GET /get?key=<key>."),
            Hint::None => format!("{problem}."),
        };
        (status, sentence)
    }
}

impl From<Failed> for Refusal {
    fn from(failed: Failed) -> Self {
        Refusal::Failed(failed)
    }
}
