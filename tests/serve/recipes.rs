//! The recipes of docs/recipes, each with the real program: `softstop check` has nothing to say of its files, a drill of them passes, and
//! what is under way when the stop is requested is finished.
//!
//! The files are those of examples/recipes, as they are copied into an image, but for ports, paths and what an image has and this machine
//! has not: what is replaced stands in [`Rig::new`] or with its test.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::{drill, examples};
use crate::support::http::{free_port, status_json, status_of};
use crate::support::{Beside, Dir, Ended, Launch, Running, SOON, installed, root, skip};

/// Debian's programs, whatever else comes first elsewhere: their packages are Debian's, too.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env("PATH", PATH);
    command
}

/// A recipe's files in a place of their own.
struct Rig {
    dir: Dir,
    port: u16,
    probes: u16,
    config: String,
}

impl Rig {
    /// `changes` may have DIR for the place and PORT for the program's port.
    fn new(recipe: &str, changes: &[(&str, &str)]) -> Rig {
        let (dir, port, probes) = (Dir::without_spaces(), free_port(), free_port());
        let (here, number) = (dir.text("").trim_end_matches('/').to_owned(), port.to_string());
        let text =
            std::fs::read_to_string(examples::folder(&format!("recipes/{recipe}")).join("softstop.toml")).unwrap();
        let listen = format!("\"127.0.0.1:{probes}\"");
        // A test's time: two seconds more than the clients of `passes_under_load` go on.
        let mut all = vec![("\":9180\"", listen.as_str()), ("8080", "PORT"), ("minimum = \"5s\"", "minimum = \"3s\"")];
        all.retain(|(from, _)| text.contains(from));
        all.extend(changes);
        let all: Vec<(&str, String)> =
            all.into_iter().map(|(from, to)| (from, to.replace("DIR", &here).replace("PORT", &number))).collect();
        let all: Vec<(&str, &str)> = all.iter().map(|(from, to)| (*from, to.as_str())).collect();
        let config = examples::copy(&dir, &format!("recipes/{recipe}"), &all);
        Rig { dir, port, probes, config }
    }

    fn drill(&self, flags: &[&str], env: &[(&str, &str)]) -> Running {
        let args = [&["drill", "-c", &self.config, "--json", "--before", "300ms"], flags].concat();
        let launch = Launch::new(args).not_pid1().env("PATH", PATH);
        env.iter().fold(launch, |launch, (name, value)| launch.env(name, value)).start()
    }

    /// With clients that learn late, by a second: none of their requests is lost.
    fn passes_under_load(&self, path: &str) {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let ended = self.drill(&["--load", &url, "--lag", "1s", "--patience", "30s"], &[]).wait(SOON * 3);
        let load = passed(&ended)["load"].take();
        assert!(load["ok"].as_u64() > Some(10) && load["failures"].as_array().is_some_and(Vec::is_empty), "{load:#}");
    }
}

/// It fits, nothing is found, and nobody needed SIGKILL: what was measured.
#[track_caller]
fn passed(ended: &Ended) -> Value {
    let mut said: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {}", ended.all()));
    assert!(drill::findings(&said).is_empty(), "{}", ended.all());
    ended.expect_code(0);
    let run = said["graces"][0]["drills"][0].take();
    assert_eq!(run["exit_code"], 0, "{}", ended.all());
    assert!(run["stop"]["forced"].as_array().is_some_and(Vec::is_empty), "{}", ended.all());
    run
}

/// As in the image, and beside the pod's manifest.
#[test]
fn a_check_has_nothing_to_say_of_a_recipe_and_its_pod() {
    let mut found = 0;
    let entries = std::fs::read_dir(examples::folder("recipes")).unwrap().map(|entry| entry.unwrap().path());
    for recipe in entries.filter(|path| path.is_dir()) {
        let [config, pod] = ["softstop.toml", "pod.yaml"].map(|file| recipe.join(file).to_str().unwrap().to_owned());
        Launch::new(["check", "--strict", "-c", &config, "--pod", &pod]).not_pid1().run().expect_code(0).expect("ok");
        found += 1;
    }
    assert!(found >= 7, "{found} recipes");
}

#[test]
fn nginx_by_its_recipe_loses_no_request() {
    needs!(installed(&["nginx"]));
    let paths = [("/etc/nginx/nginx.conf", "DIR/nginx.conf"), ("/tmp/", "DIR/"), ("/usr/share/nginx/html", "DIR")];
    Rig::new("nginx", &paths).passes_under_load("/healthz");
}

#[test]
fn gunicorn_by_its_recipe_loses_no_request() {
    if installed(&["gunicorn"]) {
        Rig::new("gunicorn", &[("/app", "DIR")]).passes_under_load("/");
    }
}

#[test]
fn uvicorn_by_its_recipe_loses_no_request() {
    if installed(&["uvicorn"]) {
        Rig::new("uvicorn", &[("/app", "DIR")]).passes_under_load("/");
    }
}

