//! The moments: what was recorded of this server is what the page and the pictures show.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use dbserver::watch::event::{Event, What};

use crate::common::example;

const CHAPTERS: [u32; 6] = [3, 8, 9, 11, 12, 13];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn trace(chapter: u32) -> PathBuf {
    root().join(format!("src/watch/page/moments/chapter-{chapter}.jsonl"))
}

fn events(chapter: u32) -> Vec<What> {
    let text = fs::read_to_string(trace(chapter)).unwrap();
    let read = |line| serde_json::from_str::<Event>(line).unwrap_or_else(|e| panic!("{line}: {e}"));
    text.lines().map(|line| read(line).what).collect()
}

#[test]
fn each_picture_is_drawn_from_its_trace() {
    for chapter in CHAPTERS {
        let mut moments = Command::new(example("moments"));
        let drawn = moments.arg("draw").arg(trace(chapter)).output().unwrap();
        assert!(drawn.status.success(), "{drawn:?}");
        let picture = root().join(format!("docs/pictures/chapter-{chapter}.svg"));
        let picture = fs::read_to_string(picture).unwrap();
        assert!(
            picture.as_bytes() == drawn.stdout,
            "docs/pictures/chapter-{chapter}.svg is another: cargo run --example moments -- draw"
        );
    }
}

#[test]
fn each_moment_shows_what_its_chapter_says() {
    let count = |chapter, wanted: &dyn Fn(&What) -> bool| {
        events(chapter).iter().filter(|what| wanted(what)).count()
    };
    let statuses = |chapter| -> Vec<u16> {
        let status = |what: &What| match what {
            What::Answered { status, .. } => Some(*status),
            _ => None,
        };
        events(chapter).iter().filter_map(status).collect()
    };
    // A head in two packets.
    assert_eq!(count(3, &|what| matches!(what, What::BytesRead { .. })), 2);
    assert_eq!(statuses(3), [200]);
    // Half of a head, three answers for somebody else, and then the other half.
    assert_eq!(statuses(8), [200, 200, 404, 200]);
    let silent: Vec<What> =
        events(8).into_iter().skip_while(|what| !matches!(what, What::Partial { .. })).collect();
    let answers = silent.iter().filter(|what| matches!(what, What::Answered { .. }));
    assert_eq!(answers.count(), 4);
    // One write for two answers, and a client that is too slow.
    assert_eq!(count(9, &|what| matches!(what, What::Written { answers: 2, .. })), 1);
    assert_eq!(statuses(9), [200, 200, 408]);
    // Twenty-four sets that share fewer syncs.
    assert_eq!(statuses(11), [200; 24]);
    let syncs = count(11, &|what| matches!(what, What::Synced { .. }));
    assert!((1..24).contains(&syncs), "{syncs}");
    // Two had to go.
    let is_evicted =
        |what: &What| matches!(what, What::Closed { why: dbserver::watch::stage::Why::Evicted });
    assert_eq!(count(12, &is_evicted), 2);
    let steps = events(13).into_iter().filter_map(|what| match what {
        What::File { step, .. } => Some(format!("{step:?}")),
        _ => None,
    });
    let steps: Vec<String> = steps.collect();
    assert_eq!(steps, ["Opened", "Compacting", "Copied", "Synced", "Renamed", "Replaced"]);
}

/// The page knows each `#chapter-N` that the tutorial links to, and the tutorial links to each.
#[test]
fn every_link_to_a_moment_leads_to_one() {
    let text = fs::read_to_string(root().join("TUTORIAL.md")).unwrap();
    let page = fs::read_to_string(root().join("src/watch/page/moments.js")).unwrap();
    let number = |rest: &str| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u32>().ok();
    let mut linked: Vec<u32> = text.split("4001/#chapter-").skip(1).filter_map(number).collect();
    linked.sort_unstable();
    assert_eq!(linked, CHAPTERS);
    for chapter in CHAPTERS {
        assert!(
            page.contains(&format!("\n  {chapter}: {{\n")),
            "moments.js has no chapter {chapter}"
        );
    }
}
