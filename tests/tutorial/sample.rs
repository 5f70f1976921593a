//! A sample: a chapter of all kinds of fences, gone through as it is, with wrong lines in it, and
//! with those written anew. The server is our own.

use crate::compare;
use crate::markdown::Document;
use crate::session::{Changed, Outcome, perform};
use crate::workshop;

/// A chapter as it should be, of all three kinds of fence.
const CHAPTER: &str = r#"
## 1. A chapter

```console
$ cargo run -q --release -- --log
Started Simple DB server on http://localhost:4000/
```

```console
$ curl -i 'http://localhost:4000/set?a=b'
HTTP/1.1 200 OK
...
Content-Length: 0
...

$ curl -s localhost:4000/get?key=a; echo
b
$ cat data.jsonl \
    no-such-file
{"key":"a","value":"b"}
cat: no-such-file: No such file or directory
```

```console
127.0.0.1 [..] "GET /set?a=b HTTP/1.1" 200 0
127.0.0.1 [..] "GET /get?key=a HTTP/1.1" 200 1
```

```console
^C
Stopped Simple DB server
```

```console
$ cargo run
...
Started Simple DB server on http://localhost:4000/
```

```console
$ cargo run -q -- --log
```

```console
$ curl 'localhost:4000/get?key=a'; echo
b
```

```console
[..] "GET /get?key=a HTTP/1.1" 200 1
```

```console
$ pkill -9 -x dbserver
$ curl -sS localhost:4000
curl: (7) Failed to connect to localhost port 4000 [..]
$ cargo run -q -- --port http
dbserver: --port: "http" is not a number from 0 to 65535
Try 'dbserver --help'.
$ target/debug/dbserver --version; ls src/lib.rs
dbserver [..]
src/lib.rs
```
"#;

fn outcome(text: &str, overwrite: bool) -> Outcome {
    workshop::build();
    perform(&Document::parse("T.md", text), 1, &Changed::new(), overwrite)
}

#[test]
fn a_chapter_that_tells_the_truth_has_no_problems() {
    let outcome = outcome(CHAPTER, false);
    assert!(outcome.problems.is_empty(), "{}", outcome.problems.concat());
    assert!(outcome.rewritten.is_empty(), "{:?}", outcome.rewritten);
}

#[test]
fn each_wrong_line_is_told_with_its_place() {
    let wrong = [
        ("Content-Length: 0\n", "Content-Length: 7\n", "T.md:10: $ curl -i"),
        ("\nb\n", "\nc\n", "T.md:16: $ curl -s"),
        ("key=a HTTP/1.1\" 200", "key=a HTTP/1.1\" 404", "T.md:25: the server's terminal"),
        ("Stopped Simple", "Stopped simple", "T.md:30: the server's terminal"),
    ];
    let mut text = CHAPTER.to_string();
    for (right, wrong, _) in wrong {
        assert!(text.contains(right));
        text = text.replacen(right, wrong, 1);
    }
    let problems = outcome(&text, false).problems;
    assert_eq!(problems.len(), wrong.len(), "{}", problems.concat());
    for (problem, (right, wrong, begin)) in problems.iter().zip(wrong) {
        let part = |line: &str| line.trim().split(' ').next().unwrap_or_default().to_string();
        assert!(problem.starts_with(begin), "{problem}");
        assert!(problem.contains("\n    - ") && problem.contains(&part(wrong)), "{problem}");
        assert!(problem.contains("\n    + ") && problem.contains(&part(right)), "{problem}");
    }

    // Written anew, it is right again, with the wildcards that fit.
    let Outcome { problems, rewritten } = outcome(&text, true);
    assert!(problems.is_empty(), "{}", problems.concat());
    let right = Document::parse("T.md", CHAPTER);
    assert_eq!(rewritten.len(), 3);
    for (place, lines) in rewritten {
        let fits = compare::transcript(&right.fences[place].lines, &lines);
        assert!(fits.is_same(), "{}", fits.diff());
        let has_dots = |lines: &[String]| lines.iter().any(|line| line == "...");
        assert_eq!(has_dots(&lines), has_dots(&right.fences[place].lines));
    }
}

#[test]
fn a_look_at_a_server_that_is_not_there_is_a_problem() {
    let problems = outcome("## 1\n```console\nListening\n```\n", false).problems;
    assert!(problems[0].contains("T.md:3: the server's terminal\n    no server was started"));
}
