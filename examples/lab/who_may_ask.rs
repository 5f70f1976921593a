//! who-may-ask: any page that the user opens may send requests to localhost. The naive server thinks
//! that whoever reaches it may write.

use crate::client::PATIENCE;
use crate::page;
use crate::subject::{Server, Subject};
use crate::tell::{self, Verdict};

/// What a browser sends for a page that wants to write to us.
struct Attempt {
    how: &'static str,
    key: &'static str,
    /// Where it is not our own.
    host: Option<&'static str>,
    /// The browser sets these, and no page can change them.
    fields: &'static str,
}

const ATTEMPTS: [Attempt; 5] = [
    Attempt {
        how: "fetch() in a page of http://localhost:5000, another program of this machine",
        key: "lab-fetch-near",
        host: None,
        fields: "Sec-Fetch-Site: same-site\r\n\
                 Sec-Fetch-Mode: no-cors\r\n\
                 Sec-Fetch-Dest: empty\r\n",
    },
    Attempt {
        how: "fetch() in a page of http://evil.example",
        key: "lab-fetch",
        host: None,
        fields: "Sec-Fetch-Site: cross-site\r\n\
                 Sec-Fetch-Mode: no-cors\r\n\
                 Sec-Fetch-Dest: empty\r\n",
    },
    Attempt {
        how: "<img> in such a page",
        key: "lab-image",
        host: None,
        fields: "Sec-Fetch-Site: cross-site\r\n\
                 Sec-Fetch-Mode: no-cors\r\n\
                 Sec-Fetch-Dest: image\r\n",
    },
    Attempt {
        how: "<form> in such a page, sent by a script",
        key: "lab-form",
        host: None,
        fields: "Sec-Fetch-Site: cross-site\r\n\
                 Sec-Fetch-Mode: navigate\r\n\
                 Sec-Fetch-Dest: document\r\n",
    },
    // To a name that is not localhost, over plain http, browsers send no Sec-Fetch fields.
    Attempt {
        how: "DNS rebinding: the name evil.example now has the address 127.0.0.1",
        key: "lab-rebinding",
        host: Some("evil.example"),
        fields: "",
    },
];

pub(crate) fn run(subject: &Subject) -> anyhow::Result<Verdict> {
    let server = subject.server()?;
    tell::before(
        "The server listens on this machine alone, but the browser runs on this machine too, and it \
         sends what the pages in it want sent. They can't read the answers, but a /set needs no \
         reading. What gives them away are fields that the browser adds and a page can't change. We \
         send what it would send; first a plain request, as curl does.",
    );
    let plain = fresh(&server, "lab-curl");
    let is_served = server.set("lab-curl", plain);
    tell::sent(server.request(&format!("/set?lab-curl={plain}")));
    tell::note(if is_served { "stored" } else { "not stored" });
    if !is_served || server.get("lab-curl").as_deref() != Some(plain) {
        return Ok(tell::broke("Nobody may ask: this is a plain request of a plain program."));
    }

    let mut stored = Vec::new();
    for Attempt { how, key, host, fields } in ATTEMPTS {
        let value = fresh(&server, key);
        let target = format!("/set?{key}={value}");
        let request = match host {
            None => server.request_with(&target, fields),
            Some(host) => format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        };
        tell::raw(&format!("\n    {how}\n"));
        for line in request.trim_end().lines() {
            tell::sent(line);
        }
        tell::came(&server.say(&request, PATIENCE));
        let is_stored = server.get(key).as_deref() == Some(value);
        tell::note(if is_stored { "the pair is stored" } else { "no pair is stored" });
        stored.extend(is_stored.then_some(how));
    }
    if subject.page {
        stored.extend(page::serve(&server)?);
    }
    Ok(if stored.is_empty() {
        tell::stands(
            "Programs may write, and pages of other sites may not: Host must be a name of ours, and \
             Sec-Fetch-Site must not say that another site asks.",
        )
    } else {
        tell::broke(
            "Any page that the user opens can write to this server. It must look at Host, which is \
             the name that the page was loaded from, and at Sec-Fetch-Site, where the browser says \
             who asks.",
        )
    })
}

/// A value that the key does not have yet: the server may be one that runs for long.
pub(crate) fn fresh(server: &Server, key: &str) -> &'static str {
    if server.get(key).as_deref() == Some("written") { "rewritten" } else { "written" }
}
