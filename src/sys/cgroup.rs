//! softstop's own control group: how often the kernel has killed inside because memory had run out, and how near the limit of processes is.
//! Version 1 and 2, read only; a container sees these files even where the cgroup file system is mounted read-only. Whatever is not
//! there (no such mount, a controller that is not enabled, a sandboxed kernel) is not known, and nothing is said of it.
//!
//! Nothing is remembered but the place: limits change while a container runs. The kernel answers every one of these files from its own
//! counters.

#![expect(unsafe_code, reason = "std has no read into new memory, and a node has hundreds of mounts")]

use std::collections::HashSet;
use std::fs;
use std::io::BufRead;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::procfs::{read_record, read_text};

/// Where the two controllers that softstop asks are, if anywhere.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Cgroup {
    memory: Option<Place>,
    pids: Option<Place>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Place {
    dir: PathBuf,
    version: Version,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Version {
    One,
    Two,
}

/// How many tasks there are in the group and how many there may be; threads count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pids {
    pub current: u64,
    pub max: u64,
}

impl Cgroup {
    /// Searches for it: `/proc/self/cgroup` and the mounts. Nothing found is no error.
    pub fn find() -> Cgroup {
        let (own, mounted) = (read_text("/proc/self/cgroup"), group_mounts());
        let mounted = listed(&mounted);
        let place = |controller: &str, one: &str, two: &str| {
            let found = |version| {
                let file = if version == Version::One { one } else { two };
                let dirs = dirs(&own, &mounted, controller, version).into_iter();
                dirs.map(|dir| Place { dir, version }).find(|place| place.read(file).is_some())
            };
            // A controller belongs to one hierarchy; where version 1 has it, version 2 does not.
            found(Version::One).or_else(|| found(Version::Two))
        };
        Cgroup {
            memory: place("memory", "memory.oom_control", "memory.events"),
            pids: place("pids", "pids.current", "pids.current"),
        }
    }

    /// How many processes in the group the kernel has killed because memory had run out, for whatever limit, since the group was made. Below
    /// it, too, with version 2.
    pub fn oom_kills(&self) -> Option<u64> {
        let memory = self.memory.as_ref()?;
        let file = if memory.version == Version::One { "memory.oom_control" } else { "memory.events" };
        number(&memory.read(file)?, "oom_kill")
    }

    /// The group's own limit of memory by the name of its file, in bytes. `None`: there is none here, though there may be one above.
    pub fn memory_limit(&self) -> Option<(&'static str, u64)> {
        let memory = self.memory.as_ref()?;
        let file = if memory.version == Version::One { "memory.limit_in_bytes" } else { "memory.max" };
        // Version 1 writes "no limit" as the greatest number of pages; version 2 as "max".
        let bytes = memory.read(file)?.trim().parse().ok().filter(|bytes: &u64| *bytes < 1 << 62)?;
        Some((file, bytes))
    }

    /// `None` where there is no limit.
    pub fn pids(&self) -> Option<Pids> {
        let pids = self.pids.as_ref()?;
        let read = |file| pids.read(file)?.trim().parse::<u64>().ok();
        Some(Pids { current: read("pids.current")?, max: read("pids.max")? })
    }
}

/// So many groups are looked at: a container has one, or a few below it.
const MOST_GROUPS: usize = 64;

/// The numbers, as sock_diag has them, of softstop's own group and of those below it (version 2). `None`: it cannot be seen, or is the root's,
/// in which everybody may be.
pub fn numbers() -> Option<HashSet<u64>> {
    const ROOT: u64 = 1;
    let own = dirs(&read_text("/proc/self/cgroup"), &listed(&group_mounts()), "", Version::Two);
    let mut pending: Vec<PathBuf> = own.into_iter().find(|dir| dir.is_dir()).into_iter().collect();
    let mut numbers = HashSet::new();
    while let Some(dir) = pending.pop() {
        let number = fs::metadata(&dir).ok()?.ino();
        if number == ROOT || numbers.len() == MOST_GROUPS {
            return None;
        }
        numbers.insert(number);
        let entries = fs::read_dir(&dir).ok()?.flatten();
        pending.extend(entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()));
    }
    (!numbers.is_empty()).then_some(numbers)
}

