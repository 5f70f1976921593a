//! What a program asks of the system, as strace(1) prints it: which calls change a file, which bring
//! it to the disk, and when an answer goes out.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

/// The calls to follow. Those with a `?` are not on every machine.
const CALLS: &str = "trace=openat,?open,close,write,pwrite64,writev,sendto,sendmsg,fsync,fdatasync,\
                     ftruncate,?rename,?renameat,renameat2,?unlink,unlinkat";

/// `HTTP/1.1 200`, as strace prints it with `-xx`.
const SUCCESS: &str = r"\x48\x54\x54\x50\x2f\x31\x2e\x31\x20\x32\x30\x30";

/// One call that matters, done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A file was opened, made if it was not there, and emptied if `truncate` says so.
    Open {
        fd: i32,
        name: String,
        append: bool,
        truncate: bool,
    },
    /// The folder was opened: that is how it is synced.
    OpenFolder {
        fd: i32,
    },
    /// Any other file or socket has this number now, or nothing has.
    Forget {
        fd: i32,
    },
    Write {
        fd: i32,
        /// Where it is not the position of the open file.
        at: Option<usize>,
        bytes: Vec<u8>,
    },
    Truncate {
        fd: i32,
        length: usize,
    },
    Sync {
        fd: i32,
    },
    Rename {
        from: String,
        to: String,
    },
    Remove {
        name: String,
    },
    /// An answer of success is on its way to the client.
    Success,
}

/// The same command under strace, which writes to this file. The server stays our child.
pub(crate) fn recorded(command: &Command, trace: &Path) -> Command {
    let mut strace = Command::new("strace");
    strace.args([
        "-DD",
        "-f",
        "-q",
        "-xx",
        "-s",
        "1048576",
        "-e",
        CALLS,
        "-e",
        "signal=none",
        "-o",
    ]);
    strace.arg(trace).arg(command.get_program()).args(command.get_args());
    strace
}

/// The calls on files of this folder, in their order.
///
/// # Errors
/// A file was written to in a way that is not followed here.
pub(crate) fn read(trace: &str, folder: &Path) -> anyhow::Result<Vec<Event>> {
    let mut events = Vec::new();
    let mut begun: HashMap<&str, &str> = HashMap::new();
    for line in trace.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        // Another thread's call came in between: the call is printed in two pieces.
        if let Some(beginning) = call.strip_suffix("<unfinished ...>") {
            begun.insert(thread, beginning.trim_end());
            // The client may have it before the call returns.
            events.extend(is_success(beginning).then_some(Event::Success));
        } else if let Some((_, end)) = call.split_once(" resumed>") {
            let beginning = begun.remove(thread).unwrap_or_default();
            if !is_success(beginning) {
                events.extend(event(&format!("{beginning}{end}"), folder)?);
            }
        } else {
            events.extend(event(call, folder)?);
        }
    }
    Ok(events)
}

fn is_success(call: &str) -> bool {
    let sends = ["write(", "writev(", "sendto(", "sendmsg("];
    sends.iter().any(|name| call.starts_with(name)) && call.contains(SUCCESS)
}

/// What a whole call means, such as `fsync(3) = 0`. One that failed has done nothing.
fn event(call: &str, folder: &Path) -> anyhow::Result<Option<Event>> {
    if is_success(call) {
        return Ok(Some(Event::Success));
    }
    let Some((call, result)) = call.rsplit_once(" = ") else { return Ok(None) };
    let result = result.split(' ').next().and_then(|number| number.parse::<i32>().ok());
    let Some(result) = result.filter(|&result| result >= 0) else { return Ok(None) };
    // Before the result, strace may leave blanks.
    let Some((name, arguments)) = call.trim_end().split_once('(') else { return Ok(None) };
    let fd = || arguments.split([',', ')']).next()?.parse().ok();
    let texts: Vec<Vec<u8>> = arguments.split('"').skip(1).step_by(2).map(bytes).collect();
    let names: Vec<Option<String>> = texts.iter().map(|text| name_in(folder, text)).collect();
    let last = || arguments.trim_end_matches(')').rsplit(", ").next()?.parse().ok();
    Ok(match (name, fd(), names.as_slice()) {
        ("openat" | "open", _, [Some(name)]) if name.is_empty() => {
            Some(Event::OpenFolder { fd: result })
        }
        ("openat" | "open", _, [Some(name)]) => Some(Event::Open {
            fd: result,
            name: name.clone(),
            append: arguments.contains("O_APPEND"),
            truncate: arguments.contains("O_TRUNC"),
        }),
        ("openat" | "open", ..) => Some(Event::Forget { fd: result }),
        ("close", Some(fd), _) => Some(Event::Forget { fd }),
        ("write" | "pwrite64", Some(fd), [_]) => {
            let at = if name == "write" { None } else { Some(last().context("pwrite64: where?")?) };
            let mut bytes = texts.into_iter().next().unwrap_or_default();
            // A call may write less than it was given.
            bytes.truncate(usize::try_from(result).unwrap_or_default());
            Some(Event::Write { fd, at, bytes })
        }
        ("ftruncate", Some(fd), _) => {
            Some(Event::Truncate { fd, length: last().context("ftruncate: to what length?")? })
        }
        ("fsync" | "fdatasync", Some(fd), _) => Some(Event::Sync { fd }),
        ("rename" | "renameat" | "renameat2", _, [Some(from), Some(to)]) => {
            Some(Event::Rename { from: from.clone(), to: to.clone() })
        }
        ("unlink" | "unlinkat", _, [Some(name)]) => Some(Event::Remove { name: name.clone() }),
        _ if names.iter().flatten().next().is_some() => bail!("{name} is not followed here"),
        _ => None,
    })
}

/// The name of a file in this folder, empty for the folder itself.
fn name_in(folder: &Path, path: &[u8]) -> Option<String> {
    let path = PathBuf::from(String::from_utf8_lossy(path).into_owned());
    Some(path.strip_prefix(folder).ok()?.to_str()?.into())
}

/// The bytes of `\x41\x42`.
fn bytes(text: &str) -> Vec<u8> {
    let digits = text.split(r"\x").skip(1);
    digits.filter_map(|digits| u8::from_str_radix(digits, 16).ok()).collect()
}
