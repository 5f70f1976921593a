//! The capacity: how many connections the system leaves room for.
//!
//! A connection is an open file and a thread, and a thread is four memory mappings: its stack, a second
//! one on which an overflow of the first is noticed, and a page below each that nobody may touch. The
//! system has only so many of each. A file or a thread that can't be had is an error, which the
//! server lives with. A mapping that can't be had is the end: the standard library panics in a thread
//! that has not begun yet, and that ends the process.
//!
//! So the limit on connections is lowered, with a warning, to what fits below the system's own limits.
//! The naive version believes its user, and aborts at some 16,300 idle clients.
//!
//! Next: [`crate::net::server`], which takes that many.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::thread::available_parallelism;

use rustix::process::{Resource, Rlimit, getrlimit, getuid, setrlimit};

use crate::watch::warning::warn;

/// Something of which each connection takes some.
struct Supply {
    name: &'static str,
    /// How many the system has left for this process; none where it does not say.
    left: Option<u64>,
    /// How many this process needs besides.
    ours: u64,
    /// How many a connection takes.
    each: u64,
}

/// `wanted` connections, or as many as there is room for, which is one at least. Raises the limit on
/// open files as far as the system lets us.
///
/// The system is asked once: what this process takes later, in other threads say, is allowed for.
#[must_use]
pub fn at_most(wanted: usize) -> usize {
    static ROOM: OnceLock<(usize, &str)> = OnceLock::new();
    lowered(wanted, *ROOM.get_or_init(|| tightest(&supplies())))
}

/// The same where no thread is needed for each connection: it is an open file, and nothing else.
#[must_use]
pub fn at_most_files(wanted: usize) -> usize {
    let [files, ..] = supplies();
    lowered(wanted, tightest(&[files]))
}

fn lowered(wanted: usize, (room, name): (usize, &str)) -> usize {
    if room < wanted {
        warn(format_args!(
            "the system's limit on {name} leaves room for {room} connections, not {wanted}"
        ));
    }
    room.min(wanted)
}

/// The room below the limit that is met first, and what is limited there.
fn tightest(supplies: &[Supply]) -> (usize, &'static str) {
    let rooms = supplies.iter().filter_map(|supply| {
        let room = (supply.left?.saturating_sub(supply.ours) / supply.each).max(1);
        Some((usize::try_from(room).unwrap_or(usize::MAX), supply.name))
    });
    rooms.min().unwrap_or((usize::MAX, "nothing"))
}

fn supplies() -> [Supply; 3] {
    // The allocator makes arenas of two mappings each, up to eight for each processor.
    let arenas = 16 * available_parallelism().map_or(1, |count| count.get() as u64);
    [
        // Listeners and who waits there, the data file and its replacement, the standard streams, and
        // some to spare.
        Supply { name: "open files", left: open_files(), ours: 32, each: 1 },
        Supply { name: "threads", left: threads(), ours: 32, each: 1 },
        // A connection whose input and output have grown large takes two more.
        Supply { name: "memory mappings", left: mappings(), ours: 1000 + arenas, each: 6 },
    ]
}

fn open_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    // macOS has a highest number that it does not tell: 10240 is the one in its header files.
    let aims = [limit.maximum, Some(10_240)].into_iter().map(|current| Rlimit { current, ..limit });
    let mut higher = aims.filter(|aim| aim.current.is_none() || aim.current > limit.current);
    let raised = higher.find(|aim| setrlimit(Resource::Nofile, *aim).is_ok());
    raised.unwrap_or(limit).current
}

/// A user's limit is for all programs of that user. The others are not counted: the server gets along
/// without a thread that can't be had in the end.
fn threads() -> Option<u64> {
    // "0.20 0.18 0.12 1/80 11206": 80 threads in the whole system.
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let taken = load.split([' ', '/']).nth(4).and_then(|total| total.parse().ok()).unwrap_or(0);
    let of_the_system = ["threads-max", "pid_max"]
        .map(|name| Some(number(&Path::new("/proc/sys/kernel").join(name))?.saturating_sub(taken)));
    // It does not hold for root.
    let of_the_user = if getuid().is_root() { None } else { getrlimit(Resource::Nproc).current };
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let of_the_group = left_in_groups(&groups, Path::new("/sys/fs/cgroup"));
    of_the_system.into_iter().chain([of_the_user, of_the_group]).flatten().min()
}

