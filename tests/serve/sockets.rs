//! `[[socket]]`: real servers that are handed their sockets, restarted and killed under load; who has which; what is in the way.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::client::from_here;
use crate::support::http::{self, free_port, status_of};
use crate::support::{Dir, Running, SOON, installed, processes, web_service};

/// What clients came to who connect, ask and read the answer, again and again.
#[derive(Default)]
struct Load {
    over: AtomicBool,
    answered: AtomicUsize,
    refused: AtomicUsize,
    /// Connected, and not answered.
    lost: Mutex<Vec<String>>,
}

impl Load {
    fn go_on(&self, port: u16) {
        while !self.over.load(Ordering::Relaxed) {
            // Others have tests to run, too.
            std::thread::sleep(Duration::from_millis(5));
            match ask(port) {
                Ok(()) => {
                    self.answered.fetch_add(1, Ordering::Relaxed);
                }
                Err(e) if e.kind() == ErrorKind::ConnectionRefused => {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                }
                Err(e) => self.lost.lock().unwrap().push(e.to_string()),
            }
        }
    }

    fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }
}

fn ask(port: u16) -> std::io::Result<()> {
    let answer = http::request(port, "GET", "/")?;
    if answer.status == 200 { Ok(()) } else { Err(std::io::Error::other(format!("{answer:?}"))) }
}

/// Restarts `web` so often under load, by order, then kills it a few times; gives back the stop's end.
fn restarted_under_load(dir: &Dir, command: &str, restarts: usize) {
    let port = free_port();
    let text = format!(
        "grace = '30s'\n[control]\nsocket = '{}'\n[[socket]]\nname = 'web'\ntcp = '127.0.0.1:{port}'\n\
         [[process]]\nname = 'web'\ncommand = {command}\nsockets = ['web']\nrestart = 'always'\n\
         backoff = {{ initial = '10ms', max = '10ms' }}\n",
        dir.text("control")
    );
    let mut running = dir.launch(&text).start();
    // It may be asked before its program runs.
    running.wait_until("the server answers", |_| status_of(port, "/") == Some(200));
    let load = Load::default();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(|| load.go_on(port))).collect();
        let answered = |running: &mut Running, load: &Load| {
            let before = load.answered();
            running.wait_until("it answers again", |_| load.answered() > before + 8);
        };
        // Whatever fails in between, the clients end.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..restarts {
                from_here(&["restart", "web", "--control", &dir.text("control")]).expect(0, "");
                answered(&mut running, &load);
            }
            assert_eq!(*load.lost.lock().unwrap(), Vec::<String>::new(), "{} restarts", restarts);
            for _ in 0..3 {
                let server = |r: &Running| r.processes().into_iter().find(|p| p.parent == r.pid()).map(|p| p.pid);
                let before = server(&running).unwrap_or_else(|| panic!("no server: {}", running.printed()));
                processes::send(before, libc::SIGKILL);
                running.wait_until("another is started", |r| server(r).is_some_and(|pid| pid != before));
                answered(&mut running, &load);
            }
        }));
        load.over.store(true, Ordering::Relaxed);
        clients.into_iter().for_each(|client| client.join().unwrap());
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
    assert_eq!(load.refused.load(Ordering::Relaxed), 0, "refused; {} were answered", load.answered());
    running.stop_within(Duration::from_secs(30)).0.expect_code(0);
    assert_eq!(ask(port).map_err(|e| e.kind()), Err(ErrorKind::ConnectionRefused));
}

#[test]
fn a_rust_server_restarted_twenty_times_under_load_refuses_nobody() {
    let dir = Dir::new();
    restarted_under_load(&dir, &format!("[{:?}]", web_service().to_str().unwrap()), 20);
}

#[test]
fn gunicorn_restarted_under_load_refuses_nobody() {
    // Debian's own, whatever python3 comes first on the PATH.
    needs!(installed(&["/usr/bin/gunicorn"]));
    let dir = Dir::new();
    let app = "def app(env, start):\n    start('200 OK', [('Content-Length', '2')])\n    return [b'ok']\n";
    dir.write("app.py", app);
    let command = format!("['/usr/bin/gunicorn', '--workers', '1', '--chdir', {:?}, 'app:app']", dir.text(""));
    restarted_under_load(&dir, &command, 6);
}

