//! The lines of processes: in which form they go on, into which files, what of them is kept and shown, and what happens where nobody takes them.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};

use crate::support::client::{Told, softstop};
use crate::support::fuse::with_hanging_file_system;
use crate::support::{Dir, Launch, Running, SOON, account, faults, namespaces};

const GRACE: Duration = Duration::from_secs(4);

/// `softstop run` of this configuration, not as PID 1, with a control socket at `sock` in `dir`.
fn launch(dir: &Dir, config: &str) -> Launch {
    let text = format!("grace = '4s'\n[control]\nsocket = '{}'\n{config}", dir.text("sock"));
    dir.launch(&text).not_pid1()
}

fn client(dir: &Dir, args: &[&str]) -> Command {
    let mut command = softstop(args);
    command.args(["--control", &dir.text("sock")]);
    command
}

fn ask(dir: &Dir, args: &[&str]) -> Told {
    Told::by(&mut client(dir, args))
}

/// A process that says whatever is written to the file `say` in `dir`, line by line, until that is closed.
fn echo(dir: &Dir) -> String {
    mkfifo(&dir.path("say"), Mode::S_IRWXU).unwrap();
    format!("command = ['sh', '-c', 'while read -r line; do echo \"$line\"; done < \"{}\"']\n", dir.text("say"))
}

