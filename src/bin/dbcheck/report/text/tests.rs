use super::*;
use crate::checks::table;

#[test]
fn a_note_stands_once_with_those_of_which_it_is_true() {
    let verdicts = (0..9).map(|number| match number {
        0 | 5 => Verdict::Skipped("needs --cmd".into()),
        1..5 => Verdict::NotReached("needs a set".into()),
        6 => Verdict::Loosely("in JSON".into()),
        7 => Verdict::Failed(Box::default()),
        _ => Verdict::Passed,
    });
    let findings: Vec<Finding> = table::all()
        .zip(verdicts)
        .map(|(check, verdict)| Finding { check, verdict, time: std::time::Duration::ZERO })
        .collect();
    let name = |number: usize| findings[number].check.name;
    let wanted = format!(
        "\n{}, {} skipped: needs --cmd\n4 checks not reached: needs a set\n\
         {} passed loosely: in JSON\n",
        name(0),
        name(5),
        name(6)
    );
    assert_eq!(notes(&findings), wanted);
}
