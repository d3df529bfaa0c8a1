//! The stack under one supervisor: its files, its PID 1, and its processes as /proc has them.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User};

use crate::common::{children, unshare};

pub const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/comparison");
/// Where the stack finds its files, as in its image.
const ROOT: &str = "/srv";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Of every tool.
pub const NEEDS: [&str; 7] = ["nginx", "php-fpm8.2", "redis-server", "redis-cli", "cron", "ip", "nsenter"];

pub struct Tool {
    pub name: &'static str,
    /// Its folder in examples/comparison.
    pub folder: &'static str,
    pub needs: &'static [&'static str],
    command: &'static [&'static str],
    /// Its jobs are cron's.
    pub cron: bool,
    /// Where a setting of the worker stands, and what has it taken over.
    pub setting: &'static str,
    pub reload: &'static [&'static str],
    /// What starts again whom it has given up.
    pub revive: &'static [&'static str],
}

pub const TOOLS: [Tool; 4] = [
    Tool {
        name: "softstop",
        folder: "softstop",
        needs: &[],
        command: &["/srv/softstop", "run", "-c", "/srv/softstop.toml"],
        cron: false,
        setting: "softstop.toml",
        reload: &["/srv/softstop", "reload"],
        revive: &[],
    },
    Tool {
        name: "s6",
        folder: "s6",
        needs: &["s6-svscan", "execlineb"],
        command: &["s6-svscan", "/srv/services"],
        cron: true,
        setting: "services/worker/run",
        reload: &["s6-svc", "-r", "/srv/services/worker"],
        revive: &[],
    },
    Tool {
        name: "supervisord",
        folder: "supervisord",
        needs: &["supervisord", "supervisorctl"],
        command: &["supervisord", "-c", "/srv/supervisord.conf"],
        cron: true,
        setting: "supervisord.conf",
        reload: &["supervisorctl", "-c", "/srv/supervisord.conf", "update"],
        revive: &["supervisorctl", "-c", "/srv/supervisord.conf", "start", "all"],
    },
    Tool {
        name: "runit",
        folder: "runit",
        needs: &["runsvdir", "sv", "chpst"],
        command: &["/srv/init"],
        cron: true,
        setting: "services/worker/run",
        reload: &["sv", "restart", "/srv/services/worker"],
        revive: &[],
    },
];

/// A part of the stack, by what the kernel calls its processes.
pub const PARTS: [(&str, &str); 5] = [
    ("nginx", "nginx"),
    ("php-fpm", "php-fpm8.2"),
    ("redis", "redis-server"),
    ("worker", "worker.py"),
    ("cron", "cron"),
];

#[derive(Clone, Debug)]
pub struct Process {
    pub pid: i32,
    parent: i32,
    name: String,
    zombie: bool,
}

/// Everybody in this PID namespace.
fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").unwrap().filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok());
    entries.filter_map(process).collect()
}

fn process(pid: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, tail) = stat.rsplit_once(')')?;
    let mut fields = tail.split_whitespace();
    let zombie = matches!(fields.next()?, "Z" | "X");
    Some(Process { pid, parent: fields.next()?.parse().ok()?, name: head.split_once('(')?.1.to_owned(), zombie })
}

/// Mounts what the image would have; once in a mount namespace.
pub fn set_up(tool: &Tool, softstop: &Path, dir: &Path) -> Result<(), String> {
    let none: Option<&str> = None;
    let tmpfs = |on: &Path| {
        mount(Some("tmpfs"), on, Some("tmpfs"), MsFlags::empty(), Some("mode=755"))
            .map_err(|e| format!("tmpfs on {}: {e}", on.display()))
    };
    let bind = |from: &Path, on: &Path| {
        let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
        mount(Some(from), on, none, flags, none).map_err(|e| format!("mount of {}: {e}", on.display()))
    };
    let root = dir.join("root");
    fs::create_dir_all(&root).map_err(|e| e.to_string())?;
    tmpfs(&root)?;
    for from in ["app", tool.folder] {
        let to = if from == "app" { root.join("app") } else { root.clone() };
        fs::create_dir_all(&to).map_err(|e| e.to_string())?;
        let copied =
            Command::new("cp").args(["-r", "--preserve=mode"]).arg(format!("{EXAMPLES}/{from}/.")).arg(&to).status();
        if !copied.is_ok_and(|status| status.success()) {
            return Err(format!("cannot copy {EXAMPLES}/{from}"));
        }
    }
    // Not a copy: what a tmpfs holds counts as dirty.
    fs::write(root.join("softstop"), "").map_err(|e| e.to_string())?;
    bind(softstop, &root.join("softstop"))?;
    for (folder, user) in [("state", "www-data"), ("redis", "redis"), ("cron.d", "root"), ("spool", "root")] {
        let user = User::from_name(user).ok().flatten().ok_or_else(|| format!("there is no user {user}"))?;
        fs::create_dir_all(root.join(folder)).map_err(|e| e.to_string())?;
        nix::unistd::chown(&root.join(folder), Some(user.uid), Some(user.gid)).map_err(|e| e.to_string())?;
    }
    // redis writes its log there, too.
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o1777);
    fs::set_permissions(root.join("state"), everybody).map_err(|e| e.to_string())?;
    fs::copy(root.join("app/crontab"), root.join("cron.d/cleanup")).map_err(|e| e.to_string())?;
    fs::write(root.join("empty"), "").map_err(|e| e.to_string())?;
    bind(&root, Path::new(ROOT))?;
    // cron's own jobs are this machine's and not the stack's.
    bind(&root.join("cron.d"), Path::new("/etc/cron.d"))?;
    bind(&root.join("spool"), Path::new("/var/spool/cron"))?;
    if Path::new("/etc/crontab").exists() {
        bind(&root.join("empty"), Path::new("/etc/crontab"))?;
    }
    tmpfs(Path::new("/run"))
}

