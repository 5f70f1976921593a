//! The data file, its name, its lock, and what is beside it.

#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::store::disk::RealDisk;
use crate::store::disk::faulty::{Fault, FaultyDisk};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Replaces what is in the file.
fn replace(data: &mut DataFile, bytes: &[u8]) -> io::Result<()> {
    let replacement = data.begin_replacement()?;
    replacement.append(bytes)?;
    replacement.sync()?;
    data.become_replacement(replacement)?;
    data.sync_folder()
}

#[test]
fn a_new_file_is_its_owners_alone_and_its_name_is_durable() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.jsonl");
    let faulty = Arc::new(FaultyDisk::default());
    let disk: Arc<dyn Disk> = Arc::clone(&faulty) as _;
    let data = DataFile::open(&path, &disk).unwrap();
    assert_eq!(faulty.take_calls(), ["sync folder"]);
    assert_eq!(mode(&path), 0o600);
    data.file().append(b"\n").unwrap();
    drop((data, disk, faulty));

    let faulty = Arc::new(FaultyDisk::default());
    let disk: Arc<dyn Disk> = Arc::clone(&faulty) as _;
    DataFile::open(&path, &disk).unwrap();
    // Whoever renamed it last may have been killed before this.
    assert_eq!(faulty.take_calls(), ["sync folder"]);
}

#[test]
fn a_file_whose_name_may_not_last_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.jsonl");
    let faulty = Arc::new(FaultyDisk::default());
    faulty.fail("sync folder", Fault::Nothing);
    let disk: Arc<dyn Disk> = faulty;
    let error = DataFile::open(&path, &disk).unwrap_err().to_string();
    assert!(error.contains("cannot sync the folder of"), "{error}");
    assert!(error.contains("data.jsonl"), "{error}");
    assert!(error.contains("check the disk, or give another file"), "{error}");
}

/// A disk whose file system answers a sync of a folder with this error.
#[derive(Debug)]
struct Folders(Errno, AtomicUsize);

impl Disk for Folders {
    fn sync_folder(&self, _folder: &Path) -> io::Result<()> {
        self.1.fetch_add(1, Ordering::SeqCst);
        Err(self.0.into())
    }
}

#[test]
fn a_file_system_that_cannot_sync_folders_is_served_and_asked_once() {
    for errno in [Errno::INVAL, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::NOSYS] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.jsonl");
        let folders = Arc::new(Folders(errno, AtomicUsize::new(0)));
        let disk: Arc<dyn Disk> = Arc::clone(&folders) as _;
        let mut data = DataFile::open(&path, &disk).unwrap();
        replace(&mut data, b"new\n").unwrap();
        assert_eq!(folders.1.load(Ordering::SeqCst), 1, "{errno}");
    }
    for errno in [Errno::IO, Errno::ACCESS, Errno::NOSPC] {
        let folder = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(Folders(errno, AtomicUsize::new(0)));
        DataFile::open(&folder.path().join("data.jsonl"), &disk).unwrap_err();
    }
}

#[test]
fn a_replacement_has_the_mode_of_what_it_replaces() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.jsonl");
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    for wanted in [0o600, 0o640, 0o664, 0o666] {
        fs::write(&path, "old\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(wanted)).unwrap();
        let mut data = DataFile::open(&path, &disk).unwrap();
        assert_eq!(mode(&path), wanted);
        replace(&mut data, b"new\n").unwrap();
        assert_eq!((mode(&path), fs::read(&path).unwrap()), (wanted, b"new\n".to_vec()));
        assert_eq!(names(folder.path()), ["data.jsonl"]);
    }
}

#[test]
fn a_symbolic_link_stays_one() {
    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (folder.path().join("real"), folder.path().join("links"));
    fs::create_dir(&real).unwrap();
    fs::create_dir(&link).unwrap();
    let (path, link) = (real.join("data.jsonl"), link.join("link"));
    symlink(&path, &link).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut data = DataFile::open(&link, &disk).unwrap();
    replace(&mut data, b"new\n").unwrap();
    assert_eq!(fs::read_link(&link).unwrap(), path);
    assert!(fs::symlink_metadata(&path).unwrap().is_file());
    assert_eq!(fs::read(&path).unwrap(), b"new\n");
    assert_eq!(names(&real), ["data.jsonl"]);
}

