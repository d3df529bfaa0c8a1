//! What children, other users and strangers have done to softstop: each test is named by its situation. The control socket's are in
//! `serve/control.rs` and `crowds/control_hostile.rs`, the probe port's in `crowds/hostile_http.rs`.

use std::os::unix::fs::{MetadataExt, chown, lchown, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Beside, Dir, Ended, Launch, SOFTSTOP, SOON, copy_program, namespaces, root, until};

/// A megabyte of text that names a variable of 100 kB two hundred thousand times would be 26 GB.
#[test]
fn a_configuration_that_grows_without_bound_by_its_variables_is_refused() {
    let dir = Dir::new();
    let long = "x".repeat(100_000);
    let one = format!("[[process]]\nname = \"a\"\ncommand = [\"true\", \"{}\"]\n", "${V}".repeat(250_000));
    let many = format!("[[process]]\nname = \"a\"\ncommand = [\"true\", {}]\n", "\"${V}\", ".repeat(100_000));
    for text in [one, many] {
        let file = dir.write("softstop.toml", &text);
        for command in ["check", "run"] {
            // 600 MB of address space: without a bound the allocation fails and aborts.
            let limited = ["sh", "-c", "ulimit -v 600000; exec \"$@\"", "sh"];
            let ended = Launch::new([command, "-c", &file]).not_pid1().through(&limited).env("V", &long).run();
            ended
                .expect_code(78)
                .expect("`${V}`, 100000 bytes long")
                .expect("softstop.toml:3:")
                .expect("help: leave long");
            assert_eq!(ended.all().matches("100000 bytes long").count(), 1, "{}", ended.all());
        }
    }
    // What is no more than programs can take is no matter.
    let few = format!("[[process]]\nname = \"a\"\ncommand = [\"true\", \"{}\"]\n", "${V}");
    dir.launch(&few).not_pid1().env("V", &long).run().expect_code(0);
}

/// Errors quote the lines that they are about, and end up in logs that more people read than the file.
#[test]
fn a_literal_token_shows_in_no_error() {
    let dir = Dir::new();
    let process = "[[process]]\nname = \"a\"\ncommand = [\"true\"]\n";
    let mistakes = [
        "[http]\nlisten = \"0.0.0.0:9180\"\nprestop = { token = \"hunter2-hunter2-hunter2\", frm = \"10.0.0.0/8\" }\n",
        "[http]\nlisten = \"0.0.0.0:9180\"\nprestop = { token = \"hunter2\" }\n",
        "[http]\nlisten = \"0.0.0.0:9180\"\n[http.prestop]\ntoken = \"hunter2-hunter2-hunter2\n",
        "[http]\nlisten = \"0.0.0.0:9180\"\n[http.prestop]\ntoken = [\"hunter2-hunter2-hunter2\"]\n",
        "[http]\nlisten = \"0.0.0.0:9180\"\n[http.prestop]\ntoken = \"hunter2-hunter2-${NOBODY_SET_IT}\"\n",
        "[[drain]]\nhttp_post = { host = \"a\", port = 80, headers = { Authorization = \"Bearer hunter2\" }, pth = \"/\" }\n",
        "[[drain]]\nexec = \"deregister --token=hunter2\"\n",
        "[[drain]]\nexec = [\"deregister\", \"--password\", \"hunter2\", 5]\n",
        "[process.env]\nDB_PASSWORD = \"\"\"\nhunter2 ${NOBODY_SET_IT}\"\"\"\n",
        "[[drain]]\nwait_http = { host = \"a\", port = 80, path = \"x?token=hunter2\" }\n",
    ];
    for mistake in mistakes {
        let file = dir.write("softstop.toml", &format!("{process}{mistake}"));
        for command in ["check", "run"] {
            let ended = Launch::new([command, "-c", &file]).not_pid1().run();
            ended.expect_code(78).expect_not("hunter2").expect(" --> ");
        }
    }
}

/// Everybody without a mapping is uid 65534 there; that softstop already is it says nothing.
#[test]
fn a_user_that_has_no_mapping_cannot_be_become() {
    needs!(namespaces());
    let dir = Dir::new();
    let text = "[[process]]\nname = \"who\"\nuser = \"65534\"\ngroup = \"65534\"\ncommand = [\"true\"]\n";
    let launch = dir.launch(text).through(&["unshare", "--user"]);
    launch.run().expect_code(126).expect("not mapped in this user namespace");
}

/// A folder below `dir` that belongs to another user, who has nothing else.
fn others_folder(dir: &Dir) -> std::path::PathBuf {
    let folder = dir.path("others");
    std::fs::create_dir(&folder).unwrap();
    chown(&folder, Some(2000), Some(2000)).unwrap();
    folder
}

fn link_of_another(target: &Path, link: &Path) {
    symlink(target, link).unwrap();
    lchown(link, Some(2000), Some(2000)).unwrap();
}

fn report_to(path: &Path) -> Ended {
    let flags = ["--grace", "5s", "--report", path.to_str().unwrap()];
    Launch::child(&flags, &["exit:0"]).not_pid1().run()
}