/// For `nginx-php-fpm`. Its image has another user than root, who may not be a pool's.
const OF_PHP: [(&str, &str); 5] = [
    ("/app", "DIR"),
    ("/tmp/", "DIR/"),
    ("127.0.0.1:9000", "127.0.0.1:FASTCGI"),
    ("\"--nodaemonize\"", "\"--nodaemonize\", \"--allow-to-run-as-root\""),
    ("[www]", "[www]\nuser = root\ngroup = root"),
];

fn with_php(more: &[(&str, &str)]) -> Option<Rig> {
    let fastcgi = format!("127.0.0.1:{}", free_port());
    let paths = OF_PHP.map(|(from, to)| (from, if to.ends_with("FASTCGI") { &fastcgi } else { to }));
    installed(&["nginx", "php-fpm8.2"]).then(|| Rig::new("nginx-php-fpm", &[&paths, more].concat()))
}

#[test]
fn nginx_and_php_fpm_by_their_recipe_lose_no_request() {
    if let Some(rig) = with_php(&[]) {
        rig.passes_under_load("/");
    }
}

#[test]
fn nginx_and_php_fpm_answer_after_a_crash_of_each_and_what_was_under_way_at_the_stop() {
    // The drain is over before the request that is under way, and a crash is made up for soon.
    let more =
        [("timeout = \"12s\"", "timeout = \"4s\""), ("stop = \"", "backoff = { initial = \"100ms\" }\nstop = \"")];
    let Some(Rig { dir: _dir, port: web, probes, config }) = with_php(&more) else { return };
    let mut running = Launch::new(["run", "-c", &config]).not_pid1().env("PATH", PATH).start();
    running.wait_until("/readyz answers 200", |_| status_of(probes, "/readyz") == Some(200));
    let curl = move |path: &str| {
        Command::new("curl").args(["-s", "-S", "-f", &format!("http://127.0.0.1:{web}{path}")]).output().unwrap()
    };
    for name in ["php-fpm", "nginx"] {
        let pid = || status_json(probes)["processes"].as_array()?.iter().find(|p| p["name"] == name)?["pid"].as_i64();
        let killed = pid().unwrap();
        kill(Pid::from_raw(killed as i32), Signal::SIGKILL).unwrap();
        let answer = curl("/");
        assert!(answer.status.success(), "after the crash of {name}: {answer:?}\n{}", running.printed());
        running.wait_until("it is there again", |_| {
            pid().is_some_and(|pid| pid != killed) && status_of(probes, "/readyz") == Some(200)
        });
    }
    let (sent, is_sent) = std::sync::mpsc::channel();
    let request = std::thread::spawn(move || {
        sent.send(()).unwrap();
        curl("/?sleep=7")
    });
    is_sent.recv().unwrap();
    running.term();
    let ended = running.wait(SOON * 2);
    let answer = request.join().unwrap();
    assert!(String::from_utf8_lossy(&answer.stdout).contains("after 7s"), "{answer:?}\n{}", ended.all());
    ended.expect_code(0);
    examples::expect_in_order(
        &ended,
        &["drain: until", "nginx: stopping: SIGQUIT", "nginx: stopped", "php-fpm: stopped"],
    );
}

#[test]
fn celery_by_its_recipe_finishes_the_task_under_way() {
    needs!(installed(&["celery", "redis-server", "redis-cli", "python3"]));
    let rig = Rig::new(
        "celery",
        &[
            ("/app", "DIR"),
            // It is ready, so that it may be stopped, when the task is under way, and that ends when it may.
            ("signals.worker_ready", "signals.task_prerun"),
            ("time.sleep(seconds)", "while not os.path.exists('DIR/go'): time.sleep(0.05)"),
        ],
    );
    let number = rig.port.to_string();
    let words = ["--port", &number, "--bind", "127.0.0.1", "--save", "", "--dir", &rig.dir.text(".")];
    let mut redis = Beside(command("redis-server").args(words).stdout(Stdio::piped()).spawn().unwrap());
    let mut said = BufReader::new(redis.0.stdout.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().contains("Ready to accept connections")), "redis does not start");
    let redis_cli = |words: &[&str]| {
        let output = command("redis-cli").args(["-p", &number]).args(words).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let broker = format!("redis://127.0.0.1:{number}/0");
    let mut send = command("python3");
    send.args(["-c", "import tasks; tasks.work.delay(1)"]).env("BROKER", &broker).current_dir(rig.dir.path("."));
    assert!(send.status().unwrap().success());
    let mut drill = rig.drill(&[], &[("BROKER", &broker)]);
    drill.wait_for("worker: stopping: SIGTERM").wait_for("Warm shutdown");
    rig.dir.write("go", "");
    let ended = drill.wait(SOON * 2);
    passed(&ended);
    ended.expect(" succeeded in ");
    // Taken off the queue, and not to be done again.
    assert_eq!(redis_cli(&["exists", "celery", "unacked"]), "0", "{}", ended.all());
}

