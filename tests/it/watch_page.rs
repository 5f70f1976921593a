//! The page of `--watch`, in a real browser: what it shows is what was sent, and nobody else can read it.

use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::browser::Page;
use crate::common::Wire;
use crate::watch::Watched;

const DESKTOP: u32 = 1200;

fn open(watched: &Watched) -> Page {
    open_as(watched, DESKTOP, &[])
}

fn open_as(watched: &Watched, width: u32, features: &[(&str, &str)]) -> Page {
    let page = Page::open(&format!("http://localhost:{}/", watched.page().port()), width, features);
    page.until("document.getElementById('server').textContent.startsWith('dbserver')");
    page
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// Waits until connection `c` has so many stages of this kind, and returns how many there are.
fn stages(page: &Page, c: u64, kind: &str, least: u64) -> Value {
    let all = format!("document.querySelectorAll('[data-c=\"{c}\"] [data-e=\"{kind}\"]').length");
    page.until(&format!("{all} >= {least}"));
    page.value(&all)
}

#[test]
fn a_split_request_is_its_tiles_and_the_empty_line_lights_up_across_the_cut() {
    let watched = Watched::start(&[]);
    let page = open(&watched);
    let sent = get("/set?city=Rome%20or%20Paris");
    let mut wire = watched.server.connect();
    wire.send(&sent[..sent.len() - 1]);
    page.until("document.querySelector('[data-state=begun] .deadline meter')");
    wire.send(&sent[sent.len() - 1..]);
    assert_eq!(wire.answer().status, 200);
    stages(&page, 1, "written", 1);
    let tiles = "[...document.querySelectorAll('[data-c=\"1\"] .tile code')]";
    assert_eq!(page.value(&format!("{tiles}.length")), 2);
    let text =
        page.value(&format!("{tiles}.map((it) => it.textContent.replaceAll('\\n', '')).join('')"));
    assert_eq!(text, sent.escape_debug().to_string().replace("\\'", "'"));
    let lit = "[...document.querySelectorAll('[data-c=\"1\"] mark')].map((it) => it.textContent)";
    assert_eq!(page.value(lit), json!(["\\r", "\\n", "\\r", "\\n"]));
    let halves = format!("{tiles}.map((it) => it.querySelectorAll('mark').length)");
    assert_eq!(page.value(&halves), json!([3, 1]));
    page.is_well();
}

#[test]
fn two_requests_in_one_packet_are_one_tile_two_answers_and_one_write() {
    let watched = Watched::start(&[]);
    let page = open(&watched);
    let mut wire = watched.server.connect();
    wire.send(get("/set?a=b") + &get("/get?key=a"));
    assert_eq!((wire.answer().status, wire.answer().text()), (200, "b"));
    assert_eq!(stages(&page, 1, "answered", 2), 2);
    assert_eq!(stages(&page, 1, "written", 1), 1);
    assert_eq!(page.value("document.querySelectorAll('[data-c=\"1\"] .tile').length"), 1);
    page.until("document.getElementById('words').innerText.includes('2 answers in one write')");
    page.is_well();
}

#[test]
fn parallel_sets_are_all_in_the_batches_that_are_shown() {
    const SETS: u64 = 24;
    let watched = Watched::start(&[]);
    let page = open(&watched);
    // Every sentence about a sync, and not only those of the last.
    page.value(
        "window.sets = 0; new MutationObserver((all) => { for (const { addedNodes } of all) for (const node of addedNodes) { \
           const said = node.textContent.match(/^Batch .*: (\\d+) sets? (has|share)/); if (said) sets += Number(said[1]); } }) \
         .observe(document.getElementById('words'), { childList: true })",
    );
    thread::scope(|scope| {
        for number in 0..SETS {
            let mut wire = watched.server.connect();
            scope.spawn(move || assert_eq!(wire.get(&format!("/set?key{number}=v")).status, 200));
        }
    });
    page.until(&format!("sets === {SETS}"));
    let shown = "[...document.querySelectorAll('.batch')].every((batch) => \
        batch.querySelectorAll('.waits li[data-leads=true]').length === 1)";
    assert_eq!(page.value(shown), true);
    page.is_well();
}

#[test]
fn the_one_that_waited_longest_goes_and_its_lane_says_so() {
    let watched = Watched::start(&["--max-connections", "2"]);
    let page = open(&watched);
    let silent: Vec<Wire> = (1..=2)
        .map(|c| {
            let wire = watched.server.connect();
            page.until(&format!("document.querySelector('[data-c=\"{c}\"]')"));
            wire
        })
        .collect();
    let mut asks = watched.server.connect();
    assert_eq!(asks.get("/get?key=a").status, 404);
    page.until("document.querySelector('[data-c=\"1\"]').innerText.includes('evicted')");
    assert_eq!(page.value("document.querySelector('[data-c=\"2\"]').dataset.state"), "idle");
    drop(silent);
    page.is_well();
}

#[test]
fn a_compaction_is_told_in_its_order() {
    let watched = Watched::start(&["--compact-over", "300"]);
    let page = open(&watched);
    let mut wire = watched.server.connect();
    // The list is short, and sets go on: until one is seen in it from its beginning to its end.
    let steps =
        "[...document.querySelectorAll('#file-steps li')].map((it) => it.dataset.step).join(' ')";
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let said = page.value(steps);
        if said.as_str().unwrap().contains("compacting copied synced renamed replaced") {
            break;
        }
        assert!(Instant::now() < deadline, "no compaction was told in its order: {said}");
        for number in 0..20 {
            assert_eq!(wire.get(&format!("/set?counter={number}")).status, 200);
        }
    }
    page.is_well();
}