impl Place {
    fn read(&self, file: &str) -> Option<String> {
        let bytes = read_record(self.dir.join(file).to_str()?).ok()?;
        String::from_utf8(bytes).ok()
    }
}

/// The kernel gives a page at a time.
const PAGE: usize = 4096;

/// Those lines of `/proc/self/mountinfo` that are control groups'. A node has hundreds of others, each a page long: none of them is kept.
fn group_mounts() -> String {
    let mut found = String::new();
    let Ok(file) = fs::File::open("/proc/self/mountinfo") else { return found };
    // A page, behind the beginning of its first line: a container's mounts are less than one.
    let mut text = Vec::with_capacity(PAGE);
    loop {
        let n = read_page(&file, &mut text);
        let whole = if n == 0 { text.len() } else { text.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1) };
        // From one to the next: most pages have none, and that is much faster than to go through their lines.
        let mut rest = &text[..whole];
        while let Some(at) = find(rest, b" - cgroup") {
            let begin = rest[..at].iter().rposition(|b| *b == b'\n').map_or(0, |before| before + 1);
            let end = first(&rest[at..], b'\n').map_or(rest.len(), |behind| at + behind + 1);
            let line = &rest[begin..end];
            if is_group_mount(line) {
                // Nearly always it is UTF-8, which is looked at in no time.
                match std::str::from_utf8(line) {
                    Ok(line) => found.push_str(line),
                    Err(_) => found.push_str(&String::from_utf8_lossy(line)),
                }
            }
            rest = &rest[end..];
        }
        text.drain(..whole);
        if n == 0 {
            return found;
        }
    }
}

/// Appends what one read gives, a page at the most; zero at the end, and when it fails.
fn read_page(file: &fs::File, text: &mut Vec<u8>) -> usize {
    text.reserve(PAGE);
    let room = text.spare_capacity_mut();
    let most = room.len().min(PAGE);
    // SAFETY: the kernel writes no more than `most` bytes into room of at least as many, which nobody reads before.
    let n = unsafe { libc::read(file.as_raw_fd(), room.as_mut_ptr().cast(), most) };
    let n = usize::try_from(n).unwrap_or(0);
    // SAFETY: so many of them have just been written.
    unsafe { text.set_len(text.len() + n) };
    n
}

/// Where a word stands first. From one of its letters to the next: blanks are everywhere.
fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    let before = usize::from(word.first() == Some(&b' '));
    let mut from = before;
    loop {
        let at = from + first(text.get(from..)?, *word.get(before)?)?;
        if text[at - before..].starts_with(word) {
            return Some(at - before);
        }
        from = at + 1;
    }
}

/// Where a byte stands first. Of the standard library's searches this one is the C library's `memchr`, and as quick.
fn first(text: &[u8], byte: u8) -> Option<usize> {
    let mut rest = text;
    let behind = rest.skip_until(byte).unwrap_or(0);
    behind.checked_sub(1).filter(|at| text[*at] == byte)
}

fn contains(text: &str, word: &str) -> bool {
    find(text.as_bytes(), word.as_bytes()).is_some()
}

/// Between what is said of the mount and of its file system. In a path a blank is written `\040`.
const DASH: &[u8] = b" - ";

fn is_group_mount(line: &[u8]) -> bool {
    find(line, DASH).and_then(|at| line.get(at + DASH.len()..)).is_some_and(|behind| behind.starts_with(b"cgroup"))
}

/// The directories that may be the group's, the likeliest first.
fn dirs(own: &str, mounted: &[Mount<'_>], controller: &str, version: Version) -> Vec<PathBuf> {
    let Some(path) = own_path(own, controller, version) else { return Vec::new() };
    let all = mounted.iter().filter(|mount| mount.has(controller, version)).map(Mount::place);
    // A mount shows the tree from its root on: what lies outside of that cannot be seen in it.
    all.filter_map(|(root, at)| Some(at.join(Path::new(path).strip_prefix(&root).ok()?))).collect()
}

/// The group's path in the text of `/proc/self/cgroup`, as its hierarchy counts: `/` in a cgroup namespace of its own.
fn own_path<'t>(text: &'t str, controller: &str, version: Version) -> Option<&'t str> {
    let path = text.lines().find_map(|line| match version {
        Version::One if !contains(line, controller) => None,
        Version::One => {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            controllers.split(',').any(|c| c == controller).then_some(path)
        }
        Version::Two => line.strip_prefix("0::"),
    })?;
    // Above the namespace's root: it cannot be seen from here.
    (path.starts_with('/') && !path.starts_with("/..")).then_some(path)
}

