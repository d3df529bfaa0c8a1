//! What holds of every stop, whatever the fault, asserted in one place: [`Proof::begin`] while softstop runs, [`Proof::stop`] instead of
//! `Running::stop_within`.
//!
//! | | by |
//! |---|---|
//! | I1 | gone by T0 + grace from outside (with some `ROOM`), and by its own account without any room |
//! | I5 | strace: every child reaped once, and nothing to wait for at the exit; nothing with its mark is left |
//! | I9 | strace: no signal to a pid that was reaped, none to everybody; a stranger in its PID namespace (parent 0, as the runtime's) journals each signal it gets |

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{Beside, CHILD, Dir, Ended, Running, SOON, account, processes, skip, starvation};

/// Watches a running softstop from outside.
pub struct Proof {
    stranger: Option<Stranger>,
    trace: Option<Trace>,
    /// Some processes are beyond softstop's reach: they are nobody's failure.
    out_of_reach: bool,
    /// softstop sees nobody, so at the deadline it may hit everybody.
    blind: bool,
}

impl Proof {
    /// Once softstop is up. What it does from here on is seen.
    #[track_caller]
    pub fn begin(running: &mut Running) -> Proof {
        let stranger = running.is_pid1().then(|| Stranger::beside(running));
        Proof { stranger, trace: Trace::begin(running), out_of_reach: false, blind: false }
    }

    /// Without /proc: as PID 1 the last SIGKILL goes to the whole namespace (docs/containers.md).
    pub fn blind(mut self) -> Proof {
        self.blind = true;
        self
    }

    /// With processes that softstop may not signal, or cannot see.
    pub fn but_some_are_out_of_reach(mut self) -> Proof {
        self.out_of_reach = true;
        self
    }

    /// SIGTERM, then everything that must hold. `grace` is softstop's.
    #[track_caller]
    pub fn stop(self, mut running: Running, grace: Duration) -> Ended {
        running.term();
        self.end(running, grace)
    }

    /// The same for a stop that has just been asked for, or comes by itself.
    #[track_caller]
    pub fn end(self, running: Running, grace: Duration) -> Ended {
        let (asked, mark, pid1) = (running.age(), running.mark(), running.is_pid1());
        let mut ended = running.wait(grace + SOON);
        // Between two of its calls softstop stands still until strace has had its turn.
        ended.starved += self.trace.as_ref().map_or(Duration::ZERO, |t| starvation::of(t.strace.0.id().cast_signed()));
        ended.expect_in_time(asked, grace, "");
        if pid1 || !self.out_of_reach {
            account::nothing_left(&mark);
        }
        if let Some(stranger) = self.stranger {
            let mut received = stranger.received();
            // Whoever cannot look for strangers in time stops everybody for the look, and wakes them.
            received.retain(|signal| !(ended.says_it_starved() && signal == "CONT"));
            assert_eq!(received, [""; 0], "I9: signals to a stranger:\n{}", ended.all());
        }
        if let Some(trace) = self.trace {
            trace.check(self.out_of_reach, self.blind, &ended);
        }
        ended
    }
}

/// A process that the container runtime put into the namespace, as `kubectl exec` does: not softstop's.
struct Stranger {
    _process: Beside,
    dir: Dir,
}

impl Stranger {
    #[track_caller]
    fn beside(running: &mut Running) -> Stranger {
        let dir = Dir::new();
        let user = processes::status_field(running.pid(), "Uid").unwrap_or_default();
        let mut command = Command::new("nsenter");
        command.args(["--target", &running.pid().to_string(), "--pid", "setpriv"]);
        // Under softstop's user, or the kernel would keep it safe.
        command.args(["--reuid", &user, "--clear-groups"]).args(TRAVERSES);
        let every = format!("journal-all:{}", dir.text("received"));
        command.args(["perl", CHILD, &every, &format!("journal:{}:up", dir.text("up")), "wait"]);
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        running.wait_until("the stranger is up", |_| dir.path("up").exists());
        Stranger { _process: Beside(process), dir }
    }

    fn received(&self) -> Vec<String> {
        self.dir.lines("received")
    }
}

/// Every wait, every signal and every fork of softstop itself, as strace saw them.
struct Trace {
    strace: Beside,
    _dir: Dir,
    file: PathBuf,
    /// Children that there were already, by softstop's own numbers.
    children: HashSet<i32>,
}

