//! The authority: the host and the port that a request is for, in its target or in its Host field.
//!
//! 1. It is `host [":" port]` (RFC 3986 §3.2). The user information that a URL may have in front of it
//!    is forbidden in http (RFC 9110 §4.2.4).
//! 2. A host is a name, an IPv4 address, or an IPv6 address in brackets. Whatever else it is, the
//!    request is refused: which server it is for must not depend on who reads it.
//!
//! The naive version splits at the first colon, and `[::1]:4000` has the host `[`.
//!
//! Next: [`crate::http::body`], for the few requests that have one.

use std::net::IpAddr;

/// A host, and the whole text that it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Authority<'b> {
    /// The host: a name, an IPv4 address, or an IPv6 address in brackets.
    pub(crate) host: &'b [u8],
    /// Host and port, as sent: `localhost:4000`.
    pub(crate) text: &'b [u8],
}

impl<'b> Authority<'b> {
    /// Reads `host [":" port]` (RFC 3986 §3.2, without the user information that RFC 9110 §4.2.4
    /// forbids); `None` where it is something else.
    pub(crate) fn parse(text: &'b [u8]) -> Option<Self> {
        // An address in brackets has colons too.
        let colon = text.iter().rposition(|&byte| byte == b':').filter(|_| !text.ends_with(b"]"));
        let (host, port) = match colon {
            Some(colon) => (&text[..colon], &text[colon + 1..]),
            None => (text, &b""[..]),
        };
        let authority = Authority { host, text };
        let host_fits = match host {
            [b'[', ..] => authority.address().is_some(),
            name => is_name(name),
        };
        (is_port(port) && host_fits).then_some(authority)
    }

    /// The host, where it is an IP address and not a name.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        let host = std::str::from_utf8(self.host).ok()?;
        match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']')?.parse().map(IpAddr::V6).ok(),
            None => host.parse().map(IpAddr::V4).ok(),
        }
    }
}

/// Whether this is nothing, or a number that fits into 16 bits.
fn is_port(port: &[u8]) -> bool {
    let number = port.iter().try_fold(0_u16, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u16::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    });
    number.is_some()
}

/// Whether this is a registered name (RFC 3986 §3.2.2): some of these characters, and bytes as
/// `%XX`. A `%` alone may be in a query, where the rules are those of forms, and nowhere in a name.
fn is_name(name: &[u8]) -> bool {
    let mut rest = name.iter();
    while let Some(byte) = rest.next() {
        // From & to . they are all among them.
        let is_plain = byte.is_ascii_alphanumeric()
            || matches!(byte, b'&'..=b'.' | b'!' | b'$' | b';' | b'=' | b'_' | b'~');
        let mut is_hex = || rest.next().is_some_and(u8::is_ascii_hexdigit);
        let fits = is_plain || *byte == b'%' && is_hex() && is_hex();
        if !fits {
            return false;
        }
    }
    !name.is_empty()
}