/// A mount of a hierarchy: a line of `/proc/self/mountinfo`, read once for all controllers.
struct Mount<'t> {
    /// The root that it shows, and where it is, as the kernel writes them.
    root: &'t str,
    at: &'t str,
    /// With the controllers among them. `None`: version 2, which has all.
    options: Option<&'t str>,
}

impl<'t> Mount<'t> {
    fn of(line: &'t str) -> Option<Mount<'t>> {
        let dash = find(line.as_bytes(), DASH)?;
        let (front, back) = (line.get(..dash)?, line.get(dash + DASH.len()..)?);
        let options = match back.strip_prefix("cgroup ") {
            Some(back) => Some(back.split(' ').nth(1)?),
            None if back.starts_with("cgroup2 ") => None,
            None => return None,
        };
        let mut front = front.split(' ').skip(3);
        Some(Mount { root: front.next()?, at: front.next()?, options })
    }

    fn has(&self, controller: &str, version: Version) -> bool {
        match (version, self.options) {
            (Version::One, Some(options)) => options.split(',').any(|option| option == controller),
            (Version::Two, None) => true,
            _ => false,
        }
    }

    fn place(&self) -> (PathBuf, PathBuf) {
        (PathBuf::from(unescaped(self.root)), PathBuf::from(unescaped(self.at)))
    }
}

fn listed(mountinfo: &str) -> Vec<Mount<'_>> {
    mountinfo.lines().filter_map(Mount::of).collect()
}

/// The kernel writes blanks and the like in a path as `\040`.
fn unescaped(path: &str) -> String {
    if !path.contains('\\') {
        return path.to_owned();
    }
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(path.to_owned(), |path, (from, to)| path.replace(from, to))
}

