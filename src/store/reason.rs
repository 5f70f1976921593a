//! The reason: what an error of the HTTP client, or a refusal by etcd, means for a call, and how it is said.
//!
//! 1. Only an error that is certain to come before the request counts as such.
//! 2. What etcd refuses comes with what to do about it; its own words follow, for a search.
//!
//! The naive version shows its users `timeout: global` and `etcdserver: mvcc: database space exceeded`.
//!
//! Next: [`crate::store::cluster`], where the members are.

use std::io;

use serde_json::Value;
use ureq::{Error, Timeout};

/// Whether nothing of a request can have left, so that another member may have it. A refused connection
/// is no connection; other errors of a socket may come after the request.
pub(crate) fn is_before_sending(error: &Error) -> bool {
    match error {
        Error::Io(error) => error.kind() == io::ErrorKind::ConnectionRefused,
        Error::Timeout(when) => matches!(when, Timeout::Resolve | Timeout::Connect),
        Error::HostNotFound | Error::ConnectionFailed | Error::Tls(_) | Error::Rustls(_) => true,
        _ => false,
    }
}

/// What has gone wrong on the way, for the end of a sentence.
pub(crate) fn cause(error: &Error) -> String {
    match error {
        Error::Timeout(Timeout::Resolve | Timeout::Connect) => "no connection in time".into(),
        Error::Timeout(_) => "no answer in time".into(),
        Error::Io(error) => error.to_string(),
        error => error.to_string(),
    }
}

/// The sentence in an error of etcd's.
pub(crate) fn message(text: &str) -> String {
    let error = serde_json::from_str::<Value>(text).unwrap_or_default();
    let message = ["message", "error"].iter().find_map(|name| error.get(name)?.as_str());
    message.unwrap_or("this is not etcd's answer").to_string()
}

/// Whether another token would help. The second has to do with users that were changed meanwhile.
pub(crate) fn is_about_the_token(status: u16, message: &str) -> bool {
    status == 401
        || ["invalid auth token", "revision of auth store is old"]
            .iter()
            .any(|text| message.contains(text))
}

/// Why a call was refused, and what to do.
pub(crate) fn in_words(status: u16, message: &str) -> String {
    let hint = if message.contains("database space exceeded") {
        "its database is full: compact it, defragment it, then disarm the alarm (docs/ETCD.md)"
    } else if message.contains("user name is empty") {
        "it wants a user: --etcd-user names one"
    } else if message.contains("invalid user ID or password") {
        "it does not know this user with this password"
    } else if status == 403 {
        "its user may not do this to keys below --etcd-prefix"
    } else if status == 404 {
        "it does not speak /v3: etcd 3.4 or later does"
    } else {
        return format!("etcd refuses it: {message}");
    };
    format!("etcd refuses it: {hint} ({message})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_comes_before_the_request_counts_as_not_sent() {
        let io = |kind: io::ErrorKind| Error::Io(kind.into());
        for error in [
            io(io::ErrorKind::ConnectionRefused),
            Error::Timeout(Timeout::Connect),
            Error::Timeout(Timeout::Resolve),
            Error::HostNotFound,
        ] {
            assert!(is_before_sending(&error), "{error}");
        }
        for error in [
            io(io::ErrorKind::ConnectionReset),
            io(io::ErrorKind::BrokenPipe),
            io(io::ErrorKind::HostUnreachable),
            Error::Timeout(Timeout::Global),
            Error::Timeout(Timeout::RecvResponse),
        ] {
            assert!(!is_before_sending(&error), "{error}");
        }
    }

    #[test]
    fn a_refusal_says_what_to_do_and_what_etcd_said() {
        for (status, body, wanted) in [
            (429, "etcdserver: mvcc: database space exceeded", "docs/ETCD.md"),
            (400, "etcdserver: user name is empty", "--etcd-user names one"),
            (403, "etcdserver: permission denied", "--etcd-prefix"),
            (400, "etcdserver: request is too large", "refuses it: etcdserver: request is too"),
        ] {
            let json = format!(r#"{{"error":"{body}","message":"{body}","code":8}}"#);
            let sentence = in_words(status, &message(&json));
            assert!(sentence.contains(wanted) && sentence.contains(body), "{sentence}");
        }
        assert!(in_words(404, &message("404 page not found")).contains("does not speak /v3"));
    }
}
