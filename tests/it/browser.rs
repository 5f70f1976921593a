//! A real browser for tests: Chromium, told what to do over two pipes in its debugging protocol.
//!
//! Messages are JSON, each with a NUL after it. One browser serves all tests of a run: starting one takes
//! longer than most of them. Each test has a page of its own, which is closed when it is dropped. When the tests
//! end, the pipes do, and the browser with them.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

/// How long an answer of the browser may take, on a slow and busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Without `--no-sandbox` it does not run as root; without the others it looks for the world outside.
const CHROMIUM: &str = "exec chromium --headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run \
    --disable-background-networking --disable-component-update --disable-sync --disable-dev-shm-usage \
    --disable-renderer-backgrounding --disable-background-timer-throttling \
    --no-proxy-server --remote-debugging-pipe --user-data-dir=\"$0\" about:blank 3<&0 4>&1 >/dev/null";

struct Browser {
    to: Mutex<(ChildStdin, u64)>,
    waiting: Arc<Mutex<HashMap<u64, Sender<Value>>>>,
    /// Kept for as long as the tests run.
    _child: Child,
    _profile: TempDir,
}

impl Browser {
    fn shared() -> &'static Browser {
        static BROWSER: OnceLock<Browser> = OnceLock::new();
        BROWSER.get_or_init(Browser::start)
    }

    fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.arg("-c").arg(CHROMIUM).arg(profile.path());
        // A Ctrl-C is for the tests, whose end is the end of the pipes.
        command.process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let to = Mutex::new((child.stdin.take().unwrap(), 0));
        let from = BufReader::new(child.stdout.take().unwrap());
        let waiting: Arc<Mutex<HashMap<u64, Sender<Value>>>> = Arc::default();
        let answers = Arc::clone(&waiting);
        thread::spawn(move || {
            for message in from.split(0) {
                let Ok(message) = serde_json::from_slice::<Value>(&message.unwrap_or_default())
                else {
                    break;
                };
                // What has no number is an event, and of no interest here.
                let id = message["id"].as_u64();
                if let Some(answer) = id.and_then(|id| answers.lock().unwrap().remove(&id)) {
                    let _ = answer.send(message);
                }
            }
            // Whoever still waits is told at once: its sender is dropped.
            answers.lock().unwrap().clear();
        });
        Browser { to, waiting, _child: child, _profile: profile }
    }

    fn ask(&self, session: Option<&str>, method: &str, params: &Value) -> Value {
        let answer: Receiver<Value> = {
            let mut to = self.to.lock().unwrap();
            to.1 += 1;
            let id = to.1;
            let (sender, answer) = channel();
            self.waiting.lock().unwrap().insert(id, sender);
            let mut message = json!({ "id": id, "method": method, "params": params });
            if let Some(session) = session {
                message["sessionId"] = session.into();
            }
            let sent = write!(to.0, "{message}\0").and_then(|()| to.0.flush());
            sent.unwrap_or_else(|error| panic!("the browser (chromium) is not there: {error}"));
            answer
        };
        let message = answer.recv_timeout(PATIENCE);
        let message = message.unwrap_or_else(|error| panic!("the browser, {method}: {error}"));
        assert!(message["error"].is_null(), "{method} {params}: {}", message["error"]);
        message["result"].clone()
    }
}

/// A page of the browser.
pub(crate) struct Page {
    target: String,
    session: String,
}

