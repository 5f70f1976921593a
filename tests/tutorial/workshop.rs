//! The workshop: where the repository and its programs are, built once, and a folder for each
//! chapter in which commands work as the text has them.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{LazyLock, Mutex, OnceLock};

use serde_json::Value;
use tempfile::TempDir;

/// The repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where cargo puts what it builds: the folder that holds this test's `debug/deps`.
pub(crate) fn target() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(3).unwrap().to_path_buf()
}

/// An example that was built.
pub(crate) fn example(name: &str) -> PathBuf {
    target().join("debug/examples").join(name)
}

/// The names of the steps in `examples`, in order.
pub(crate) fn steps() -> Vec<String> {
    let files = fs::read_dir(root().join("examples")).unwrap();
    let names = files.filter_map(|file| file.unwrap().file_name().into_string().ok());
    let step = |name: String| Some(name.strip_suffix(".rs")?.to_string());
    let mut steps: Vec<String> =
        names.filter(|name| name.starts_with("step")).filter_map(step).collect();
    steps.sort_unstable();
    steps
}

/// The chapter that a step is explained in: 9 of `step09a_keep`.
pub(crate) fn chapter_of(step: &str) -> Option<u32> {
    let number = step.strip_prefix("step")?.split('_').next()?;
    number.trim_end_matches(|c: char| c.is_ascii_lowercase()).parse().ok()
}

/// Writes a file of the repository anew, at once and as a whole. Two tests may do so in one run:
/// each changes what is there at that moment.
pub(crate) fn rewrite(name: &str, change: impl FnOnce(&str) -> String) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap();
    let path = root().join(name);
    let old = fs::read_to_string(&path).unwrap_or_default();
    let new = change(&old);
    if new != old {
        let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap()).unwrap();
        file.write_all(new.as_bytes()).unwrap();
        file.as_file().set_permissions(fs::Permissions::from_mode(0o644)).unwrap();
        file.persist(path).unwrap();
    }
}

/// What the compiler says, by the name of the program that it says it of.
pub(crate) type Diagnostics = BTreeMap<String, Vec<String>>;

/// Builds all programs and examples, once, and returns what the compiler says of them.
pub(crate) fn build() -> &'static Diagnostics {
    static BUILT: OnceLock<Diagnostics> = OnceLock::new();
    BUILT.get_or_init(|| {
        // On its own a program may get other features of its dependencies than beside the examples:
        // `cargo run` of a transcript would compile them while somebody waits for its output.
        for options in [&["--bins"][..], &["--bins", "--examples"]] {
            let mut cargo = cargo("build");
            cargo.args(options).arg("--manifest-path").arg(root().join("Cargo.toml"));
            let (is_built, diagnostics) = diagnose(cargo.arg("--target-dir").arg(target()));
            if options.len() > 1 || !is_built {
                assert!(is_built, "the examples do not build: {diagnostics:#?}");
                return diagnostics;
            }
        }
        unreachable!("the second build returns")
    })
}

/// A cargo command. The variables that cargo sets for a test are not for it.
pub(crate) fn cargo(subcommand: &str) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.arg(subcommand).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&*name);
        }
    }
    cargo
}

/// Runs a build. Warnings of an earlier build are told again: cargo keeps them.
pub(crate) fn diagnose(cargo: &mut Command) -> (bool, Diagnostics) {
    let output = cargo.args(["--keep-going", "--message-format=json"]).output().unwrap();
    let mut diagnostics = Diagnostics::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(message) = serde_json::from_str::<Value>(line) else { continue };
        let text = &message["message"]["rendered"];
        if let (Some(name), Some(text)) = (message["target"]["name"].as_str(), text.as_str())
            && !is_summary(&message["message"])
        {
            diagnostics.entry(name.into()).or_default().push(text.into());
        }
    }
    if !output.status.success() && diagnostics.is_empty() {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        diagnostics.entry("cargo".into()).or_default().push(text);
    }
    (output.status.success(), diagnostics)
}

/// Whether this only counts what was said before.
fn is_summary(message: &Value) -> bool {
    let text = message["message"].as_str().unwrap_or_default();
    text.starts_with("aborting due to") || text.ends_with(" emitted")
}

/// A chapter's folder, its port, and what stands in for some commands.
pub(crate) struct Desk {
    folder: TempDir,
    pub(crate) port: u16,
    /// Says to other runs of this test that the port is taken, also while no server has it.
    _taken: UdpSocket,
}

/// Cargo, in a folder that is not the repository's: through a link to `Cargo.toml` it would take
/// that for another package, and build all of it again.
///
/// What `cargo run -q [--bin NAME | --example NAME] -- …` would start is built when the first of these
/// commands is run, and is started without cargo: to look at every source of every dependency again
/// takes longer than most of the programs. Whatever else is asked of cargo is up to cargo.
const CARGO: &str = r#"#!/usr/bin/env bash
export CARGO_TARGET_DIR=@target@
built() {
    [[ $1 == run && $2 == -q ]] || return
    program=dbserver source=src/main.rs
    case "$3" in
        --bin) program=$4 source=src/bin/$4/main.rs rest=5 ;;
        --example) program=examples/$4 source=examples/$4.rs rest=5 ;;
        *) rest=3 ;;
    esac
    [[ $program == dbserver || -e @root@/$source || -e @root@/${source%.rs}/main.rs ]] || return
    [[ $# -lt $rest || ${!rest} == -- ]] && [[ -x $CARGO_TARGET_DIR/debug/$program ]]
}
if built "$@"; then
    # A lab that cargo has started asks cargo to build what it runs.
    unset CARGO
    exec "$CARGO_TARGET_DIR/debug/$program" "${@:rest + 1}"
fi
case "$1" in
    build | run | check | clippy | doc | test | bench)
        exec @cargo@ "$1" --manifest-path @root@/Cargo.toml "${@:2}" ;;
    *)
        exec @cargo@ "$@" ;;
