//! The example image and nginx in real containers: `podman` has the harness.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::podman::*;
use crate::support::http::{self, status_of};
use crate::support::{Dir, libraries, skip};

#[test]
fn the_example_image_runs_read_only_as_a_numeric_user_and_drains() {
    needs!(able());
    for runtime in ["scratch", busybox_image()] {
        let image = example_image(runtime);
        let options = ["--read-only", "--env", "SOFTSTOP_DRAIN_SLEEP=1s"];
        let container = Container::run(&[&options, &PUBLISH[..]].concat(), &image, &[]);
        let (web, probes) = (container.port(8080), container.port(9180));
        container.wait_until("/readyz answers 200", || status_of(probes, "/readyz") == Some(200));
        assert_eq!(status_of(web, "/healthz"), Some(200));
        let (code, took) = container.stop(20);
        assert_eq!(code, 0, "{}", container.logs());
        assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(15), "{took:?}: {}", container.logs());
        // The image has SOFTSTOP_DRAIN=auto, and knows no port.
        assert!(container.logs().contains("listening on TCP 8080 (web, pid "), "{}", container.logs());
    }
}

#[test]
fn in_scratch_localhost_resolves_and_missing_programs_are_127() {
    needs!(able());
    let image = scratch_image();
    let missing = Container::run(&[], image, &["--", "/no/such/program"]);
    assert_eq!(missing.wait(), 127, "{}", missing.logs());
    // Without /etc/hosts: podman would write one with localhost in it.
    for target in ["http://localhost:8080/healthz", "tcp://localhost:8080"] {
        let flags = ["--http", "0.0.0.0:9180", "--readiness", target, "--", "/web"];
        let container = Container::run(&[&["--no-hosts"], &PUBLISH[..]].concat(), image, &flags);
        let probes = container.port(9180);
        container.wait_until(target, || status_of(probes, "/readyz") == Some(200));
        assert_eq!(container.stop(20).0, 0, "{}", container.logs());
    }
}

/// Two containers of a pod share the network namespace, and with it the abstract addresses. Read-only, without a shell, as a
/// numeric user: orders reach the container that they are for, and root of the other one is nobody here.
#[test]
fn orders_by_podman_exec_reach_their_own_container() {
    needs!(able());
    let image = scratch_image();
    let options = ["--read-only", "--user", "10001:10001", "--env", "SOFTSTOP_DRAIN_SLEEP=300ms"];
    let one = Container::run(&options, image, &["--", "/web"]);
    let network = format!("container:{}", one.id);
    let two_options = ["--read-only", "--network", &network, "--env", "WEB_LISTEN=127.0.0.1:8081"];
    let two = Container::run(&two_options, image, &["--", "/web"]);
    let exec = |container: &Container, args: &[&str]| {
        let output = podman().args(["exec", &container.id, "/softstop"]).args(args).output().unwrap();
        (output.status.code(), all(&output))
    };
    for container in [&one, &two] {
        container.wait_until("status answers", || exec(container, &["status"]).1.contains("web *  Running"));
    }
    let pid = done(podman().args(["inspect", "--format", "{{.State.Pid}}", &one.id]));
    let inode = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(format!("/proc/{pid}/ns/pid")).unwrap());
    let (code, said) = exec(&two, &["stop", "--control", &format!("@softstop/{inode}/1")]);
    assert_eq!(code, Some(77), "{said}");
    let (code, said) = exec(&one, &["drain"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("drained in"), "{said}");
    let (code, said) = exec(&two, &["stop"]);
    assert!(code == Some(0) && said.contains("exit code 0"), "{code:?} {said}");
    assert_eq!((two.wait(), one.stop(20).0), (0, 0), "{}\n{}", one.logs(), two.logs());
    assert!(one.logs().contains("softstop drain by uid 10001"), "{}", one.logs());
}

/// Nothing of it can be written, and it may make no namespace.
#[test]
fn an_image_drills_itself_without_root_and_without_a_place_to_write() {
    needs!(able());
    let options =
        ["--read-only", "--read-only-tmpfs=false", "--user", "10001:10001", "--cap-drop", "all", "--network", "none"];
    let drill = ["drill", "--wrapper", "--load", "http://127.0.0.1:8080/", "--lag", "500ms"];
    let wrapper = ["--", "--drain-sleep", "3s", "--", "/web"];
    let container = Container::run(&options, scratch_image(), &[&drill[..], &wrapper[..]].concat());
    let (code, logs) = (container.wait(), container.logs());
    assert_eq!(code, 0, "{logs}");
    for words in ["as a child", "none failed", "fits in 30.0s", "terminationGracePeriodSeconds: "] {
        assert!(logs.contains(words), "{words}: {logs}");
    }
}