/// A key and a value that would be a script, an element, a command to a terminal or the end of the text.
#[test]
fn what_clients_send_is_text_and_nothing_else() {
    let watched = Watched::start(&[]);
    let page = open(&watched);
    let before = page.value("document.querySelectorAll('img, script, iframe, svg').length");
    for hostile in [
        "<img src=x onerror=window.hacked=1>",
        "</script><script>window.hacked=1</script>",
        "\u{1b}[31mred\0\u{202e}desrever",
        "{{constructor.constructor('window.hacked=1')()}}",
    ] {
        let encoded: String = hostile.bytes().map(|byte| format!("%{byte:02x}")).collect();
        assert_eq!(watched.server.get(&format!("/set?{encoded}={encoded}")).status, 200);
        let shown =
            format!("document.querySelector('#lanes').textContent.includes({})", json!(hostile));
        page.until(&shown);
    }
    let after = page.value("document.querySelectorAll('img, script, iframe, svg').length");
    assert_eq!((after, page.value("window.hacked ?? null")), (before, Value::Null));
    // And nobody can make an element of a text here.
    let made = page.value("(() => { try { document.body.innerHTML = '<b>x</b>'; return 'made'; } catch { return 'refused'; } })()");
    assert_eq!(made, "refused");
}

/// What a page of another origin can try, as JavaScript that returns "read" or "nothing"; and what has to be
/// changed in our answers for it to read something: a field that is left out, and one that is added.
const ATTACKS: [(&str, &str, &str); 5] = [
    (
        "const answer = await fetch(`http://127.0.0.1:${port}/events`); \
           return (await answer.body.getReader().read()).value ? 'read' : 'nothing';",
        "",
        "Access-Control-Allow-Origin: *",
    ),
    (
        "return await new Promise((done) => { const events = new EventSource(`http://127.0.0.1:${port}/events`); \
           events.onmessage = () => { events.close(); done('read'); }; \
           events.onerror = () => { events.close(); done('nothing'); }; });",
        "",
        "Access-Control-Allow-Origin: *",
    ),
    (
        "const answer = await fetch(`http://127.0.0.1:${port}/`); \
           return (await answer.text()).includes('<html') ? 'read' : 'nothing';",
        "",
        "Access-Control-Allow-Origin: *",
    ),
    (
        "return await new Promise((done) => { const script = document.createElement('script'); \
           script.src = `http://127.0.0.1:${port}/model.js`; document.head.append(script); \
           script.onload = () => done('read'); script.onerror = () => done('nothing'); });",
        "Cross-Origin-Resource-Policy",
        "",
    ),
    // Nobody can look into a frame, but its user can be made to click on what is in it. It is there if its own
    // script has been fetched.
    (FRAME, "Content-Security-Policy", ""),
];