/// As root softstop would write wherever a process that it runs as somebody else likes.
#[test]
fn a_report_follows_no_symlink_of_another_user() {
    needs!(root("a file of another user"));
    let dir = Dir::new();
    let others = others_folder(&dir);
    let victim = dir.write("victim", "as it was");
    let victims = dir.path("folder");
    std::fs::create_dir(&victims).unwrap();
    link_of_another(Path::new(&victim), &others.join("report"));
    link_of_another(Path::new("/nowhere/yet"), &others.join("dangling"));
    link_of_another(&victims, &others.join("folder"));
    for path in ["report", "dangling", "folder/report"] {
        report_to(&others.join(path))
            .expect_code(0)
            .expect("a symbolic link on the way is another user's, and not followed");
    }
    assert_eq!(dir.read("victim"), "as it was");
    assert!(std::fs::read_dir(&victims).unwrap().next().is_none());
    // Those that root has made are what root wants.
    symlink(dir.path("folder"), dir.path("link")).unwrap();
    symlink("link/../folder/report", dir.path("indirect")).unwrap();
    report_to(&dir.path("indirect")).expect_code(0).expect_no_warning();
    assert!(dir.read("folder/report").ends_with("}\n"));
}

#[test]
fn a_report_leaves_what_another_user_has_hard_linked_as_it_is() {
    needs!(root("a file of another user"));
    let dir = Dir::new();
    let others = others_folder(&dir);
    let victim = dir.write("victim", "as it was");
    let report = others.join("report");
    std::fs::hard_link(&victim, &report).unwrap();
    // It may say that this is no report of an earlier run either.
    report_to(&report).expect_code(0);
    assert_eq!(dir.read("victim"), "as it was");
    let written = std::fs::symlink_metadata(&report).unwrap();
    assert_eq!((written.nlink(), written.uid(), written.mode() & 0o7777), (1, 0, 0o644));
    assert!(dir.read("others/report").ends_with("}\n"));
    assert_eq!(std::fs::read_dir(&others).unwrap().count(), 1, "nothing is left beside it");
}

/// The kubelet's termination log: nothing can be renamed over it, and only what is written to it is seen outside.
#[test]
fn a_file_that_is_mounted_into_another_users_folder_is_written_in_place() {
    needs!(namespaces(), root("a file of another user"));
    let dir = Dir::new();
    let others = others_folder(&dir);
    let outside = dir.write("outside", "before, and longer than what follows: ".repeat(200).as_str());
    let (log, report) = (others.join("log"), others.join("report"));
    for name in [&log, &report] {
        std::fs::write(name, "").unwrap();
    }
    let reported = dir.write("reported", "");
    let script = format!(
        "mount --bind '{outside}' '{}' && mount --bind '{reported}' '{}' && exec \"$@\"",
        log.display(),
        report.display()
    );
    let flags = ["--grace", "30s", "--report", report.to_str().unwrap(), "--termination-log", log.to_str().unwrap()];
    let ended = Launch::child(&flags, &["exit:0"]).through(&["sh", "-c", &script, "sh"]).run();
    ended.expect_code(0).expect_no_warning();
    assert!(
        !dir.read("outside").contains("before") && dir.read("outside").contains("exit code 0"),
        "{}",
        dir.read("outside")
    );
    assert!(dir.read("reported").ends_with("}\n"));
    assert!(!others.join(".softstop-is-writing").exists(), "what could not be renamed is left");
}

#[test]
fn a_fifo_in_another_users_folder_gets_the_report_and_stays() {
    needs!(root("a file of another user"));
    let dir = Dir::new();
    let fifo = others_folder(&dir).join("report");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o644)).unwrap();
    let mut reader = Beside(Command::new("cat").arg(&fifo).stdout(Stdio::piped()).spawn().unwrap());
    // cat opens it before or after softstop; without a reader it is refused.
    until("the FIFO has a reader", || !report_to(&fifo).all().contains("cannot write the report"));
    let text = std::io::read_to_string(reader.0.stdout.take().unwrap()).unwrap();
    assert!(text.ends_with("}\n"), "{text}");
    assert!(!std::fs::symlink_metadata(&fifo).unwrap().is_file());
}

/// An update in place, or a process that may write there: whatever has softstop's name by now, it is not what runs.
#[test]
fn a_binary_that_is_replaced_or_gone_still_waits_for_files() {
    let dir = Dir::new();
    for replaced in [true, false] {
        let copy = dir.path("softstop");
        copy_program(SOFTSTOP, &copy);
        let (flag, marker) = (dir.path("flag"), dir.text("marker"));
        let text = format!(
            "grace = \"20s\"\n[[process]]\nname = \"a\"\ncommand = [\"sleep\", \"1000\"]\n\
             [[drain]]\nname = \"flag\"\nwait_file = {{ path = {:?} }}\ntimeout = \"10s\"\n",
            flag.to_str().unwrap()
        );
        let mut running = dir.launch(&text).program(&copy).not_pid1().start();
        running.wait_for("a: started");
        if replaced {
            let script = dir.script("other", &format!("touch '{marker}'"));
            std::fs::rename(script, &copy).unwrap();
        } else {
            std::fs::remove_file(&copy).unwrap();
        }
        running.term().wait_for("flag is not there");
        std::fs::write(&flag, "").unwrap();
        running.wait(SOON).expect("drain: flag: done");
        assert!(!Path::new(&marker).exists(), "another program was run");
        std::fs::remove_file(&flag).unwrap();
    }
}
