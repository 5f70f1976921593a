//! Files cut, damaged and edited in all ways, and what a start makes of them.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::store::disk::faulty::{Fault, FaultyDisk};
use crate::store::disk::{Disk, RealDisk};

type Pairs = Vec<(String, String)>;

/// What a file of these bytes holds after a replay, and the file's bytes then.
fn replayed(path: &Path, bytes: &[u8]) -> anyhow::Result<(Pairs, Vec<u8>)> {
    fs::write(path, bytes).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let data = DataFile::open(path, &disk)?;
    let mut pairs = Vec::new();
    let replayed = replay(&data, |record| {
        pairs.push((record.key.to_string(), record.value.to_string()));
    })?;
    let after = fs::read(path).unwrap();
    assert_eq!(replayed.length, after.len() as u64);
    assert_eq!(replayed.records, pairs.len() as u64);
    Ok((pairs, after))
}

fn file(pairs: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in 0..pairs {
        record::write(&mut bytes, &format!("key {number}"), "é \"\n");
    }
    bytes
}

#[test]
fn a_file_cut_anywhere_keeps_every_whole_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.jsonl");
    let whole = file(4);
    for cut in 0..=whole.len() {
        let lines = whole[..cut].iter().filter(|&&byte| byte == b'\n').count();
        // Cut at its line end, a record is whole.
        let complete = usize::from(whole.get(cut) == Some(&b'\n'));
        let (pairs, after) = replayed(&path, &whole[..cut]).unwrap();
        assert_eq!(pairs.len(), lines + complete, "cut at {cut}");
        assert!(whole.starts_with(&after), "cut at {cut}");
        assert!(after.is_empty() || after.ends_with(b"\n"), "cut at {cut}");
    }
}

#[test]
fn damage_in_the_middle_is_reported_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.jsonl");
    let whole = file(3);
    let second = whole.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    for offset in 0..10 {
        let mut damaged = whole.clone();
        damaged[second + offset] = 0;
        let error = replayed(&path, &damaged).unwrap_err().to_string();
        let place = format!("data.jsonl, line 2, at byte {second},");
        assert!(error.contains(&place), "{error}");
        assert_eq!(error.matches(" line ").count(), 1, "not which of the two is meant: {error}");
        assert_eq!(fs::read(&path).unwrap(), damaged);
    }
}

#[test]
fn edited_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.jsonl");
    let bytes =
        b"\xEF\xBB\xBF{\"key\":\"a\",\"value\":\"1\"}\r\n\r\n\n{\"value\":\"2\",\"key\":\"a\"}";
    let (pairs, after) = replayed(&path, bytes).unwrap();
    assert_eq!(pairs, [("a".into(), "1".into()), ("a".into(), "2".into())]);
    assert_eq!(after, [bytes, &b"\n"[..]].concat());
}

#[test]
fn a_single_line_that_an_editor_wrote_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.jsonl");
    let bytes = b"\xEF\xBB\xBF{\"key\":\"a\",\"value\":\"1\"}";
    let (pairs, after) = replayed(&path, bytes).unwrap();
    assert_eq!(pairs, [("a".into(), "1".into())]);
    assert_eq!(after, [bytes, &b"\n"[..]].concat());
    let (pairs, after) = replayed(&path, record::BYTE_ORDER_MARK).unwrap();
    assert_eq!((pairs, &after[..]), (vec![], record::BYTE_ORDER_MARK));
}

#[test]
fn the_first_line_of_an_edited_file_may_be_torn_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.jsonl");
    let (pairs, _) = replayed(&path, b"\xEF\xBB\xBF{\"key\":\"a").unwrap();
    assert!(pairs.is_empty());
}

#[test]
fn somebody_elses_file_is_not_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    // A record on two lines is none: a start that puts it together reads what it would not write.
    for text in ["remember the milk", "{\"key\":\"a\",\n\"value\":\"b\"}\n"] {
        let error = replayed(&path, text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("notes.txt, line 1, at byte 0, is not a record"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), text.as_bytes());
    }
}

#[test]
fn a_line_may_be_longer_than_the_buffer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.jsonl");
    let mut bytes = file(1);
    let long = "v".repeat(5 << 20);
    record::write(&mut bytes, "long", &long);
    bytes.extend(file(1));
    let (pairs, _) = replayed(&path, &bytes).unwrap();
    assert_eq!(pairs.len(), 3);
    assert_eq!(pairs[1].1, long);
}

