//! The input: the bytes that a connection has sent and that nobody has used up yet.
//!
//! ```text
//! bytes:  │ used up │ unread: the rest of one read, or a request and a half │ space │
//!                  start                                                   end
//! ```
//!
//! It is kept for as long as the connection, so that a request costs no allocation, and small
//! while it can be: most connections are idle, and each of them has one. The naive version has a new
//! buffer for each request, and loses the start of the next one.
//!
//! Next: [`crate::http::head`], which looks for a request in it.

use std::ops::Range;

/// The size at first, in bytes: enough for a request of most clients, or some in a row.
const SMALL: usize = 1 << 10;

/// No growth beyond this for the sake of fewer reads, in bytes.
const LARGE: usize = 64 << 10;

/// Bytes that wait to be understood.
///
/// # Examples
/// ```
/// use dbserver::http::input::Input;
///
/// let mut input = Input::default();
/// // Instead of a read from a socket.
/// input.space()[..7].copy_from_slice(b"one two");
/// input.filled(7);
/// input.use_up(4);
/// assert_eq!(input.unread(), b"two");
/// ```
#[derive(Debug)]
pub struct Input {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// How many bytes the last read brought, and whether there was room for no more.
    last: usize,
    was_full: bool,
}

impl Default for Input {
    fn default() -> Self {
        Input { bytes: vec![0; SMALL], start: 0, end: 0, last: 0, was_full: false }
    }
}

impl Input {
    /// What has arrived and is not used up.
    pub fn unread(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    /// Whether the last read took all the space there was: then more is likely to be there.
    #[must_use]
    pub fn was_full(&self) -> bool {
        self.was_full
    }

    /// Room for the next read: twice as much where the last one was full, little again where it
    /// brought little.
    pub fn space(&mut self) -> &mut [u8] {
        let (size, unread) = (self.bytes.len(), self.end - self.start);
        if unread == 0 || self.end == size {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, unread);
        }
        if unread == 0 && size > SMALL && self.last < size / 8 {
            self.bytes = vec![0; SMALL];
        } else if unread == size || self.was_full && size < LARGE {
            self.bytes.resize(2 * size, 0);
        }
        &mut self.bytes[self.end..]
    }

    /// This many bytes were read into the space.
    pub fn filled(&mut self, count: usize) {
        self.end += count;
        self.last = count;
        self.was_full = self.end == self.bytes.len();
    }

    /// The first `count` unread bytes are used up.
    pub fn use_up(&mut self, count: usize) {
        self.start += count;
    }

    /// Takes bytes out of the middle of what is unread.
    pub fn cut(&mut self, range: Range<usize>) {
        let (from, to) = (self.start + range.end, self.start + range.start);
        self.bytes.copy_within(from..self.end, to);
        self.end -= range.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrive(input: &mut Input, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = input.space();
            let count = space.len().min(bytes.len());
            assert!(count > 0, "no room");
            space[..count].copy_from_slice(&bytes[..count]);
            input.filled(count);
            bytes = &bytes[count..];
        }
    }

    #[test]
    fn keeps_bytes_that_arrive_after_what_is_used() {
        let mut input = Input::default();
        arrive(&mut input, b"one two");
        input.use_up(4);
        assert_eq!(input.unread(), b"two");
        let long = vec![b'x'; 3 * SMALL];
        arrive(&mut input, &long);
        assert_eq!(input.unread(), [b"two", &long[..]].concat());
    }

    #[test]
    fn a_cut_keeps_both_sides() {
        let mut input = Input::default();
        arrive(&mut input, b"head body next");
        input.use_up(1);
        input.cut(3..8);
        assert_eq!(input.unread(), b"ead next");
    }

    #[test]
    fn grows_with_what_arrives_and_is_small_again_when_little_does() {
        let mut input = Input::default();
        for size in [SMALL, 2 * SMALL, 4 * SMALL] {
            assert_eq!(input.space().len(), size);
            arrive(&mut input, &vec![b'x'; size]);
            input.use_up(size);
        }
        arrive(&mut input, b"one request");
        input.use_up(11);
        assert_eq!(input.space().len(), SMALL);
    }

    #[test]
    fn grows_no_further_for_the_sake_of_fewer_reads() {
        let mut input = Input::default();
        for _ in 0..10 {
            let size = input.space().len();
            assert!(size <= LARGE, "{size}");
            arrive(&mut input, &vec![b'x'; size]);
            input.use_up(size);
        }
        assert_eq!(input.space().len(), LARGE);
    }

    #[test]
    fn has_room_for_whatever_is_unread() {
        let mut input = Input::default();
        let long = vec![b'x'; 3 * LARGE];
        arrive(&mut input, &long);
        assert_eq!(input.unread(), long);
        assert!(!input.space().is_empty());
    }

    #[test]
    fn what_is_unread_moves_to_the_front_where_the_end_is_reached() {
        let mut input = Input::default();
        let bytes: Vec<u8> = (0..=255).cycle().take(LARGE + 1000).collect();
        arrive(&mut input, &bytes[..LARGE]);
        for more in bytes[LARGE..].chunks(100) {
            input.use_up(100);
            assert_eq!(input.space().len(), 100);
            arrive(&mut input, more);
        }
        assert_eq!(input.unread(), &bytes[1000..]);
    }
}
