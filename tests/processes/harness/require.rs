//! What this machine can do, and whether a test may be left out when it cannot.
//!
//! A test that needs something asks here first and returns when the answer is no; the reason is
//! printed, never silent. `SHOAL_TEST_REQUIRE` lists what must be there (`fuse,strace`): then its
//! absence fails the test instead.

use std::{
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    process::Command,
};

/// True for root, who can mount and limit.
pub(crate) fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    decide("root", root, "this is not root")
}

/// True when something can be mounted through `/dev/fuse`.
pub(crate) fn fuse() -> bool {
    let device = OpenOptions::new().read(true).write(true).open("/dev/fuse");
    let helper = rustix::process::geteuid().is_root() || program("fusermount3").is_some();
    let why = "/dev/fuse cannot be opened, or fusermount3 is missing";
    decide("fuse", device.is_ok() && helper, why)
}

/// True when system calls can be watched.
pub(crate) fn strace() -> bool {
    decide("strace", program("strace").is_some(), "strace is not installed")
}

/// True when a script can be run.
pub(crate) fn python() -> bool {
    decide("python", program("python3").is_some(), "python3 is not installed")
}

/// True when network namespaces can be made, and links in them limited.
pub(crate) fn netns() -> bool {
    let name = format!("shoal-probe-{}", std::process::id());
    let limited = ["qdisc", "add", "dev", "lo", "root", "tbf", "rate", "1mbit", "burst", "64kb"];
    let limited = ["-n", &name].into_iter().chain(limited).chain(["latency", "50ms"]);
    let there = succeeds("ip", ["netns", "add", &name].into_iter());
    let there = there && {
        let can = succeeds("tc", limited);
        succeeds("ip", ["netns", "delete", &name].into_iter()) && can
    };
    decide("netns", there, "no network namespace with a limited link can be made (ip, tc, tbf)")
}

/// True when there are network namespaces of the lab of that name.
pub(crate) fn stands_in_namespaces(name: &str) -> bool {
    let listed = Command::new("ip").args(["netns", "list"]).output().unwrap();
    String::from_utf8_lossy(&listed.stdout).contains(&format!("shoal-{name}-"))
}

/// Whether a program is there and ends well.
fn succeeds<'a>(program: &str, arguments: impl Iterator<Item = &'a str>) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|done| done.status.success())
}

/// True when a file system can be made on a loop device and shut down, by a script.
pub(crate) fn power_loss() -> bool {
    let programs = ["python3", "losetup", "mkfs.ext4"];
    let there = rustix::process::geteuid().is_root()
        && Path::new("/dev/loop-control").exists()
        && programs.iter().all(|name| program(name).is_some());
    decide(
        "power_loss",
        there,
        "this is not root, or there is no loop device, mkfs.ext4 or python3",
    )
}

/// A kubo, where `SHOAL_KUBO` names one or `scripts/interop-kubo` built one, and Python to run that.
pub(crate) fn kubo() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let built = cache.map(|cache| cache.join("shoal-kubo/ipfs"));
    let kubo = std::env::var_os("SHOAL_KUBO").map(PathBuf::from).or(built);
    let kubo = kubo.filter(|kubo| kubo.exists() && program("python3").is_some());
    let why = "no kubo was built (scripts/interop-kubo builds one), or python3 is missing";
    decide("kubo", kubo.is_some(), why).then_some(kubo).flatten()
}

/// A memory cgroup with a limit, when this machine lets one be made.
pub(crate) fn memory_cgroup(limit_bytes: u64) -> Option<Cgroup> {
    let name = format!("shoal-test-{}", std::process::id());
    let group = Cgroup::new(Path::new("/sys/fs/cgroup/memory"), &name, limit_bytes);
    decide("cgroup", group.is_some(), "no memory cgroup can be made").then_some(group).flatten()
}

/// A cgroup that is removed at the end.
pub(crate) struct Cgroup {
    dir: PathBuf,
}

impl Cgroup {
    fn new(parent: &Path, name: &str, limit_bytes: u64) -> Option<Self> {
        let dir = parent.join(name);
        if !parent.join("memory.limit_in_bytes").exists() {
            return None;
        }
        fs::create_dir(&dir).ok()?;
        let group = Self { dir };
        let limit = limit_bytes.to_string();
        fs::write(group.dir.join("memory.limit_in_bytes"), limit).ok().map(|()| group)
    }

    /// The file that takes a process id.
    pub(crate) fn processes(&self) -> PathBuf {
        self.dir.join("cgroup.procs")
    }

    /// Most bytes that it ever held, page cache included.
    pub(crate) fn most_bytes(&self) -> u64 {
        let text = fs::read_to_string(self.dir.join("memory.max_usage_in_bytes"));
        text.unwrap_or_default().trim().parse().unwrap_or(0)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        fs::remove_dir(&self.dir).ok();
    }
}

/// Where a program stands in `PATH`.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.exists())
}

fn decide(feature: &str, there: bool, why: &str) -> bool {
    let required = std::env::var("SHOAL_TEST_REQUIRE").unwrap_or_default();
    let required = required.split(',').any(|name| name.trim() == feature);
    assert!(there || !required, "SHOAL_TEST_REQUIRE names {feature}, but {why}");
    if !there {
        println!("left out: {why}");
    }
    there
}
