//! The dialect: how this server wants to be asked, and what its answers look like.
//!
//! A server that wants `/set/` has misread one thing, and not forty: the check `brief-form` says so,
//! and every other check speaks the server's dialect. The same holds for what a missing key looks
//! like, and for what stands around a value.

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
    pub(crate) shape: Shape,
    /// What a key that was never set is answered with.
    pub(crate) missing: Option<Missing>,
}

/// What stands around a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Nothing.
    Alone,
    /// A newline behind it.
    Newline,
    /// It is in JSON.
    Json,
    /// A text before and a text behind it, in which the key may stand.
    Within(String, String),
}

/// The answer for a key that was never set.
#[derive(Debug, Clone)]
pub(crate) struct Missing {
    pub(crate) status: u16,
    /// The body, with [`KEY`] where the key was.
    pub(crate) body: String,
}

impl Missing {
    /// In words, for the first lines of a report.
    pub(crate) fn describe(&self) -> String {
        if self.body.is_empty() {
            return format!("{} and an empty body", self.status);
        }
        let body: String = self.body.replace(KEY, "…").chars().take(60).collect();
        format!("{} and {:?}", self.status, body.trim_end())
    }
}

/// Stands for the key in what was learned.
pub(crate) const KEY: &str = "\u{1}key\u{1}";

impl Default for Dialect {
    fn default() -> Self {
        Dialect {
            works: false,
            method: "GET",
            place: Place::Query,
            set_path: "/set",
            get_path: "/get",
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
        format!("{}?key={key}", self.get_path)
    }

    /// Whether this is how the brief writes it.
    pub(crate) fn is_briefs(&self) -> bool {
        self.place == Place::Query && self.set_path == "/set" && self.get_path == "/get"
    }

    /// In words, for the first lines of a report.
    pub(crate) fn describe(&self) -> String {
        if !self.works {
            return "no form of set and get that was tried".into();
        }
        let (target, body) = self.set("somekey", "somevalue");
        let body = body.map(|body| format!(" with the body {body}")).unwrap_or_default();
        format!("{} {target}{body}, GET {}", self.method, self.get("somekey"))
    }

    /// Readings of the task, the brief's own first.
    pub(crate) fn readings() -> impl Iterator<Item = Dialect> {
        let queries = [("/set", "/get"), ("/set/", "/get/"), ("/set/", "/get")];
        let by_query = queries.into_iter().flat_map(|(set_path, get_path)| {
            ["GET", "POST", "PUT"].map(|method| (method, Place::Query, set_path, get_path))
        });
        let others = [
            ("GET", Place::KeyAndValue, "/set", "/get"),
            ("POST", Place::KeyAndValue, "/set", "/get"),
            ("PUT", Place::KeyAndValue, "/set", "/get"),
            ("POST", Place::Body, "/set", "/get"),
            ("PUT", Place::Body, "/set", "/get"),
        ];
        by_query.chain(others).map(|(method, place, set_path, get_path)| Dialect {
            method,
            place,
            set_path,
            get_path,
            ..Dialect::default()
        })
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
    }
}