#[test]
fn an_images_stop_signal_is_the_stop_request() {
    needs!(able());
    // SIGQUIT is one of those that ask for a stop by default, a real-time signal has to be named: systemd's, as podman sends it to an image
    // with /sbin/init, too.
    for (signal, variables) in [("SIGRTMIN+3", "SOFTSTOP_STOP_ON=SIGTERM,SIGRTMIN+3 "), ("SIGQUIT", "")] {
        let image = wrapper_image(
            &format!("stopsignal-{}", signal.trim_end_matches("+3").to_ascii_lowercase()),
            &format!("STOPSIGNAL {signal}\nENV {variables}SOFTSTOP_STOP_SIGNAL=SIGTERM\n"),
        );
        let script = "trap 'echo told to stop; exit 0' TERM; echo up; while :; do sleep 1 & wait $!; done";
        let container = Container::run(&[], &image, &["sh", "-c", script]);
        container.wait_until("it is up", || container.said("up"));
        let (code, took) = container.stop(20);
        assert_eq!(code, 0, "{signal}: {}", container.logs());
        assert!(container.logs().contains("told to stop"), "{signal}: {}", container.logs());
        assert!(container.logs().contains(&format!("stopping: {signal}")), "{}", container.logs());
        assert!(took < Duration::from_secs(15), "{signal}: {took:?}");
    }
}

/// A kubelet mounts one file at /dev/termination-log and shows what is in it as the container's message.
#[test]
fn a_mounted_termination_log_has_the_message() {
    needs!(able());
    let dir = Dir::new();
    let file = dir.write("termination-log", &"what an earlier container left here\n".repeat(1000));
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let image = wrapper_image("termination", "ENV SOFTSTOP_GRACE=4s\n");
    let mount = format!("{file}:/dev/termination-log");
    let options = ["--read-only", "--user", "10001:10001", "--volume", mount.as_str()];
    let script = "trap 'echo not now' TERM; echo up; while :; do sleep 1 & wait $!; done";
    let container = Container::run(&options, &image, &["sh", "-c", script]);
    container.wait_until("it is up", || container.said("up"));
    // Who is killed from outside during the stop has left word that it was stopping.
    let (stop, first) = std::thread::scope(|scope| {
        let stop = scope.spawn(|| container.stop(20));
        container.wait_until("a first version when the stop begins", || dir.read("termination-log").contains("stop"));
        let first = dir.read("termination-log");
        (stop.join().unwrap(), first)
    });
    let message = dir.read("termination-log");
    assert_eq!(stop.0, 137, "{}", container.logs());
    assert_ne!(first, message);
    assert!(message.contains("SIGKILL"), "{message:?}\n{}", container.logs());
    assert!(!message.contains("an earlier container") && message.len() <= 4096, "{message:?}");
}

/// nginx of this machine with every library it needs: no registry, no debootstrap.
fn nginx_image(dir: &Dir) -> &'static str {
    let nginx = find("nginx").expect("checked by the caller");
    let root = dir.path("root");
    let libraries = libraries(&nginx);
    for path in libraries.iter().map(String::as_str).chain([nginx.to_str().unwrap()]) {
        let to = root.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(path, to).unwrap();
    }
    let image = "localhost/softstop-test-nginx";
    dir.write("nginx.conf", NGINX);
    dir.write("softstop.toml", NGINX_UNDER_SOFTSTOP);
    let text = format!(
        "FROM {} AS binaries\nFROM {}\nCOPY root/ /\nCOPY nginx.conf softstop.toml /etc/\n\
         COPY --from=binaries /out/softstop /softstop\n\
         ENTRYPOINT [\"/softstop\", \"run\", \"-c\", \"/etc/softstop.toml\"]\n",
        binaries_image(),
        busybox_image()
    );
    build(image, dir, &text, &[]);
    image
}

const NGINX: &str = "
pid /tmp/nginx.pid;
error_log stderr warn;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;
    scgi_temp_path /tmp/scgi; uwsgi_temp_path /tmp/uwsgi;
    keepalive_requests 100000;
    server { listen 8080; location / { return 200 'hello\\n'; } }
}
";

const NGINX_UNDER_SOFTSTOP: &str = "
grace = \"15s\"
report = \"/report/report.json\"

[http]
listen = \"0.0.0.0:9180\"

