//! docs/quick-start.md, done as it stands there, in an empty folder: its files are written, its commands are run, and what the page shows of
//! them comes out.

use std::process::Command;

use crate::podman::{able, all, busybox_image, static_binaries};
use crate::support::{Dir, SOFTSTOP, copy_program};

const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/quick-start.md"));

/// `docker` with this machine's programs, base image and limits; the image gets a name of the test's own.
const DOCKER: &str = r#"
for word do
    shift
    [ "$word" != hello ] || word=localhost/softstop-test-quick-start
    set -- "$@" "$word"
done
what=$1
shift
case $what in
    build) exec buildah bud --isolation chroot --from BASE "$@" ;;
    run) exec podman --runtime runc run --ulimit nofile=1024:20000 --ulimit nproc=1000:1000 --network none "$@" ;;
esac"#;

/// The blocks of a language, with what they are.
fn blocks(page: &str) -> impl Iterator<Item = (&str, &str)> {
    page.split("\n```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'))
}

/// What is typed, in order, each with what the page shows of its output.
fn session(page: &str) -> Vec<(String, Vec<&str>)> {
    let mut session: Vec<(String, Vec<&str>)> = Vec::new();
    for (language, text) in blocks(page) {
        match language {
            "sh" => session.push((text.to_owned(), Vec::new())),
            "console" => {
                for line in text.lines() {
                    match line.strip_prefix("$ ") {
                        Some(typed) => session.push((typed.to_owned(), Vec::new())),
                        None => session.last_mut().unwrap().1.push(line),
                    }
                }
            }
            _ => {}
        }
    }
    session
}

const MARK: &str = "\n@ typed: ";

#[test]
fn who_follows_the_quick_start_word_by_word_has_what_it_shows() {
    needs!(able());
    let (bin, folder) = (Dir::new(), Dir::new());
    bin.script("docker", &DOCKER.replace("BASE", busybox_image()));
    std::os::unix::fs::symlink(SOFTSTOP, bin.path("softstop")).unwrap();
    // The page has one static binary for both; what is in the image here is the one of the other tests.
    copy_program(static_binaries().0, &folder.path("softstop"));

    let (_, page) = PAGE.split_once("\n## A service\n").unwrap();
    let session = session(page);
    let script: String =
        session.iter().map(|(typed, _)| format!("printf '{MARK}'\n{typed}\necho \"@ ended with $?\"\n")).collect();
    let path = format!("{}:{}", bin.text(""), std::env::var("PATH").unwrap());
    let mut shell = Command::new("bash");
    shell.args(["-c", &format!("exec 2>&1\n{script}")]).current_dir(folder.path("")).env("PATH", path);
    let output = shell.output().unwrap();
    let said = all(&output);
    let outputs: Vec<&str> = said.split(MARK).skip(1).collect();
    assert_eq!(outputs.len(), session.len(), "{said}");

    for ((typed, shown), output) in session.iter().zip(&outputs) {
        // What has a number in it may have another one elsewhere, and what is shortened stands elsewhere whole.
        for line in shown.iter().filter(|line| !line.contains(|c: char| c.is_ascii_digit() || c == '…')) {
            assert!(output.lines().any(|said| said == *line), "{typed}: not {line:?} but {output}\n{said}");
        }
        let fails = typed.contains("drill") && shown.iter().any(|line| line.starts_with("does not stop well"))
            || shown.iter().any(|line| line.contains("grace-too-long"));
        assert_ne!(output.ends_with("@ ended with 0\n"), fails, "{typed}: {output}\n{said}");
    }
    let drills: Vec<&&str> = outputs.iter().filter(|output| output.contains("drill: ")).collect();
    assert!(drills[0].contains("[drain-short]") && drills[0].ends_with("@ ended with 1\n"), "{said}");
    assert!(drills[1].contains("none failed") && drills[1].contains("fits in 30.0s"), "{said}");
    assert!(folder.read("plan.svg").starts_with("<svg"), "{said}");
}
