//! Processes: which of those that run were started by this run.
//!
//! A command forks, and its server may leave the group, or lose its parent. All of them inherit the
//! environment. So the command gets a mark there, and what has the mark is ours to end. Who listens
//! on the port says nothing: another program may have been faster.
//!
//! Reading the environment of every process that runs is the naive search: on a machine with some
//! hundreds of them it takes longer than most servers to start. So this process adopts what loses
//! its parent (a subreaper, see prctl(2)); all that has the mark is then below it in the tree of
//! processes, and little else is.
//!
//! Linux alone lets others look. Elsewhere what leaves the group is not found.

use std::fs;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use memchr::memmem::Finder;
use memchr::memrchr;
use rustix::process::{Pid, WaitOptions, test_kill_process_group, waitpgid, waitpid};

/// The name of the mark.
const NAME: &str = "DBCHECK_RUN";

/// The mark: its name, and what tells this run from all others. Whoever gives it to a process adopts
/// what that process leaves behind.
pub(crate) fn mark() -> (&'static str, &'static str) {
    static VALUE: OnceLock<String> = OnceLock::new();
    adopts();
    let value = VALUE.get_or_init(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        format!("{}-{}", std::process::id(), now.as_nanos())
    });
    (NAME, value)
}

/// The processes that have the mark, in the group or not.
pub(crate) fn marked() -> Vec<Pid> {
    let (name, value) = mark();
    // No other run has this text in any variable.
    let entry = Finder::new(format!("{name}={value}").as_bytes()).into_owned();
    let has_mark = |pid: &Pid| {
        let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero()));
        environment.is_ok_and(|all| entry.find(&all).is_some())
    };
    below_us().into_iter().filter(has_mark).collect()
}

/// The processes of this group that still run. Those that have ended, and wait for their parent to
/// notice, do not count: after the end of a wrapper that may take seconds.
pub(crate) fn members(group: Pid) -> Vec<Pid> {
    let is_member = |pid: &Pid| state(*pid).is_some_and(|(runs, its)| runs && its == group);
    below_us().into_iter().filter(is_member).collect()
}

/// Takes notice of the end of those that were adopted, in this group or among the strays, so that the
/// system can forget them. Not before that of the group's leader was noticed, by whoever started it.
pub(crate) fn bury(group: Pid, strays: &[Pid]) {
    while let Ok(Some(_)) = waitpgid(group, WaitOptions::NOHANG) {}
    for &stray in strays {
        let _ = waitpid(Some(stray), WaitOptions::NOHANG);
    }
}

/// Whether what loses its parent is given to this process, from the first call on, and the system
/// tells who is whose child.
fn adopts() -> bool {
    #[cfg(target_os = "linux")]
    {
        static ADOPTS: OnceLock<bool> = OnceLock::new();
        *ADOPTS.get_or_init(|| {
            let us = Some(rustix::process::getpid());
            rustix::process::set_child_subreaper(us).is_ok()
                && fs::exists("/proc/thread-self/children").is_ok_and(|is_told| is_told)
        })
    }
    #[cfg(not(target_os = "linux"))]
    false
}

/// The processes below this one: children, and theirs. All there are, where the system does not tell.
fn below_us() -> Vec<Pid> {
    if !adopts() {
        return all().collect();
    }
    let mut found = children(rustix::process::getpid());
    let mut at = 0;
    while let Some(&one) = found.get(at) {
        found.extend(children(one));
        at += 1;
    }
    found
}

/// Its children, which the system lists by the thread that has started each of them.
fn children(process: Pid) -> Vec<Pid> {
    let threads = fs::read_dir(format!("/proc/{}/task", process.as_raw_nonzero()));
    let mut children = Vec::new();
    for thread in threads.into_iter().flatten().flatten() {
        let list = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        children.extend(list.split_ascii_whitespace().filter_map(number));
    }
    children
}

/// All processes, where the system tells.
pub(crate) fn all() -> impl Iterator<Item = Pid> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|process| number(process.file_name().to_str()?))
}

/// Whether a process is in this group.
pub(crate) fn is_in(group: Pid, process: Pid) -> bool {
    state(process).is_some_and(|(_, its)| its == group)
}

/// Whether the group has a member that still runs.
pub(crate) fn group_runs(group: Pid) -> bool {
    if test_kill_process_group(group).is_err() {
        return false;
    }
    let is_told = fs::exists("/proc/self/stat").is_ok_and(|is_there| is_there);
    !is_told || !members(group).is_empty()
}

/// Whether it runs, and has not just ended.
pub(crate) fn runs(process: Pid) -> bool {
    state(process).is_some_and(|(runs, _)| runs)
}

/// Whether a process runs, and its group.
fn state(process: Pid) -> Option<(bool, Pid)> {
    let stat = fs::read(format!("/proc/{}/stat", process.as_raw_nonzero())).ok()?;
    // `pid (name) state parent group …`; the name may hold anything.
    let rest = String::from_utf8_lossy(&stat[memrchr(b')', &stat)? + 1..]);
    let words: Vec<&str> = rest.trim().split(' ').collect();
    // The first thread may be over before the others, who still have the files open, and their locks.
    let threads: u32 = words.get(17)?.parse().ok()?;
    let runs = *words.first()? != "Z" || threads > 1;
    Some((runs, number(words.get(2)?)?))
}

/// The process or group of this number. One that is about to end has a group of -1.
pub(crate) fn number(text: &str) -> Option<Pid> {
    text.parse().ok().filter(|&number| number > 0).and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use rustix::process::{Signal, kill_process};

    use super::*;

    #[test]
    fn a_number_that_no_process_has_is_none() {
        for text in ["-1", "0", "x", ""] {
            assert_eq!(number(text), None, "{text:?}");
        }
        assert!(number("1").is_some());
    }

    #[test]
    fn finds_what_has_the_mark_and_nothing_else() {
        if !cfg!(target_os = "linux") {
            return;
        }
        let (name, value) = mark();
        let sleep = |name: &str| {
            let mut command = Command::new("sleep");
            command.arg("60").env(name, value).stdin(Stdio::null());
            command.spawn().unwrap()
        };
        let (mut ours, mut other) = (sleep(name), sleep("ANOTHER_NAME"));
        let is_marked = |child| marked().contains(&Pid::from_child(child));
        // A child that has not become `sleep` yet has our own environment.
        while !is_marked(&ours) {
            std::thread::yield_now();
        }
        assert!(runs(Pid::from_child(&ours)));
        assert!(!is_marked(&other));
        for child in [&mut ours, &mut other] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert!(!runs(Pid::from_child(&ours)));
    }

    #[test]
    fn what_has_lost_its_parent_is_found_and_forgotten_after_its_end() {
        if !cfg!(target_os = "linux") {
            return;
        }
        let (name, value) = mark();
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 60 >&- 2>&- & echo $!"]).env(name, value).stdin(Stdio::null());
        let shell = shell.process_group(0).stdout(Stdio::piped()).spawn().unwrap();
        let group = Pid::from_child(&shell);
        let printed = shell.wait_with_output().unwrap().stdout;
        let orphan = number(String::from_utf8(printed).unwrap().trim()).unwrap();
        assert!(marked().contains(&orphan) && members(group) == [orphan]);

        kill_process(orphan, Signal::KILL).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while test_kill_process_group(group).is_ok() {
            assert!(Instant::now() < deadline);
            bury(group, &[]);
            std::thread::yield_now();
        }
        assert!(members(group).is_empty());
    }
}