esac
"#;

/// `pkill [-SIGNAL] -x NAME`, for the chapter's server alone. After a SIGKILL it waits until the
/// server is gone, as the next command is about that.
const PKILL: &str = r#"#!/usr/bin/env bash
signal=-TERM
if [[ $1 != -x ]]; then signal=$1; shift; fi
if [[ $# -ne 2 || $1 != -x ]]; then echo "pkill: here it is pkill [-SIGNAL] -x NAME" >&2; exit 2; fi
pid=$(cat @stand-ins@/server 2>/dev/null) || exit 1
name=$(cat "/proc/$pid/comm" 2>/dev/null) || name=$(basename "$(ps -o comm= -p "$pid")")
[[ $name == "$2" ]] || exit 1
kill "$signal" "$pid" || exit 1
if [[ $signal == -9 || $signal == -KILL ]]; then
    for _ in {1..2000}; do [[ -e @stand-ins@/server ]] || exit 0; sleep 0.01; done
fi
"#;

impl Desk {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("tutorial").tempdir().unwrap();
        let (port, taken) = free_port();
        let desk = Desk { folder, port, _taken: taken };
        fs::create_dir(desk.path()).unwrap();
        fs::create_dir(desk.stand_ins()).unwrap();
        for name in
            ["src", "examples", "tests", "Cargo.toml", "Cargo.lock", "README.md", "TUTORIAL.md"]
        {
            symlink(root().join(name), desk.path().join(name)).unwrap();
        }
        symlink(target(), desk.path().join("target")).unwrap();
        for (name, script) in [("cargo", CARGO), ("pkill", PKILL)] {
            let quoted = |path: &Path| format!("'{}'", path.display());
            let script = script
                .replace("@cargo@", &quoted(Path::new(env!("CARGO"))))
                .replace("@target@", &quoted(&target()))
                .replace("@root@", &quoted(root()))
                .replace("@stand-ins@", &quoted(&desk.stand_ins()));
            let path = desk.stand_ins().join(name);
            fs::write(&path, script).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        // In a terminal curl shows no meter where it prints; here nothing is a terminal.
        fs::write(desk.stand_ins().join(".curlrc"), "no-progress-meter\n").unwrap();
        desk
    }

    /// Where the commands run.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("folder")
    }

    pub(crate) fn stand_ins(&self) -> PathBuf {
        self.folder.path().join("stand-ins")
    }

    /// The number of the process that is the chapter's server, while it runs.
    pub(crate) fn server_file(&self) -> PathBuf {
        self.stand_ins().join("server")
    }

    /// Bash, to be given arguments, in this folder and in an environment that has no surprises.
    pub(crate) fn bash(&self) -> Command {
        let mut path = self.stand_ins().into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut bash = Command::new("bash");
        bash.current_dir(self.path()).env("PATH", path).env("CURL_HOME", self.stand_ins());
        bash.env("LC_ALL", "C").env("CARGO_TERM_COLOR", "never").env("PYTHONUNBUFFERED", "1");
        bash.env("DBCHECK", target().join("debug/dbcheck"));
        bash.env_remove("RUST_BACKTRACE").env_remove("RUST_LIB_BACKTRACE").env_remove("BASH_ENV");
        // curl would ask a proxy for its own localhost.
        for name in ["http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
            bash.env_remove(name);
        }
        bash
    }
}

/// A port of four digits, as the text's, which nobody listens on, nor on the next. The system takes
/// the ports of clients from much higher ones.
///
/// It is taken at once: for UDP, which has the same numbers, and where nobody else looks.
fn free_port() -> (u16, UdpSocket) {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const LOWEST: u16 = 4100;
    const PAIRS: u16 = (9998 - LOWEST) / 2;
    // In what is printed, ports are replaced: an RFC's number must not be one.
    static TEXT: LazyLock<String> =
        LazyLock::new(|| fs::read_to_string(root().join("TUTORIAL.md")).unwrap());
    let is_in_text = |port: u16| TEXT.contains(&port.to_string());
    // Where another run of this test is likely not to look.
    let first = u16::try_from(std::process::id() % u32::from(PAIRS)).unwrap();
    let is_free = |port: &u16| {
        [(Ipv4Addr::LOCALHOST, *port).into(), (Ipv6Addr::LOCALHOST, *port).into()].into_iter().all(
            |address: SocketAddr| match TcpListener::bind(address) {
                Ok(_) => true,
                Err(error) => error.kind() != std::io::ErrorKind::AddrInUse,
            },
        )
    };
    let ports = (0..PAIRS).map(|_| {
        let count = NEXT.fetch_add(1, Ordering::Relaxed);
        LOWEST + (first.wrapping_add(count) % PAIRS) * 2
    });
    let mut ports = ports.filter(|&port| !is_in_text(port) && !is_in_text(port + 1));
    let port = ports.find_map(|port| {
        let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
        (is_free(&port) && is_free(&(port + 1))).then_some((port, taken))
    });
    port.expect("some port is free")
}
