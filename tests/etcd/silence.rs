//! Members that do not answer, or not well. These are none of etcd's but the test's own, which say
//! what they were asked: how often a set was sent can be seen nowhere else.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use dbserver::{Cluster, Engine as _, EtcdStore, Failed};

/// What a member does with a request: an answer's status and body, or the end of the connection.
type Reaction = fn(path: &str) -> Option<(&'static str, &'static str)>;

/// Answers every range with one value.
const A_VALUE: Option<(&str, &str)> = Some(("200 OK", r#"{"kvs":[{"value":"MQ=="}]}"#));

/// A member, and the paths that it was asked for.
struct Member {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Member {
    fn start(reaction: Reaction) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let log = Arc::clone(&log);
                thread::spawn(move || serve(&stream.unwrap(), reaction, &log));
            }
        });
        Member { url, asked }
    }

    fn puts(&self) -> usize {
        self.asked.lock().unwrap().iter().filter(|path| *path == "/v3/kv/put").count()
    }
}

/// Reads requests and reacts to them, until the end of the connection.
fn serve(mut stream: &TcpStream, reaction: Reaction, log: &Mutex<Vec<String>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let length =
            head.to_lowercase().split("content-length: ").nth(1)?.lines().next()?.to_string();
        let mut body = vec![0; length.parse().ok()?];
        reader.read_exact(&mut body).ok()?;
        let path = head.split(' ').nth(1)?.to_string();
        log.lock().unwrap().push(path.clone());
        let (status, body) = reaction(&path)?;
        let location = "Location: /v3/kv/put";
        let length = body.len();
        let answer =
            format!("HTTP/1.1 {status}\r\n{location}\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).ok()?;
    }
}

/// A store in a cluster of these. Members are tried in this order.
fn store(members: &[&str]) -> EtcdStore {
    let members = members.iter().map(ToString::to_string).collect();
    EtcdStore::open(&Cluster { members, ..Cluster::default() }).unwrap()
}

fn find(store: &EtcdStore) -> Option<String> {
    let mut found = None;
    store.find("a", &mut |value| found = Some(value.to_string())).unwrap();
    found
}

// CONTRACT §6.1
#[test]
fn a_set_that_may_have_been_done_is_sent_once() {
    let well: Reaction = |_| A_VALUE;
    for badly in [
        (|path| if path.ends_with("put") { None } else { A_VALUE }) as Reaction,
        |path| {
            let timeout = r#"{"error":"etcdserver: request timed out","code":14}"#;
            if path.ends_with("put") { Some(("503 Unavailable", timeout)) } else { A_VALUE }
        },
        |path| {
            if path.ends_with("put") { Some(("307 Temporary Redirect", "")) } else { A_VALUE }
        },
    ] {
        let members = [Member::start(badly), Member::start(badly), Member::start(well)];
        let puts = || members.each_ref().map(Member::puts);
        let store = store(&members.each_ref().map(|member| &*member.url));
        // The next always goes to the next member, and stays where it is well.
        for (failed, wanted) in [(0, [1, 0, 0]), (1, [1, 1, 0])] {
            let error = store.set("a", "1").unwrap_err();
            let url = &members[failed].url;
            assert!(matches!(&error, Failed::Unknown(why) if why.contains(url)), "{error:?}");
            assert_eq!(puts(), wanted, "{error}");
        }
        for round in 1..=3 {
            store.set("a", "1").unwrap();
            assert_eq!(puts(), [1, 1, round]);
        }
    }
}

#[test]
fn a_set_that_is_refused_is_sent_once() {
    let full: Reaction = |path| {
        let full = r#"{"message":"etcdserver: mvcc: database space exceeded"}"#;
        if path.ends_with("put") { Some(("429 Too Many Requests", full)) } else { A_VALUE }
    };
    let locked: Reaction = |path| {
        let locked = r#"{"message":"etcdserver: invalid auth token"}"#;
        if path.ends_with("put") { Some(("401 Unauthorized", locked)) } else { A_VALUE }
    };
    for refusing in [full, locked] {
        let (first, second) = (Member::start(refusing), Member::start(|_| A_VALUE));
        let error = store(&[&first.url, &second.url]).set("a", "1").unwrap_err();
        assert!(matches!(error, Failed::NotKept(_)), "{error:?}");
        assert_eq!((first.puts(), second.puts()), (1, 0), "{error}");
    }
}