/// What the control groups of a process (`groups` is its `/proc/PID/cgroup`) leave of their threads: its
/// own and all above it.
fn left_in_groups(groups: &str, mount: &Path) -> Option<u64> {
    let hierarchies = groups.lines().filter_map(|line| {
        // "8:pids:/docker/1234"; in version 2, where all are in one, "0::/user.slice".
        let mut parts = line.splitn(3, ':').skip(1);
        match (parts.next()?, parts.next()?) {
            ("", path) => Some((mount.to_path_buf(), path)),
            (names, path) => {
                names.split(',').any(|name| name == "pids").then(|| (mount.join("pids"), path))
            }
        }
    });
    let lefts = hierarchies.flat_map(|(folder, path)| {
        // Inside a container the path may be that of the outside, and only its root be there.
        Path::new(path).ancestors().filter_map(move |group| {
            let group = folder.join(group.strip_prefix("/").ok()?);
            let (max, current) =
                (number(&group.join("pids.max"))?, number(&group.join("pids.current"))?);
            Some(max.saturating_sub(current))
        })
    });
    lefts.min()
}

fn mappings() -> Option<u64> {
    let taken = fs::read_to_string("/proc/self/maps").ok()?.lines().count() as u64;
    Some(number(Path::new("/proc/sys/vm/max_map_count"))?.saturating_sub(taken))
}

/// The number in a file; none where there is no file, or a word such as `max`.
fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_that_is_met_first_is_the_one_that_counts() {
        let supply = |name, left, ours, each| Supply { name, left, ours, each };
        for (left, room) in [
            ([None, None, None], (usize::MAX, "nothing")),
            ([Some(64), None, None], (32, "files")),
            ([Some(10), None, Some(65_530)], (1, "files")),
            ([Some(20_000), Some(30_000), Some(65_530)], (10_755, "mappings")),
            ([Some(20_000), Some(100), Some(65_530)], (90, "threads")),
            ([Some(20_000), Some(100), Some(0)], (1, "mappings")),
        ] {
            let supplies = [
                supply("files", left[0], 32, 1),
                supply("threads", left[1], 10, 1),
                supply("mappings", left[2], 1000, 6),
            ];
            assert_eq!(tightest(&supplies), room, "{left:?}");
        }
    }

    #[test]
    fn a_control_group_counts_with_all_above_it() {
        let mount = tempfile::tempdir().unwrap();
        let group = |path: &str, max: &str, current: &str| {
            let path = mount.path().join(path);
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("pids.max"), format!("{max}\n")).unwrap();
            fs::write(path.join("pids.current"), format!("{current}\n")).unwrap();
        };
        group("pids", "max", "900");
        group("pids/docker", "500", "100");
        group("pids/docker/inner", "450", "7");
        group("app", "70", "80");
        for (groups, left) in [
            ("", None),
            ("9:name=systemd:/\n8:pids:/\n", None),
            ("8:pids:/docker\n", Some(400)),
            ("1:cpu:/app\n8:cpu,pids:/docker/inner\n", Some(400)),
            ("8:pids:/docker/not/there\n", Some(400)),
            ("8:cpu:/docker\n", None),
            ("0::/app\n", Some(0)),
            ("0::/elsewhere\n", None),
        ] {
            assert_eq!(left_in_groups(groups, mount.path()), left, "{groups:?}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_system_says_what_it_has() {
        let (files, threads, mappings) = (open_files(), threads(), mappings());
        assert!(threads.is_some_and(|left| left > 0), "{threads:?}");
        assert!(mappings.is_some_and(|left| left > 0), "{mappings:?}");
        assert_eq!(files, getrlimit(Resource::Nofile).current);
    }
}
