//! The harness for tests in real containers: podman with runc, images built by buildah without a registry (busybox-static, or
//! nothing at all, as the base).
//!
//! The static binaries are built here once (`target/static`) unless `SOFTSTOP_STATIC` and `SOFTSTOP_STATIC_WEB` name them.

// Every test file includes this module and uses a part of it.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::support::{Dir, SOON, as_launched_by_hand, is_said, skip};

/// Rootful podman with runc is what CI has; limits are set because a build machine may not allow raising podman's own.
pub fn podman() -> Command {
    as_launched_by_hand();
    let mut command = Command::new("podman");
    command.args(["--runtime", "runc"]);
    command
}

/// What this machine allows a container.
pub const LIMITS: [&str; 4] = ["--ulimit", "nofile=1024:20000", "--ulimit", "nproc=1000:1000"];

pub fn able() -> bool {
    static ABLE: OnceLock<Option<String>> = OnceLock::new();
    let why = ABLE.get_or_init(|| {
        for program in ["podman", "buildah", "runc", "busybox"] {
            if find(program).is_none() {
                return Some(format!("{program} is not installed"));
            }
        }
        if !nix::unistd::geteuid().is_root() {
            return Some("podman with runc needs root here".to_owned());
        }
        let info = podman().arg("info").output().ok()?;
        (!info.status.success()).then(|| format!("podman info: {}", String::from_utf8_lossy(&info.stderr).trim()))
    });
    if let Some(why) = why {
        skip(why);
    }
    why.is_none()
}

pub fn find(program: &str) -> Option<PathBuf> {
    ["/usr/bin", "/usr/sbin", "/bin", "/sbin"].iter().map(|d| Path::new(d).join(program)).find(|p| p.is_file())
}

#[track_caller]
pub fn done(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, all(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

pub fn all(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The static softstop and the example service.
pub fn static_binaries() -> (PathBuf, PathBuf) {
    match named() {
        Some(named) => named,
        None => (STRIPPED.map(|name| static_folder().join("stripped").join(name))).into(),
    }
}

/// The static softstop as the linker made it, with its symbols. `None` when somebody else built it.
pub fn static_with_symbols() -> Option<PathBuf> {
    named().is_none().then(|| static_folder().join("softstop"))
}

const STRIPPED: [&str; 2] = ["softstop", "web"];

fn named() -> Option<(PathBuf, PathBuf)> {
    let (softstop, web) = (std::env::var_os("SOFTSTOP_STATIC")?, std::env::var_os("SOFTSTOP_STATIC_WEB")?);
    Some((softstop.into(), web.into()))
}

/// Where they are built: once, with symbols, which `stripped` is without as the release profile has it.
fn static_folder() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        // As Dockerfile.example builds it: what is tested here is what ships.
        let mut build = Command::new(root.join("static-build"));
        build.args(["--example", "web"]).env("CARGO", env!("CARGO")).env("CARGO_PROFILE_RELEASE_STRIP", "none");
        let release = root.join(done(&mut build).trim());
        let stripped = release.join("stripped");
        std::fs::create_dir_all(&stripped).unwrap();
        for (built, name) in [release.join("softstop"), release.join("examples/web")].iter().zip(STRIPPED) {
            // Beside it and then in its place: another test may be running the last one.
            let new = stripped.join(format!("{name}.{}", std::process::id()));
            done(Command::new("strip").arg("-o").arg(&new).arg(built));
            std::fs::rename(&new, stripped.join(name)).unwrap();
        }
        release
    })
}

/// Builds `dockerfile` over the files in `dir`.
pub fn build(tag: &str, dir: &Dir, dockerfile: &str, args: &[&str]) {
    let file = dir.write("Dockerfile", dockerfile);
    let mut command = Command::new("buildah");
    command.args(["bud", "--isolation", "chroot", "--tag", tag, "--file", &file]).args(args);
    done(command.arg(dir.path(".")));
}

/// The image that stands for the compiling stage: the binaries in /out.
pub fn binaries_image() -> &'static str {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let (softstop, web) = static_binaries();
        let dir = Dir::new();
        std::fs::copy(softstop, dir.path("softstop")).unwrap();
        std::fs::copy(web, dir.path("web")).unwrap();
        build("localhost/softstop-test-binaries", &dir, "FROM scratch\nCOPY softstop web /out/\n", &[]);
    });
    "localhost/softstop-test-binaries"
}