const FRAME: &str = "const frame = document.createElement('iframe'); frame.src = `http://127.0.0.1:${port}/`; \
    await new Promise((done) => { frame.onload = done; document.body.append(frame); }); return 'nothing';";

/// Each attack fails on the server, and on one that is not told where a request comes from, as older browsers
/// do not say it; and it works there once the one field that stops it is changed.
#[test]
fn pages_of_other_origins_read_nothing() {
    let watched = Watched::start(&[]);
    assert_eq!(watched.server.get("/set?secret=treasure").status, 200);
    // A value is a page of another origin.
    let other = format!("http://localhost:{}/get?key=secret", watched.server.port);
    let page = Page::open(&other, DESKTOP, &[]);
    let ask = |port: u16, how: &str| {
        page.value(&format!("(async () => {{ const port = {port}; try {{ {how} }} catch (error) {{ return 'nothing'; }} }})()"))
    };
    for (how, without, with) in ATTACKS {
        assert_eq!(ask(watched.page().port(), how), "nothing", "{how}");
        for (without, with, wanted) in [("", "", "nothing"), (without, with, "read")] {
            let relay = Relay::start(watched.page(), without, with);
            let read = ask(relay.address.port(), how);
            let seen = relay.seen.lock().unwrap();
            let is_shown = how == FRAME && seen.iter().any(|head| head.starts_with("GET /main.js"));
            let read = if is_shown { "read".into() } else { read };
            assert_eq!(read, wanted, "without {without:?} and with {with:?}: {how}\n{seen:?}");
        }
    }
}

/// The page's server without what a browser says of where a request comes from, and with other answers.
struct Relay {
    address: SocketAddr,
    /// The heads that came.
    seen: Arc<Mutex<Vec<String>>>,
}

impl Relay {
    /// Leaves out one field of each answer, and adds another.
    fn start(page: SocketAddr, without: &'static str, with: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let all = Arc::clone(&seen);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let all = Arc::clone(&all);
                thread::spawn(move || {
                    let mut client = BufReader::new(client);
                    let head = head(&mut client, &["Sec-Fetch-", "Origin:"], "")?;
                    all.lock().unwrap().push(head.clone());
                    let mut server = BufReader::new(TcpStream::connect(page)?);
                    server.get_mut().write_all(head.as_bytes())?;
                    let without = if without.is_empty() { &[][..] } else { &[without] };
                    let head = self::head(&mut server, without, with)?;
                    client.get_mut().write_all(head.as_bytes())?;
                    std::io::copy(&mut server, client.get_mut())
                });
            }
        });
        Relay { address, seen }
    }
}

/// A head without the fields that begin so, and with another.
fn head(from: &mut impl BufRead, without: &[&str], with: &str) -> std::io::Result<String> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        let is_end = from.read_line(&mut line)? <= 2;
        if is_end && !with.is_empty() {
            head += with;
            head += "\r\n";
        }
        if !without.iter().any(|field| line.to_lowercase().starts_with(&field.to_lowercase())) {
            head += &line;
        }
        if is_end {
            return Ok(head);
        }
    }
}