#[test]
fn only_one_may_have_it_open() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("data.jsonl"), folder.path().join("link"));
    symlink(&path, &link).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut data = DataFile::open(&path, &disk).unwrap();
    for replaced in [false, true] {
        if replaced {
            replace(&mut data, b"new\n").unwrap();
        }
        for name in [&path, &link] {
            let error = DataFile::open(name, &disk).unwrap_err().to_string();
            let name = name.display().to_string();
            assert!(error.contains("another server has") && error.contains(&name), "{error}");
        }
    }
    drop(data);
    DataFile::open(&path, &disk).unwrap();
}

#[test]
fn what_never_replaced_the_file_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.jsonl");
    let faulty = Arc::new(FaultyDisk::default());
    let disk: Arc<dyn Disk> = Arc::clone(&faulty) as _;
    let mut data = DataFile::open(&path, &disk).unwrap();
    data.file().append(b"old\n").unwrap();
    for call in ["append new", "sync new", "rename"] {
        faulty.fail(call, Fault::Half);
        replace(&mut data, b"new\n").unwrap_err();
        assert_eq!(names(folder.path()), ["data.jsonl"], "{call}");
        assert_eq!(fs::read(&path).unwrap(), b"old\n", "{call}");
    }
    drop((data, disk, faulty));

    // A crash leaves it there: the next start removes it.
    fs::write(folder.path().join("data.jsonl.snapshot-tmp"), "half a li").unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut data = DataFile::open(&path, &disk).unwrap();
    assert_eq!(names(folder.path()), ["data.jsonl"]);
    replace(&mut data, b"new\n").unwrap();
}

#[test]
fn what_is_no_plain_file_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    for path in [folder.path(), Path::new("/dev/null")] {
        let error = DataFile::open(path, &disk).unwrap_err().to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
    }
    let missing = folder.path().join("no/data.jsonl");
    let error = format!("{:#}", DataFile::open(&missing, &disk).unwrap_err());
    assert!(error.contains("no/data.jsonl"), "{error}");
}

/// The file is gone, and another one has the name that the system says it had.
#[cfg(target_os = "linux")]
#[test]
fn a_name_that_never_leads_to_what_it_opens_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let file = fs::File::create_new(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(folder.path().join("data (deleted)"), "").unwrap();
    let name = format!("/proc/self/fd/{}", file.as_raw_fd());
    let error = DataFile::open(Path::new(&name), &(Arc::new(RealDisk) as _)).unwrap_err();
    assert!(error.to_string().contains("is another file each time"), "{error}");
}

#[test]
fn looks_whose_the_name_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.jsonl");
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut data = DataFile::open(&path, &disk).unwrap();
    data.file().append(b"old\n").unwrap();
    assert_eq!(data.look().unwrap(), 4);
    let elsewhere = folder.path().join("elsewhere");
    fs::rename(&path, &elsewhere).unwrap();
    assert_eq!(data.look().unwrap_err().kind(), io::ErrorKind::NotFound);
    fs::copy(&elsewhere, &path).unwrap();
    assert_eq!(data.look().unwrap_err().kind(), io::ErrorKind::NotFound);
    replace(&mut data, b"new\n").unwrap_err();
    assert_eq!(fs::read(&path).unwrap(), b"old\n");
    fs::rename(&elsewhere, &path).unwrap();
    assert_eq!(data.look().unwrap(), 4);
    replace(&mut data, b"larger\n").unwrap();
    assert_eq!(data.look().unwrap(), 7);
}

#[test]
fn a_link_that_leads_elsewhere_now_is_not_followed_back() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("data.jsonl"), folder.path().join("link"));
    fs::write(&path, "old\n").unwrap();
    symlink(&path, &link).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut data = DataFile::open(&link, &disk).unwrap();
    fs::remove_file(&link).unwrap();
    fs::write(&link, "another\n").unwrap();
    let error = replace(&mut data, b"new\n").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert_eq!(fs::read(&path).unwrap(), b"old\n");
    assert_eq!(fs::read(&link).unwrap(), b"another\n");

    // It leads to the file again, by another name. A backup has the one that a rename would take.
    let second = folder.path().join("second");
    fs::hard_link(&path, &second).unwrap();
    fs::remove_file(&link).unwrap();
    symlink(&second, &link).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, "a backup\n").unwrap();
    data.look().unwrap();
    let error = replace(&mut data, b"new\n").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert_eq!(fs::read(&path).unwrap(), b"a backup\n");
}
