//! Who may ask: programs of this machine's user, and not the web pages they look at.
//!
//! A server on loopback is out of reach for other machines, but not for other web sites: a browser
//! on this machine fetches whatever a page tells it to, `http://localhost:4000/set?a=b` included.
//! Two questions keep them out:
//!
//! 1. *Who am I, to you?* In DNS rebinding, `evil.example` first resolves to its own server, then
//!    to 127.0.0.1, and the browser thinks our answers are its own. But it still sends
//!    `Host: evil.example`, so a name that is not ours is refused.
//! 2. *Where do you come from?* Browsers say so in Sec-Fetch-Site, which a page can't forge (Fetch
//!    Metadata §2.3), and in Origin, which they send with a WebSocket handshake too.
//!
//! Browsers send these fields to localhost, to loopback addresses and over https. To another name
//! or address over plain http they may send neither: what is offered there is open to web pages
//! too. The same is true of everything here where the browser is older than Sec-Fetch-Site (before
//! Chrome 76, Firefox 90 and Safari 16.4): it fetches an image for any page without a word about
//! where the request comes from.
//!
//! The naive version trusts whatever comes over loopback.
//!
//! curl and other programs send neither field. This is no password: whoever runs programs on this
//! machine may read and write.
//!
//! Next: [`crate::http::router`].

use memchr::memrchr;

use crate::http::authority::Authority;
use crate::http::refusal::Refusal;
use crate::http::request::{Browser, Request};
use crate::http::router;

/// Refuses what another web site sends through the user's browser.
///
/// `names` are what we are called besides `localhost`.
///
/// # Errors
/// [`Refusal::NotOurName`] or [`Refusal::OtherSite`], both 403.
pub(crate) fn check(request: &Request<'_>, names: &[String]) -> Result<(), Refusal> {
    check_linked(request, names, router::only_reads(request.path))
}

/// As [`check`]; `may_be_linked` says whether pages of other sites may have a link to what is asked for.
///
/// # Errors
/// As for [`check`].
pub(crate) fn check_linked(
    request: &Request<'_>,
    names: &[String],
    may_be_linked: bool,
) -> Result<(), Refusal> {
    // Only HTTP/1.0 may come without Host, and no browser speaks that.
    if let Some(authority) = &request.authority
        && !is_ours(authority, names)
    {
        return Err(Refusal::NotOurName);
    }
    if from_elsewhere(&request.browser, request, may_be_linked) {
        return Err(Refusal::OtherSite);
    }
    Ok(())
}

fn is_ours(authority: &Authority<'_>, names: &[String]) -> bool {
    // "localhost." is the same name, written absolutely.
    let host = without_dot(authority.host);
    let parent = memrchr(b'.', host).map_or(host, |dot| &host[dot + 1..]);
    // The address that nearly everybody uses need not be read.
    if parent.eq_ignore_ascii_case(b"localhost")
        || authority.host == b"127.0.0.1"
        || names.iter().any(|name| without_dot(name.as_bytes()).eq_ignore_ascii_case(host))
    {
        return true;
    }
    // 0.0.0.0, [::] and [::ffff:127.0.0.1] lead here too, but are no names for anything: to them
    // browsers do not say where a request comes from.
    authority.address().is_some_and(|ip| !ip.is_unspecified() && ip.to_canonical() == ip)
}

fn without_dot(name: &[u8]) -> &[u8] {
    name.strip_suffix(b".").unwrap_or(name)
}

