//! The dialect: how this server wants to be asked, and what its answers look like.
//!
//! A server that wants `/set/` has misread one thing, and not forty: the check `brief-form` says
//! so, and every other check speaks the server's dialect. The same holds for what a missing key
//! looks like, and for what surrounds a value.

use std::time::Duration;

use crate::client::answer::Answer;
use crate::client::template::Template;

/// Where a set has its pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// `?somekey=somevalue`, as the brief says.
    Query,
    /// `?key=somekey&value=somevalue`
    KeyAndValue,
    /// `somekey=somevalue` in the body.
    Body,
}

/// How to ask.
#[derive(Debug, Clone)]
pub(crate) struct Dialect {
    /// Whether set and get were seen to work.
    pub(crate) works: bool,
    pub(crate) method: &'static str,
    pub(crate) place: Place,
    pub(crate) set_path: &'static str,
    pub(crate) get_path: &'static str,
    /// Whether get has its key alone, `/get?somekey`.
    pub(crate) bare_key: bool,
    /// Whether a set is answered with the address of another page.
    pub(crate) redirects: bool,
    /// How long after the answer to a set the pair is there, where it is not at once.
    pub(crate) late: Option<Duration>,
    pub(crate) shape: Shape,
    /// What a key that was never set is answered with, once that is known.
    pub(crate) missing: Option<Missing>,
}

/// What surrounds a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Nothing.
    Alone,
    /// A newline after it.
    Newline,
    /// It is a string in JSON.
    Json,
    /// A text, which may contain the key.
    Within(Template),
    /// Something that is different each time.
    Anywhere,
}

/// The answer for a key that was never set.
#[derive(Debug, Clone)]
pub(crate) enum Missing {
    /// One by which it is told from a key that was set.
    Told {
        status: u16,
        /// The body, and what it was for one key.
        body: Template,
        sample: String,
    },
    /// None that says so: in words, to come after "a missing key". Nothing that depends on it can
    /// be found out, and it is better not to ask.
    Untold(String),
}

impl Missing {
    /// In words, for the first lines of a report.
    pub(crate) fn describe(&self) -> String {
        match self {
            Missing::Told { status, sample, .. } if sample.is_empty() => {
                format!("answers a missing key with {status} and an empty body")
            }
            Missing::Told { status, sample, .. } => {
                let sample: String = sample.chars().take(60).collect();
                format!("answers a missing key with {status} and {:?}", sample.trim_end())
            }
            Missing::Untold(what) => format!("a missing key {what}"),
        }
    }
}

impl Default for Dialect {
    fn default() -> Self {
        Dialect {
            works: false,
            method: "GET",
            place: Place::Query,
            set_path: "/set",
            get_path: "/get",
            bare_key: false,
            redirects: false,
            late: None,
            shape: Shape::Alone,
            missing: None,
        }
    }
}

impl Dialect {
    /// Target and body of a set.
    pub(crate) fn set(&self, key: &str, value: &str) -> (String, Option<String>) {
        let path = self.set_path;
        match self.place {
            Place::Query => (format!("{path}?{key}={value}"), None),
            Place::KeyAndValue => (format!("{path}?key={key}&value={value}"), None),
            Place::Body => (path.to_string(), Some(format!("{key}={value}"))),
        }
    }

    /// Target of a get.
    pub(crate) fn get(&self, key: &str) -> String {
        let field = if self.bare_key { "" } else { "key=" };
        format!("{}?{field}{key}", self.get_path)
    }

    /// Whether this is how the brief writes it.
    pub(crate) fn is_briefs(&self) -> bool {
        let paths = (self.set_path, self.get_path);
        self.place == Place::Query && paths == ("/set", "/get") && !self.bare_key
    }

    /// How long after the answer to a set its pair is there for sure: next time it may take longer.
    pub(crate) fn settles_in(&self) -> Option<Duration> {
        self.late.map(|late| late * 3 + Duration::from_millis(100))
    }

    /// Whether this answer to a set says that the pair is stored.
    pub(crate) fn accepts(&self, answer: &Answer) -> bool {
        answer.is_success() || self.redirects && answer.is_redirect()
    }

    /// In words, for the first lines of a report.
    pub(crate) fn describe(&self) -> String {
        if !self.works {
            return "no form of set and get that was tried".into();
        }
        let (target, body) = self.set("somekey", "somevalue");
        let body = body.map(|body| format!(" with the body {body}")).unwrap_or_default();
        let redirects =
            if self.redirects { ", sends the client elsewhere after a set" } else { "" };
        let late = self.late.map_or(String::new(), |late| {
            format!(", stores some {} ms after it has answered", late.as_millis())
        });
        format!("{} {target}{body}, GET {}{redirects}{late}", self.method, self.get("somekey"))
    }

    /// Readings of the task, the brief's own first.
    pub(crate) fn readings() -> impl Iterator<Item = Dialect> {
        let queries = [
            ("/set", "/get", false),
            ("/set", "/get", true),
            ("/set/", "/get/", false),
            ("/set/", "/get", false),
        ];
        let by_query = queries.into_iter().flat_map(|(set_path, get_path, bare_key)| {
            ["GET", "POST", "PUT"].map(|method| Dialect {
                method,
                set_path,
                get_path,
                bare_key,
                ..Dialect::default()
            })
        });
        let others = [
            ("GET", Place::KeyAndValue),
            ("POST", Place::KeyAndValue),
            ("PUT", Place::KeyAndValue),
            ("POST", Place::Body),
            ("PUT", Place::Body),
        ];
        let others = others.into_iter().map(|(method, place)| Dialect {
            method,
            place,
            ..Dialect::default()
        });
        by_query.chain(others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_the_briefs_form_with_every_method_first() {
        let first: Vec<_> = Dialect::readings().take_while(Dialect::is_briefs).collect();
        let methods: Vec<_> = first.iter().map(|reading| reading.method).collect();
        assert_eq!(methods, ["GET", "POST", "PUT"]);
        assert_eq!(first[0].set("a", "b"), ("/set?a=b".into(), None));
        assert_eq!(first[0].get("a"), "/get?key=a");
        let bare = Dialect::readings().find(|reading| reading.bare_key).unwrap();
        assert_eq!((bare.get("a"), bare.is_briefs()), ("/get?a".into(), false));
    }
}