#[test]
fn everything_can_be_reached_and_used_with_the_keyboard_alone() {
    let watched = Watched::start(&[]);
    let page = open(&watched);
    assert_eq!(watched.server.get("/set?a=b").status, 200);
    stages(&page, 1, "written", 1);
    let mut reached = Vec::new();
    for _ in 0..20 {
        page.press("Tab");
        reached.push(page.value("document.activeElement.id").as_str().unwrap().to_string());
    }
    for id in [
        "live",
        "slow",
        "pause",
        "back",
        "forward",
        "scrubber",
        "words",
        "open",
        "save-lines",
        "save-chrome",
    ] {
        assert!(reached.iter().any(|it| it == id), "{id} is not among {reached:?}");
    }
    page.value("document.activeElement.blur()");
    let place = || {
        let text = page.value("document.getElementById('place').textContent");
        text.as_str().unwrap().split(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let end = place();
    page.press("ArrowLeft");
    page.until(&format!("document.getElementById('place').textContent.startsWith('{} ')", end - 1));
    page.until("document.getElementById('pause').getAttribute('aria-pressed') === 'true'");
    page.press("ArrowRight");
    page.until(&format!("document.getElementById('place').textContent.startsWith('{end} ')"));
    page.is_well();
}

#[test]
fn a_telephone_needs_no_sideways_scroll_and_shows_both_colour_schemes() {
    let watched = Watched::start(&[]);
    let long = "x".repeat(300);
    for scheme in ["light", "dark"] {
        let page = open_as(
            &watched,
            360,
            &[("prefers-color-scheme", scheme), ("prefers-reduced-motion", "reduce")],
        );
        let mut wire = watched.server.connect();
        assert_eq!(wire.get(&format!("/set?{long}={long}")).status, 200);
        page.until("document.querySelectorAll('.tile').length > 0");
        assert_eq!(page.value("document.documentElement.scrollWidth <= innerWidth"), true);
        let sum = page.value("getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number).reduce((a, b) => a + b)");
        assert_eq!(sum.as_f64().unwrap() < 300.0, scheme == "dark", "{scheme}: {sum}");
        // Nothing moves by itself where the user asks for that.
        let moving = "[...document.querySelectorAll('*')].filter((it) => { const style = getComputedStyle(it); \
            return style.transitionDuration !== '0s' || style.animationName !== 'none'; }).length";
        assert_eq!(page.value(moving), 0);
        page.is_well();
    }
}

#[test]
fn pause_freezes_and_live_goes_on() {
    let watched = Watched::start(&[]);
    let page = open(&watched);
    let mut wire = watched.server.connect();
    wire.get("/set?a=b");
    stages(&page, 1, "written", 1);
    page.click("pause");
    page.until("document.getElementById('pause').getAttribute('aria-pressed') === 'true'");
    let shown = "document.getElementById('lanes').textContent + document.getElementById('words').textContent";
    let before = page.value(shown);
    for number in 0..20 {
        wire.get(&format!("/set?a={number}"));
    }
    // They have come, and are not shown.
    page.until("Number(document.getElementById('scrubber').max) > Number(document.getElementById('scrubber').value) + 100");
    assert_eq!(page.value(shown), before);
    page.click("live");
    page.until(
        "document.getElementById('scrubber').max === document.getElementById('scrubber').value",
    );
    page.until("document.getElementById('lanes').textContent.includes('request 21')");
    page.is_well();
}

#[test]
fn a_flood_keeps_the_page_small_and_shows_whole_requests() {
    const CLIENTS: usize = 16;
    let watched = Watched::start(&["--memory"]);
    let page = open(&watched);
    let file = page.value("document.getElementById('file-words').textContent");
    assert_eq!(file, "There is none: the pairs are in memory.");
    assert_eq!(page.value("document.getElementById('server').textContent.includes('sync')"), false);
    let requests = get("/get?key=a").repeat(16);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let mut wire = watched.server.connect();
            let requests = &requests;
            scope.spawn(move || {
                for _ in 0..120 {
                    wire.send(requests);
                    for _ in 0..16 {
                        assert_eq!(wire.answer().status, 404);
                    }
                }
            });
        }
    });
    // Every connection ends, whatever was left out.
    page.until(
        "document.getElementById('scrubber').max === document.getElementById('scrubber').value",
    );
    page.until("Number(document.getElementById('scrubber').max) > 500");
    let nodes = page.value("document.getElementsByTagName('*').length");
    assert!(nodes.as_u64().unwrap() < 4000, "{nodes} elements");
    assert_eq!(page.value("document.querySelectorAll('.lane').length"), 8);
    let half = "[...document.querySelectorAll('.request')].filter((it) => it.querySelector('[data-e=written]') && !it.querySelector('strong')).length";
    assert_eq!(page.value(half), 0);
    page.is_well();
}