/// In the order of `sockets`, whatever that of the configuration is; and to those that name them alone.
#[test]
fn each_process_has_its_sockets_at_three_and_up_and_nobody_else_has_any() {
    let dir = Dir::new();
    let (one, two) = (free_port(), free_port());
    let show = "echo \"$1: $LISTEN_FDS $LISTEN_FDNAMES $([ \"$LISTEN_PID\" = $$ ] && echo own) \
                $(for n in 3 4 5 6 7 8 9; do readlink /proc/$$/fd/$n | sed \"s/^/$n=/\"; done | grep -c socket)\"";
    let script = dir.script("show", show);
    let text = format!(
        "[[socket]]\nname = 'one'\ntcp = '127.0.0.1:{one}'\n[[socket]]\nname = 'two'\nudp = '127.0.0.1:{two}'\nnonblocking = true\n\
         [[socket]]\nname = 'three'\nunix = '{}'\n\
         [[init]]\nexec = ['{script}', 'init']\n\
         [[process]]\nname = 'a'\ncommand = ['sh', '-c', '. \"$0\"; exec sleep 1000', '{script}']\nsockets = ['three', 'one', 'two']\n\
         [[process]]\nname = 'b'\ncommand = ['sh', '-c', '. \"$0\"; exec sleep 1000', '{script}']\nafter = {{ a = 'started' }}\n\
         [[process]]\nname = 'c'\ncommand = ['sh', '-c', '. \"$0\"; exec sleep 1000', '{script}']\nsockets = ['one']\n\
         [process.pre_stop]\nexec = ['{script}', 'hook']\n",
        dir.text("s.sock"),
    );
    let mut running = dir.launch(&text).start();
    running.wait_for("a | : 3 three:one:two own 3").wait_for("b | :    0").wait_for("c | : 1 one own 1");
    let init = running.printed().lines().any(|line| line.ends_with("init:    0"));
    assert!(init, "{}", running.printed());
    // The order is that of the names.
    let sleeping = |r: &Running| r.processes().into_iter().filter(|p| p.name == "sleep").collect::<Vec<_>>();
    running.wait_until("each is its program", |r| sleeping(r).len() == 3);
    let all = sleeping(&running);
    let link = |pid: i32, fd: u32| std::fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok();
    let inode = |port: u16| {
        let tcp = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let line =
            tcp.lines().find(|l| l.contains(&format!("0100007F:{port:04X} 00000000:0000 0A"))).unwrap().to_owned();
        PathBuf::from(format!("socket:[{}]", line.split_whitespace().nth(9).unwrap()))
    };
    let at = |fd| all.iter().filter(|p| link(p.pid, fd) == Some(inode(one))).count();
    assert_eq!((at(3), at(4), at(5)), (1, 1, 0), "c has it at 3, a at 4");
    let of_a = all.iter().find(|p| link(p.pid, 4) == Some(inode(one))).unwrap().pid;
    let blocks = |fd: u32| {
        let info = std::fs::read_to_string(format!("/proc/{of_a}/fdinfo/{fd}")).unwrap();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
        i32::from_str_radix(flags.trim(), 8).unwrap() & libc::O_NONBLOCK == 0
    };
    assert_eq!((blocks(3), blocks(4), blocks(5)), (true, true, false), "the last is nonblocking");
    let ended = running.stop_within(Duration::from_secs(30)).0;
    ended.expect("hook:    0");
    assert!(!dir.path("s.sock").exists(), "its file is removed");
}

