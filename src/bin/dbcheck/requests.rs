//! HTTP, second part: requests that are unusual, and those that are wrong.

use crate::check::{Check, Tier};

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "split-request",
        tier: Tier::Http,
        what: "A request that comes in many packets is answered as if it came whole.",
        why: "TCP carries bytes, not messages: one read is not one request.",
        rfc: Some("RFC 9112 §2.2"),
        chapter: 3,
    },
    Check {
        name: "long-target",
        tier: Tier::Http,
        what: "A request line of more than 8,000 bytes is served.",
        why: "HTTP asks for at least 8,000; browsers send such lines.",
        rfc: Some("RFC 9112 §3"),
        chapter: 3,
    },
    Check {
        name: "host-field",
        tier: Tier::Http,
        what: "HTTP/1.1 without Host, or with two, gets 400.",
        why: "Host says whom the client means; two parties that pick different ones can be played off.",
        rfc: Some("RFC 9112 §3.2"),
        chapter: 4,
    },
    Check {
        name: "absolute-form",
        tier: Tier::Http,
        what: "GET http://localhost/get?key=… is served like GET /get?key=….",
        why: "Servers must accept the form that clients send to proxies.",
        rfc: Some("RFC 9112 §3.2.2"),
        chapter: 4,
    },
    Check {
        name: "body-not-a-request",
        tier: Tier::Http,
        what: "A body with Content-Length is never taken for the next request.",
        why: "Otherwise a form on any page can post a body that stores what it likes.",
        rfc: Some("RFC 9112 §6.2"),
        chapter: 4,
    },
    Check {
        name: "chunked-not-a-request",
        tier: Tier::Http,
        what: "A chunked body is never taken for the next request.",
        why: "Otherwise a body smuggles requests past whoever checks them.",
        rfc: Some("RFC 9112 §7.1"),
        chapter: 4,
    },
    Check {
        name: "differing-lengths",
        tier: Tier::Http,
        what: "Two Content-Length fields that differ are refused.",
        why: "Two parties that choose different ones see different requests.",
        rfc: Some("RFC 9112 §6.3"),
        chapter: 4,
    },
    Check {
        name: "bad-escape",
        tier: Tier::Http,
        what: "A % that two hex digits do not follow gets an answer.",
        why: "Decoders that throw take the request, or the server, with them.",
        rfc: Some("RFC 3986 §2.1"),
        chapter: 6,
    },
    Check {
        name: "garbage",
        tier: Tier::Http,
        what: "What is not HTTP gets an error or a close, soon.",
        why: "Port scanners and TLS clients come by; each would hold a connection for ever.",
        rfc: Some("RFC 9112 §3"),
        chapter: 4,
    },
];
