//! What the lab power-cut believes of disks, and of what strace(1) prints. Its verdicts are held in
//! `labs`; a model that leaves a state out would still give them.

use std::collections::BTreeSet;
use std::path::Path;

#[path = "../../examples/lab/disk.rs"]
mod disk;
#[path = "../../examples/lab/recording.rs"]
#[allow(dead_code, reason = "the tests start nothing under strace")]
mod recording;

use disk::{Disk, Files};
use recording::Event;

/// The calls of a trace, with its paths in clear.
fn events(trace: &str) -> Vec<Event> {
    let hex = |text: &str| text.bytes().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
    let pieces = trace.split('"').enumerate();
    let pieces = pieces.map(|(n, piece)| if n % 2 == 1 { hex(piece) } else { piece.into() });
    recording::read(&pieces.collect::<Vec<String>>().join("\""), Path::new("/data")).unwrap()
}

/// What a loss of power may leave after these calls, of a folder with one file.
fn states(trace: &str) -> BTreeSet<Vec<(String, String)>> {
    let mut disk = Disk::new(Files::from([("log".into(), b"old\n".to_vec())]));
    for event in events(trace) {
        disk.apply(&event);
    }
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let states = disk.after_power_loss().into_iter();
    states.map(|files| files.into_iter().map(|(name, file)| (name, text(file))).collect()).collect()
}

fn files(files: &[(&str, &str)]) -> Vec<(String, String)> {
    files.iter().map(|(name, file)| ((*name).into(), (*file).into())).collect()
}

const OPEN: &str =
    "7 openat(AT_FDCWD, \"/data/log\", O_RDWR|O_CREAT|O_APPEND|O_CLOEXEC, 0666) = 3\n";

#[test]
fn what_is_written_may_be_there_and_what_is_synced_is() {
    let written = format!("{OPEN}7 write(3, \"new|\", 4)       = 4\n");
    let expected = [
        files(&[("log", "old\n")]),
        files(&[("log", "old\nnew|")]),
        // The length has come, and the bytes have not.
        files(&[("log", "old\n\0\0\0\0")]),
    ];
    assert_eq!(states(&written), BTreeSet::from(expected));

    let synced = format!("{written}7 fdatasync(3)  = 0\n");
    assert_eq!(states(&synced), BTreeSet::from([files(&[("log", "old\nnew|")])]));
    let failed = format!("{written}7 fdatasync(3)  = -1 EIO (Input/output error)\n");
    assert!(states(&failed).contains(&files(&[("log", "old\n")])));
}

#[test]
fn pages_come_in_any_order() {
    let long = "x".repeat(5_000);
    let found = states(&format!("{OPEN}7 write(3, \"{long}\", 5000) = 5000\n"));
    let beginning = format!("old\n{}", "x".repeat(4_092));
    let end = format!("old\n{}{}", "\0".repeat(4_092), "x".repeat(908));
    for file in [&beginning, &end] {
        assert!(found.contains(&files(&[("log", file)])), "{} states", found.len());
    }
}

#[test]
fn a_name_is_sure_when_its_folder_was_synced() {
    let renamed = "7 openat(AT_FDCWD, \"/data/new\", O_WRONLY|O_CREAT|O_EXCL, 0666) = 4\n\
                   7 write(4, \"snapshot\", 8) = 8\n\
                   7 fsync(4) = 0\n\
                   7 rename(\"/data/new\", \"/data/log\") = 0\n";
    let found = states(renamed);
    let all = [
        files(&[("log", "old\n")]),
        files(&[("log", "old\n"), ("new", "snapshot")]),
        files(&[("log", "snapshot")]),
    ];
    assert_eq!(found, BTreeSet::from(all));

    let synced = format!("{renamed}7 openat(AT_FDCWD, \"/data\", O_RDONLY) = 5\n7 fsync(5) = 0\n");
    assert_eq!(states(&synced), BTreeSet::from([files(&[("log", "snapshot")])]));
    let unsynced = renamed.replace("7 fsync(4) = 0\n", "");
    assert!(states(&unsynced).contains(&files(&[("log", "")])), "a name without its bytes");
}

#[test]
fn a_call_in_two_pieces_is_one_and_an_answer_counts_from_its_beginning() {
    let trace = format!(
        "{OPEN}7 fdatasync(3 <unfinished ...>\n\
         8 sendto(9, \"HTTP/1.1 200 OK\", 15, MSG_NOSIGNAL, NULL, 0 <unfinished ...>\n\
         7 <... fdatasync resumed>)              = 0\n\
         8 <... sendto resumed>) = 15\n\
         8 ftruncate(3, 2)                       = 0\n\
         8 +++ exited with 0 +++\n"
    );
    let found = events(&trace);
    assert_eq!(
        found[1..],
        [Event::Success, Event::Sync { fd: 3 }, Event::Truncate { fd: 3, length: 2 }]
    );
}