/// What is there before the program is: the init tasks may take their time.
#[test]
fn who_connects_before_the_program_runs_is_answered_by_it() {
    let dir = Dir::new();
    let port = free_port();
    let go = dir.text("go");
    let text = format!(
        "[[socket]]\nname = 'web'\ntcp = '127.0.0.1:{port}'\n[[init]]\nwait_file = {{ path = '{go}' }}\n\
         [[process]]\nname = 'web'\ncommand = [{:?}]\nsockets = ['web']\n",
        web_service().to_str().unwrap()
    );
    let mut running = dir.launch(&text).start();
    let mut connected = None;
    running.wait_until("somebody listens", |_| {
        connected = TcpStream::connect(("127.0.0.1", port)).ok();
        connected.is_some()
    });
    let connected = connected.unwrap();
    assert!(!running.printed().contains("web: started"), "{}", running.printed());
    dir.write("go", "");
    (&connected).write_all(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
    connected.set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(http::read_one(&mut &connected).unwrap().status, 200);
    running.stop_within(Duration::from_secs(30)).0.expect_code(0);
}

/// A process that has ended in the drain is not started again: whoever connects then is refused, and does not wait for the end of the grace.
#[test]
fn from_the_stop_request_on_a_client_of_a_program_that_is_gone_is_refused_at_once() {
    let dir = Dir::new();
    let (port, idle) = (free_port(), dir.text("idle.sock"));
    let go = dir.text("go");
    let text = format!(
        "[[socket]]\nname = 'web'\ntcp = '127.0.0.1:{port}'\n[[socket]]\nname = 'idle'\nunix = '{idle}'\n\
         [[process]]\nname = 'web'\ncommand = [{:?}]\nsockets = ['web']\non_exit = 'continue'\n\
         [[process]]\nname = 'idle'\ncommand = ['sleep', '1000']\nsockets = ['idle']\n\
         [[drain]]\nwait_file = {{ path = '{go}' }}\n",
        web_service().to_str().unwrap()
    );
    let mut running = dir.launch(&text).start();
    running.wait_until("the server answers", |_| status_of(port, "/") == Some(200));
    running.term().wait_for("stopping: SIGTERM");
    assert_eq!(status_of(port, "/"), Some(200), "it goes on while it drains");
    let web = running.processes().into_iter().find(|p| p.name == "web").unwrap();
    processes::send(web.pid, libc::SIGKILL);
    running.wait_until("clients are refused", |_| ask(port).is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused));
    UnixStream::connect(&idle).unwrap();
    dir.write("go", "");
    running.wait(SOON);
}

#[test]
fn what_is_in_the_way_of_a_socket_refuses_the_start() {
    let dir = Dir::new();
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    dir.write("file", "mine");
    let other = std::os::unix::net::UnixListener::bind(dir.path("other.sock")).unwrap();
    for (address, said) in [
        (format!("tcp = '127.0.0.1:{port}'"), "another process has this port"),
        ("tcp = '192.0.2.1:8080'".into(), "no interface here has this address"),
        (format!("unix = '{}'", dir.text("file")), "what is there is no socket"),
        (format!("unix = '{}'", dir.text("other.sock")), "another process listens there"),
        (format!("unix = '{}'", dir.text("missing/s.sock")), "its directory does not exist"),
        (format!("unix = '{}'\nowner = 'nobody-knows'", dir.text("s.sock")), "unknown user \"nobody-knows\""),
    ] {
        let text = format!(
            "[[socket]]\nname = 'first'\nunix = '{}'\n[[socket]]\nname = 'second'\n{address}\n\
             [[process]]\nname = 'web'\ncommand = ['sleep', '1000']\nsockets = ['first', 'second']\n",
            dir.text("first.sock")
        );
        let ended = dir.launch(&text).run();
        ended.expect_code(70).expect("socket \"second\": ").expect(said).expect("nothing was started");
        assert!(!dir.path("first.sock").exists() && !dir.path("s.sock").exists(), "what was made is gone again");
    }
    assert_eq!(dir.read("file"), "mine");
    drop(other);
}

#[test]
fn a_stale_socket_is_replaced_and_the_new_one_has_its_mode_and_owner() {
    let dir = Dir::new();
    let path = dir.path("s.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let root = nix::unistd::geteuid().is_root();
    let owner = if root { "owner = '33:34'\n" } else { "" };
    let text = format!(
        "[[socket]]\nname = 's'\nunix = '{}'\nmode = '0640'\n{owner}\
         [[process]]\nname = 'web'\ncommand = ['sh', '-c', 'echo up; exec sleep 1000']\nsockets = ['s']\n",
        path.display()
    );
    let running = dir.launch(&text).not_pid1().up();
    let found = std::fs::metadata(&path).unwrap();
    assert_eq!(found.permissions().mode() & 0o777, 0o640);
    if root {
        assert_eq!((found.uid(), found.gid()), (33, 34));
    }
    running.stop_within(Duration::from_secs(30));
    assert!(!path.exists());
}
