//! A member that has a certificate, which a file of ours vouches for or does not.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use dbserver::{Cluster, EtcdStore};

use crate::common::{PATIENCE, Server, program};
use crate::free_port::FreePort;
use crate::nodes::Nodes;

/// Makes `ca.pem`, and `node.pem` and `node.key` that it vouches for, in `folder`.
fn make_certificates(folder: &Path) {
    let script = "
        key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
        openssl req -x509 $key -days 2 -subj /CN=ca -keyout ca.key -out ca.pem
        openssl req $key -subj /CN=node -keyout node.key -out node.csr
        printf 'subjectAltName=IP:127.0.0.1\\nbasicConstraints=CA:FALSE\\n' > node.ext
        openssl x509 -req -in node.csr -CA ca.pem -CAkey ca.key -CAcreateserial \\
            -days 2 -extfile node.ext -out node.pem";
    let output = Command::new("sh").args(["-ec", script]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

// CONTRACT §6.6
#[test]
fn a_member_is_believed_when_our_certificates_vouch_for_it() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    make_certificates(folder.path());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let port = FreePort::find().unwrap();
    let url = format!("https://127.0.0.1:{}", port.number);
    let (certificate, key) = (path("node.pem"), path("node.key"));
    let options = ["--listen-client-urls", &url, "--advertise-client-urls", &url];
    let options = [&options[..], &["--cert-file", &certificate, "--key-file", &key]].concat();
    let _nodes = Nodes::start(folder.path(), 1, &options).unwrap();

    let (members, ca) = (vec![url.clone()], Some(path("ca.pem").into()));
    let cluster = Cluster { members, ca, ..Cluster::default() };
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = EtcdStore::open(&cluster) {
        assert!(Instant::now() < deadline, "{error:#}");
        thread::sleep(Duration::from_millis(10));
    }
    let command = |options: &[&str]| {
        let mut command = program();
        command.args(["--etcd", &url]).args(options);
        command
    };
    let server =
        Server::start_command(Arc::clone(&folder), command(&["--etcd-ca", &path("ca.pem")]));
    assert_eq!(server.get("/set?a=1").status, 200);
    assert_eq!(server.get("/get?key=a").text(), "1");

    for (options, wanted) in [
        (&[][..], "invalid peer certificate: UnknownIssuer"),
        (&["--etcd-ca", &path("node.key")], "it has no certificate"),
        (&["--etcd-ca", &path("nothing")], "cannot read it"),
    ] {
        let output = command(options).args(["--port", "0"]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && stderr.contains(wanted), "{stderr}");
    }
}