/// The number after `key` in a file of lines such as `oom_kill 3`.
fn number(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Docker on a machine with version 1, no cgroup namespace: the mount shows the container's own group as its root.
    const DOCKER_V1: (&str, &str) = (
        "12:pids:/docker/8f2c\n9:memory:/docker/8f2c\n4:cpu,cpuacct:/docker/8f2c\n1:name=systemd:/docker/8f2c\n",
        "661 660 0:29 /docker/8f2c /sys/fs/cgroup/memory ro,nosuid,nodev,noexec,relatime master:16 - cgroup cgroup rw,memory\n\
         662 660 0:30 /docker/8f2c /sys/fs/cgroup/cpu,cpuacct ro,relatime master:17 - cgroup cgroup rw,cpu,cpuacct\n",
    );
    /// containerd with version 2 and a cgroup namespace.
    const KUBERNETES_V2: (&str, &str) = (
        "0::/\n",
        "1013 1006 0:26 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate,memory_recursiveprot\n",
    );
    /// A machine with systemd and both (hybrid): memory is version 1's.
    const HYBRID: (&str, &str) = (
        "4:memory:/user.slice/a b\n0::/user.slice/session.scope\n",
        "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
         41 31 0:38 / /sys/fs/cgroup/uni\\040fied rw,relatime - cgroup2 cgroup2 rw\n",
    );

    fn found((own, mounts): (&str, &str), version: Version) -> Vec<PathBuf> {
        dirs(own, &listed(mounts), "memory", version)
    }

    #[test]
    fn the_group_is_found_wherever_it_is_mounted() {
        assert_eq!(found(DOCKER_V1, Version::One), [PathBuf::from("/sys/fs/cgroup/memory/")]);
        assert_eq!(found(DOCKER_V1, Version::Two), Vec::<PathBuf>::new());
        assert_eq!(found(KUBERNETES_V2, Version::Two), [PathBuf::from("/sys/fs/cgroup/")]);
        assert_eq!(found(KUBERNETES_V2, Version::One), Vec::<PathBuf>::new());
        assert_eq!(found(HYBRID, Version::One), [PathBuf::from("/sys/fs/cgroup/memory/user.slice/a b")]);
        assert_eq!(found(HYBRID, Version::Two), [PathBuf::from("/sys/fs/cgroup/uni fied/user.slice/session.scope")]);
    }

    #[test]
    fn a_word_is_found_where_it_stands_first() {
        for text in ["", " ", " -", "- - cgroup", "a-b - c - d", "x - - ", "--- -", "pids", "a pidpids,pids", "p"] {
            for word in [" - ", " - cgroup", "pids", "s"] {
                assert_eq!(find(text.as_bytes(), word.as_bytes()), text.find(word), "{word:?} in {text:?}");
            }
        }
    }

    #[test]
    fn of_all_mounts_those_of_groups_are_kept() {
        for text in [DOCKER_V1.1, KUBERNETES_V2.1, HYBRID.1] {
            assert!(text.lines().all(|line| is_group_mount(line.as_bytes())), "{text}");
        }
        let other = "112 42 0:82 / /a\\040-\\040cgroup rw,relatime master:1 - overlay overlay rw,lowerdir=/x - cgroup";
        for line in [other, "22 27 0:21 / /proc rw - proc proc rw", "", " - ", "x"] {
            assert!(!is_group_mount(line.as_bytes()), "{line}");
        }
        // The machine's own.
        let all = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let groups = all.lines().filter(|l| l.contains(" - cgroup ") || l.contains(" - cgroup2 ")).count();
        assert_eq!(group_mounts().lines().count(), groups);
    }

    #[test]
    fn a_group_that_cannot_be_seen_is_not_guessed() {
        let above = ("4:memory:/../other\n0::/../..\n", HYBRID.1);
        assert_eq!(found(above, Version::One), Vec::<PathBuf>::new());
        assert_eq!(found(above, Version::Two), Vec::<PathBuf>::new());
        let elsewhere = ("9:memory:/kubepods/pod1/main\n", DOCKER_V1.1);
        assert_eq!(found(elsewhere, Version::One), Vec::<PathBuf>::new(), "the mount shows another group");
        for damaged in ["", "\n", "::", "4:memory", "0::relative", "x"] {
            assert_eq!(found((damaged, damaged), Version::One), Vec::<PathBuf>::new());
            assert_eq!(found((damaged, damaged), Version::Two), Vec::<PathBuf>::new());
        }
    }

    #[test]
    fn counters_of_both_versions_are_read() {
        let two = "low 0\nhigh 0\nmax 57\noom 3\noom_kill 2\noom_group_kill 1\nsock_throttled 0\n";
        assert_eq!(number(two, "oom_kill"), Some(2));
        assert_eq!(number(two, "oom"), Some(3));
        let one = "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n";
        assert_eq!(number(one, "oom_kill"), Some(7));
        // A kernel before 4.13 has no such line.
        assert_eq!(number("oom_kill_disable 0\nunder_oom 0\n", "oom_kill"), None);
        assert_eq!(number("oom_kill x\n", "oom_kill"), None);
    }

    #[test]
    fn files_that_are_not_there_are_not_known() {
        let nowhere = Cgroup::default();
        assert_eq!((nowhere.oom_kills(), nowhere.memory_limit(), nowhere.pids()), (None, None, None));
        let dir = std::env::temp_dir().join(format!("softstop-cgroup-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let place = |version| Some(Place { dir: dir.clone(), version });
        let two = Cgroup { memory: place(Version::Two), pids: place(Version::Two) };
        for (file, text) in [("memory.events", "oom_kill 4\n"), ("memory.max", "134217728\n"), ("pids.current", "7\n")]
        {
            fs::write(dir.join(file), text).unwrap();
        }
        assert_eq!((two.oom_kills(), two.memory_limit()), (Some(4), Some(("memory.max", 134_217_728))));
        assert_eq!(two.pids(), None, "no pids.max");
        fs::write(dir.join("pids.max"), "100\n").unwrap();
        assert_eq!(two.pids(), Some(Pids { current: 7, max: 100 }));
        fs::write(dir.join("pids.max"), "max\n").unwrap();
        fs::write(dir.join("memory.max"), "max\n").unwrap();
        assert_eq!((two.pids(), two.memory_limit()), (None, None), "no limits");
        let one = Cgroup { memory: place(Version::One), pids: None };
        fs::write(dir.join("memory.limit_in_bytes"), "9223372036854771712\n").unwrap();
        assert_eq!((one.memory_limit(), one.oom_kills()), (None, None));
        fs::remove_dir_all(&dir).unwrap();
    }
}
