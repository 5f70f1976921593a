//! The input: the bytes that a connection has sent and that nobody has used up yet.
//!
//! ```text
//! bytes:  │ used up │ unread: the rest of one read, or a request and a half │ space │
//!                  start                                                   end
//! ```
//!
//! It is kept for as long as the connection, so that a request costs no allocation, and small
//! while it can be: most connections are idle, and each of them has one.
//!
//! Next: [`crate::head`], which looks for a request in it.

use std::ops::Range;

/// The size at first, in bytes: enough for a request of most clients, or some in a row.
const SMALL: usize = 1 << 10;

/// Bytes that wait to be understood.
#[derive(Debug)]
pub(crate) struct Input {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    pub(crate) fn new() -> Self {
        Input { bytes: vec![0; SMALL], start: 0, end: 0 }
    }

    /// What has arrived and is not used up.
    pub(crate) fn unread(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    /// Room for the next read. It grows when it has been filled.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.bytes.len() > 8 * SMALL {
                self.bytes = vec![0; SMALL];
            }
        } else if self.end == self.bytes.len() && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.bytes.len() {
            self.bytes.resize(2 * self.bytes.len(), 0);
        }
        &mut self.bytes[self.end..]
    }

    /// So many bytes were read into the space.
    pub(crate) fn filled(&mut self, count: usize) {
        self.end += count;
    }

    /// The first `count` unread bytes are used up.
    pub(crate) fn use_up(&mut self, count: usize) {
        self.start += count;
    }

    /// Takes bytes out of the middle of what is unread.
    pub(crate) fn cut(&mut self, range: Range<usize>) {
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
            space[..count].copy_from_slice(&bytes[..count]);
            input.filled(count);
            bytes = &bytes[count..];
        }
    }

    #[test]
    fn keeps_bytes_that_arrive_after_what_is_used() {
        let mut input = Input::new();
        arrive(&mut input, b"one two");
        input.use_up(4);
        assert_eq!(input.unread(), b"two");
        let long = vec![b'x'; 3 * SMALL];
        arrive(&mut input, &long);
        assert_eq!(input.unread(), [b"two", &long[..]].concat());
    }

    #[test]
    fn a_cut_keeps_both_sides() {
        let mut input = Input::new();
        arrive(&mut input, b"head body next");
        input.use_up(1);
        input.cut(3..8);
        assert_eq!(input.unread(), b"ead next");
    }

    #[test]
    fn is_small_again_when_it_is_empty() {
        let mut input = Input::new();
        arrive(&mut input, &vec![b'x'; 100 * SMALL]);
        input.use_up(100 * SMALL);
        assert_eq!(input.space().len(), SMALL);
    }
}
