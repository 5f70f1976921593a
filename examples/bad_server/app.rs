//! The two requests: which path, which key and value, and what to answer.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use percent_encoding::percent_decode_str;

use crate::bugs::{Bug, dies_of, has, has_any};
use crate::http::Request;
use crate::store::Store;

/// How many values were given.
static COUNT: AtomicUsize = AtomicUsize::new(1);

/// Status and body.
pub(crate) type Reply = (u16, String);

/// Why a request is not in the spec, or the store does not take it.
type Refused = &'static str;

const ONE_PAIR: Refused = "the query must be one pair";
const USAGE: Refused = "use /set?<key>=<value> or /get?key=<key>";

/// The answer; `None` where this server has none.
pub(crate) fn answer(request: &Request, store: &Arc<Store>) -> Option<Reply> {
    static REQUESTS: AtomicUsize = AtomicUsize::new(0);
    if has(Bug::FailsAfter2000) && REQUESTS.fetch_add(1, SeqCst) >= 2000 {
        return Some((500, "cannot connect to the database".into()));
    }
    let (mut path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    if has(Bug::PrefixRouting) {
        path = ["/get", "/set"].into_iter().find(|name| path.starts_with(name)).unwrap_or(path);
    }
    if has(Bug::SlashWanted) {
        path = path.strip_suffix('/').unwrap_or("");
    }
    let method = if has(Bug::MethodIgnored) { "GET" } else { &request.method };
    let others = [(Bug::PostOnly, "POST"), (Bug::PostCloses, "POST"), (Bug::PutOnly, "PUT")];
    let set_method = others.into_iter().find(|other| has(other.0)).map_or("GET", |other| other.1);
    let reply = match (path, method) {
        ("/set", _) if has(Bug::KeyMeansGet) && query.starts_with("key=") => get(query, store),
        ("/set", "POST") if query.is_empty() => {
            dies_of(Bug::DiesOnPost);
            if has(Bug::PostCloses) {
                return None;
            }
            Err(USAGE)
        }
        ("/set", method) if method == set_method => set(query, store),
        ("/get", "GET" | "HEAD") => match get(query, store) {
            Ok((404, _)) if has(Bug::MissingHangs) => return None,
            reply => reply,
        },
        ("/get" | "/set", _) => Err(USAGE),
        _ if has_any([Bug::UnknownHangs, Bug::UnknownCloses]) => return None,
        (path, "GET") if has(Bug::ServesFiles) => file(path),
        _ if has(Bug::UnknownIs404) => Ok((404, String::new())),
        _ if has(Bug::UnknownIs200) => Ok((200, "Welcome to my database!".into())),
        _ => Err(USAGE),
    };
    Some(reply.unwrap_or_else(|sentence| (500, format!("{sentence}\n"))))
}

fn set(query: &str, store: &Arc<Store>) -> Result<Reply, Refused> {
    if has(Bug::BadUtf8Panics) {
        store.with_lock(|| decode(query).expect("clients send UTF-8"));
    }
    let mut pairs = pairs(query)?;
    if has(Bug::StoresRefused) {
        pairs.iter().try_for_each(|(key, value)| store.set(key, value))?;
    }
    if has(Bug::LenientSet) && pairs.is_empty() {
        return Ok((200, String::new()));
    }
    if has(Bug::KeyAndValue) {
        let value = pairs.pop().filter(|pair| pair.0 == "value").ok_or(USAGE)?.1;
        let key = pairs.pop().filter(|pair| pair.0 == "key").ok_or(USAGE)?.1;
        pairs = vec![(key, value)];
    }
    if has(Bug::RepeatedKeyList) && pairs.len() > 1 && pairs.iter().all(|pair| pair.0 == pairs[0].0)
    {
        let values: Vec<String> = pairs.iter().map(|pair| pair.1.clone()).collect();
        pairs = vec![(pairs[0].0.clone(), values.join(","))];
    }
    let is_one = pairs.len() == 1 || has(Bug::FirstOfTwoPairs);
    let (mut key, mut value) = pairs.into_iter().next().filter(|_| is_one).ok_or(ONE_PAIR)?;
    if key.is_empty() || value.is_empty() && !has(Bug::EmptyIsMissing) {
        return Err("neither the key nor the value may be empty");
    }
    if has(Bug::KeysUndecoded) {
        key = query.split('=').next().unwrap_or("").into();
    }
    if has(Bug::KeysLowerCased) {
        key = key.to_lowercase();
    }
    if has(Bug::ValuesLowerCased) {
        value = value.to_lowercase();
    }
    if has(Bug::HtmlEscaped) {
        value = value.replace('<', "&lt;");
    }
    if let Some(number) = value.parse::<f64>().ok().filter(|_| has(Bug::ValuesAreJson)) {
        value = number.to_string();
    }
    for (bug, size) in [(Bug::CutAt1024, 1024), (Bug::CutAt4096, 4096)] {
        value.truncate(if has(bug) { value.floor_char_boundary(size) } else { value.len() });
    }
    if has(Bug::GlobalVariables) {
        static CURRENT: Mutex<(String, String)> = Mutex::new((String::new(), String::new()));
        *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = (key, value);
        // Meanwhile, another request.
        thread::sleep(Duration::from_millis(5));
        (key, value) = CURRENT.lock().unwrap_or_else(PoisonError::into_inner).clone();
    }
    if has(Bug::DiesUnderLoad) {
        static INSIDE: AtomicUsize = AtomicUsize::new(0);
        if INSIDE.fetch_add(1, SeqCst) >= 3 {
            dies_of(Bug::DiesUnderLoad);
        }
        thread::sleep(Duration::from_millis(5));
        INSIDE.fetch_sub(1, SeqCst);
    }
    if has(Bug::ValueLimit) && value.len() > 2_500 {
        return Err("a value has at most 2,500 bytes");
    }
    if has(Bug::StoresLate) {
        let store = Arc::clone(store);
        let late = move || {
            thread::sleep(Duration::from_millis(30));
            let _ = store.set(&key, &value);
        };
        thread::Builder::new().spawn(late).map_err(|_| "there is no thread left")?;
        return Ok((200, String::new()));
    }
    store.set(&key, &value)?;
    let others = [(Bug::SetIs201, 201), (Bug::SetRedirects, 303)];
    let status = others.into_iter().find(|other| has(other.0)).map_or(200, |other| other.1);
    Ok((status, if has(Bug::SetHasBody) { "OK".into() } else { String::new() }))
}

fn get(query: &str, store: &Store) -> Result<Reply, Refused> {
    if has(Bug::NothingEndsIt) && store.is_empty() {
        dies_of(Bug::NothingEndsIt);
    }
    let bare = format!("key={query}");
    let is_bare = has(Bug::GetBareKey) && !query.is_empty() && !query.contains('=');
    let mut asked = pairs(if is_bare { &bare } else { query })?;
    if has(Bug::GetBareKey) && !is_bare {
        return Err("say /get?somekey");
    }
    if has(Bug::ExtraFieldIgnored) {
        asked.retain(|pair| pair.0 == "key");
    }
    let is_one = asked.len() == 1;
    let (field, mut key) = asked.into_iter().next().filter(|_| is_one).ok_or(ONE_PAIR)?;
    if field != "key" && !has(Bug::FieldIgnored) || key.is_empty() {
        return Err(USAGE);
    }
    if has(Bug::KeysLowerCased) {
        key = key.to_lowercase();
    }
    let mut value = store.get(&key).filter(|value| !value.is_empty());
    if has(Bug::PrototypeKeys) && ["constructor", "__proto__", "toString"].contains(&&*key) {
        value = Some("function () { [native code] }".into());
    }
    if has(Bug::MissingIsLast) {
        static LAST: Mutex<String> = Mutex::new(String::new());
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        *last = value.unwrap_or_else(|| std::mem::take(&mut *last));
        value = Some(last.clone());
    }
    if value.is_none() {
        dies_of(Bug::MissingEndsIt);
    }
    match value {
        None if has(Bug::MissingIs200) => Ok((200, String::new())),
        None if has(Bug::MissingIs500) => Err("KeyError"),
        None if has(Bug::MissingHasBody) => Ok((404, "Not found\n".into())),
        None => Ok((404, String::new())),
        Some(value) if has(Bug::TrailingNewline) => Ok((200, value + "\n")),
        Some(value) if has(Bug::AnswersSentence) => {
            Ok((200, format!("The value of {key} is {value}")))
        }
        Some(value) if has(Bug::AnswersClock) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let (seconds, count) = (now.as_secs() % 86_400, COUNT.fetch_add(1, SeqCst));
            let clock =
                format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
            Ok((200, format!("[{clock}] #{count} {key}: {value} (yes, {value})")))
        }
        Some(value) if has(Bug::AnswersDump) => {
            let is_name = key.chars().all(|c| c.is_ascii_alphanumeric());
            let key = if is_name { key } else { format!("{key:?}") };
            let text = format!("{key}: {value:?}");
            let is_long = text.len() > 72;
            Ok((200, if is_long { format!("{{\n  {text}\n}}") } else { format!("{{ {text} }}") }))
        }
        Some(value) if has(Bug::AnswersPage) => {
            let value = value.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
            Ok((200, format!("<html><body><p>{value}</p></body></html>")))
        }
        Some(value) if has(Bug::AnswersJson) => {
            Ok((200, serde_json::json!({ "key": key, "value": value }).to_string()))
        }
        Some(value) => Ok((200, value)),
    }
}