/// The smallest image with a shell.
pub fn busybox_image() -> &'static str {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let dir = Dir::new();
        std::fs::copy(find("busybox").expect("checked by able()"), dir.path("busybox")).unwrap();
        let text = "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n";
        build("localhost/softstop-test-busybox", &dir, text, &[]);
    });
    "localhost/softstop-test-busybox"
}

/// A shell under the wrapper, with `lines` of the test's own.
pub fn wrapper_image(name: &str, lines: &str) -> String {
    let tag = format!("localhost/softstop-test-{name}");
    let text = format!(
        "FROM {} AS binaries\nFROM {}\nCOPY --from=binaries /out/softstop /softstop\n{lines}ENTRYPOINT [\"/softstop\", \"--\"]\n",
        binaries_image(),
        busybox_image()
    );
    build(&tag, &Dir::new(), &text, &[]);
    tag
}

/// Dockerfile.example as it stands, with other base images.
pub fn example_image(runtime: &str) -> String {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Dockerfile.example")).unwrap();
    let tag = format!("localhost/softstop-test-example-{}", runtime.rsplit('/').next().unwrap());
    let (from, base) = (format!("SOFTSTOP_FROM={}", binaries_image()), format!("RUNTIME_IMAGE={runtime}"));
    build(&tag, &Dir::new(), &text, &["--build-arg", &from, "--build-arg", &base]);
    tag
}

/// The two binaries and nothing else.
pub fn scratch_image() -> &'static str {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let binaries = binaries_image();
        let copy = "FROM scratch\nCOPY --from=binaries /out/ /\nENTRYPOINT [\"/softstop\"]\n";
        build("localhost/softstop-test-scratch", &Dir::new(), &format!("FROM {binaries} AS binaries\n{copy}"), &[]);
    });
    "localhost/softstop-test-scratch"
}

/// The service's port and the probes', where podman likes: see `Container::port`.
pub const PUBLISH: [&str; 4] = ["--publish", "127.0.0.1::8080", "--publish", "127.0.0.1::9180"];

/// A container that was started; removed with this.
pub struct Container {
    pub id: String,
}

impl Container {
    pub fn run(options: &[&str], image: &str, command: &[&str]) -> Container {
        let id = done(podman().args(["run", "--detach"]).args(LIMITS).args(options).arg(image).args(command));
        Container { id: id.lines().last().unwrap().to_owned() }
    }

    /// The port of this machine that leads to `inside`, which podman chose: nobody else can have taken it.
    pub fn port(&self, inside: u16) -> u16 {
        let line = done(podman().args(["port", &self.id, &format!("{inside}/tcp")]));
        line.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or_else(|| panic!("podman port: {line}"))
    }

    pub fn logs(&self) -> String {
        all(&podman().args(["logs", &self.id]).output().unwrap())
    }

    /// Whether a line is this word, or has it behind the name of a process.
    pub fn said(&self, word: &str) -> bool {
        is_said(&self.logs(), word)
    }

    #[track_caller]
    pub fn wait_until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let limit = Instant::now() + SOON;
        while !condition() {
            assert!(Instant::now() < limit, "never: {what}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// `podman stop` with so many seconds until SIGKILL; gives back the exit code and how long it took.
    pub fn stop(&self, seconds: u32) -> (i32, Duration) {
        let begun = Instant::now();
        done(podman().args(["stop", "--time", &seconds.to_string(), &self.id]));
        (self.code(), begun.elapsed())
    }

    /// `podman stop` as the container was configured, by `--stop-timeout` and `STOPSIGNAL`.
    pub fn stop_as_configured(&self) -> (i32, Duration) {
        let begun = Instant::now();
        done(podman().args(["stop", &self.id]));
        (self.code(), begun.elapsed())
    }

    pub fn code(&self) -> i32 {
        done(podman().args(["inspect", "--format", "{{.State.ExitCode}}", &self.id])).parse().unwrap()
    }

    /// Its end, however it came about.
    pub fn wait(&self) -> i32 {
        done(podman().args(["wait", &self.id])).parse().unwrap()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = podman().args(["rm", "--force", "--time", "0", &self.id]).output();
    }
}