#[test]
fn zeros_are_cut_off_and_what_comes_after_them_is_kept() {
    let line = |key: &str| {
        let mut line = Vec::new();
        record::write(&mut line, key, "v");
        line
    };
    let (a, b, zeros) = (line("a"), line("b"), &[0; 100][..]);
    let half = &b[..9];
    // What comes before the zeros, what comes after them, and what of the first stays.
    for (before, rest, stays) in [
        (&a[..], &b[..], &a[..]),
        (&a, b"", &a),
        (&a, half, &a),
        (&a, b"\0\n", &a),
        (b"", &b, b""),
        (&[&a, half].concat(), &[half, b"\n", &b].concat(), &a),
        (&[&a, half].concat(), b"", &a),
        (&a[..a.len() - 1], &b, &a),
        (&[record::BYTE_ORDER_MARK, &a].concat(), &b, &[record::BYTE_ORDER_MARK, &a].concat()),
        (record::BYTE_ORDER_MARK, &b, record::BYTE_ORDER_MARK),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.jsonl");
        let bytes = [before, zeros, rest].concat();
        let (_, after) = replayed(&path, &bytes).unwrap();
        assert_eq!(after, stays, "{}", bytes.escape_ascii());
        let aside = folder.path().join(format!("data.jsonl.cut-at-{}", before.len()));
        let wanted = (!rest.is_empty()).then(|| [zeros, rest].concat());
        assert_eq!(fs::read(aside).ok(), wanted, "{}", bytes.escape_ascii());
    }
}

/// The end of a missing page may have two zeros, and then tells itself by where in the file it is.
#[test]
fn a_page_is_missing_where_zeros_end_at_a_sector_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.jsonl");
    let whole = file(20);
    let lines = whole[..509].iter().rposition(|&byte| byte == b'\n').unwrap() + 1;
    for (end, is_page) in [(511, false), (512, true), (513, false)] {
        let place = end - 2;
        let mut bytes = [&whole[..place], b"\0\0", &whole[end..]].concat();
        match replayed(&path, &bytes) {
            Ok((_, after)) => {
                assert!(is_page, "{end}");
                assert_eq!(after, whole[..lines], "{end}");
                let aside = folder.path().join(format!("data.jsonl.cut-at-{place}"));
                assert_eq!(fs::read(aside).unwrap(), bytes.split_off(place));
            }
            Err(error) => assert!(!is_page, "{end}: {error:#}"),
        }
    }
}

#[test]
fn zeros_are_found_after_much_that_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.jsonl");
    // In the last third of the buffer, and in a later one.
    for lines in [BUFFER * 3 / 4, BUFFER * 7 / 4].map(|bytes| bytes / file(1).len()) {
        let whole = file(lines);
        let (pairs, after) = replayed(&path, &[&whole, &[0; 8][..], b"\n"].concat()).unwrap();
        assert_eq!((pairs.len(), after.len()), (lines, whole.len()));
    }
}