[[process]]
name = \"nginx\"
command = [\"nginx\", \"-c\", \"/etc/nginx.conf\", \"-g\", \"daemon off;\"]
stop = [{ signal = \"SIGQUIT\", wait = \"8s\" }, { signal = \"SIGTERM\" }]

  [process.readiness]
  http_get = { port = 8080, path = \"/\" }
  period = \"1s\"

[[drain]]
name = \"let the load balancers notice\"
sleep = \"4s\"

[[post_stop]]
name = \"last words\"
exec = [\"true\"]
";

/// Clients behind a load balancer that looks at /readyz ten times a second: each keeps its connection and sends a request every
/// `pause`; once the balancer says so it finishes the request it has and goes away.
struct Load {
    answered: AtomicU64,
    failed: Mutex<Vec<String>>,
    in_service: AtomicBool,
}

impl Load {
    fn client(&self, port: u16, pause: Duration) {
        let mut connection = None;
        let mut next = Instant::now();
        while self.in_service.load(Ordering::SeqCst) {
            match Load::request(connection.take(), port) {
                Ok(kept) => {
                    self.answered.fetch_add(1, Ordering::SeqCst);
                    connection = kept;
                }
                Err(error) => self.failed.lock().unwrap().push(error.to_string()),
            }
            next += pause;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }

    /// On the connection that there is, or a new one; what the answer leaves of it.
    fn request(connection: Option<TcpStream>, port: u16) -> std::io::Result<Option<TcpStream>> {
        let mut stream = connection.map_or_else(|| http::send(port, ""), Ok)?;
        stream.set_nodelay(true)?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")?;
        let answer = http::read_one(&mut stream)?;
        if answer.status != 200 {
            return Err(std::io::Error::other(format!("{answer:?}")));
        }
        Ok((answer.header("connection") != Some("close")).then_some(stream))
    }
}

#[test]
fn nginx_under_load_is_stopped_without_a_failed_request() {
    needs!(able());
    if find("nginx").is_none() {
        return skip("nginx is not installed");
    }
    let dir = Dir::new();
    let image = nginx_image(&dir);
    let report = dir.text("report");
    std::fs::create_dir(&report).unwrap();
    std::fs::set_permissions(&report, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let volume = format!("{report}:/report");
    // nginx as root would look for a user to change to; there is no /etc/passwd to find one in.
    let options = ["--read-only", "--tmpfs", "/tmp", "--user", "10001:10001", "--volume", volume.as_str()];
    let options = [&options[..], &PUBLISH[..]].concat();
    let container = Container::run(&options, image, &[]);
    let (web, probes) = (container.port(8080), container.port(9180));
    container.wait_until("/readyz answers 200", || status_of(probes, "/readyz") == Some(200));

    let load = Load { answered: AtomicU64::new(0), failed: Mutex::new(Vec::new()), in_service: AtomicBool::new(true) };
    let (code, before) = std::thread::scope(|scope| {
        // Twenty clients, each ten requests a second.
        for _ in 0..20 {
            scope.spawn(|| load.client(web, Duration::from_millis(100)));
        }
        scope.spawn(|| {
            while status_of(probes, "/readyz") == Some(200) {
                std::thread::sleep(Duration::from_millis(100));
            }
            load.in_service.store(false, Ordering::SeqCst);
        });
        container.wait_until("400 requests were answered", || load.answered.load(Ordering::SeqCst) >= 400);
        let before = load.answered.load(Ordering::SeqCst);
        (container.stop(20).0, before)
    });
    let failed = load.failed.into_inner().unwrap();
    let answered = load.answered.into_inner();
    println!("{answered} requests answered, {before} of them before the stop, {} failed", failed.len());
    assert!(failed.is_empty(), "{} failed of {answered}: {:?}\n{}", failed.len(), failed.first(), container.logs());
    assert_eq!(code, 0, "{}", container.logs());
    let text = dir.read("report/report.json");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let steps = report["steps"].as_array().unwrap().iter();
    let steps: Vec<_> = steps.filter_map(|step| Some((step["name"].as_str()?, step["outcome"].as_str()?))).collect();
    assert_eq!(steps, [("let the load balancers notice", "done"), ("last words", "done")], "{text}");
    let stopped = report["timeline"].as_array().unwrap().iter().find(|e| e["event"] == "stopped").unwrap();
    assert_eq!((&stopped["process"], &stopped["forced"]), (&"nginx".into(), &false.into()), "{text}");
    assert_eq!((&report["exit_code"], &report["within_grace"]), (&0.into(), &true.into()), "{text}");
}

/// podman mounts the file it is given as /run/podman-init, and that is what softstop is called by.
#[test]
fn as_podmans_init_it_says_nothing_and_with_a_setting_it_drains() {
    needs!(able());
    let (softstop, _) = static_binaries();
    let path = softstop.to_str().unwrap();
    let script = "tr '\\0' ' ' </proc/1/cmdline; trap 'echo told; exit 7' TERM; echo; echo up; while :; do sleep 1 & wait $!; done";
    for (variables, says) in
        [(&[][..], false), (&["--env", "SOFTSTOP_GRACE=60s", "--env", "SOFTSTOP_DRAIN_SLEEP=100ms"], true)]
    {
        let options = [&["--init", "--init-path", path], variables].concat();
        let container = Container::run(&options, busybox_image(), &["sh", "-c", script]);
        container.wait_until("it is up", || container.said("up"));
        let (code, _) = container.stop(60);
        let logs = container.logs();
        assert_eq!(code, 7, "{logs}");
        assert!(logs.contains("/run/podman-init -- sh -c") && logs.contains("told"), "{logs}");
        assert_eq!(logs.contains("softstop: "), says, "{logs}");
        assert_eq!(logs.contains("softstop: drain: "), says, "{logs}");
    }
}
