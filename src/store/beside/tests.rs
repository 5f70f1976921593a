//! The files beside the data file: names, owners, and what was there already.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use super::*;
use crate::store::disk::faulty::{Fault, FaultyDisk};
use crate::store::disk::{Disk, RealDisk};

fn open(path: &Path) -> OpenFile {
    let file = OpenOptions::new().read(true).append(true).create(true).open(path).unwrap();
    OpenFile::new(file, &(Arc::new(RealDisk) as Arc<dyn Disk>))
}

#[test]
fn a_name_that_is_too_long_gets_shorter_and_stays_its_own() {
    let suffix = ".snapshot-tmp";
    assert_eq!(beside(Path::new("/a/data"), suffix), Path::new("/a/data.snapshot-tmp"));
    let longest = "n".repeat(255 - suffix.len());
    assert_eq!(beside(Path::new(&longest), suffix), Path::new(&(longest + suffix)));
    let names = ["n".repeat(243), "n".repeat(244), "é".repeat(127), "é".repeat(126) + "n"];
    let short: Vec<_> = names.iter().map(|name| beside(Path::new(name), suffix)).collect();
    for (number, name) in short.iter().enumerate() {
        let text = name.to_str().unwrap();
        assert!(text.len() <= 255 && text.ends_with(suffix), "{text}");
        assert!(text.len() > 240 && !text.contains(char::REPLACEMENT_CHARACTER), "{text}");
        assert!(!short[..number].contains(name), "{text}");
    }
}

#[test]
fn what_was_cut_is_never_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let file = open(&path);
    file.append(b"keep\ncut").unwrap();
    let first = put_aside(&file, &path, 5).unwrap();
    assert_eq!(first, folder.path().join("data.cut-at-5"));
    assert_eq!(fs::metadata(&first).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(put_aside(&file, &path, 5).unwrap(), first, "the same bytes");
    file.append(b" more").unwrap();
    let second = put_aside(&file, &path, 5).unwrap();
    assert_eq!(second, folder.path().join("data.cut-at-5-2"));
    let both = (fs::read(&first).unwrap(), fs::read(&second).unwrap());
    assert_eq!(both, (b"cut".to_vec(), b"cut more".to_vec()));
    // The beginning of what is there is not the same.
    file.cut(10).unwrap();
    let third = put_aside(&file, &path, 5).unwrap();
    assert_eq!(third, folder.path().join("data.cut-at-5-3"));
    assert_eq!(fs::read(&third).unwrap(), b"cut m");
}

/// Each start on a full disk would leave one more.
#[test]
fn what_could_not_be_put_aside_whole_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let disk = Arc::new(FaultyDisk::default());
    let file = OpenFile { file: open(&path).file, disk: Arc::clone(&disk) as Arc<dyn Disk> };
    file.append(b"keep\ncut").unwrap();
    for call in ["append new", "sync new"] {
        disk.fail(call, Fault::Half);
        put_aside(&file, &path, 5).unwrap_err();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{call}");
    }
    disk.repair();
    assert_eq!(put_aside(&file, &path, 5).unwrap(), folder.path().join("data.cut-at-5"));
}

#[test]
fn what_can_be_put_nowhere_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = open(&folder.path().join("data"));
    file.append(b"keep\ncut").unwrap();
    put_aside(&file, &folder.path().join("gone/data"), 5).unwrap_err();
}

#[test]
fn a_replacement_belongs_to_whom_the_old_file_belongs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let file = open(&path);
    if std::os::unix::fs::chown(&path, Some(1234), Some(5678)).is_err() {
        eprintln!("skipped: this user may give no file to another");
        return;
    }
    let new = Replacement::begin(&file, &path).unwrap();
    let owner = new.file.file.metadata().unwrap();
    assert_eq!((owner.uid(), owner.gid()), (1234, 5678));
}

#[test]
fn a_name_that_is_taken_is_said_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let file = open(&path);
    let first = Replacement::begin(&file, &path).unwrap();
    let why = Replacement::begin(&file, &path).unwrap_err().to_string();
    assert!(why.contains("is being compacted"), "{why}");
    // Its file is another one's by now: not to be renamed, nor removed.
    fs::remove_file(replacement_path(&path)).unwrap();
    fs::write(replacement_path(&path), "another's").unwrap();
    first.take_name(&path).unwrap_err();
    assert_eq!(fs::read(replacement_path(&path)).unwrap(), b"another's");
    assert_eq!(fs::read(&path).unwrap(), b"");
}

#[test]
#[cfg(target_os = "linux")]
fn an_access_list_goes_to_the_replacement_and_none_comes_from_the_folder() {
    use rustix::fs::{XattrFlags, fgetxattr, fsetxattr};
    use rustix::io::Errno;

    /// Version 2 of the attribute; each entry has a tag, rights, and an id.
    fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut bytes = 2_u32.to_le_bytes().to_vec();
        for (tag, rights, id) in entries {
            bytes.extend([tag.to_le_bytes(), rights.to_le_bytes()].concat());
            bytes.extend(id.to_le_bytes());
        }
        bytes
    }
    fn list_of(file: &File) -> Result<Vec<u8>, Errno> {
        let mut bytes = vec![0; 1024];
        let length = fgetxattr(file, access_list::NAME, &mut bytes[..])?;
        bytes.truncate(length);
        Ok(bytes)
    }
    const NOBODY: u32 = u32::MAX;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let file = open(&path);
    // u::rw-, u:1234:rw-, g::---, m::rw-, o::---: the mode says 0660, and the group may nothing.
    let ours = list(&[
        (0x01, 6, NOBODY),
        (0x02, 6, 1234),
        (0x04, 0, NOBODY),
        (0x10, 6, NOBODY),
        (0x20, 0, NOBODY),
    ]);
    if fsetxattr(&*file.file, access_list::NAME, &ours, XattrFlags::empty()).is_err() {
        eprintln!("skipped: the file system of {} has no access lists", path.display());
        return;
    }
    let mode = |file: &File| file.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&file.file), 0o660);
    let new = Replacement::begin(&file, &path).unwrap();
    assert_eq!(list_of(&new.file.file), Ok(ours));
    assert_eq!(mode(&new.file.file), 0o660);
    drop(new);

    let theirs = list(&[
        (0x01, 7, NOBODY),
        (0x02, 7, 4321),
        (0x04, 7, NOBODY),
        (0x10, 7, NOBODY),
        (0x20, 0, NOBODY),
    ]);
    let handle = File::open(folder.path()).unwrap();
    fsetxattr(&handle, "system.posix_acl_default", &theirs, XattrFlags::empty()).unwrap();
    let plain = folder.path().join("plain");
    fs::rename(&path, &plain).unwrap();
    let file = open(&plain);
    rustix::fs::fremovexattr(&*file.file, access_list::NAME).unwrap();
    file.file.set_permissions(fs::Permissions::from_mode(0o640)).unwrap();
    let new = Replacement::begin(&file, &plain).unwrap();
    assert_eq!(list_of(&new.file.file), Err(Errno::NODATA));
    assert_eq!(mode(&new.file.file), 0o640);
}
