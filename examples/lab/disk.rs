//! A disk on paper: what was written, what was synced, and therefore what a loss of power may leave.
//!
//! The rules are those of POSIX, made a little kinder, as real file systems are:
//!
//! - What was synced is there. Of what was not, each page of 4,096 bytes may be there or not, and
//!   the length of the file may have come without the bytes, which are zeros then.
//! - A name that was made, moved or removed is sure once the folder was synced. Before that, the
//!   first few changes may be there and the others not: file systems keep these in order.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::recording::Event;

const PAGE: usize = 4096;

/// The files of a folder, by their names.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// The names of a folder, each with the number of its file.
type Names = BTreeMap<String, usize>;

/// A folder on it.
pub(crate) struct Disk {
    /// What each file held after each write since its last sync: the first is sure, the last is
    /// what a program reads. None is empty.
    files: Vec<Vec<Vec<u8>>>,
    /// The same for the folder.
    names: Vec<Names>,
    open: HashMap<i32, Open>,
}

#[derive(Clone, Copy)]
enum Open {
    Folder,
    File { number: usize, append: bool, position: usize },
}

impl Disk {
    /// A disk that holds this for sure.
    pub(crate) fn new(files: Files) -> Self {
        let names = files.keys().cloned().zip(0..).collect();
        let files = files.into_values().map(|bytes| vec![bytes]).collect();
        Disk { files, names: vec![names], open: HashMap::new() }
    }

    /// Does what the program did.
    pub(crate) fn apply(&mut self, event: &Event) {
        match event {
            Event::Open { fd, name, append, truncate } => {
                let number = self.find_or_make(name);
                self.open.insert(*fd, Open::File { number, append: *append, position: 0 });
                if *truncate {
                    self.change(number, Vec::clear);
                }
            }
            Event::OpenFolder { fd } => drop(self.open.insert(*fd, Open::Folder)),
            Event::Forget { fd } => drop(self.open.remove(fd)),
            Event::Write { fd, at, bytes } => self.write(*fd, *at, bytes),
            Event::Truncate { fd, length } => {
                if let Some(&Open::File { number, .. }) = self.open.get(fd) {
                    self.change(number, |file| file.resize(*length, 0));
                }
            }
            Event::Sync { fd } => match self.open.get(fd) {
                Some(Open::Folder) => keep_last(&mut self.names),
                Some(&Open::File { number, .. }) => keep_last(&mut self.files[number]),
                None => {}
            },
            Event::Rename { from, to } => self.rename(|names| {
                if let Some(number) = names.remove(from) {
                    names.insert(to.clone(), number);
                }
            }),
            Event::Remove { name } => self.rename(|names| {
                names.remove(name);
            }),
            Event::Success => {}
        }
    }

    /// All that may be there when the power fails now.
    pub(crate) fn after_power_loss(&self) -> BTreeSet<Files> {
        let mut all = BTreeSet::new();
        for names in &self.names {
            let mut states = vec![Files::new()];
            for (name, &number) in names {
                let variants = variants(&self.files[number]);
                states = states
                    .iter()
                    .flat_map(|state| {
                        variants.iter().map(|bytes| {
                            let mut state = state.clone();
                            state.insert(name.clone(), bytes.clone());
                            state
                        })
                    })
                    .collect();
            }
            all.extend(states);
        }
        all
    }

    fn find_or_make(&mut self, name: &str) -> usize {
        if let Some(&number) = self.names.last().and_then(|names| names.get(name)) {
            return number;
        }
        let number = self.files.len();
        self.files.push(vec![Vec::new()]);
        self.rename(|names| {
            names.insert(name.into(), number);
        });
        number
    }

    fn write(&mut self, fd: i32, at: Option<usize>, bytes: &[u8]) {
        let Some(&Open::File { number, append, position }) = self.open.get(&fd) else { return };
        let length = self.files[number].last().map_or(0, Vec::len);
        let start = at.unwrap_or(if append { length } else { position });
        let end = start + bytes.len();
        self.change(number, |file| {
            file.resize(length.max(end), 0);
            file[start..end].copy_from_slice(bytes);
        });
        if at.is_none() {
            self.open.insert(fd, Open::File { number, append, position: end });
        }
    }

    fn change(&mut self, number: usize, change: impl FnOnce(&mut Vec<u8>)) {
        let mut file = self.files[number].last().cloned().unwrap_or_default();
        change(&mut file);
        self.files[number].push(file);
    }

    fn rename(&mut self, change: impl FnOnce(&mut Names)) {
        let mut names = self.names.last().cloned().unwrap_or_default();
        change(&mut names);
        self.names.push(names);
    }
}

/// The last of these is on the disk.
fn keep_last<T>(versions: &mut Vec<T>) {
    versions.drain(..versions.len().saturating_sub(1));
}

/// What a file may hold: all that was written up to a moment, and for each such moment and page,
/// the page alone newer than that, or alone as old.
fn variants(versions: &[Vec<u8>]) -> BTreeSet<Vec<u8>> {
    let mut all: BTreeSet<Vec<u8>> = versions.iter().cloned().collect();
    let Some((new, older)) = versions.split_last() else { return all };
    for old in older {
        let length = old.len().max(new.len());
        let is_touched = |&page: &usize| page_of(old, page) != page_of(new, page);
        for page in (0..length.div_ceil(PAGE)).filter(is_touched) {
            all.insert(with_page(old, page, new));
            all.insert(with_page(new, page, old));
        }
    }
    all
}

fn page_of(file: &[u8], page: usize) -> &[u8] {
    let start = file.len().min(page * PAGE);
    &file[start..file.len().min(start + PAGE)]
}

/// The first file, with one page from the second.
fn with_page(file: &[u8], page: usize, other: &[u8]) -> Vec<u8> {
    let bytes = page_of(other, page);
    let start = page * PAGE;
    let mut mixed = file.to_vec();
    // Where the other file ends before the page does, zeros are there.
    mixed.resize(file.len().max(start + bytes.len()), 0);
    let end = mixed.len().min(start + PAGE);
    if start < end {
        mixed[start..end].fill(0);
        mixed[start..start + bytes.len()].copy_from_slice(bytes);
    }
    mixed
}