#[test]
fn a_start_says_which_end_it_could_not_put_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.jsonl");
    for end in [&b"{\"key\":"[..], b"{\"key\":\"a\",\"value\":\"b\"}", b"\0\0\0\0"] {
        let bytes = [&file(1), end].concat();
        fs::write(&path, &bytes).unwrap();
        let disk = Arc::new(FaultyDisk::default());
        let data = DataFile::open(&path, &(Arc::clone(&disk) as Arc<dyn Disk>)).unwrap();
        disk.watch(|_| Some(Fault::Nothing));
        let error = format!("{:#}", replay(&data, |_| {}).unwrap_err());
        assert!(error.starts_with("cannot put the end of "), "{error}");
        assert!(error.contains("data.jsonl in order: check the disk"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn more_after_zeros_than_a_crash_leaves_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.jsonl");
    let zeros = vec![0; usize::try_from(MOST_AFTER_ZEROS).unwrap() - 1];
    let most = [&file(1), &zeros[..], b"\n"].concat();
    let (pairs, after) = replayed(&path, &most).unwrap();
    assert_eq!((pairs.len(), after), (1, file(1)));
    let more = [&most[..], b"\n"].concat();
    let error = replayed(&path, &more).unwrap_err().to_string();
    let place = format!("data.jsonl, line 2, has zeros at byte {}", file(1).len());
    assert!(error.contains(&place), "{error}");
    assert_eq!(fs::read(&path).unwrap(), more);
    // Nothing but zeros holds nothing, however many they are.
    let (pairs, after) = replayed(&path, &[&file(1), &zeros[..], &zeros].concat()).unwrap();
    assert_eq!((pairs.len(), after), (1, file(1)));
}

#[test]
fn zeros_in_what_is_not_ours_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.jsonl");
    let utf_16: Vec<u8> = "{\"key\":\"a\"}\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for bytes in [
        &b"SQLite format 3\0\x10\0\x01\x01\0\0\0\0\n"[..],
        b"\x7FELF\x02\x01\x01\0\0\0\0\0\0\0\0\0",
        b"{\"key\":\"a\",\"value\":1}\0\0\0\0",
        &utf_16,
    ] {
        let error = replayed(&path, bytes).unwrap_err().to_string();
        assert!(error.contains("line 1, at byte 0, is not a record"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[test]
fn the_beginning_tells_about_how_many_records_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.jsonl");
    let mut few = file(1);
    few.extend(b"\n\n\r\n");
    for (bytes, least, most) in [
        (Vec::new(), 0, 0),
        (few, 1, 2),
        (b"\n".repeat(100_000), 0, 0),
        (file(100), 100, 101),
        (file(50_000), 45_000, 60_000),
    ] {
        fs::write(&path, &bytes).unwrap();
        let data = DataFile::open(&path, &(Arc::new(RealDisk) as Arc<dyn Disk>)).unwrap();
        let expected = expected_records(data.file()).unwrap();
        assert!((least..=most).contains(&expected), "{expected} for {} bytes", bytes.len());
    }
    // No room is made for what would fit into a hole: it may be larger than any memory.
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
    let data = DataFile::open(&path, &(Arc::new(RealDisk) as Arc<dyn Disk>)).unwrap();
    let expected = expected_records(data.file()).unwrap();
    assert!(expected <= 60_000, "{expected} for a hole");
}

/// What a data file is made of, whole and damaged.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let line = |number: u8| {
        let mut line = Vec::new();
        record::write(&mut line, &format!("key {number}"), "é \"\n");
        line
    };
    prop_oneof![
        8 => any::<u8>().prop_map(line),
        3 => (any::<u8>(), 0..40_usize).prop_map(move |(number, end)| {
            let line = line(number);
            line[..end.min(line.len())].to_vec()
        }),
        2 => (1..5000_usize).prop_map(|count| vec![0; count]),
        1 => proptest::sample::select(vec![
            &b"\n"[..], b"\r\n", b"\0\n", b" ", b"{}", b"[]\n", b"{\"key\":\"a\"}\n",
            b"{\"value\":\"b\",\"key\":\"a\",\"more\":[1]}\n", record::BYTE_ORDER_MARK,
        ])
        .prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 1..8),
    ]
}

proptest! {
    /// Either nothing is changed, or what is left is a beginning of the file, reads the same again, and
    /// what was cut off is a torn record, or zeros, or kept beside it.
    #[test]
    fn a_start_loses_nothing_that_was_whole(
        pieces in proptest::collection::vec(piece(), 0..8),
        missing in 0..20_usize,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.jsonl");
        let bytes = pieces.concat();
        let bytes = &bytes[..bytes.len() - missing.min(bytes.len())];
        let what = bytes.escape_ascii();
        let files = || fs::read_dir(folder.path()).unwrap().count();
        let Ok((pairs, after)) = replayed(&path, bytes) else {
            prop_assert_eq!(fs::read(&path).unwrap(), bytes, "{}", what);
            prop_assert_eq!(files(), 1, "{}", what);
            return Ok(());
        };
        let kept = if bytes.starts_with(&after) { &after[..] } else { &after[..after.len() - 1] };
        prop_assert!(bytes.starts_with(kept) && (kept.len() == after.len() || after.ends_with(b"\n")), "{}", what);
        // In front of the first zeros, no more than one unfinished line is missing.
        let cut = &bytes[kept.len()..];
        let torn = memchr::memchr(0, cut).unwrap_or(cut.len());
        prop_assert!(!cut[..torn].contains(&b'\n'), "{}", what);
        // What came after them, and was more than zeros, is kept.
        let zeros = kept.len() + torn;
        let aside = fs::read(folder.path().join(format!("data.jsonl.cut-at-{zeros}"))).unwrap_or_default();
        let holds_something = cut[torn..].iter().any(|&byte| byte != 0);
        prop_assert_eq!(&aside[..], if holds_something { &cut[torn..] } else { &[] }, "{}", what);
        let (again, unchanged) = replayed(&path, &after).unwrap();
        prop_assert_eq!((again, unchanged), (pairs, after), "{}", what);
    }
}
