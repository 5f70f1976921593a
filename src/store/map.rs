//! The map: the pairs in memory, and the only place that knows their locks.
//!
//! A `Mutex` around a `HashMap` is all it takes to share pairs between threads. One of each is
//! right, and stalls everyone twice: when the table has to grow (a million pairs take some
//! 100 ms to move), and when someone reads all of it to write a snapshot. So the pairs are dealt
//! out to [`SHARDS`] such maps, by the hash of their key, and whoever has to go through all of them
//! holds one lock at a time, for as long as a thousandth of them takes.
//!
//! 1. No shard is locked while anything is read from or written to a socket or the disk.
//! 2. No thread holds the locks of two shards.
//! 3. A poisoned lock is used all the same: the only changes are whole inserts ([`crate::lock`]).
//!
//! Next: [`crate::store::memory`], the map as an engine.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use crate::lock::lock;
use crate::store::record;
use crate::watch::stage::{Stage, reached};

/// How many parts the map has.
pub(crate) const SHARDS: usize = 1024;

/// `Box<str>` and not `String`: neither grows, and each saves the 8 bytes of a capacity.
type Shard = HashMap<Box<str>, Box<str>>;

/// Keys and their values.
#[derive(Debug)]
pub(crate) struct Map {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    pairs: AtomicUsize,
}

impl Default for Map {
    /// An empty map.
    fn default() -> Self {
        // One seed for all: a key hashes to the same shard each time, and nobody outside can tell
        // to which.
        let hasher = RandomState::new();
        Map {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher,
            pairs: AtomicUsize::new(0),
        }
    }
}

impl Map {
    /// Makes room for about this many pairs, so that no table has to grow on the way there.
    pub(crate) fn reserve(&self, pairs: usize) {
        for shard in &self.shards {
            lock(shard).reserve(pairs / SHARDS);
        }
    }

    /// Gives back room that turned out not to be needed.
    pub(crate) fn shrink(&self) {
        for shard in &self.shards {
            lock(shard).shrink_to_fit();
        }
    }

    /// Calls `found` with the value of `key`, if there is one, while nobody can change it.
    pub(crate) fn find(&self, key: &str, found: &mut dyn FnMut(&str)) {
        let shard = self.shard_of(key);
        if let Some(value) = shard.get(key) {
            found(value);
        }
    }

    /// Stores a pair; an older value of the key is replaced.
    pub(crate) fn insert(&self, key: Box<str>, value: Box<str>) {
        let mut shard = self.shard_of(&key);
        if shard.insert(key, value).is_none() {
            self.pairs.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.pairs.load(Ordering::Relaxed)
    }

    /// Appends the lines of all pairs of shard `number` to `lines`, and returns how many they are.
    pub(crate) fn write_shard(&self, number: usize, lines: &mut Vec<u8>) -> u64 {
        let shard = lock(&self.shards[number]);
        for (key, value) in &*shard {
            record::write(lines, key, value);
        }
        shard.len() as u64
    }

    fn shard_of(&self, key: &str) -> MutexGuard<'_, Shard> {
        let hash = self.hasher.hash_one(key);
        #[expect(clippy::cast_possible_truncation, reason = "the remainder is below SHARDS")]
        let shard = (hash % SHARDS as u64) as usize;
        let locked = lock(&self.shards[shard]);
        reached(Stage::Locked { shard });
        locked
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    impl Map {
        /// A copy of the value of `key`.
        pub(crate) fn value(&self, key: &str) -> Option<String> {
            let mut copy = None;
            self.find(key, &mut |value| copy = Some(value.to_string()));
            copy
        }
    }

    #[test]
    fn the_last_value_stays() {
        let map = Map::default();
        map.insert("a".into(), "1".into());
        map.insert("b".into(), "2".into());
        map.insert("a".into(), "3".into());
        assert_eq!(map.len(), 2);
        assert_eq!(map.value("a").as_deref(), Some("3"));
        assert_eq!(map.value("c"), None);
    }

    #[test]
    fn a_snapshot_has_each_pair_once() {
        let map = Map::default();
        for number in 0..1000 {
            map.insert(format!("key{}", number % 500).into(), format!("{number}").into());
        }
        let mut lines = Vec::new();
        let count: u64 = (0..SHARDS).map(|shard| map.write_shard(shard, &mut lines)).sum();
        assert_eq!(count, 500);
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            let record = record::read(line).unwrap().unwrap();
            assert_eq!(map.value(&record.key).as_deref(), Some(&*record.value));
        }
    }

    #[test]
    fn a_panic_under_the_lock_does_not_lock_the_pair_away() {
        let map = Map::default();
        map.insert("a".into(), "1".into());
        let panicked =
            catch_unwind(AssertUnwindSafe(|| map.find("a", &mut |_| panic!("on purpose"))));
        assert!(panicked.is_err());
        map.insert("a".into(), "2".into());
        assert_eq!(map.value("a").as_deref(), Some("2"));
    }
}