/// A file of the stack's.
pub fn state(name: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(ROOT).join("state").join(name)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Writes the worker's other greeting into the configuration.
pub fn change_setting(tool: &Tool) -> Result<(), String> {
    let file = Path::new(ROOT).join(tool.setting);
    let old = fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    assert_eq!(old.matches("\"one\"").count(), 1, "{} has it once", file.display());
    fs::write(&file, old.replace("\"one\"", "\"two\"")).map_err(|e| format!("{}: {e}", file.display()))
}

pub struct Stack {
    tool: &'static str,
    unshare: Child,
    pid1: i32,
}

impl Stack {
    pub fn start(tool: &Tool, log: &Path) -> Result<Stack, String> {
        let log = fs::File::options().create(true).append(true).open(log).map_err(|e| e.to_string())?;
        let errors = log.try_clone().map_err(|e| e.to_string())?;
        let mut unshare = unshare(&[])
            .args(tool.command)
            .env_clear()
            .envs([("PATH", PATH), ("HOME", "/root")])
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(|e| format!("unshare: {e}"))?;
        let limit = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(pid1) = children(unshare.id() as i32).first() {
                return Ok(Stack { tool: tool.name, pid1: *pid1, unshare });
            }
            if Instant::now() > limit || unshare.try_wait().map_err(|e| e.to_string())?.is_some() {
                return Err("its PID 1 has not started".to_owned());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Of this part, workers and all.
    pub fn of(&self, part: &str) -> Vec<Process> {
        let name = PARTS.iter().find(|(p, _)| *p == part).expect("a part").1;
        processes().into_iter().filter(|p| p.name == name && !p.zombie).collect()
    }

    /// Those whose parents are not of the part, too.
    pub fn masters(&self, part: &str) -> Vec<i32> {
        let all = self.of(part);
        let of_master = |p: &&Process| !all.iter().any(|other| other.pid == p.parent);
        all.iter().filter(of_master).map(|p| p.pid).collect()
    }

    /// In kB, private and dirty: of everybody who is there for the stack and is not it.
    pub fn supervision(&self) -> u64 {
        let stack = |p: &Process| PARTS.iter().any(|(part, name)| *part != "cron" && p.name == *name);
        let own = [std::process::id() as i32, self.unshare.id() as i32];
        let others = processes().into_iter().filter(|p| !stack(p) && !own.contains(&p.pid));
        others.map(|p| crate::crowd::private_dirty(p.pid)).sum()
    }

    /// Dead ones that nobody has waited for in the last half second.
    pub fn zombies(&self) -> usize {
        let dead = || processes().into_iter().filter(|p| p.zombie).map(|p| p.pid).collect::<Vec<_>>();
        let first = dead();
        std::thread::sleep(Duration::from_millis(500));
        dead().iter().filter(|pid| first.contains(pid)).count()
    }

    /// Runs a command in the container, as `podman exec` does.
    pub fn exec(&self, command: &[&str]) -> Result<Output, String> {
        let target = self.pid1.to_string();
        Command::new("nsenter")
            .args(["--target", &target, "--pid", "--mount", "--"])
            .args(command)
            .env_clear()
            .env("PATH", PATH)
            .stdin(Stdio::null())
            .output()
            .map_err(|e| format!("nsenter, of util-linux: {e}"))
    }

    /// SIGTERM to PID 1, as a runtime sends it.
    pub fn stop(&self) -> Result<(), String> {
        kill(Pid::from_raw(self.pid1), Signal::SIGTERM).map_err(|e| format!("SIGTERM: {e}"))
    }

    /// Waits for the end; its exit code.
    pub fn ended(&mut self, limit: Duration) -> Result<Option<i32>, String> {
        let limit = Instant::now() + limit;
        loop {
            if let Some(status) = self.unshare.try_wait().map_err(|e| e.to_string())? {
                return Ok(status.code());
            }
            if Instant::now() > limit {
                return Err(format!("{} does not end upon SIGTERM", self.tool));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // Its child, and with that the namespace, goes with it.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }
}