impl Page {
    /// Opens this address in a window of this width, in CSS pixels, where `features` are what media queries
    /// find, such as `("prefers-color-scheme", "dark")`.
    pub(crate) fn open(url: &str, width: u32, features: &[(&str, &str)]) -> Self {
        let browser = Browser::shared();
        let target = browser.ask(None, "Target.createTarget", &json!({ "url": "about:blank" }));
        let target = target["targetId"].as_str().unwrap().to_string();
        let attach = json!({ "targetId": target, "flatten": true });
        let session = browser.ask(None, "Target.attachToTarget", &attach);
        let session = session["sessionId"].as_str().unwrap().to_string();
        let page = Page { target, session };
        page.ask("Page.enable", &json!({}));
        page.ask(
            "Emulation.setDeviceMetricsOverride",
            &json!({
                "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false,
            }),
        );
        let features: Vec<Value> =
            features.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        page.ask("Emulation.setEmulatedMedia", &json!({ "features": features }));
        // What the page's policy has stopped is kept for the test.
        let note = "window.stopped = []; addEventListener('securitypolicyviolation', \
            (event) => stopped.push(`${event.violatedDirective} ${event.blockedURI}`)); \
            window.failed = []; addEventListener('error', (event) => failed.push(String(event.message)));";
        page.ask("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": note }));
        page.go(url);
        page
    }

    /// Goes to this address, and returns when it is loaded.
    pub(crate) fn go(&self, url: &str) {
        self.ask("Page.navigate", &json!({ "url": url }));
        self.until(&format!(
            "document.readyState === 'complete' && location.href.startsWith({})",
            json!(url)
        ));
    }

    fn ask(&self, method: &str, params: &Value) -> Value {
        Browser::shared().ask(Some(&self.session), method, params)
    }

    /// The value of a JavaScript expression; promises are waited for.
    pub(crate) fn value(&self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true, "userGesture": true });
        let result = self.ask("Runtime.evaluate", &params);
        assert!(
            result["exceptionDetails"].is_null(),
            "{expression}\n{}",
            result["exceptionDetails"]
        );
        result["result"]["value"].clone()
    }

    /// Waits until the expression is true, and returns its value.
    pub(crate) fn until(&self, expression: &str) -> Value {
        let wait = format!(
            "(async () => {{ const end = Date.now() + 40000; for (;;) {{ \
               try {{ const value = ({expression}); if (value) return {{ value }}; }} catch {{}} \
               if (Date.now() > end) return {{ late: document.body?.innerText ?? '' }}; \
               await new Promise((done) => setTimeout(done, 20)); }} }})()"
        );
        // A page that goes elsewhere meanwhile ends the wait with an error: then it begins again there.
        for _ in 0..200 {
            let params = json!({ "expression": wait, "returnByValue": true, "awaitPromise": true });
            let result = self.ask_again("Runtime.evaluate", &params);
            let value = &result["result"]["value"];
            assert!(
                value["late"].is_null(),
                "{expression} never was; the page says:\n{}",
                value["late"]
            );
            if !value["value"].is_null() {
                return value["value"].clone();
            }
        }
        panic!("{expression}: the page goes from one address to the next");
    }

    fn ask_again(&self, method: &str, params: &Value) -> Value {
        let browser = Browser::shared();
        let asked = std::panic::catch_unwind(|| browser.ask(Some(&self.session), method, params));
        asked.unwrap_or_default()
    }

    /// Presses and releases a key, by its name (`Tab`, `Enter`, `ArrowLeft`).
    pub(crate) fn press(&self, key: &str) {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "ArrowLeft" => 37,
            "ArrowRight" => 39,
            " " => 32,
            _ => 0,
        };
        let text = match key {
            "Enter" => "\r",
            key if key.len() == 1 => key,
            _ => "",
        };
        let down = if text.is_empty() { "rawKeyDown" } else { "keyDown" };
        for kind in [down, "keyUp"] {
            let params = json!({
                "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text,
            });
            self.ask("Input.dispatchKeyEvent", &params);
        }
    }

    /// Clicks the element with this id.
    pub(crate) fn click(&self, id: &str) {
        self.value(&format!("document.getElementById('{id}').click()"));
    }

    /// Fails where the page's policy had to stop something, or a script has failed.
    pub(crate) fn is_well(&self) {
        assert_eq!(self.value("stopped.concat(failed)"), json!([]));
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        if !thread::panicking() {
            Browser::shared().ask(None, "Target.closeTarget", &json!({ "targetId": self.target }));
        }
    }
}
