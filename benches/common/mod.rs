//! What the benches have in common.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// softstop as it is released: static, optimised, built here unless `SOFTSTOP_BENCH_BINARY` names one. Built apart, so that no other
/// build's flags are in it, and `more` beside it. `bench` is who says so.
pub fn softstop(bench: &str, more: &[&str]) -> PathBuf {
    if let Some(path) = std::env::var_os("SOFTSTOP_BENCH_BINARY") {
        return path.into();
    }
    eprintln!("{bench}: building the static release binary");
    let built = Command::new("./static-build").args(more).stderr(Stdio::inherit()).output().unwrap();
    assert!(built.status.success(), "the static build failed");
    PathBuf::from(String::from_utf8(built.stdout).unwrap().trim()).join("softstop")
}

/// What makes the program behind it PID 1 of a namespace of its own, of which nothing is left when it ends or is killed. `more`: the flags for other
/// kinds, too; loopback is up in a network of its own.
pub fn unshare(more: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(more).args(["--pid", "--fork", "--mount-proc", "--kill-child"]);
    if more.contains(&"--net") {
        command.args(["sh", "-c", "ip link set lo up && exec \"$@\"", "sh"]);
    }
    // softstop says that it knows no such variable, which takes time.
    command.env_remove("SOFTSTOP_BENCH_BINARY").env_remove("SOFTSTOP_BENCH_ROUNDS");
    command
}

/// Where a program is, if it is installed.
pub fn find(name: &str) -> Option<PathBuf> {
    let directories = ["/usr/bin", "/usr/local/bin", "/bin", "/usr/sbin", "/sbin"];
    directories.iter().map(|d| PathBuf::from(d).join(name)).find(|p| p.is_file())
}

pub fn children(pid: i32) -> Vec<i32> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|p| p.parse().ok()).collect()
}

/// The middle one, or between the two of them.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let at = |i: usize| values.get(i).copied().unwrap_or_default();
    f64::midpoint(at(values.len().saturating_sub(1) / 2), at(values.len() / 2))
}

/// Linux and the machine, for the line below a table.
pub fn machine() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    format!("Linux {}, {}, {processors} processors", kernel.trim(), std::env::consts::ARCH)
}

/// Replaces what stands between `<!-- MARK:begin -->` and `<!-- MARK:end -->` of `file`.
pub fn write_into(file: &str, mark: &str, table: &str) -> Result<(), String> {
    let (begin, end) = (format!("<!-- {mark}:begin -->"), format!("<!-- {mark}:end -->"));
    let old = std::fs::read_to_string(file).map_err(|e| format!("cannot read {file}: {e}"))?;
    let marks = old.split_once(&begin).and_then(|(head, rest)| rest.split_once(&end).map(|(_, tail)| (head, tail)));
    let (head, tail) = marks.ok_or_else(|| format!("{file} has no {begin} … {end} to write between"))?;
    let new = format!("{head}{begin}\n{table}{end}{tail}");
    std::fs::write(file, new).map_err(|e| format!("cannot write {file}: {e}"))
}