/// Of `setpriv`: whoever it makes another user can still go into the folders of the clone.
pub const TRAVERSES: [&str; 2] = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"];

const CALLS: &str = "trace=waitid,wait4,kill,tkill,tgkill,pidfd_send_signal,clone,clone3,fork,vfork,exit_group";

/// `strace` with these options on softstop itself; it ends with it. `None`, and said, where there is none.
#[track_caller]
pub fn attach(running: &mut Running, options: &[&str]) -> Option<Child> {
    let mut command = Command::new("strace");
    command.args(options).args(["-p", &running.pid().to_string()]);
    let Ok(mut strace) = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn() else {
        skip("no strace: what softstop waits for and signals is neither counted nor delayed");
        return None;
    };
    // Its own word: the kernel calls it the tracer before it has told softstop to stop at its calls.
    let mut said = String::new();
    let mut lines = BufReader::new(strace.stderr.take().unwrap());
    lines.read_line(&mut said).unwrap();
    assert!(said.contains("attached"), "strace: {said}");
    // It may say more, at its end.
    strace.stderr = Some(lines.into_inner());
    Some(strace)
}

impl Trace {
    #[track_caller]
    fn begin(running: &mut Running) -> Option<Trace> {
        let dir = Dir::new();
        let file = dir.path("strace");
        let strace = attach(running, &["-e", CALLS, "-e", "signal=none", "-o", file.to_str()?])?;
        let children = processes::children(running.pid()).into_iter().filter_map(processes::inner_pid).collect();
        Some(Trace { strace: Beside(strace), _dir: dir, file, children })
    }

    #[track_caller]
    fn check(mut self, out_of_reach: bool, blind: bool, ended: &Ended) {
        // It ends with softstop.
        let _ = self.strace.0.wait();
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        let shown = || format!("\n{text}\n{}", ended.all());
        assert!(text.contains("exit_group("), "strace saw no end:{}", shown());
        let mut reaped = HashSet::new();
        // Groups that were seen to have ended.
        let mut ended_groups = HashSet::new();
        let mut last_inspection = "";
        for line in text.lines() {
            let result = line.rsplit_once(" = ").map_or("", |(_, result)| result);
            let number = || result.split(' ').next().and_then(|n| n.parse::<i32>().ok());
            let first = line.split_once('(').and_then(|(_, args)| args.split([',', ')']).next()?.parse::<i32>().ok());
            if line.starts_with("clone") || line.starts_with("fork") || line.starts_with("vfork") {
                let Some(pid) = number().filter(|pid| *pid > 0) else { continue };
                self.children.insert(pid);
                reaped.remove(&pid);
                ended_groups.remove(&-pid);
            } else if line.starts_with("waitid(P_ALL") && line.contains("WEXITED") {
                last_inspection = result;
            } else if line.starts_with("waitid(P_PID") && !line.contains("WNOWAIT") {
                let pid = line.split("si_pid=").nth(1).and_then(|rest| rest.split(',').next()?.parse().ok());
                let Some(pid) = pid else { continue };
                self.children.remove(&pid);
                assert!(reaped.insert(pid), "I5: {pid} reaped twice:{}", shown());
            } else if line.starts_with("kill(") {
                let Some(pid) = first else { continue };
                if line.contains(", 0)") {
                    // Only a look, whose answer binds.
                    if pid < -1 && result.contains("ESRCH") {
                        ended_groups.insert(pid);
                    }
                    continue;
                }
                assert!(!reaped.contains(&pid), "I9: {line}: to a pid that was reaped:{}", shown());
                assert!(!ended_groups.contains(&pid), "I9: {line}: to a group that had ended:{}", shown());
                assert!(pid != -1 || blind, "I9: {line}: to everybody:{}", shown());
            }
        }
        // Without a processor it leaves the last of them to the kernel, rather than to be late; and who has none cannot end by its SIGKILL.
        let starved = |line: &str| line.contains("does not end after SIGKILL") && line.contains("state: R");
        if !out_of_reach && !ended.was_starved() && !ended.all().lines().any(starved) {
            assert!(last_inspection.contains("ECHILD"), "I5: children at the exit ({last_inspection}):{}", shown());
            assert!(self.children.is_empty(), "I5: not reaped: {:?}:{}", self.children, shown());
        }
    }
}
