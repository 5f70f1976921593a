//! who-may-ask: any page that the user opens may send requests to localhost. The naive server thinks
//! that whoever reaches it may write.

use crate::client::PATIENCE;
use crate::page;
use crate::subject::{Server, Subject};
use crate::tell::{self, Verdict};

/// What a browser sends for a page that wants to write to us: how, the key, and the fields. The
/// browser sets them, and the page can't.
const ATTEMPTS: &[(&str, &str, &[&str])] = &[
    (
        "fetch() in a page of http://localhost:5000, another program of this machine",
        "lab-fetch-near",
        &[
            "Host: localhost",
            "Sec-Fetch-Site: same-site",
            "Sec-Fetch-Mode: no-cors",
            "Sec-Fetch-Dest: empty",
        ],
    ),
    (
        "fetch() in a page of http://evil.example",
        "lab-fetch",
        &[
            "Host: localhost",
            "Sec-Fetch-Site: cross-site",
            "Sec-Fetch-Mode: no-cors",
            "Sec-Fetch-Dest: empty",
        ],
    ),
    (
        "<img> in such a page",
        "lab-image",
        &[
            "Host: localhost",
            "Sec-Fetch-Site: cross-site",
            "Sec-Fetch-Mode: no-cors",
            "Sec-Fetch-Dest: image",
        ],
    ),
    (
        "<form> in such a page, sent by a script",
        "lab-form",
        &[
            "Host: localhost",
            "Sec-Fetch-Site: cross-site",
            "Sec-Fetch-Mode: navigate",
            "Sec-Fetch-Dest: document",
        ],
    ),
    (
        "DNS rebinding: the name evil.example now has the address 127.0.0.1",
        "lab-rebinding",
        &["Host: evil.example"],
    ),
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
    for (how, key, fields) in ATTEMPTS {
        let value = fresh(&server, key);
        let fields = fields.join("\r\n");
        let request = format!("GET /set?{key}={value} HTTP/1.1\r\n{fields}\r\n\r\n");
        tell::raw(&format!("\n    {how}\n"));
        for line in request.trim_end().lines() {
            tell::sent(line);
        }
        tell::came(&server.say(&request, PATIENCE));
        let is_stored = server.get(key).as_deref() == Some(value);
        tell::note(if is_stored { "the pair is stored" } else { "no pair is stored" });
        stored.extend(is_stored.then_some(*how));
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
