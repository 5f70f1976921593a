//! Warnings: what the server has to say to whoever runs it, on standard error.
//!
//! A server that goes on although something is wrong says so once, in a sentence that names the
//! file or the address. Standard output has two lines only, for programs that wait for them.
//!
//! Next: [`crate::watch::stage`].

use std::fmt::Arguments;
use std::io::Write as _;

/// Prints a line on standard error, after the program's name. Where that is closed, nobody wants to
/// know.
pub fn complain(line: Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "dbserver: {line}");
}

/// Prints a warning: the server goes on all the same.
pub fn warn(warning: Arguments<'_>) {
    complain(format_args!("warning: {warning}"));
}
