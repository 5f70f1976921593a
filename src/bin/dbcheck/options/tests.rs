use super::*;

fn options(arguments: &[&str]) -> Options {
    match parse(arguments) {
        Ok(Command::Check(options)) => options,
        other => panic!("{arguments:?}: {other:?}"),
    }
}

#[test]
fn reads_each_flag() {
    let command = |command: &str, port| Origin::Command { command: command.into(), port };
    assert_eq!(options(&["--cmd", "x"]).setup.origin, command("x", 4000));
    assert_eq!(options(&["--cmd=x", "--port", "81"]).setup.origin, command("x", 81));
    let addresses = Origin::Addresses {
        name: "127.0.0.1:80".into(),
        addresses: vec!["127.0.0.1:80".parse().unwrap()],
    };
    assert_eq!(options(&["--addr", "127.0.0.1:80"]).setup.origin, addresses);
    assert_eq!(options(&["--addr", "http://127.0.0.1:80/"]).setup.origin, addresses);
    let tiers = options(&["--cmd", "x", "--tier", "http,brief", "--tier=robust"]).tiers;
    assert_eq!(tiers, [Tier::Http, Tier::Brief, Tier::Robust]);
    assert_eq!(options(&["--cmd", "x", "--only", "garbage,http10"]).only, ["garbage", "http10"]);
    assert_eq!(options(&["--cmd", "x", "--skip", "garbage"]).skip, ["garbage"]);
    assert_eq!(options(&["--cmd", "x", "--timeout=9"]).setup.timeout, Duration::from_secs(9));
    assert_eq!(options(&["--cmd", "x", "--rounds", "3"]).setup.rounds, 3);
    assert_eq!(options(&["--cmd", "x", "--format", "junit"]).format, Format::Junit);
    assert_eq!(options(&["--cmd", "x", "--data", "f"]).setup.data, Some("f".into()));
    assert!(options(&["--cmd", "x", "--no-color"]).no_color);
    assert!(
        matches!(parse(["--list"]), Ok(Command::List(all)) if all.len() == table::all().count())
    );
    assert_eq!(options(&["--cmd", "x", "--terse"]).style, Style::Terse);
    assert_eq!(options(&["--cmd", "x", "--verbose"]).style, Style::Verbose);
    assert_eq!(options(&["--cmd", "x", "--chapter", "7"]).chapter, Some(7));
    assert!(matches!(parse(["--explain", "garbage"]), Ok(Command::Explain(check))
        if check.name == "garbage"));
}

#[test]
fn selects_by_tier_and_by_name() {
    let selected = |arguments: &[&str]| {
        let arguments = [&["--cmd", "x"], arguments].concat();
        let options = options(&arguments);
        options.selected().iter().map(|check| check.name).collect::<Vec<_>>()
    };
    assert_eq!(selected(&[]).len(), table::all().count());
    assert_eq!(selected(&["--only", "overwrite"]), ["overwrite"]);
    assert!(!selected(&["--tier", "brief", "--skip", "overwrite"]).contains(&"overwrite"));
    assert!(selected(&["--tier", "durable"]).contains(&"kill-storm"));
}

#[test]
fn a_wrong_command_line_names_the_flag() {
    for (arguments, wanted) in [
        (&[][..], "--cmd or --addr"),
        (&["--cmd"], "--cmd needs"),
        (&["--cmd", "x", "--addr", "127.0.0.1:1"], "--cmd and --addr"),
        (&["--cmd", "x {port}", "--port", "1"], "--port and {port}"),
        (&["--addr", "nonsense"], "--addr: \"nonsense\""),
        (&["--cmd", "x", "--tier", "https"], "--tier: \"https\" is not one of brief,"),
        (&["--cmd", "x", "--only", "parallel"], "parallel-sets?"),
        (&["--cmd", "x", "--skip", "zzz"], "--skip: \"zzz\" is not the name of a check: see"),
        (&["--explain", "zzz"], "--explain: \"zzz\""),
        (&["--cmd", "x", "--timeout", "0"], "--timeout: \"0\" is not"),
        (&["--cmd", "x", "--chapter", "0"], "--chapter: \"0\" is not"),
        (&["--cmd", "x", "--rounds", "many"], "--rounds: \"many\" is not"),
        (&["--cmd", "x", "--format", "xml"], "--format: \"xml\""),
        (&["--cmd", "x", "--only", "garbage", "--tier", "brief"], "leave no check"),
        (&["python3", "x.py"], "\"python3\" is not expected"),
        (&["--colour"], "--colour is not"),
    ] {
        let sentence = parse(arguments).map(|_| ()).unwrap_err();
        assert!(sentence.contains(wanted), "{arguments:?}: {sentence}");
    }
}