#[test]
fn redis_by_its_recipe_saves_what_it_has() {
    needs!(installed(&["redis-server", "redis-cli"]));
    // It is ready when it has something to save.
    let rig = Rig::new(
        "redis",
        &[("6379", "PORT"), ("\"/data\"", "\"DIR\""), ("\"ping\"]", "\"set\", \"answer\", \"forty-two\"]")],
    );
    let ended = rig.drill(&[], &[]).wait(SOON * 2);
    passed(&ended);
    let saved = std::fs::read(rig.dir.path("dump.rdb")).unwrap_or_default();
    assert!(saved.windows(9).any(|part| part == b"forty-two"), "{}", ended.all());
}

/// A client of PostgreSQL, with one session.
struct Psql {
    child: Beside,
    answers: BufReader<std::process::ChildStdout>,
}

impl Psql {
    fn connect(port: u16) -> Psql {
        let words = ["-X", "-q", "-t", "-A", "-h", "127.0.0.1", "-p", &port.to_string(), "-U", "postgres", "postgres"];
        let mut psql = command("psql");
        psql.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = psql.spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Psql { child: Beside(child), answers }
    }

    /// One that has this answer to this, as soon as there is a server.
    fn until(running: &mut Running, port: u16, text: &str, answer: &str) -> Psql {
        let mut found = None;
        running.wait_until("PostgreSQL takes clients", |_| {
            let mut session = Psql::connect(port);
            found = (session.ask(text) == answer).then_some(session);
            found.is_some()
        });
        found.unwrap()
    }

    /// The line that comes of it; empty when the session has ended.
    fn ask(&mut self, text: &str) -> String {
        let mut line = String::new();
        if writeln!(self.child.0.stdin.as_mut().unwrap(), "{text}").is_ok() {
            let _ = self.answers.read_line(&mut line);
        }
        line.trim().to_owned()
    }
}

#[test]
fn postgres_by_its_recipe_waits_for_a_transaction_and_not_for_a_pool() {
    let installed = || std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let Some(bin) = installed().map(|version| version.path().join("bin")).find(|bin| bin.join("postgres").is_file())
    else {
        return skip("PostgreSQL is not installed");
    };
    needs!(root("to be the user postgres"));
    // The image's script, which would make the data set and become its user, is not here.
    let server = format!("{:?}, \"-D\", \"DIR/data\", \"-k\", \"DIR\"", bin.join("postgres"));
    let rig = Rig::new(
        "postgres",
        &[
            ("\"docker-entrypoint.sh\", \"postgres\"", &server),
            ("stop = \"postgres\"", "user = \"postgres\"\nstop = \"postgres\""),
            // It is ready, so that it may be stopped, when its clients are there.
            (
                "exec = [\"pg_isready\", \"-q\", \"-h\", \"127.0.0.1\", \"-p\", \"5432\"]\n  period = \"5s\"",
                "exec = [\"test\", \"-e\", \"DIR/clients\"]\n  period = \"100ms\"",
            ),
            ("5432", "PORT"),
        ],
    );
    let as_postgres = |program: &str, words: &[&str]| {
        let mut command = command("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(bin.join(program)).args(words);
        command.current_dir(rig.dir.path("."));
        command
    };
    let data = rig.dir.text("data");
    let made = as_postgres("initdb", &["-N", "-A", "trust", "--no-locale", "-D", &data]).output().unwrap();
    assert!(made.status.success(), "{made:?}");

    // A transaction that is not over: it may be finished, and then nobody is waited for.
    let mut drill = rig.drill(&[], &[]);
    let mut client = Psql::until(&mut drill, rig.port, "create table answers (n int); select 'there';", "there");
    assert_eq!(client.ask("begin; insert into answers values (42); select 'under way';"), "under way");
    rig.dir.write("clients", "");
    drill.wait_for("postgres: stopping: SIGTERM");
    let answer = client.ask("commit; select 'committed';");
    drop(client);
    let ended = drill.wait(SOON * 2);
    passed(&ended);
    ended.expect("database system is shut down").expect_not("received fast shutdown request");
    assert_eq!(answer, "committed", "{}", ended.all());

    // A session of a pool, which nobody ends: it is told.
    std::fs::remove_file(rig.dir.path("clients")).unwrap();
    let mut drill = rig.drill(&["--grace", "20s"], &[]);
    let _pooled = Psql::until(&mut drill, rig.port, "select n from answers;", "42");
    rig.dir.write("clients", "");
    let ended = drill.wait(SOON * 2);
    passed(&ended);
    ended.expect("received fast shutdown request").expect("database system is shut down");
    ended.expect_not("was not properly shut down").expect_not("received immediate shutdown request");
}
