//! What a release is made of: the Debian package comes and goes on a real Debian root, and the image with nothing but softstop puts it into another
//! container, as `softstop inject` has Kubernetes do it.

use std::path::Path;
use std::process::Command;

use crate::podman::{LIMITS, able, all, build, busybox_image, done, find, podman, static_binaries};
use crate::support::{Dir, may_enter_namespaces, skip};

fn script(name: &str) -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name))
}

/// This machine's own root under an overlay: whatever is installed there is gone with it.
const ON_A_ROOT: &str = r#"
    set -eu
    mount -t tmpfs none "$1"
    mkdir "$1/upper" "$1/work" "$1/root"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
    cp "$2" "$1/root/softstop.deb"
    chroot "$1/root" sh -eu -c '
        dpkg --install /softstop.deb >/dev/null
        dpkg --verify softstop
        softstop --version
        dpkg --listfiles softstop | while read -r file; do [ -d "$file" ] || echo "$file"; done
        softstop -- true
        dpkg --purge softstop >/dev/null
        ! command -v softstop
        [ ! -e /usr/share/doc/softstop ]'
"#;

#[test]
fn the_debian_package_comes_whole_and_goes_whole() {
    if find("dpkg-deb").is_none() {
        return skip("dpkg-deb is not installed");
    }
    needs!(may_enter_namespaces());
    let dir = Dir::without_spaces();
    let folder = dir.text("files");
    std::fs::create_dir_all(format!("{folder}/man")).unwrap();
    std::fs::create_dir(format!("{folder}/completions")).unwrap();
    std::fs::copy(static_binaries().0, format!("{folder}/softstop")).unwrap();
    for file in [
        "LICENCES.txt",
        "man/softstop.1",
        "completions/softstop.bash",
        "completions/_softstop",
        "completions/softstop.fish",
    ] {
        dir.write(&format!("files/{file}"), "x\n");
    }
    let package = || {
        let mut deb = script("deb");
        deb.args([&folder, "1.2.3", &dir.text("")]).env("SOURCE_DATE_EPOCH", "1700000000");
        std::fs::read(done(&mut deb)).unwrap()
    };
    let first = package();
    // The time of the files is another one.
    std::fs::write(format!("{folder}/LICENCES.txt"), "x\n").unwrap();
    assert!(package() == first, "the same files make another package");

    let mut deb = std::fs::read_dir(dir.path("")).unwrap().map(|e| e.unwrap().path());
    let deb = deb.find(|path| path.extension().is_some_and(|e| e == "deb")).unwrap();
    let (root, deb) = (dir.text("root"), deb.to_str().unwrap().to_owned());
    std::fs::create_dir(&root).unwrap();
    let output = Command::new("unshare").args(["--mount", "sh", "-c", ON_A_ROOT, "sh", &root, &deb]).output().unwrap();
    assert!(output.status.success(), "{}", all(&output));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with(&format!("softstop {}\n", env!("CARGO_PKG_VERSION"))), "{said}");
    for file in [
        "/usr/bin/softstop",
        "/usr/share/doc/softstop/copyright",
        "/usr/share/doc/softstop/changelog.gz",
        "/usr/share/man/man1/softstop.1.gz",
        "/usr/share/bash-completion/completions/softstop",
        "/usr/share/zsh/vendor-completions/_softstop",
        "/usr/share/fish/vendor_completions.d/softstop.fish",
    ] {
        assert!(said.lines().any(|line| line == file), "{file} is not in it:\n{said}");
    }
}

#[test]
fn the_image_with_nothing_but_softstop_puts_it_before_another_images_program() {
    needs!(able());
    let image = "localhost/softstop-test-alone";
    done(script("image").args([image, static_binaries().0.to_str().unwrap()]));

    // As an init container of a pod, whose volume is then mounted into the container.
    let dir = Dir::without_spaces();
    let volume = dir.text("volume");
    std::fs::create_dir(&volume).unwrap();
    std::os::unix::fs::chown(&volume, Some(10001), Some(10001)).unwrap();
    let confined = ["run", "--rm", "--read-only", "--cap-drop", "ALL", "--network", "none"];
    let confined = [&confined[..], &LIMITS].concat();
    let into = format!("{volume}:/target");
    let installed = done(podman().args(&confined).args(["--volume", &into, image, "install", "/target"]));
    assert!(installed.starts_with("/target/softstop: installed ("), "{installed}");

    let from = format!("{volume}:/softstop:ro");
    let mut run = podman();
    run.args(&confined).args([
        "--user",
        "10002",
        "--volume",
        &from,
        "--entrypoint",
        "/softstop/softstop",
        busybox_image(),
    ]);
    let output = run.args(["--", "sh", "-c", "echo as pid $$ below $PPID; exit 7"]).output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", all(&output));
    assert!(all(&output).contains("below 1"), "{}", all(&output));

    // COPY --from, as a Dockerfile has it.
    let copied = "localhost/softstop-test-copied";
    build(copied, &Dir::new(), &format!("FROM {}\nCOPY --from={} /softstop /softstop\n", busybox_image(), image), &[]);
    assert_eq!(
        done(podman().args(&confined).args([copied, "/softstop", "--version"])),
        format!("softstop {}", env!("CARGO_PKG_VERSION"))
    );
}
