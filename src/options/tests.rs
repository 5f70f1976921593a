use super::*;

fn options(arguments: &[&str]) -> Options {
    match parse(arguments) {
        Ok(Command::Serve(options)) => options,
        other => panic!("{arguments:?}: {other:?}"),
    }
}

#[test]
fn the_defaults_are_those_that_the_help_states() {
    let options = options(&[]);
    assert!(HELP.contains(&format!("[default: {}]", options.port)));
    assert!(HELP.contains(&format!("[default: {}]", options.host)));
    assert!(HELP.contains(&format!("[default: {}]", options.data.unwrap().display())));
    assert!(HELP.contains(&format!("[default: {}]", options.max_connections)));
    assert_eq!(options.sync, SyncWhen::Always);
    assert!(HELP.contains("[default: always]"));
}

#[test]
fn reads_each_flag() {
    assert_eq!(options(&["-p0"]).port, 0);
    assert_eq!(options(&["--port=65535"]).port, 65535);
    assert_eq!(options(&["-d", "a b"]).data, Some("a b".into()));
    assert_eq!(options(&["--memory"]).data, None);
    assert_eq!(options(&["--sync", "never"]).sync, SyncWhen::Never);
    assert_eq!(options(&["--allow-host=a", "--allow-host", "b."]).allow_hosts, ["a", "b."]);
    assert!(options(&["--log"]).log);
    assert!(options(&["--trace"]).trace);
    assert_eq!(options(&["--trace-file", "a b"]).trace_file, Some("a b".into()));
    assert_eq!(options(&["--watch", "--log"]).watch, Some(Watch::Next));
    assert_eq!(options(&["--watch=0"]).watch, Some(Watch::Port(0)));
    for (text, millis) in [("100ms", 100), ("2s", 2000), ("1m", 60_000)] {
        let every = SyncWhen::Every(Duration::from_millis(millis));
        assert_eq!(options(&["--sync", text]).sync, every);
    }
    assert_eq!(parse(["--memory", "-V"]), Ok(Command::Print(VERSION)));
}

#[cfg(feature = "etcd")]
#[test]
fn reads_the_flags_of_a_cluster() {
    let line = "--etcd=http://a:1,https://b:2/ --etcd-prefix p --etcd-ca c --etcd-user u \
                --etcd-password-file f";
    let options = options(&line.split_whitespace().collect::<Vec<_>>());
    assert_eq!(options.data, None);
    let etcd = options.etcd.unwrap();
    assert_eq!(etcd.members, ["http://a:1", "https://b:2"]);
    assert_eq!((etcd.prefix.as_str(), etcd.user.as_deref()), ("p", Some("u")));
    assert_eq!((etcd.ca, etcd.password_file), (Some("c".into()), Some("f".into())));
    assert!(HELP.contains(&format!("[default: {}]", Cluster::default().prefix)));
    for other in ["--data=d", "--sync=always", "--compact-over=1"] {
        let sentence = parse(["--etcd=http://a:1", other]).unwrap_err();
        let flag = other.split('=').next().unwrap();
        assert!(sentence.starts_with(&format!("--etcd and {flag} do not go")), "{sentence}");
    }
    let sentence = parse(["--etcd=http://a:1", "--memory"]).unwrap_err();
    assert_eq!(sentence, "--memory and --etcd do not go together");
}

#[cfg(not(feature = "etcd"))]
#[test]
fn a_build_without_the_cluster_says_how_to_have_it() {
    let sentence = parse(["--etcd", "http://localhost:2379"]).unwrap_err();
    assert!(sentence.ends_with("cargo build --release --features etcd"), "{sentence}");
}

#[test]
fn a_wrong_command_line_names_the_flag() {
    for (arguments, wanted) in [
        (&["--port"][..], "--port needs"),
        (&["--port", "x"], "--port: \"x\" is not"),
        (&["--port", "65536"], "--port: \"65536\" is not"),
        (&["-p", "-1"], "--port"),
        (&["--sync", "soon"], "--sync: \"soon\" is not"),
        (&["--sync", "0ms"], "--sync: \"0ms\" is not"),
        (&["--sync", "10"], "--sync: \"10\" is not"),
        (&["--sync", "10h"], "--sync: \"10h\" is not"),
        (&["--max-connections", "0"], "--max-connections: \"0\" is not"),
        (&["--host", ""], "--host needs"),
        (&["--data"], "--data needs"),
        (&["--data", ""], "--data needs"),
        (&["--allow-host", "http://a"], "--allow-host: "),
        (&["--memory", "-d", "a"], "--memory and --data"),
        (&["--sync", "never", "--memory"], "--memory and --sync"),
        (&["--memory", "--compact-over=1"], "--memory and --compact-over"),
        (&["--memory=yes"], "memory"),
        (&["--etcd"], "--etcd needs"),
        (&["--etcd", "localhost:2379"], "--etcd: \"localhost:2379\" is not http://HOST:PORT"),
        (&["--etcd-user", "me"], "need --etcd"),
        (&["--etcd=http://a:1", "--etcd-password-file=f"], "needs --etcd-user"),
        (&["--trace-file"], "--trace-file needs"),
        (&["--watch=x"], "--watch: \"x\" is not"),
        (&["--watch="], "--watch: \"\" is not"),
        (&["--watch", "4001"], "\"4001\" is not expected"),
        (&["--prot"], "--prot is not"),
        (&["-x"], "-x is not"),
        (&["4000"], "\"4000\" is not expected"),
    ] {
        let sentence = parse(arguments).unwrap_err();
        assert!(sentence.contains(wanted), "{arguments:?}: {sentence}");
    }
}