fn from_elsewhere(browser: &Browser<'_>, request: &Request<'_>, may_be_linked: bool) -> bool {
    match (browser.site, browser.origin) {
        // "none": the user typed the address, or chose a bookmark.
        (Some(b"same-origin" | b"none"), _) | (None, None) => false,
        // Following a link to a value is harmless: the page that has the link can't read it.
        (Some(_), _) => {
            let navigation = browser.mode == Some(b"navigate") && browser.dest == Some(b"document");
            !(navigation && may_be_linked)
        }
        (None, Some(origin)) => {
            // Without Host (HTTP/1.0) nothing is ours.
            let Some(Authority { text: ours, .. }) = request.authority else { return true };
            // https where a proxy in front of us speaks it.
            let http = origin.strip_prefix(b"http://");
            let theirs = http.or_else(|| origin.strip_prefix(b"https://"));
            !theirs.is_some_and(|theirs| theirs.eq_ignore_ascii_case(ours))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(target: &str, fields: &str) -> Result<(), Refusal> {
        let mut head = format!("GET {target} HTTP/1.1\r\n{fields}\r\n\r\n").into_bytes();
        let request = Request::parse(&mut head).unwrap();
        check(&request, &["db.test.".to_string()])
    }

    #[test]
    fn serves_under_its_own_names_only() {
        for host in [
            "localhost",
            "localhost:4000",
            "LOCALHOST:1",
            "localhost.",
            "a.localhost:4000",
            "127.0.0.1:4000",
            "10.0.0.1",
            "[::1]:4000",
            "db.test",
            "DB.test:80",
        ] {
            assert_eq!(ask("/set?a=b", &format!("Host: {host}")), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example:4000",
            "notlocalhost",
            "db.test.evil.example",
            "127.0.0.1.evil.example",
            "127.1",
            "0x7f000001",
            "0.0.0.0:4000",
            "[::]:4000",
            "[::ffff:127.0.0.1]:4000",
            ".",
        ] {
            let got = ask("/set?a=b", &format!("Host: {host}"));
            assert_eq!(got, Err(Refusal::NotOurName), "{host}");
        }
    }

    #[test]
    fn an_absolute_target_goes_before_host() {
        assert_eq!(ask("http://localhost/get?key=a", "Host: evil.example"), Ok(()));
        assert_eq!(
            ask("http://evil.example/get?key=a", "Host: localhost"),
            Err(Refusal::NotOurName)
        );
    }

    #[test]
    fn refuses_what_browsers_send_for_other_sites() {
        let navigation = "\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document";
        let framed = "\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe";
        let image = "\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image";
        let table = [
            ("none", "/set?a=b", navigation, true),
            ("same-origin", "/set?a=b", image, true),
            ("cross-site", "/get?key=a", navigation, true),
            ("same-site", "/get?key=a", navigation, true),
            ("cross-site", "/set?a=b", navigation, false),
            ("cross-site", "/get?key=a", framed, false),
            ("cross-site", "/get?key=a", image, false),
            ("cross-site", "/get?key=a", "", false),
            ("same-site", "/set?a=b", image, false),
            ("something-new", "/set?a=b", image, false),
        ];
        for (site, target, rest, served) in table {
            let fields = format!("Host: localhost:4000\r\nSec-Fetch-Site: {site}{rest}");
            let wanted = if served { Ok(()) } else { Err(Refusal::OtherSite) };
            assert_eq!(ask(target, &fields), wanted, "{target} {fields}");
        }
    }

    #[test]
    fn what_an_old_browser_fetches_can_not_be_told_from_a_program() {
        // An image on another site's page, from before Fetch Metadata. (Referer proves nothing: the
        // page can have it left out.)
        let image = "Host: localhost:4000
Accept: image/*
Referer: http://evil.example/";
        assert_eq!(ask("/set?a=b", image), Ok(()));
        let introduction = include_str!("access.rs").split("\nuse ").next().unwrap();
        for text in [introduction, include_str!("../../README.md")] {
            for browser in ["Chrome 76", "Firefox 90", "Safari 16.4"] {
                assert!(text.contains(browser), "{browser}");
            }
        }
    }

    #[test]
    fn without_fetch_metadata_the_origin_must_be_ours() {
        let table = [
            ("http://localhost:4000", true),
            ("HTTP://localhost:4000", false),
            ("null", false),
            ("", false),
            ("http://localhost:3000", false),
            ("http://localhost", false),
            ("https://localhost:4000", true),
            ("ftp://localhost:4000", false),
            ("http://evil.example", false),
        ];
        for (origin, served) in table {
            let fields = format!("Host: localhost:4000\r\nOrigin: {origin}");
            let wanted = if served { Ok(()) } else { Err(Refusal::OtherSite) };
            assert_eq!(ask("/set?a=b", &fields), wanted, "{origin}");
        }
    }
}
