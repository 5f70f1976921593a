//! One finding of each kind, with bytes in it that no format takes as they are, for the tests of the
//! reports.

use std::time::Duration;

use crate::checks::runner::{Finding, Verdict};
use crate::checks::table;
use crate::checks::verdict::{Stop, fail};
use crate::client::answer::End;
use crate::client::exchange::Exchange;
use crate::client::reader;

pub(crate) fn findings() -> Vec<Finding> {
    let received = b"HTTP/1.1 200 OK\r\n\r\n]]>\0\x1b<&\"".to_vec();
    let answer = reader::read(&received, 0, false, End::Closed);
    let exchange = Exchange {
        sent: b"GET /get?key=a HTTP/1.1\r\n\r\n".to_vec(),
        answer: Ok(answer.unwrap()),
        received,
        curl: Some("curl -i 'http://localhost:1/get?key=a'".into()),
        after: None,
    };
    let Stop::Failed(failure) = fail("expected \"a\" & <b>\u{1}").with(&exchange).at(21) else {
        panic!()
    };
    let verdicts = [
        Verdict::Passed,
        Verdict::Loosely("in <JSON>".into()),
        Verdict::Failed(failure),
        Verdict::Skipped("needs --cmd".into()),
        Verdict::NotReached("see \"above\"".into()),
    ];
    let time = Duration::from_millis(1500);
    table::all().zip(verdicts).map(|(check, verdict)| Finding { check, verdict, time }).collect()
}