/// A file of the folder that the server was started in.
fn file(path: &str) -> Result<Reply, Refused> {
    let file = std::fs::read_to_string(path.trim_start_matches('/'));
    file.map(|text| (200, text)).map_err(|_| USAGE)
}

/// The pairs of a query: split first, decoded then.
fn pairs(query: &str) -> Result<Vec<(String, String)>, Refused> {
    let query = if has(Bug::DecodedFirst) { decode(query)? } else { query.into() };
    let separator = if has(Bug::SecondPairGlued) { '\0' } else { '&' };
    let pieces = query.split(separator).filter(|piece| !piece.is_empty());
    let pair = |piece: &str| match piece.split_once('=').ok_or("a pair has a =")? {
        (key, value) if has(Bug::DecodedFirst) => Ok((key.into(), value.into())),
        (key, value) if has(Bug::CutAtSecondEquals) => {
            Ok((decode(key)?, decode(value.split('=').next().unwrap_or(""))?))
        }
        (key, value) => Ok((decode(key)?, decode(value)?)),
    };
    pieces.map(pair).collect()
}

fn decode(half: &str) -> Result<String, Refused> {
    if has_any([Bug::NoDecoding, Bug::UndecodedLength]) {
        return Ok(half.into());
    }
    let is_escape =
        |rest: &str| rest.get(..2).is_some_and(|hex| u8::from_str_radix(hex, 16).is_ok());
    if !half.split('%').skip(1).all(is_escape) {
        dies_of(Bug::DiesOnBadPercent);
    }
    let spaced = half.replace('+', if has(Bug::PlusKept) { "+" } else { " " });
    let mut bytes: Vec<u8> = percent_decode_str(&spaced).collect();
    if has(Bug::DecodedTwice) {
        bytes = percent_encoding::percent_decode(&bytes).collect();
    }
    if has(Bug::ByteIsCharacter) {
        return Ok(bytes.into_iter().map(char::from).collect());
    }
    let text = String::from_utf8(bytes).map_err(|_| "keys and values are UTF-8")?;
    Ok(if has(Bug::PlusTooLate) { text.replace('+', " ") } else { text })
}
