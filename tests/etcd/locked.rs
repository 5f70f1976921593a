//! A cluster that wants a user, and one that is full.

use std::process::Command;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::common::{Server, program};

/// A call to etcd that works.
fn call(cluster: &Cluster, path: &str, body: &Value) -> String {
    call_as(cluster, None, path, body)
}

/// The same with a token.
fn call_as(cluster: &Cluster, token: Option<&str>, path: &str, body: &Value) -> String {
    let agent = ureq::Agent::from(ureq::Agent::config_builder().proxy(None).build());
    let mut call = agent.post(format!("{}{path}", cluster.nodes.url(0)));
    if let Some(token) = token {
        call = call.header("Authorization", token);
    }
    let answer = call.send(body.to_string());
    answer.unwrap_or_else(|error| panic!("{path}: {error}")).body_mut().read_to_string().unwrap()
}

fn command(cluster: &Cluster, options: &[&str], password: Option<&str>) -> Command {
    let mut command = program();
    command.args(["--etcd", &cluster.nodes.urls()]).args(options).env_remove("ETCD_PASSWORD");
    if let Some(password) = password {
        command.env("ETCD_PASSWORD", password);
    }
    command
}

#[test]
fn a_cluster_with_a_lock_lets_in_who_has_the_password() {
    let cluster = Cluster::start(1, &[]);
    let root = json!({ "name": "root", "password": "root's" });
    call(&cluster, "/v3/auth/user/add", &root);
    call(&cluster, "/v3/auth/role/add", &json!({ "name": "root" }));
    call(&cluster, "/v3/auth/user/grant", &json!({ "user": "root", "role": "root" }));
    // One who may read and write below dbserver/ alone ("dbserver0" is the first key that is not).
    call(&cluster, "/v3/auth/user/add", &json!({ "name": "db", "password": "secret" }));
    call(&cluster, "/v3/auth/role/add", &json!({ "name": "pairs" }));
    let (key, end) = (BASE64.encode("dbserver/"), BASE64.encode("dbserver0"));
    let permission = json!({ "permType": 2, "key": key, "range_end": end });
    call(&cluster, "/v3/auth/role/grant", &json!({ "name": "pairs", "perm": permission }));
    call(&cluster, "/v3/auth/user/grant", &json!({ "user": "db", "role": "pairs" }));
    call(&cluster, "/v3/auth/enable", &json!({}));

    let folder = Arc::new(tempfile::tempdir().unwrap());
    let file = folder.path().join("password");
    std::fs::write(&file, "secret\n").unwrap();
    let file = file.to_str().unwrap();
    for (options, password, wanted) in [
        (&[][..], None, "it wants a user: --etcd-user names one"),
        (&["--etcd-user", "db"], None, "is expected in the variable ETCD_PASSWORD"),
        (&["--etcd-user", "db"], Some("wrong"), "does not know this user with this password"),
        (&["--etcd-user", "db", "--etcd-password-file", "/nowhere"], None, "cannot read /nowhere"),
        (&["--etcd-user", "db", "--etcd-prefix", "x"], Some("secret"), "--etcd-prefix"),
    ] {
        let output = command(&cluster, options, password).args(["--port", "0"]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{options:?}: {stderr}");
        assert!(stderr.contains(wanted) && !stderr.contains("secret"), "{options:?}: {stderr}");
    }
    let by_variable = command(&cluster, &["--etcd-user", "db"], Some("secret"));
    let by_file = command(&cluster, &["--etcd-user", "db", "--etcd-password-file", file], None);
    let servers =
        [by_variable, by_file].map(|command| Server::start_command(Arc::clone(&folder), command));
    assert_eq!(servers[0].get("/set?a=1").status, 200);
    assert_eq!(servers[1].get("/get?key=a").text(), "1");

    // A user whose password is changed has no tokens any more, also where it is the same again. The
    // next request gets another one, and its client sees nothing of that.
    let token = call(&cluster, "/v3/auth/authenticate", &root);
    let token: Value = serde_json::from_str(&token).unwrap();
    let again = json!({ "name": "db", "password": "secret" });
    call_as(&cluster, token["token"].as_str(), "/v3/auth/user/changepw", &again);
    let answer = servers[0].get("/set?a=2");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(servers[1].get("/get?key=a").text(), "2");
}

#[test]
fn a_full_cluster_says_what_to_do() {
    let cluster = Cluster::start(1, &["--quota-backend-bytes", "1000000"]);
    let server = cluster.server(0);
    let mut wire = server.connect();
    let value = "v".repeat(60_000);
    assert_eq!(wire.get("/set?a=1").status, 200);
    let full =
        (0..200).map(|_| wire.get(&format!("/set?long={value}"))).find(|it| it.status != 200);
    let full = full.expect("a quota of 1 MB holds 12 MB");
    assert_eq!(full.status, 500);
    let sentence = full.text();
    assert!(sentence.starts_with("Nothing was stored: etcd refuses it: its database is full"));
    assert!(sentence.contains("docs/ETCD.md"), "{sentence}");
    assert_eq!(wire.get("/get?key=a").text(), "1");

    // The way out, as docs/ETCD.md has it. Compacting needs the revision that it keeps.
    let range = call(&cluster, "/v3/kv/range", &json!({ "key": "AA==" }));
    let range: Value = serde_json::from_str(&range).unwrap();
    let revision = &range["header"]["revision"];
    call(&cluster, "/v3/kv/compaction", &json!({ "revision": revision, "physical": true }));
    call(&cluster, "/v3/maintenance/defragment", &json!({}));
    let alarms = call(&cluster, "/v3/maintenance/alarm", &json!({ "action": "GET" }));
    let alarms: Value = serde_json::from_str(&alarms).unwrap();
    let member = &alarms["alarms"][0]["memberID"];
    let off = json!({ "action": "DEACTIVATE", "memberID": member, "alarm": "NOSPACE" });
    call(&cluster, "/v3/maintenance/alarm", &off);
    assert_eq!(wire.get("/set?a=2").status, 200);
}