/// Returns once the process reads.
fn mouth(dir: &Dir) -> File {
    OpenOptions::new().write(true).open(dir.path("say")).unwrap()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The sum of what the log says of lost lines: `PATH: 12 lines were lost: …`, `PATH: 3 more …`.
fn lost(log: &str, whose: &str) -> u64 {
    let told = log.lines().filter_map(|line| line.split_once(&format!("warning: {whose}: "))?.1.split_once(" lost: "));
    let numbers = told.filter_map(|(before, _)| before.split(' ').next()?.parse::<u64>().ok());
    numbers.sum()
}

#[test]
fn a_line_of_json_stays_an_object_and_what_is_not_quite_one_is_text() {
    let dir = Dir::new();
    let huge = format!("{{\"a\":\"{}\"}}", "x".repeat(20_000));
    let own = "{\"level\":\"info\",\"n\":[1,2.5]}";
    let twice = "{\"a\":1,\"a\":2}";
    dir.write("said", &format!("{own}\n{{\"a\":1\n{twice}\n{huge}\n"));
    let said = dir.text("said");
    let task = |name: &str, output: &str, logs: &str| {
        format!(
            "[[process]]\nname = '{name}'\nkind = 'task'\ncommand = ['cat', '{said}']\noutput = '{output}'\n{logs}\n"
        )
    };
    let config = [
        task("json", "json", ""),
        task("text", "json", "[process.logs]\nobjects = false\nstdout = 'stderr'"),
        task("timed", "prefix", &format!("[process.logs]\ntimestamps = true\nstdout = '{}'", dir.text("timed.log"))),
        task("plain", "plain", &format!("[process.logs]\nstdout = '{}'", dir.text("plain.log"))),
        task("quiet", "prefix", "[process.logs]\nstdout = 'none'"),
    ];
    let ended = launch(&dir, &config.concat()).run();
    ended.expect_code(0).expect_not("quiet |");
    let lines = |stream: &str, name: &str| -> Vec<serde_json::Value> {
        let all = stream.lines().filter_map(|line| serde_json::from_str(line).ok());
        all.filter(|line: &serde_json::Value| line["process"] == name).collect()
    };
    let json = lines(&ended.stdout, "json");
    assert_eq!(json[0]["object"], serde_json::json!({ "level": "info", "n": [1, 2.5] }), "{json:?}");
    assert!(json[0].get("line").is_none() && json[0]["timestamp"].is_string());
    assert_eq!((&json[1]["line"], &json[2]["line"]), (&"{\"a\":1".into(), &twice.into()));
    assert_eq!(
        (&json[3]["partial"], &json[4]["continued"]),
        (&true.into(), &true.into()),
        "a huge line comes in pieces"
    );
    let text = lines(&ended.stderr, "text");
    assert_eq!(text[0]["line"], own, "{text:?}");
    assert_eq!(read(&dir.path("plain.log")), read(&dir.path("said")), "byte by byte, the huge line, too");
    let timed = read(&dir.path("timed.log"));
    let (time, rest) = timed.lines().next().unwrap().split_once(' ').unwrap();
    assert!(humantime::parse_rfc3339(time).is_ok() && rest == format!("timed | {own}"), "{timed}");
}

#[test]
fn a_file_is_put_aside_at_its_size_while_softstop_is_stopped_now_and_then_and_no_line_is_missing() {
    let dir = Dir::new();
    let log = dir.text("web.log");
    let config = format!(
        "[[process]]\nname = 'web'\ncommand = ['sh', '-c', 'seq 1 60000; seq 60001 120000']\n[process.logs]\nstdout = '{log}'\nstderr = '{log}'\nmax_size = '16Ki'\nmax_files = 100\n"
    );
    let mut running = launch(&dir, &config).start();
    running.wait_until("the first file is put aside", |_| dir.path("web.log.1").exists());
    // In the middle of it, if it is not too late for that.
    let pid = Pid::from_raw(running.pid());
    let _ = kill(pid, Signal::SIGSTOP);
    std::thread::sleep(Duration::from_millis(50));
    let _ = kill(pid, Signal::SIGCONT);
    let ended = running.wait(SOON);
    ended.expect_code(0).expect_not("lost");
    let mut files: Vec<String> = (1..=99).rev().map(|n| format!("web.log.{n}")).collect();
    files.push("web.log".to_owned());
    let texts: Vec<String> = files.iter().map(|name| dir.read(name)).filter(|text| !text.is_empty()).collect();
    assert!(texts.len() > 30, "{} files", texts.len());
    assert!(
        texts.iter().all(|text| text.len() <= 16 * 1024 + 7 && text.ends_with('\n')),
        "{:?}",
        texts.iter().map(String::len)
    );
    let expected: String = (1..=120_000).map(|n| format!("{n}\n")).collect();
    assert!(texts.concat() == expected, "lines are missing, twice there or out of order");
}

#[test]
fn the_oldest_file_goes_and_what_is_old_is_put_aside_when_a_line_comes() {
    let dir = Dir::new();
    let log = dir.text("web.log");
    let config = format!(
        "[[process]]\nname = 'web'\n{}[process.logs]\nstdout = '{log}'\nmax_age = '1s'\nmax_files = 2\n",
        echo(&dir)
    );
    let mut running = launch(&dir, &config).start();
    let mut say = mouth(&dir);
    for line in ["one", "two", "three"] {
        writeln!(say, "{line}").unwrap();
        running.wait_until(line, |_| dir.read("web.log") == format!("{line}\n"));
        std::thread::sleep(Duration::from_millis(1100));
    }
    assert_eq!(dir.read("web.log.1"), "two\n");
    assert!(!dir.path("web.log.2").exists());
    drop(say);
    running.wait(SOON).expect_code(0);
}

#[test]
fn a_file_that_was_moved_is_begun_anew_and_so_is_one_whose_folder_was_gone() {
    let dir = Dir::new();
    fs::create_dir(dir.path("logs")).unwrap();
    let log = dir.path("logs/web.log");
    let config = format!(
        "[logs]\nreopen_on = 'SIGUSR2'\n[[process]]\nname = 'web'\n{}[process.logs]\nstdout = '{}'\n",
        echo(&dir),
        log.display()
    );
    let mut running = launch(&dir, &config).start();
    let mut say = mouth(&dir);
    let mut says = |running: &mut Running, line: &str| {
        writeln!(say, "{line}").unwrap();
        running.wait_until(line, |_| read(&log).ends_with(&format!("{line}\n")));
    };
    says(&mut running, "one");
    let aside = |n: u32| dir.path(&format!("logs/aside.{n}"));
    fs::rename(&log, aside(1)).unwrap();
    says(&mut running, "two");
    assert_eq!((read(&aside(1)), read(&log)), ("one\n".into(), "two\n".into()));
    // By an order, and by the signal, before a line comes.
    fs::rename(&log, aside(2)).unwrap();
    assert_eq!(ask(&dir, &["reopen"]).expect(0, "").out, "the log files are opened again\n");
    running.wait_until("made by the order", |_| log.exists());
    fs::rename(&log, aside(3)).unwrap();
    running.signal(libc::SIGUSR2).wait_until("made by the signal", |_| log.exists());
    says(&mut running, "three");
    // copytruncate.
    OpenOptions::new().write(true).truncate(true).open(&log).unwrap();
    says(&mut running, "four");
    assert_eq!(read(&log), "four\n");
    // The folder goes, and comes back.
    fs::remove_dir_all(dir.path("logs")).unwrap();
    writeln!(say, "lost").unwrap();
    running.wait_for("1 line was lost: No such file or directory");
    fs::create_dir(dir.path("logs")).unwrap();
    writeln!(say, "five").unwrap();
    running.wait_until("written again", |_| read(&log) == "five\n");
    drop(say);
    running.wait(SOON).expect_code(0).expect_not("SIGUSR2 passed on");
}

#[test]
fn a_full_disk_loses_lines_and_says_how_many_and_a_stop_is_a_stop() {
    needs!(faults::possible());
    let dir = Dir::new();
    fs::create_dir(dir.path("disk")).unwrap();
    let log = dir.text("disk/web.log");
    // 2000 lines of 100 bytes; what the file does not have is lost.
    let config = format!(
        "[[process]]\nname = 'web'\ncommand = ['sh', '-c', 'trap \"exit 0\" TERM; seq -f %099.0f 1 2000; touch \"{up}\"; while :; do sleep 0.05; done']\n[process.logs]\nstdout = '{log}'\n",
        up = dir.text("up")
    );
    let mount = "mount -t tmpfs -o size=64k none \"$0\" && exec \"$@\"";
    let mut running = launch(&dir, &config).through(&["unshare", "-m", "sh", "-c", mount, &dir.text("disk")]).start();
    running.wait_until("all is said", |_| dir.path("up").exists());
    let seen = format!("/proc/{}/root{log}", running.pid());
    running.wait_for("lost: No space left on device");
    // The file is read once nothing more is written.
    let stat = |path: &str| fs::metadata(path).map_or(0, |m| m.len());
    running.wait_until("the disk is full", |_| stat(&seen) > 60_000);
    let file = File::open(&seen).unwrap();
    let (ended, _) = running.stop_within(GRACE);
    let mut text = String::new();
    BufReader::new(file).read_to_string(&mut text).unwrap();
    let written = text.lines().filter(|line| line.len() == 99).count() as u64;
    assert_eq!(lost(&ended.all(), &log) + written, 2000, "{written} in the file\n{}", ended.all());
    ended.expect_code(0);
}

#[test]
fn a_file_system_that_hangs_holds_up_neither_the_program_for_ever_nor_the_stop() {
    with_hanging_file_system(|hung| {
        let dir = Dir::new();
        // More than the queue and the socket hold; the end of it comes when the lines are lost.
        let config = format!(
            "[[process]]\nname = 'web'\ncommand = ['sh', '-c', 'trap \"exit 0\" TERM; yes a line of some length | head -c 2200000; echo said >&2; while :; do sleep 0.05; done']\n[process.logs]\nstdout = '{}'\n",
            hung.file()
        );
        let mut running = launch(&dir, &config).start();
        running.wait_until("it hangs", |_| hung.asked() > 0);
        ask(&dir, &["status"]).expect(0, "");
        running.wait_for("lost: its file system hangs").wait_for("said");
        let mark = running.mark();
        let (ended, _) = running.stop_within(GRACE);
        ended.expect_code(0);
        // "a line of some length\n" has 22 bytes.
        assert_eq!(lost(&ended.all(), hung.file()), 2_200_000 / 22, "{}", ended.all());
        hung.release();
        account::nothing_left(&mark);
    });
}

#[test]
fn who_may_lose_lines_goes_on_where_nobody_reads_and_who_may_not_waits() {
    let dir = Dir::new();
    let (report, blocks, drops) = (dir.text("report.json"), dir.text("blocks"), dir.text("drops"));
    let process = |name: &str, done: &str, when_full: &str| {
        format!(
            "[[process]]\nname = '{name}'\ncommand = ['sh', '-c', 'yes a line | head -c 4000000; touch \"{done}\"; exec sleep 600']\noutput = 'prefix'\n[process.logs]\nwhen_full = '{when_full}'\n"
        )
    };
    let config = [process("waits", &blocks, "block"), process("loses", &drops, "drop")].concat();
    let config = format!("report = '{report}'\n[control]\nsocket = '{}'\n{config}", dir.text("sock"));
    let running = Launch::new(["run", "--grace", "2s", "-c", &dir.write("softstop.toml", &config)]).not_pid1().unread();
    let mut running = running.start();
    running.wait_until("the one that may lose lines has said all", |_| dir.path("drops").exists());
    assert!(!dir.path("blocks").exists(), "nobody has read what it says");
    let (ended, _) = running.stop_within(GRACE);
    assert!(!dir.path("blocks").exists(), "{}", ended.all());
    let report: serde_json::Value = serde_json::from_str(&read(Path::new(&report))).unwrap();
    let timeline = report["timeline"].as_array().unwrap();
    let loss = timeline.iter().find(|entry| entry["event"] == "output_lost" && entry["stream"] == "loses").unwrap();
    assert!(loss["lines"].as_u64().unwrap() > 100_000, "{loss}");
    assert!(!timeline.iter().any(|entry| entry["stream"] == "waits"), "{report:#}");
}

/// softstop's processes that write log files.
fn writers(running: &Running) -> Vec<i32> {
    let own = running.marked().into_iter().filter(|p| p.name == "softstop-log" && !p.is_zombie());
    own.map(|p| p.pid).collect()
}

#[test]
fn a_writer_that_is_killed_is_followed_by_another_also_at_the_deadline() {
    needs!(namespaces());
    let dir = Dir::new();
    let log = dir.text("web.log");
    // It goes on at SIGTERM, so that it is killed with everything else, its log's writer included.
    let script = "trap \"\" TERM; n=0; while :; do n=$((n+1)); echo $n; sleep 0.01; done";
    let config = format!(
        "grace = '2s'\n[[process]]\nname = 'web'\ncommand = ['sh', '-c', '{script}']\n[process.logs]\nstdout = '{log}'\n"
    );
    let mut running = dir.launch(&config).start();
    let lines = |dir: &Dir| dir.lines("web.log").len();
    running.wait_until("lines come", |_| lines(&dir) > 5);
    let first = writers(&running);
    assert_eq!(first.len(), 1, "{first:?}");
    kill(Pid::from_raw(first[0]), Signal::SIGKILL).unwrap();
    running.wait_until("another writes", |r| writers(r).iter().any(|pid| *pid != first[0]));
    let before = lines(&dir);
    running.wait_until("lines go on", |_| lines(&dir) > before + 5);
    let (ended, _) = running.stop_within(GRACE);
    ended.expect("SIGKILL").expect_not("lost").expect_not("straggler");
    // Killed in the middle of it, one may write a line twice; none is missing.
    let mut numbers: Vec<u32> = dir.lines("web.log").iter().filter_map(|line| line.parse().ok()).collect();
    numbers.dedup();
    assert!(numbers.len() > 20 && numbers.iter().zip(1..).all(|(n, expected)| *n == expected), "{numbers:?}");
}

// === softstop logs ===

/// A client that follows, and its lines as they come.
struct Follower {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Follower {
    fn start(dir: &Dir, args: &[&str]) -> Follower {
        let mut command = client(dir, &[&["logs", "-f"], args].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Follower { child, lines }
    }

    /// Reads up to this line; what stood before it.
    fn until(&mut self, wanted: &str) -> Vec<String> {
        let mut before = Vec::new();
        loop {
            let line = self.lines.next().unwrap_or_else(|| panic!("no {wanted:?} behind {before:?}")).unwrap();
            if line == wanted {
                return before;
            }
            before.push(line);
        }
    }

    /// Exit code, the rest of standard output, standard error.
    fn end(mut self) -> (Option<i32>, Vec<String>, String) {
        let rest = self.lines.map(Result::unwrap).collect();
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code(), rest, said)
    }
}

#[test]
fn the_last_lines_are_shown_and_followed_over_a_restart_and_to_the_end_of_the_stop() {
    let dir = Dir::new();
    // Only the first run says much: the ring is small.
    let once = dir.text("once");
    let script = format!(
        "trap \"echo bye; exit 0\" TERM; [ -e \"{once}\" ] || seq 1 200; touch \"{once}\"; echo up; while :; do sleep 0.05; done"
    );
    let config = format!(
        "[[process]]\nname = 'web'\ncommand = ['sh', '-c', '{script}']\n[process.logs]\nmemory = '1Ki'\n[[process]]\nname = 'past'\ncommand = ['sleep', '600']\noutput = 'inherit'\n"
    );
    let running = launch(&dir, &config).up();
    let out = ask(&dir, &["logs", "web"]).expect(0, "").out;
    // 23 bytes stand in front of each line.
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines.len() == 1024 / 26 && lines.ends_with(&["199", "200", "up"]), "{lines:?}");
    assert_eq!(ask(&dir, &["logs", "-n", "2"]).out, "web | 200\nweb | up\n");
    let json: serde_json::Value = serde_json::from_str(&ask(&dir, &["logs", "-n1", "--json", "web"]).out).unwrap();
    assert_eq!((&json["process"], &json["stream"], &json["line"]), (&"web".into(), &"stdout".into(), &"up".into()));
    let timed = ask(&dir, &["logs", "-t", "-n", "1", "web"]).out;
    assert!(humantime::parse_rfc3339(timed.split(' ').next().unwrap()).is_ok() && timed.ends_with(" up\n"), "{timed}");
    // Why there is nothing.
    ask(&dir, &["logs", "past"]).expect_all(1, &["past writes past softstop", "output = \"prefix\""]);
    ask(&dir, &["logs", "wbe"]).expect(1, "there is no process \"wbe\": did you mean web?");

    let mut one = Follower::start(&dir, &["-n", "1", "web"]);
    let mut all = Follower::start(&dir, &["-n", "1"]);
    assert!(one.until("up").is_empty() && all.until("web | up").is_empty());
    ask(&dir, &["restart", "web"]).expect(0, "");
    assert_eq!(one.until("bye"), Vec::<String>::new());
    all.until("web | bye");
    one.until("up");
    running.stop_within(GRACE);
    let (code, rest, said) = one.end();
    assert_eq!((code, rest, said.as_str()), (Some(0), vec!["bye".to_owned()], ""));
    let (code, rest, _) = all.end();
    assert_eq!((code, rest.last().map(String::as_str)), (Some(0), Some("web | bye")));
}

#[test]
fn a_follower_that_does_not_read_holds_nothing_up_and_is_told_what_it_missed() {
    let dir = Dir::new();
    let config = format!("[[process]]\nname = 'web'\n{}output = 'plain'\n", echo(&dir));
    let mut running = launch(&dir, &config).start();
    let mut say = mouth(&dir);
    let mut follower = Follower::start(&dir, &["web"]);
    writeln!(say, "begin").unwrap();
    assert!(follower.until("begin").is_empty());
    let pid = Pid::from_raw(i32::try_from(follower.child.id()).unwrap());
    kill(pid, Signal::SIGSTOP).unwrap();
    // More than sockets and the ring hold.
    let line = "x".repeat(1000);
    for n in 0..800 {
        writeln!(say, "{n} {line}").unwrap();
    }
    writeln!(say, "end").unwrap();
    running.wait_for("end");
    assert_eq!(ask(&dir, &["logs", "-n1", "web"]).out, "end\n", "others are served");
    kill(pid, Signal::SIGCONT).unwrap();
    let before = follower.until("end");
    drop(say);
    running.wait(SOON).expect_code(0);
    let (code, rest, said) = follower.end();
    assert_eq!((code, rest.len()), (Some(0), 0));
    let missed: usize = said.lines().map(|line| line.split(' ').nth(2).unwrap().parse::<usize>().unwrap()).sum();
    assert!(missed > 0 && said.contains("softstop: web: "), "{said}");
    assert_eq!(before.len() + missed, 800, "{said}");
}
