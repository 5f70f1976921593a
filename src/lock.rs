//! The lock: what becomes of a `Mutex` whose holder has panicked.
//!
//! A thread that panics with a `Mutex` held poisons it, as the data may be half-changed. A server
//! that then panics at each further use is down for good because of one request. Ours uses the lock
//! all the same, and each user leaves nothing half-changed where it can panic: the map changes in whole
//! inserts; the slots' table in single inserts and removes; the writer undoes an append that it does not
//! keep.
//!
//! Next: [`crate::net`], the first room.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, poisoned or not.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