/// A thousand clients, and one that sends fifty sets, each in two hundred packets.
const A_LONG_DAY: &str = "(async () => {
    const { empty, apply } = await import('/model.js');
    const model = empty();
    const tell = (e, fields) => apply(model, { t: 1, e, ...fields });
    tell('hello', { open: [], file: null, sync: 'always', limits: {} });
    for (let c = 1; c <= 1000; c++) {
        tell('opened', { c, peer: 'p' });
        if (c % 4 === 0) tell('closed', { c, why: 'client' });
    }
    const closed = [...model.lanes.values()].filter((it) => it.state === 'closed').length;
    // Of those that were forgotten, something is heard again.
    for (let c = 1; c <= 500; c++) tell('routed', { c, r: 1, path: '/get' });
    const c = 999;
    for (let r = 1; r <= 50; r++) {
        for (let i = 0; i < 200; i++) {
            tell('bytes_read', { c, r, n: 3, text: 'abc' });
            tell('partial', { c, r, part: 'head', begun: 1 });
        }
        tell('joined', { c, r, batch: r, leads: true });
        tell('answered', { c, r, status: 200 });
        tell('written', { c, r, n: 9, answers: 1 });
        tell('file', { step: 'compacting', bytes: 1, records: 1 });
    }
    const { requests } = model.lanes.get(c);
    const each = (of) => requests.map(of);
    return {
        lanes: model.lanes.size, few_closed: closed <= 9, requests: each((it) => it.r),
        stages: each((it) => it.stages.length), tiles: each((it) => it.tiles.length),
        text: Math.max(...requests.flatMap((it) => it.tiles.map((tile) => tile.text.length))),
        bytes: each((it) => it.tiles.reduce((sum, { n }) => sum + n, 0)),
        batches: [...model.batches.keys()], steps: model.steps.length,
    };
})()";

#[test]
fn however_long_it_goes_on_the_page_remembers_no_more_than_so_much() {
    let watched = Watched::start(&["--memory"]);
    let page = open(&watched);
    let remembered = json!({
        "lanes": 200, "few_closed": true, "requests": [47, 48, 49, 50], "stages": [40, 40, 40, 40],
        "tiles": [64, 64, 64, 64], "text": 256, "bytes": [600, 600, 600, 600],
        "batches": [45, 46, 47, 48, 49, 50], "steps": 8,
    });
    assert_eq!(page.value(A_LONG_DAY), remembered);
    page.is_well();
}

#[test]
fn a_server_that_comes_back_is_shown_again() {
    let watched = Watched::start(&[]);
    let page = open(&watched);
    let (port, data) = (watched.page().port(), watched.server.data());
    let folder = tempfile::tempdir().unwrap();
    let began = Instant::now();
    watched.stop();
    assert!(began.elapsed() < Duration::from_secs(5), "the open page held up the stop");
    page.until("document.getElementById('server').textContent.includes('not there')");
    let copy = folder.path().join("data.jsonl");
    fs::write(&copy, fs::read(&data).unwrap_or_default()).unwrap();
    let again = Watched::start(&[&format!("--watch={port}")]);
    page.until("document.getElementById('server').textContent.startsWith('dbserver')");
    assert_eq!(again.server.get("/set?a=b").status, 200);
    stages(&page, 1, "written", 1);
    page.is_well();
}