#[test]
fn a_user_shows_one_token_until_it_is_no_longer_good() {
    let well: Reaction = |path| {
        if path.ends_with("authenticate") { Some(("200 OK", r#"{"token":"t"}"#)) } else { A_VALUE }
    };
    let locked: Reaction = |path| match path.rsplit('/').next() {
        Some("authenticate") => Some(("200 OK", r#"{"token":"t"}"#)),
        Some("put") => {
            Some(("401 Unauthorized", r#"{"message":"etcdserver: invalid auth token"}"#))
        }
        _ => A_VALUE,
    };
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "secret\n").unwrap();
    // A new token is tried once. Sets, how often each is sent, and the tokens that are asked for.
    for (reaction, sends, tokens) in [(well, 1, 1), (locked, 2, 4)] {
        let member = Member::start(reaction);
        let members = vec![member.url.clone()];
        let user = Some("db".into());
        let password_file = Some(password.clone());
        let cluster = Cluster { members, user, password_file, ..Cluster::default() };
        let store = EtcdStore::open(&cluster).unwrap();
        for round in 1..=3 {
            assert_eq!(store.set("a", "1").is_ok(), sends == 1);
            assert_eq!(member.puts(), round * sends);
        }
        let asked = member.asked.lock().unwrap();
        let authenticated = asked.iter().filter(|path| path.ends_with("authenticate")).count();
        assert_eq!(authenticated, tokens);
    }
}

// CONTRACT §6.3
#[test]
fn what_was_not_sent_and_what_may_be_asked_twice_goes_to_the_next_member() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let silent: Reaction = |_| None;
    let leaderless: Reaction =
        |_| Some(("503 Unavailable", r#"{"message":"etcdserver: no leader"}"#));
    let well: Reaction = |_| A_VALUE;
    let member = Member::start(well);
    for url in [nowhere.clone(), Member::start(silent).url, Member::start(leaderless).url] {
        // Opening it asks as well.
        let store = store(&[&url, &member.url]);
        assert_eq!(find(&store).as_deref(), Some("1"), "{url}");
    }
    let refusing: Reaction = |_| Some(("403 Forbidden", r#"{"message":"permission denied"}"#));
    let (refusing, before) = (Member::start(refusing), member.puts());
    let members = vec![refusing.url.clone(), member.url.clone()];
    let error = EtcdStore::open(&Cluster { members, ..Cluster::default() }).unwrap_err();
    // What one refuses is not for another to allow.
    assert!(error.to_string().contains("permission denied"), "{error}");
    assert_eq!(member.puts(), before);
}

// CONTRACT §6.2
#[test]
fn a_member_that_takes_requests_and_says_nothing_holds_nobody_up_for_long() {
    let hanging: Reaction = |path| {
        if path.ends_with("put") {
            thread::park();
        }
        A_VALUE
    };
    let (first, second) = (Member::start(hanging), Member::start(hanging));
    let store = store(&[&first.url, &second.url]);
    let begin = std::time::Instant::now();
    let error = store.set("a", "1").unwrap_err();
    let wanted = format!("{}: no answer in time", first.url);
    assert_eq!(error, Failed::Unknown(wanted.into()));
    assert!(begin.elapsed().as_secs() < 5, "{:?}", begin.elapsed());
    assert_eq!((first.puts(), second.puts()), (1, 0));
    // A read may be made again, and has time left for the next member.
    let silent = Member::start(|_| {
        thread::park();
        None
    });
    let store = self::store(&[&silent.url, &second.url]);
    assert_eq!(find(&store).as_deref(), Some("1"));
}