#[test]
fn a_saved_trace_replays_to_the_same_words() {
    let watched = Watched::start(&[]);
    let page = open(&watched);
    let mut wire = watched.server.connect();
    for target in ["/set?a=b", "/get?key=a", "/get?key=nothing", "/nonsense"] {
        wire.get(target);
    }
    wire.end().expect_end();
    page.until("document.getElementById('words').innerText.includes('is closed')");
    let words = "[...document.querySelectorAll('#words li')].map((it) => it.textContent)";
    let live = page.value(words);
    let trace = fs::read_to_string(watched.trace()).unwrap();
    assert!(trace.contains("\"closed\""));
    let open = format!(
        "(() => {{ const file = new DataTransfer(); file.items.add(new File([{}], 'trace.jsonl')); \
           const input = document.getElementById('open'); input.files = file.files; \
           input.dispatchEvent(new Event('change')); }})()",
        json!(trace)
    );
    page.value(&open);
    page.until("document.getElementById('words').innerText.includes('events from trace.jsonl')");
    for _ in trace.lines() {
        page.click("forward");
    }
    page.until("document.getElementById('words').innerText.includes('is closed')");
    let replayed = page.value(words);
    let sentences = |value: &Value| -> Vec<String> {
        let all = value.as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_string());
        all.filter(|it| it.starts_with("c1") || it.starts_with("Batch")).collect()
    };
    assert_eq!(sentences(&replayed), sentences(&live));
    let took = "Batch 1: 1 set has one sync, which took ";
    let time = sentences(&live).iter().find_map(|it| it.strip_prefix(took).map(str::to_string));
    assert!(time.is_some_and(|it| it.starts_with(|c: char| c.is_ascii_digit())), "{live}");
    assert!(sentences(&live).len() >= 6, "{live}");
    page.is_well();
}

#[test]
fn each_moment_asks_for_a_bet_before_it_shows() {
    let watched = Watched::start(&[]);
    let page = open(&watched);
    for chapter in [3, 8, 9, 11, 12, 13] {
        page.value(&format!("location.hash = '#chapter-{chapter}'"));
        page.until(&format!(
            "document.getElementById('moment-title').textContent.startsWith('Chapter {chapter}:')"
        ));
        page.until("!document.getElementById('moment').hidden");
        assert_eq!(page.value("document.getElementById('moment-reveal').textContent"), "");
        assert_eq!(page.value("document.getElementById('moment-play').disabled"), true);
        page.value("document.querySelector('#moment-answers button').click()");
        let reveal = page.value("document.getElementById('moment-reveal').textContent");
        assert!(reveal.as_str().unwrap().starts_with(['Y', 'N']), "{reveal}");
        page.click("moment-play");
        let moment = format!("src/watch/page/moments/chapter-{chapter}.jsonl");
        let moment = Path::new(env!("CARGO_MANIFEST_DIR")).join(moment);
        let events = fs::read_to_string(moment).unwrap().lines().count();
        let all = format!("document.getElementById('place').textContent.endsWith(' of {events}')");
        page.until(&all);
        page.value(
            "document.getElementById('scrubber').value = document.getElementById('scrubber').max; \
            document.getElementById('scrubber').dispatchEvent(new Event('input'))",
        );
        page.until("document.querySelectorAll('.lane').length > 0");
        if chapter == 9 {
            // A client that sends a byte each second is told that it is too slow, and closed.
            page.until("document.getElementById('lanes').innerText.includes('late')");
        }
    }
    page.is_well();
}

/// Without a word of the server in it: what is shown comes from the stream.
#[test]
fn the_page_has_no_inline_script_and_no_address_of_others() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/watch/page");
    let page = fs::read_to_string(folder.join("index.html")).unwrap();
    assert!(
        !page.contains("style=")
            && !page.contains("onclick")
            && page.matches("<script").count() == 1
    );
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let text = fs::read_to_string(&path).unwrap();
            let others =
                text.split("http").filter(|it| it.starts_with("://") || it.starts_with("s://"));
            let others: Vec<&str> =
                others.filter(|it| !it.starts_with("://localhost:4000")).collect();
            assert!(
                others.is_empty() && !text.contains("innerHTML"),
                "{}: {others:?}",
                path.display()
            );
        }
    }
}
